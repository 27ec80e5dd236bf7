"""Prefix reuse: coalitions as a trie over spans, whose shared beginnings are computed once.

The keys and values of a span depend on the earlier spans that are present, and on nothing later. A coalition z is a path;
its node at span j is (z_1, ..., z_j), and costs tokens only where z_j = 1. Tokens: P + sum over j of s_j times the number of
distinct (z_1, ..., z_{j-1}) that z_j = 1 follows, and (q + T) for each coalition, the suffix and the response.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.calls import call_noted
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax._model import Model, function
from xaijax.text._lengths import padded_length, pieces, power_above, power_below
from xaijax.text._log_probabilities import of_tokens
from xaijax.text._prompt import Prompt

_CACHE_BYTES = 2**28  # of all rows of one descent; a block of them, a quarter at most, exists twice more
_TOKENS_AT_ONCE = 2**13  # of one evaluation
_LEAST_PIECE = 8  # tokens that a span is padded to
_LENGTHS = (
    4  # of caches: attention takes time for all positions that a step is given, also for those that it may not see
)
_CUT_FROM = 128  # positions: shorter caches have one length


@dataclasses.dataclass(frozen=True, eq=False)
class Cached:
    """A language model with a cache of keys and values; see `xai.text.cached`."""

    step: Model
    empty: Callable[[int, int], Any]

    def cache(self, rows: int, length: int) -> Any:
        """Returns an empty cache, checked, of arrays that nothing else holds: they are written in place."""
        empty = jax.jit(self.empty, static_argnums=(0, 1))
        cache = empty(rows, length)
        leaves = jax.tree.leaves(cache)
        wrong = [np.shape(leaf) for leaf in leaves if np.shape(leaf)[:2] != (rows, length)]
        if wrong or not leaves:
            got = f"shape {list(wrong[0])}" if wrong else "no arrays"
            raise ValueError(
                f"`empty_cache` must return arrays [rows, length, ...], [{rows}, {length}, ...] for ({rows}, {length}), got "
                f"{got}: put the rows first and the positions second."
            )
        return cache

    def check(self, length: int) -> None:
        """Raises unless the step returns logits [B, n, V] and a cache like that it was given, without computing them."""
        count = padded_length(1)
        rows = jax.ShapeDtypeStruct((1, count), jnp.int32)
        mask = jax.ShapeDtypeStruct((1, count, length), bool)
        jax.eval_shape(lambda: call_noted("empty_cache", self.empty, 1, length))
        cache = jax.eval_shape(lambda: self.cache(1, length))
        outputs = jax.eval_shape(call, self.step, (rows, rows, mask, cache))
        if not isinstance(outputs, tuple | list) or len(outputs) != 2:
            raise TypeError(
                f"`step` must return (logits, cache), got {check.shown(outputs)}: return the new cache too."
            )
        logits, returned = outputs
        shape = getattr(logits, "shape", None)
        if shape is None or len(shape) != 3 or shape[:2] != (1, count):
            raise ValueError(
                f"`step` must return logits [B, n, V] first, [1, {count}, V] for ids [1, {count}], got "
                f"{check.shown(logits)}: return them for all n tokens, before the cache."
            )
        shapes = [
            (jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]) for tree in (cache, returned)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"`step` must return a cache like that of `empty_cache`, {check.shown(cache)}, got "
                f"{check.shown(returned)}: write the new keys and values into the given cache."
            )


def cached(step: Callable[..., Any], empty_cache: Callable[[int, int], Any]) -> Cached:
    """Describes a language model with a cache, so that `xai.text.response_game` computes shared beginnings once.

    Args:
      step: step(ids [B, n], positions [B, n], mask [B, n, L], cache) -> (logits [B, n, V], cache). It computes the next n
        tokens of each row: it writes their keys and values at their positions of the cache, and lets token i attend to
        the positions where mask[b, i] is True, itself included. A PyTree such as `jax.tree_util.Partial(step, parameters)`
        keeps parameters out of the compiled programs.
      empty_cache: empty_cache(B, L) -> a PyTree of arrays [B, L, ...].

    Returns:
      What `response_game(..., extend=)` takes.

    Raises:
      TypeError: if one of them is not callable.

    The caches of gemma and tunix hold an `end_index`, at which a call writes all rows of a batch. Here each row has an index
    of its own, the position of its next token, so the step maps over rows; `net` is a model of tunix:

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> def of_row(net, *row):
    ...     ids, positions, mask, cache = jax.tree.map(lambda leaf: leaf[None], row)
    ...     cache = {name: layer | {"end_index": positions[:, 0]} for name, layer in cache.items()}
    ...     logits, cache = net(ids, positions, cache, mask)
    ...     return logits[0], {name: {key: layer[key][0] for key in ("k", "v")} for name, layer in cache.items()}
    >>> def step(net, *rows):
    ...     return jax.vmap(of_row, in_axes=(None, 0, 0, 0, 0))(net, *rows)
    >>> def empty_cache(rows, length):
    ...     cache = net.init_cache(rows, length, jnp.bfloat16)
    ...     return {name: {key: layer[key] for key in ("k", "v")} for name, layer in cache.items()}
    >>> # extend = xai.text.cached(jax.tree_util.Partial(step, net), empty_cache)
    """
    for name, value in (("step", step), ("empty_cache", empty_cache)):
        if not callable(value) or isinstance(value, type):
            raise TypeError(f"`{name}` must be callable, got {check.shown(value)}.")
    return Cached(function(_apply, step), empty_cache)


def call(model: Model, x: Any) -> Any:
    """Calls a model as an argument, as its parameters may be arrays of NumPy, which traced ids cannot index."""
    return model(x)


def _apply(step: Callable[..., Any], x: Any) -> Any:
    return call_noted("step", step, *x)


def count_tokens(
    prompt: Prompt, coalitions: Bool[np.ndarray, "S M"], num_response: int, *, with_prefix: bool = True
) -> int:
    """Returns the number of tokens that the trie of distinct coalitions costs."""
    count = len(prompt.prefix) * with_prefix + len(coalitions) * (len(prompt.suffix) + num_response)
    for number, span in enumerate(prompt.spans):
        earlier = coalitions[coalitions[:, number], :number]
        count += len(span) * len(np.unique(earlier, axis=0)) if len(earlier) else 0
    return count


@dataclasses.dataclass
class _Rows:
    """The rows of one descent.

    cache: their keys and values, arrays [R, L, ...].
    filled: [R, L], the positions of a row that hold its text.
    ends: [R], the position of its next token.
    first: [R], log p(first token of the response | its text).
    """

    cache: Any
    filled: Bool[np.ndarray, "R L"]
    ends: Int[np.ndarray, " R"]
    first: Float[np.ndarray, " R"]


class Trie:
    """Evaluates coalitions of one prompt and response: all descend the trie side by side, one span at a time.

    The caches are rows of one buffer. A node with a span takes its parent's row, or a free one where other coalitions go
    on without the span. The prefix is computed once for all descents.

    gaps: whether tokens keep the positions that they have in the whole prompt.
    """

    def __init__(
        self,
        cached: Cached,
        prompt: Prompt,
        response: np.ndarray,
        dtype: np.dtype,
        *,
        gaps: bool = False,
        batch_size: int | None = None,
    ):
        self._cached, self._prompt, self._response = cached, prompt, response
        self._dtype, self._gaps, self._batch_size = dtype, gaps, batch_size
        self._tail = np.concatenate([prompt.suffix, response])
        self._last = np.int32(len(prompt.ids()) + len(response) - 1)
        parts = [prompt.prefix, *prompt.spans]
        self._offsets = np.cumsum([0, *map(len, parts)])  # of the spans, and of the suffix, after the prefix
        # The padding of a piece is written behind its end, and overwritten by the next piece.
        padding = [size - count for part in parts for count, size in pieces(len(part), least=_LEAST_PIECE)]
        most = self._offsets[-1] + max(padded_length(len(self._tail)), *padding)
        count = min(_LENGTHS, 1 + most // _CUT_FROM)
        ends = [len(prompt.prefix) + (most - len(prompt.prefix)) * (part + 1) / count for part in range(count)]
        self._lengths = sorted({padded_length(math.ceil(end), 4 if count == 1 else 8) for end in ends})
        cached.check(self._lengths[-1])
        row = jax.eval_shape(lambda: cached.cache(1, self._lengths[-1]))
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(row))
        self.most_rows = power_below(max(1, _CACHE_BYTES // max(1, size)))
        self._prefix: tuple[Any, np.ndarray] | None = (
            None  # its cache [1, l, ...], and log p(first token of the response)
        )

    @property
    def has_prefix(self) -> bool:
        """Whether the next descent need not compute the prefix."""
        return self._prefix is not None or not len(self._prompt.prefix)

    def evaluate(self, coalitions: Bool[np.ndarray, "S M"]) -> Float[np.ndarray, "S T"]:
        """Returns the log-probabilities of the response for at most `most_rows` distinct coalitions."""
        held = self._begin(len(coalitions))
        own = np.zeros(len(coalitions), int)  # the row of each coalition's node
        for span, offset, present in zip(self._prompt.spans, self._offsets[1:], coalitions.T, strict=False):
            parents = np.unique(own[present])
            targets, shared = parents.copy(), np.isin(parents, own[~present])
            targets[shared] = np.setdiff1d(np.arange(len(held.ends)), own)[: shared.sum()]
            self._extend(held, parents, targets, span, offset)
            own[present] = targets[np.searchsorted(parents, own[present])]
        return self._scores(held, own)

    def _begin(self, count: int) -> _Rows:
        """Returns empty rows, the first of them with the prefix."""
        size, length = power_above(count), self._lengths[-1]
        cache = self._cached.cache(size, length)
        held = _Rows(
            cache, np.zeros((size, length), bool), np.zeros(size, np.int32), np.full(size, np.nan, self._dtype)
        )
        prefix, first = self._prompt.prefix, np.zeros(1, int)
        if self._prefix is not None:
            held.cache = _put(held.cache, self._prefix[0], first)
            held.filled[0, : len(prefix)], held.ends[0], held.first[0] = True, len(prefix), self._prefix[1]
        elif len(prefix):
            self._extend(held, first, first, prefix, 0)
            self._prefix = _take(held.cache, first, length=self._lengths[0]), held.first[0]
        return held

    def _extend(self, held: _Rows, parents: np.ndarray, targets: np.ndarray, span: np.ndarray, offset: int) -> None:
        """Gives the rows `targets` the texts of `parents`, with a span more."""
        done = 0
        for count, size in pieces(len(span), least=_LEAST_PIECE):
            ids = _filled(span[done : done + count], size, 0)
            starts = self._starts(held, parents, offset + done)
            # A row may be a target of one block and a parent of a later one only if both are the same node: none is.
            for block, rows, length in self._blocks(starts, size):
                own, new, start = parents[block], targets[block], starts[block]
                extended, after = _extended(
                    self._cached.step, _take(held.cache, _filled(own, rows, 0), length=length),
                    _filled(held.filled[own, :length], rows, False), _filled(start, rows, 0), ids, np.int32(count),
                    self._response[0], self._last,
                )  # fmt: skip
                held.cache = _put(held.cache, extended, _filled(new, rows, len(held.ends)))
                held.filled[new] = held.filled[own]
                held.filled[new[:, None], start[:, None] + np.arange(count)] = True
                held.ends[new], held.first[new] = start + count, np.asarray(after)[: len(own)]
            parents, done = targets, done + count

    def _scores(self, held: _Rows, own: np.ndarray) -> np.ndarray:
        size = padded_length(len(self._tail))
        starts, ids = self._starts(held, own, self._offsets[-1]), _filled(self._tail, size, 0)
        scores = np.empty((len(own), len(self._response)), self._dtype)
        for block, rows, length in self._blocks(starts, size):
            at = own[block]
            values = _scored(
                self._cached.step, _take(held.cache, _filled(at, rows, 0), length=length),
                _filled(held.filled[at, :length], rows, False), _filled(starts[block], rows, 0), ids,
                np.int32(len(self._prompt.suffix)), self._response, self._last,
            )  # fmt: skip
            scores[block] = np.asarray(values)[: len(at)]
        if not len(self._prompt.suffix):
            scores[:, 0] = held.first[own]
        return scores

    def _starts(self, held: _Rows, rows: np.ndarray, offset: int) -> Int[np.ndarray, " B"]:
        """Returns the position of the next token in each row, which is at `offset` in the whole prompt."""
        return np.full(len(rows), offset, np.int32) if self._gaps else held.ends[rows]

    def _blocks(self, starts: np.ndarray, size: int) -> list[tuple[np.ndarray, int, int]]:
        """Returns the rows of each block, the shortest texts first, what their number is padded to, and a cache's length.

        Four numbers of rows and four lengths suffice for almost all prompts: few programs are compiled.
        """
        most = self._batch_size or power_below(max(1, min(self.most_rows // 4, _TOKENS_AT_ONCE // size)), 4)
        order, blocks = np.argsort(starts, kind="stable"), []
        for count, rows in pieces(len(starts), most=most, base=4):
            block, order = order[:count], order[count:]
            end = starts[block].max() + size
            blocks.append((block, rows, next(length for length in self._lengths if length >= end)))
        return blocks


def _filled(rows: np.ndarray, size: int, value: Any) -> np.ndarray:
    """Returns rows, filled up to a number of them."""
    padding = np.full((size - len(rows), *rows.shape[1:]), value)
    return np.concatenate([rows, padding]).astype(bool if rows.dtype == bool else np.int32)


@compiled(static_argnames=("length",), title="text.response_game")
def _take(cache: Any, rows: Int[Array, " B"], *, length: int) -> Any:
    """Returns rows of a cache, and of each the first positions."""
    return jax.tree.map(lambda leaf: leaf[:, :length][rows], cache)


@compiled(donate_argnames=("cache",), title="text.response_game")
def _put(cache: Any, new: Any, rows: Int[Array, " B"]) -> Any:
    """Returns a cache with new first positions of some rows; rows out of range are dropped."""
    return jax.tree.map(lambda leaf, part: leaf.at[rows, : part.shape[1]].set(part, mode="drop"), cache, new)


@compiled(donate_argnames=("cache",), title="text.response_game")
def _extended(
    step: Model, cache: Any, filled: Bool[Array, "B L"], starts: Int[Array, " B"], ids: Int[Array, " n"],
    num_ids: Int[Array, ""], token: Int[Array, ""], last: Int[Array, ""],
) -> tuple[Any, Float[Array, " B"]]:  # fmt: skip
    """Returns the extended rows, and the log-probability of a token after them."""
    logits, rows = _step(step, cache, filled, starts, ids, last)
    rows = jax.tree.map(lambda leaf, row: row.astype(leaf.dtype), cache, rows)
    after = jnp.take(logits, num_ids[None] - 1, axis=1)
    return rows, of_tokens(after, token[None])[:, 0]


@compiled(title="text.response_game")
def _scored(
    step: Model, cache: Any, filled: Bool[Array, "B L"], starts: Int[Array, " B"], ids: Int[Array, " n"],
    start: Int[Array, ""], response: Int[Array, " T"], last: Int[Array, ""],
) -> Float[Array, "B T"]:  # fmt: skip
    """Returns the log-probabilities of the response, which begins at `start` of ids; of a token at 0 the value is void."""
    logits, _ = _step(step, cache, filled, starts, ids, last)
    before = jnp.maximum(start - 1 + jnp.arange(len(response)), 0)
    return of_tokens(jnp.take(logits, before, axis=1), response)


def _step(step: Model, cache: Any, filled: Array, starts: Array, ids: Array, last: Array) -> tuple[Array, Any]:
    """Returns the logits of the next tokens and the new cache.

    last: the last position of the whole prompt with its response. Padding does not go beyond it, as the model may have no
      more positions. No token whose logits are needed sees it, so that padding may share it.
    """
    positions = jnp.minimum(starts[:, None] + jnp.arange(len(ids), dtype=jnp.int32), last)
    slots = jnp.arange(filled.shape[1])
    seen = (filled | (slots >= starts[:, None]))[:, None] & (slots <= positions[:, :, None])
    return step((jnp.broadcast_to(ids, positions.shape), positions, seen, cache))
