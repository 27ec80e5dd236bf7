"""Reads a text as token ids, with the word that each of them belongs to."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from xaijax._core import check
from xaijax._core.calls import call_noted

Tokenizer = Callable[[str], Any]  # a string -> a sequence of ints
Split = (
    str | Callable[[str], Iterable[str]] | None
)  # a pattern of separators, a function from a text to its words, or None

_FEWEST = 16  # tokens, and players
_MOST_BY_LENGTH = 512  # players of a text because of its length


class Encoded(NamedTuple):
    """ids: [L] the tokens of a text. owners: [L] the word of each, -1 for separators. words: [M] the words."""

    ids: np.ndarray
    owners: np.ndarray
    words: tuple[str, ...]


class Piece(NamedTuple):
    """A part of a text that is tokenized separately, and the word in it, if there is one."""

    text: str
    word: str | None


class Encoder:
    """Encodes texts as ids and owners.

    A player needs tokens of its own, so that the tokenizer must give a piece of text the same ids alone as within the
    whole. Pieces are the words and the separators between them. For tokenizers that join a space to the following word
    (byte-pair encodings), spaces belong to the words.
    """

    def __init__(self, tokenizer: Tokenizer, *, split: Split, bag_of_words: bool, pad_id: int):
        if not callable(tokenizer):
            raise TypeError(f"`tokenizer` must be callable as tokenizer(text), got {check.shown(tokenizer)}.")
        self.tokenizer, self.bag_of_words, self.pad_id = tokenizer, bag_of_words, pad_id
        self._spans = _read_split(split)
        self._known: dict[str, np.ndarray] = {}  # most words occur more than once

    def __call__(self, text: str, number: int) -> Encoded:
        """Encodes a text, which errors call text `number`."""
        whole = self._ids(text)
        separate = [self._as_tokenized(piece) for piece in pieces(text, self._spans(text, number))]
        parts = [self._ids(piece.text) for piece in separate]
        if not np.array_equal(_joined(parts), whole):
            spaced = list(spaces_with_words(separate))
            spaced_parts = [self._ids(piece.text) for piece in spaced]
            if not np.array_equal(_joined(spaced_parts), whole):
                raise ValueError(_difference(whole, separate, parts, number))
            separate, parts = spaced, spaced_parts
        self._check_words(separate, parts, number)
        words: list[str] = []
        known: dict[str, int] = {}
        owners = []
        for piece, part in zip(separate, parts, strict=True):
            if piece.word is None:
                owner = -1
            elif self.bag_of_words and piece.word in known:
                owner = known[piece.word]
            else:
                owner = known[piece.word] = len(words)
                words.append(piece.word)
            owners.append(np.full(len(part), owner, np.int32))
        return Encoded(whole, _joined(owners), tuple(words))

    def _ids(self, text: str) -> np.ndarray:
        if text not in self._known:
            self._known[text] = _read_ids(call_noted("tokenizer", self.tokenizer, text), text)
        return self._known[text]

    def _as_tokenized(self, piece: Piece) -> Piece:
        """A symbol that the tokenizer ignores, such as an emoji, is a separator: the model never sees it."""
        ignored = piece.word is not None and not any(map(str.isalnum, piece.word)) and not len(self._ids(piece.word))
        return Piece(piece.text, None) if ignored else piece

    def _check_words(self, separate: list[Piece], parts: list[np.ndarray], number: int) -> None:
        if not any(piece.word for piece in separate):
            raise ValueError(f"`texts` must have words to explain, got none in text {number}.")
        lost = [piece.word for piece, part in zip(separate, parts, strict=True) if piece.word and not len(part)]
        if lost:
            raise ValueError(
                f"`tokenizer` must give every word an id, got none for the words {list(dict.fromkeys(lost))[:5]} of text "
                f"{number}, which cannot be removed then: let it give unknown words an id of their own."
            )
        padded = [piece.text for piece, part in zip(separate, parts, strict=True) if (part == self.pad_id).any()]
        if padded:
            raise ValueError(
                f"`pad_id` must be an id that no text has, got {self.pad_id}, which the tokenizer gives to {padded[0]!r} in "
                f"text {number}."
            )


Spans = Callable[[str, int], Iterable[tuple[int, int]]]  # (text, its number) -> start and end of its words, in order


def _read_split(split: Split) -> Spans:
    if split is None:
        return _unicode_words
    if hasattr(split, "finditer") and isinstance(getattr(split, "pattern", ""), str):  # a compiled pattern
        return functools.partial(_between_separators, split)
    if isinstance(split, str):
        try:
            return functools.partial(_between_separators, re.compile(split))
        except re.error as error:
            raise ValueError(f"`split` must be a regular expression of separators, got {split!r}: {error}") from None
    if callable(split):
        return functools.partial(_words_of_function, split)
    raise TypeError(
        "`split` must be a regular expression of separators, a function from a text to its words, or None, got "
        f"{check.shown(split)}."
    )


def _unicode_words(text: str, _: int) -> Iterator[tuple[int, int]]:
    """The words of the Unicode standard (UAX 29): with combining marks and inner apostrophes; emoji; each ideograph."""
    boundaries, characters, content = _unicode_patterns()
    starts = {match.start() for match in characters.finditer(text)}  # no word ends within a character of several codes
    edges = sorted({0, *(starts & {match.start() for match in boundaries.finditer(text)}), len(text)})
    for start, end in itertools.pairwise(edges):
        if content.search(text, start, end):
            yield start, end


@functools.lru_cache(maxsize=1)
def _unicode_patterns() -> tuple[Any, Any, Any]:
    """Word boundaries, characters as readers see them, and those that make a word of the text between two boundaries."""
    import regex  # Python's `re` knows neither Unicode's boundaries nor its properties

    content = r"[\w\p{Extended_Pictographic}\p{Regional_Indicator}]"
    boundaries = regex.compile(r"\b", regex.WORD | regex.VERSION1)
    return boundaries, regex.compile(r"\X", regex.VERSION1), regex.compile(content, regex.VERSION1)


def _between_separators(separators: Any, text: str, _: int) -> Iterator[tuple[int, int]]:
    """The stretches between the matches of a pattern; empty matches separate as well."""
    start = 0
    for match in separators.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _words_of_function(split: Callable[[str], Iterable[str]], text: str, number: int) -> Iterator[tuple[int, int]]:
    words = call_noted("split", split, text)
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise TypeError(f"`split` must return the words of a text, got {check.shown(words)}.")
    end = 0
    for word in words:
        start = text.find(word, end) if isinstance(word, str) else -1
        if start < 0:
            raise ValueError(
                f"`split` must return words of the text in their order, got {check.shown(word)}, which text {number} does "
                "not have there: keep the words as they are written."
            )
        end = start + len(word)
        yield start, end


def pieces(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[Piece]:
    """Returns the words of a text and the separators between them, in order; joined they are the text."""
    end = 0
    for start, stop in spans:
        if not text[start:stop].strip():  # white space never is a word
            continue
        if start > end:
            yield Piece(text[end:start], None)
        yield Piece(text[start:stop], text[start:stop])
        end = stop
    if end < len(text):
        yield Piece(text[end:], None)


def spaces_with_words(separate: list[Piece]) -> Iterator[Piece]:
    """Returns the same pieces, with the white space before a word moved from the separator to the word's piece."""
    space = ""
    for index, piece in enumerate(separate):
        if piece.word is not None:
            yield Piece(space + piece.text, piece.word)
            space = ""
            continue
        before = piece.text.rstrip() if index + 1 < len(separate) else piece.text  # no word follows the last piece
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
    is_ids = read.ndim == 1 and all(
        isinstance(each, (int, np.integer)) and not isinstance(each, bool) for each in read.tolist()
    )
    if is_ids and max(read.tolist()) > 2**31 - 1:
        raise ValueError(
            f"`tokenizer` must return ids that fit int32, got {max(read.tolist())} for {text[:40]!r}: number the words 0, 1, "
            "..., and let the model look its own ids up, lambda numbers: model(own_ids[numbers])."
        )
    if not is_ids or read.min() < 0:
        raise TypeError(
            f"`tokenizer` must map a string to a sequence of ids, ints of at least 0, got {type(ids).__name__} for "
            f"{text[:40]!r}: for a tokenizer that returns more pass a function, such as "
            "lambda text: tokenizer.encode(text, add_special_tokens=False)."
        )
    return read.astype(np.int32)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _difference(whole: np.ndarray, separate: list[Piece], parts: list[np.ndarray], number: int) -> str:
    """Returns the error that shows the first token in which the pieces differ from the whole text."""
    joined = _joined(parts)
    common = min(len(joined), len(whole))
    first = int(np.append(np.flatnonzero(joined[:common] != whole[:common]), common)[0])
    ends = np.cumsum([len(part) for part in parts])
    index = min(int(np.searchsorted(ends, first, side="right")), len(parts) - 1) if parts else 0
    piece, part = (separate[index], parts[index]) if parts else (Piece("", None), joined)
    role = "separator" if piece.word is None else "word"
    start = int(ends[index] - len(part)) if parts else 0
    return (
        f"`tokenizer` must give the pieces of a text the ids that they have in the whole text, got {part.tolist()} for the "
        f"{role} {piece.text!r} alone, while the whole text {number} has "
        f"{whole[start : start + max(1, len(part))].tolist()} there (token {first}): leave out special tokens, or choose a "
        "`split` whose words the tokenizer separates."
    )


def check_texts(texts: Any) -> list[str]:
    """Returns texts as a list of strings."""
    if isinstance(texts, str):
        raise TypeError("`texts` must be a sequence of strings, got one string: pass [text].")
    if not check.is_list(texts):
        raise TypeError(f"`texts` must be a sequence of strings, got {check.shown(texts)}.")
    texts = list(texts)
    if not texts:
        raise ValueError("`texts` must hold at least one string, got none.")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"`texts` must hold strings, got {check.shown(text)} as text {number}.")
    return texts


def padded_sizes(encoded: Encoded, length: int | None, number: int, tokens_per_word: int) -> tuple[int, int]:
    """Returns the numbers of tokens L and of players M that a text is filled up to.

    They depend on this text alone, and are few, so that few programs are compiled: powers of two from 16 on. Without a
    given length, texts of as many tokens have as many players, up to 512: more would take longer to fit than to compile.

    tokens_per_word: how many tokens a text has at least for each of its words, as a rule.
    """
    num_tokens, num_words = len(encoded.ids), _power_of_two(len(encoded.words))
    if length is None:
        length = max(_power_of_two(num_tokens), _FEWEST * tokens_per_word)
        return length, max(num_words, min(length // tokens_per_word, _MOST_BY_LENGTH))
    length = check.positive_int("length", length)
    if num_tokens > length:
        raise ValueError(
            f"`length` must be at least the number of tokens of every text, got {length}, while text {number} has "
            f"{num_tokens}: cut the text, or give a greater length."
        )
    return length, num_words


def _power_of_two(least: int) -> int:
    """Returns the smallest power of two that is at least `least` and 16."""
    return max(_FEWEST, 1 << (least - 1).bit_length())
