"""A text as token ids, with the word that each of them belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from xaijax._core import check

Tokenizer = Callable[[str], Any]  # a string -> a sequence of ints


class Encoded(NamedTuple):
    """ids: [L] the tokens of a text; owners: [L] the word of each, -1 for separators; words: [M] what they are."""

    ids: np.ndarray
    owners: np.ndarray
    words: tuple[str, ...]


class Piece(NamedTuple):
    """A stretch of a text that is tokenized for itself, and the word in it, if there is one."""

    text: str
    word: str | None


class Encoder:
    """Texts to ids and owners.

    A player needs tokens of its own, so the tokenizer must give a piece of text the same ids alone as within the whole.
    Pieces are the words and what separates them; for tokenizers that join a space to the word behind it (byte-pair
    encodings), the spaces go with the words.
    """

    def __init__(self, tokenizer: Tokenizer, *, split: str, bag_of_words: bool, pad_id: int):
        if not callable(tokenizer):
            raise TypeError(f"tokenizer must be callable as tokenizer(text), but it is {type(tokenizer).__name__}.")
        try:
            self.split = re.compile(split)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"split must be a regular expression of separators, but it is {split!r}: {error}"
            ) from None
        self.tokenizer, self.bag_of_words, self.pad_id = tokenizer, bag_of_words, pad_id
        self._known: dict[str, np.ndarray] = {}  # most words come again

    def __call__(self, text: str, number: int) -> Encoded:
        """The tokens of a text, which messages call text `number`."""
        whole = self._ids(text)
        apart = list(pieces(text, self.split))
        parts = [self._ids(piece.text) for piece in apart]
        if not np.array_equal(_joined(parts), whole):
            spaced = list(spaces_with_words(apart))
            spaced_parts = [self._ids(piece.text) for piece in spaced]
            if not np.array_equal(_joined(spaced_parts), whole):
                raise ValueError(_difference(whole, apart, parts, number))
            apart, parts = spaced, spaced_parts
        self._check_words(apart, parts, number)
        words: list[str] = []
        places: dict[str, int] = {}
        owners = []
        for piece, part in zip(apart, parts, strict=True):
            if piece.word is None:
                owner = -1
            elif self.bag_of_words and piece.word in places:
                owner = places[piece.word]
            else:
                owner = places[piece.word] = len(words)
                words.append(piece.word)
            owners.append(np.full(len(part), owner, np.int32))
        return Encoded(whole, _joined(owners), tuple(words))

    def _ids(self, text: str) -> np.ndarray:
        if text not in self._known:
            self._known[text] = _read_ids(self.tokenizer(text), text)
        return self._known[text]

    def _check_words(self, apart: list[Piece], parts: list[np.ndarray], number: int) -> None:
        if not any(piece.word for piece in apart):
            raise ValueError(f"text {number} has no words: there is nothing to explain.")
        lost = [piece.word for piece, part in zip(apart, parts, strict=True) if piece.word and not len(part)]
        if lost:
            raise ValueError(
                f"tokenizer gives no ids to the words {list(dict.fromkeys(lost))[:5]} of text {number}, so that they "
                "cannot be taken away: let it give unknown words an id of their own."
            )
        padded = [piece.text for piece, part in zip(apart, parts, strict=True) if (part == self.pad_id).any()]
        if padded:
            raise ValueError(
                f"tokenizer gives the padding id {self.pad_id} to {padded[0]!r} in text {number}: pad_id must be an id "
                "that no text has."
            )


def pieces(text: str, split: re.Pattern[str]) -> Iterator[Piece]:
    """The words of a text and the separators between them, in order; joined they are the text."""
    start = 0
    for separator in split.finditer(text):
        if separator.group():
            if separator.start() > start:
                yield Piece(text[start : separator.start()], text[start : separator.start()])
            yield Piece(separator.group(), None)
            start = separator.end()
    if start < len(text):
        yield Piece(text[start:], text[start:])


def spaces_with_words(apart: list[Piece]) -> Iterator[Piece]:
    """The same pieces, with the white space before a word moved from the separator to the word's piece."""
    space = ""
    for place, piece in enumerate(apart):
        if piece.word is not None:
            yield Piece(space + piece.text, piece.word)
            space = ""
            continue
        before = piece.text.rstrip() if place + 1 < len(apart) else piece.text  # none follows the last
        space = piece.text[len(before) :]
        if before:
            yield Piece(before, None)


def _read_ids(ids: Any, text: str) -> np.ndarray:
    try:
        read = np.asarray(list(ids))
    except TypeError:
        read = np.asarray(ids)
    if read.size == 0:
        return np.zeros(0, np.int32)
    if read.ndim != 1 or not np.issubdtype(read.dtype, np.integer) or read.min() < 0:
        raise TypeError(
            f"tokenizer must map a string to a sequence of ids, ints of at least 0, but {text[:40]!r} became "
            f"{type(ids).__name__}: for tokenizers that return more give a function, such as "
            "lambda text: tokenizer.encode(text, add_special_tokens=False)."
        )
    return read.astype(np.int32)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _difference(whole: np.ndarray, apart: list[Piece], parts: list[np.ndarray], number: int) -> str:
    """The sentence that shows the first token at which the pieces and the whole text part."""
    joined = _joined(parts)
    common = min(len(joined), len(whole))
    first = int(np.append(np.flatnonzero(joined[:common] != whole[:common]), common)[0])
    ends = np.cumsum([len(part) for part in parts])
    place = min(int(np.searchsorted(ends, first, side="right")), len(parts) - 1) if parts else 0
    piece, part = (apart[place], parts[place]) if parts else (Piece("", None), joined)
    what = "separator" if piece.word is None else "word"
    start = int(ends[place] - len(part)) if parts else 0
    return (
        f"tokenizer must give the pieces of a text the ids that they have in the whole, but in text {number} the {what} "
        f"{piece.text!r} alone gets {part.tolist()}, while the whole text has {whole[start : start + max(1, len(part))].tolist()} there "
        f"(token {first}): leave out special tokens, or choose a `split` whose words the tokenizer treats apart."
    )


def check_texts(texts: Any) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of strings, but it is one string: pass [text].")
    try:
        texts = list(texts)
    except TypeError:
        raise TypeError(f"texts must be a sequence of strings, but it is {type(texts).__name__}.") from None
    if not texts:
        raise ValueError("texts is empty: pass at least one string.")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts must hold strings, but text {number} is {type(text).__name__}.")
    return texts


def padded_length(encoded: Encoded, length: int | None, number: int) -> int:
    """L: as asked for, or one of few sizes, so that few are compiled, and from the text alone."""
    if length is None:
        return one_of_few_sizes(len(encoded.ids))
    length = check.positive_int("length", length)
    if len(encoded.ids) > length:
        raise ValueError(
            f"length must be at least the number of tokens of every text, but it is {length} and text {number} has "
            f"{len(encoded.ids)}: cut the text, or give a greater length."
        )
    return length


def one_of_few_sizes(least: int) -> int:
    """The smallest power of two, or half as much again, from 16 on, that is at least so much."""
    size = max(16, 1 << (least - 1).bit_length())
    return size * 3 // 4 if size > 16 and least <= size * 3 // 4 else size
