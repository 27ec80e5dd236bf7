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
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax._model import Model, function
from xaijax.text._lengths import largest_power_of_two, padded_length, power_of_two
from xaijax.text._prompt import Prompt

_CACHE_BYTES = 2**28  # of all rows of one descent
_TOKENS_AT_ONCE = 2**13  # of one evaluation


@dataclasses.dataclass(frozen=True, eq=False)
class Cached:
    """A language model with a cache of keys and values; see `xai.text.cached`."""

    step: Model
    empty: Callable[[int, int], Any]

    def cache(self, rows: int, length: int) -> Any:
        """Returns an empty cache, checked."""
        cache = call_noted("empty_cache", self.empty, rows, length)
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
        cache = jax.eval_shape(lambda: self.cache(1, length))
        outputs = jax.eval_shape(self.step, (rows, rows, mask, cache))
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
    """
    for name, value in (("step", step), ("empty_cache", empty_cache)):
        if not callable(value) or isinstance(value, type):
            raise TypeError(f"`{name}` must be callable, got {check.shown(value)}.")
    return Cached(function(_apply, step), empty_cache)


def _apply(step: Callable[..., Any], x: Any) -> Any:
    return step(*x)


def count_tokens(prompt: Prompt, coalitions: Bool[np.ndarray, "S M"], num_response: int) -> int:
    """Returns the number of tokens that the trie of distinct coalitions costs."""
    count = len(prompt.prefix) + len(coalitions) * (len(prompt.suffix) + num_response)
    for number, span in enumerate(prompt.spans):
        earlier = coalitions[coalitions[:, number], :number]
        count += len(span) * len(np.unique(earlier, axis=0)) if len(earlier) else 0
    return count


class Trie:
    """Evaluates coalitions of one prompt and response: all descend the trie side by side, one span at a time.

    The caches are rows of one buffer. A node with a span takes its parent's row, or a free one where other coalitions go
    on without the span.
    """

    def __init__(self, cached: Cached, prompt: Prompt, response: np.ndarray):
        self._cached, self._prompt, self._response = cached, prompt, response
        tail = len(prompt.suffix) + len(response)
        parts = [len(prompt.prefix), *map(len, prompt.spans), tail]
        # The padding of a part is written behind its end, and overwritten by the next part.
        self._length = padded_length(sum(parts) + max(padded_length(part) for part in parts))
        row = jax.eval_shape(lambda: cached.cache(1, self._length))
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(row))
        cached.check(self._length)
        self.most_rows = largest_power_of_two(max(1, _CACHE_BYTES // max(1, size)))

    def evaluate(self, coalitions: Bool[np.ndarray, "S M"]) -> Float[np.ndarray, "S T"]:
        """Returns the log-probabilities of the response for at most `most_rows` distinct coalitions."""
        count = len(coalitions)
        self._cache = self._cached.cache(power_of_two(count), self._length)
        rows = np.zeros(count, int)  # of each coalition's node
        lengths = np.zeros(len(jax.tree.leaves(self._cache)[0]), np.int32)  # of the text in each row
        first = np.full(len(lengths), np.nan, np.float32)  # log p(first token of the response) right after it
        if len(self._prompt.prefix):
            self._extend(rows[:1], rows[:1], self._prompt.prefix, lengths, first)
        for number, span in enumerate(self._prompt.spans):
            present = coalitions[:, number]
            parents = np.unique(rows[present])
            targets, shared = parents.copy(), np.isin(parents, rows[~present])
            targets[shared] = np.setdiff1d(np.arange(len(lengths)), rows)[: shared.sum()]
            self._extend(parents, targets, span, lengths, first)
            rows[present] = targets[np.searchsorted(parents, rows[present])]
        return self._scores(rows, lengths, first)

    def _extend(self, parents: Any, targets: Any, span: np.ndarray, lengths: np.ndarray, first: np.ndarray) -> None:
        """Writes the caches of `parents`, with a span more, to the rows `targets`."""
        # A row may be a target of one block and a parent of a later one only if both are the same node: none is.
        for block in _blocks(len(parents), len(span)):
            own, new = parents[block], targets[block]
            size = power_of_two(len(own))
            ids, num_ids = _padded(span)
            self._cache, after = _extended(
                self._cached.step, self._cache, _filled(own, size, 0), _filled(new, size, len(lengths)),
                _filled(lengths[own], size, 0), ids, num_ids, self._response[0],
            )  # fmt: skip
            lengths[new], first[new] = lengths[own] + len(span), np.asarray(after)[: len(own)]

    def _scores(self, rows: np.ndarray, lengths: np.ndarray, first: np.ndarray) -> np.ndarray:
        tail = np.concatenate([self._prompt.suffix, self._response])
        answers = []
        for block in _blocks(len(rows), len(tail)):
            own = rows[block]
            size = power_of_two(len(own))
            ids, _ = _padded(tail)
            scores = _scored(
                self._cached.step, self._cache, _filled(own, size, 0), _filled(lengths[own], size, 0), ids,
                np.int32(len(self._prompt.suffix)), self._response,
            )  # fmt: skip
            answers.append(np.array(scores[: len(own)], np.float32))
        joined = np.concatenate(answers)
        if not len(self._prompt.suffix):
            joined[:, 0] = first[rows]
        return joined


def _blocks(count: int, num_tokens: int) -> list[slice]:
    size = max(1, largest_power_of_two(max(1, _TOKENS_AT_ONCE // num_tokens)))
    return [slice(start, start + size) for start in range(0, count, size)]


def _filled(numbers: np.ndarray, size: int, value: int) -> Int[np.ndarray, " B"]:
    return np.concatenate([numbers, np.full(size - len(numbers), value)]).astype(np.int32)


def _padded(ids: np.ndarray) -> tuple[np.ndarray, np.int32]:
    return np.pad(ids, (0, padded_length(len(ids)) - len(ids))), np.int32(len(ids))


@compiled(donate_argnames=("cache",), title="text.response_game")
def _extended(
    step: Model, cache: Any, parents: Int[Array, " B"], targets: Int[Array, " B"], lengths: Int[Array, " B"],
    ids: Int[Array, " n"], num_ids: Int[Array, ""], token: Int[Array, ""],
) -> tuple[Any, Float[Array, " B"]]:  # fmt: skip
    """Returns the cache with the extended rows, and the log-probability of a token after them."""
    logits, rows = _step(step, cache, parents, lengths, ids)
    cache = jax.tree.map(lambda leaf, row: leaf.at[targets].set(row.astype(leaf.dtype), mode="drop"), cache, rows)
    after = jax.nn.log_softmax(at_least_float32(jnp.take(logits, num_ids - 1, axis=1)))
    return cache, jnp.take(after, token, axis=1)


@compiled(title="text.response_game")
def _scored(
    step: Model, cache: Any, rows: Int[Array, " B"], lengths: Int[Array, " B"], ids: Int[Array, " n"],
    start: Int[Array, ""], response: Int[Array, " T"],
) -> Float[Array, "B T"]:  # fmt: skip
    """Returns the log-probabilities of the response, which begins at `start` of ids; of a token at 0 the value is void."""
    logits, _ = _step(step, cache, rows, lengths, ids)
    before = jnp.maximum(start - 1 + jnp.arange(len(response)), 0)
    chosen = jax.nn.log_softmax(at_least_float32(jnp.take(logits, before, axis=1)))
    tokens = jnp.broadcast_to(response[None, :, None], (*chosen.shape[:2], 1))
    return jnp.take_along_axis(chosen, tokens, axis=2)[:, :, 0]


def _step(step: Model, cache: Any, rows: Array, lengths: Array, ids: Array) -> tuple[Array, Any]:
    own = jax.tree.map(lambda leaf: leaf[rows], cache)
    positions = lengths[:, None] + jnp.arange(len(ids), dtype=jnp.int32)
    mask = jnp.arange(jax.tree.leaves(cache)[0].shape[1]) <= positions[:, :, None]
    return step((jnp.broadcast_to(ids, positions.shape), positions, mask, own))
