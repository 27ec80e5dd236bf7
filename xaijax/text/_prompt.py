"""A prompt of language models: spans of token ids that can be removed, between ids that always stay."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.typing import ArrayOrSequence
from xaijax.text._spans import Spans, check_decode, read_ids, shown_spans, text_of


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Prompt:
    """A prompt: prefix, M spans, suffix. The spans are the players.

    spans: the token ids of each span, M arrays [n_i].
    prefix, suffix: token ids [p] and [q] that are always present, such as the system's message and the question.
    names: a text for each span; None where none are known.
    groups: the spans as nested sequences of indices, for `xai.shap.owen`; None without groups.
    decode: maps token ids to their text; None where it is not known.
    """

    spans: tuple[np.ndarray, ...]
    prefix: np.ndarray
    suffix: np.ndarray
    names: tuple[str, ...] | None = None
    groups: Any = None
    decode: Callable[[list[int]], str] | None = None

    @property
    def num_spans(self) -> int:
        """M."""
        return len(self.spans)

    def __repr__(self) -> str:
        return f"Prompt({shown_spans(self.spans)}, prefix of {len(self.prefix)}, suffix of {len(self.suffix)})"

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the spans: their names, or what `decode` makes of them, or their ids."""
        return tuple(text_of(span, self.decode) for span in self.spans) if self.names is None else self.names

    @property
    def context(self) -> tuple[str, str]:
        """The texts of prefix and suffix; their ids where `decode` is not known."""
        return text_of(self.prefix, self.decode), text_of(self.suffix, self.decode)

    def ids(self, present: ArrayOrSequence | None = None) -> np.ndarray:
        """Returns the token ids with some of the spans, [L].

        Args:
          present: [M] booleans, which spans are present. Default: all.
        """
        is_kept = np.ones(self.num_spans, bool) if present is None else np.asarray(present)
        if is_kept.shape != (self.num_spans,) or is_kept.dtype != bool:
            raise ValueError(
                f"`present` must be booleans [{self.num_spans}], one for each span, got {check.shown(present)}."
            )
        kept = [span for span, is_present in zip(self.spans, is_kept, strict=True) if is_present]
        return np.concatenate([self.prefix, *kept, self.suffix])


def prompt(
    spans: Spans | Sequence[ArrayOrSequence],
    *,
    prefix: ArrayOrSequence = (),
    suffix: ArrayOrSequence = (),
    names: Sequence[str] | None = None,
    groups: Any = None,
    decode: Callable[[list[int]], str] | None = None,
) -> Prompt:
    """Makes a prompt of spans that can be removed.

    Why: "which documents, sentences or words of the prompt made the model answer this?" is a game: its players are the
    spans, and a coalition is the prompt without the others. `xai.text.response_game` evaluates it.

    Args:
      spans: the token ids of each span, in their order, or the result of `xai.text.spans`. They are ids, not positions of
        a text: each span has tokens of its own, so that spans cannot overlap.
      prefix: token ids before the spans that always stay: the start token, the system's message.
      suffix: token ids after them that always stay: the question, the start of the answer. Prefix and suffix together
        must have a token, as the first token of the response needs one before it.
      names: a text for each span. Default: those of `xai.text.spans`, or what `decode` makes of the ids, or none.
      groups: nested sequences of span indices, as for `xai.shap.owen`. Default: those of `xai.text.spans`, or none.
      decode: maps token ids to their text, such as `tokenizer.decode`, for plots of the prompt and for the names of the
        response's tokens. Default: that of `xai.text.spans`, or none.

    Returns:
      A `Prompt`.

    Raises:
      TypeError, ValueError: if there are no spans, a span is empty, ids are not integers of one axis, or names or
        groups do not fit the spans.

    >>> import xaijax as xai
    >>> prompt = xai.text.prompt([[5, 6], [7]], prefix=[1], suffix=[2, 3], names=["a b", "c"])
    >>> prompt.ids([False, True]).tolist()
    [1, 7, 2, 3]
    """
    if isinstance(spans, Spans):
        names, groups = spans.names if names is None else names, spans.groups if groups is None else groups
        decode = spans.decode if decode is None else decode
        spans = spans.ids
    if isinstance(spans, str) or not check.is_list(spans):
        raise TypeError(
            f"`spans` must be a list of token ids for each span, got {check.shown(spans)}: cut a text by xai.text.spans."
        )
    parts = tuple(read_ids(f"spans[{number}]", span) for number, span in enumerate(spans))
    if not parts:
        raise ValueError("`spans` must hold at least one span, got none.")
    for number, part in enumerate(parts):
        if not part.size:
            raise ValueError(f"`spans[{number}]` must hold at least one token id, got none: leave the span out.")
    before, after = read_ids("prefix", prefix), read_ids("suffix", suffix)
    if not before.size + after.size:
        raise ValueError(
            "`prefix` or `suffix` must hold at least one token id, got none in both: the first token of the response is "
            "predicted from the one before it, so pass prefix=[start_id]."
        )
    check_decode(decode)
    if names is None and decode is not None:
        names = [text_of(part, decode) for part in parts]
    if names is not None:
        names = tuple(check.texts("names", names))
        if len(names) != len(parts):
            raise ValueError(f"`names` must hold one text for each of the {len(parts)} spans, got {len(names)}.")
    if groups is not None:
        members = _members(groups)
        are_numbers = all(isinstance(member, numbers.Integral) and not isinstance(member, bool) for member in members)
        if not are_numbers or sorted(members) != list(range(len(parts))):
            raise ValueError(
                f"`groups` must hold each of the spans 0 to {len(parts) - 1} once, as nested lists, got {check.shown(groups)}."
            )
    return Prompt(parts, before, after, names, groups, decode)


def _members(groups: Any) -> list[Any]:
    if check.is_list(groups):
        return [member for part in groups for member in _members(part)]
    return [groups]
