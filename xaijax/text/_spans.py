"""Cuts a text into spans: tokens, words, sentences, paragraphs, or the messages of a chat."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.words import counted

Tokenize = Callable[[str], Any]  # text -> token ids
_CLOSING, _EMPTY_LINE = r"[\"'”’)\]\u300d\u300f\uff09]", r"(?=\r?\n\s*\n)"
# Each piece keeps the spaces before it, and the last one those after it, so that the pieces join to the text. Sentences of
# Chinese and Japanese end without a space.
_PATTERNS = {
    "words": re.compile(r"\s*\S+"),
    "sentences": re.compile(
        rf"\s*\S.*?(?:[.!?…]+{_CLOSING}*(?=\s|\Z)|[\u3002\uff01\uff1f]+{_CLOSING}*|{_EMPTY_LINE}|\Z)", re.DOTALL
    ),
    "paragraphs": re.compile(rf"\s*\S.*?(?:{_EMPTY_LINE}|\Z)", re.DOTALL),
}
BY = ["tokens", *_PATTERNS]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Spans:
    """Spans of a text.

    ids: the token ids of each span, M arrays [n_i].
    names: the texts of the spans.
    groups: the spans as nested sequences of indices; None without groups.
    decode: maps token ids to their text; None where it is not known.
    """

    ids: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    groups: Any = None
    decode: Callable[[list[int]], str] | None = None

    def __repr__(self) -> str:
        return f"Spans({shown_spans(self.ids)})"


def spans(
    text: str | Sequence[str],
    tokenize: Tokenize,
    *,
    by: str = "sentences",
    decode: Callable[[list[int]], str] | None = None,
) -> Spans:
    """Cuts a text, or several documents, into spans, and turns each into token ids.

    Why: players should be parts that make sense to leave out. Few large spans are cheap and stable; words show details.

    Args:
      text: one text; or several, such as documents or the messages of a chat template, each of which becomes a group of
        spans for `xai.shap.owen`.
      tokenize: maps a text to its token ids, without start and end tokens, such as
        `lambda text: tokenizer.encode(text, add_special_tokens=False)`. It is called for each span alone, so that no token
        reaches over two spans; the ids of the whole text may differ at the borders.
      by: "tokens", "words", "sentences" (the default), "paragraphs", or "texts": each text is one span. A span keeps the
        spaces before it, and the last one of a text those after it.
      decode: maps token ids to their text, such as `tokenizer.decode`, for the names of tokens, and for the other parts of
        the prompt. Default: the ids are the names.

    Returns:
      `Spans`, for `xai.text.prompt`.

    Raises:
      TypeError, ValueError: if there is no text, or `tokenize` returns no integers.

    >>> import xaijax as xai
    >>> cut = xai.text.spans("It rains. Take a coat!", lambda text: [ord(letter) for letter in text])
    >>> cut.names, [len(span) for span in cut.ids]
    (('It rains.', ' Take a coat!'), [9, 13])
    """
    by = check.one_of("by", by, [*BY, "texts"])
    if not callable(tokenize) or isinstance(tokenize, type):
        raise TypeError(
            f"`tokenize` must be callable as tokenize(text), got {check.shown(tokenize)}: pass tokenizer.encode, or a "
            "function that calls it."
        )
    check_decode(decode)
    texts = [text] if isinstance(text, str) else check.texts("text", text)
    ids: list[np.ndarray] = []
    names: list[str] = []
    groups: list[list[int]] = []
    for one in texts:
        if by == "tokens":
            tokens = read_ids("tokenize(text)", tokenize(one)).tolist()
            pieces = [(text_of([token], decode), [token]) for token in tokens]
        else:
            parts = [one] if by == "texts" else _cut(one, _PATTERNS[by])
            pieces = [(part, tokenize(part)) for part in parts]
        read = [(name, read_ids("tokenize(text)", tokens)) for name, tokens in pieces]
        read = [(name, tokens) for name, tokens in read if tokens.size]
        groups.append(list(range(len(ids), len(ids) + len(read))))
        names += [name for name, _ in read]
        ids += [tokens for _, tokens in read]
    if not ids:
        raise ValueError(f"`text` must hold something to tokenize, got {check.shown(text)}.")
    nested = [group for group in groups if group]
    return Spans(tuple(ids), tuple(names), nested if not isinstance(text, str) and len(nested) > 1 else None, decode)


def _cut(text: str, pattern: re.Pattern[str]) -> list[str]:
    parts = [match.group() for match in pattern.finditer(text)]
    if parts:
        parts[-1] += text[sum(map(len, parts)) :]
    return parts


def check_decode(decode: Any) -> None:
    """Raises unless it is None or callable."""
    if decode is not None and (not callable(decode) or isinstance(decode, type)):
        raise TypeError(f"`decode` must be callable as decode(ids), got {check.shown(decode)}: pass tokenizer.decode.")


def text_of(ids: Any, decode: Callable[[list[int]], str] | None) -> str:
    """Returns the text of token ids; without `decode`, the ids themselves."""
    listed = [int(token) for token in ids]
    if decode is None:
        return " ".join(map(str, listed))
    text = decode(listed)
    if not isinstance(text, str):
        raise TypeError(f"`decode` must return a string, got {check.shown(text)} for {check.shown(listed)}.")
    return text


def shown_spans(spans: Sequence[np.ndarray]) -> str:
    """Returns how many spans there are, and of how many tokens: '5 spans of 1 to 9 tokens'."""
    least, most = min(map(len, spans)), max(map(len, spans))
    sizes = counted(most, "token") if least == most else f"{least} to {counted(most, 'token')}"
    return f"{counted(len(spans), 'span')} of {sizes}"


def read_ids(name: str, ids: Any) -> np.ndarray:
    """Returns token ids as int32 [n]."""
    array = check.host_array(name, ids) if not isinstance(ids, (list, tuple)) or len(ids) else np.zeros(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"`{name}` must be token ids, integers of one axis, got {check.shown(ids)}: {_fix_of_ids(name, array)}."
        )
    if array.size and array.min() < 0:
        raise ValueError(
            f"`{name}` must be token ids of 0 or more, got {array.min()}: leave padding and ignored tokens out."
        )
    if array.size and array.max() >= 2**31:
        raise ValueError(f"`{name}` must be token ids below 2**31, got {array.max()}: use the model's own tokenizer.")
    return array.astype(np.int32)


def _fix_of_ids(name: str, array: np.ndarray) -> str:
    if array.dtype.kind == "U":
        return "turn texts into ids by the model's tokenizer"
    if array.dtype.kind not in "iu":
        return "ids are integers, as a tokenizer returns them"
    if array.ndim == 0:
        return "pass a list of ids for each span" if name.startswith("spans[") else "pass a list of ids"
    return "pass one row of ids, such as ids[0]"
