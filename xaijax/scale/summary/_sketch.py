"""Quantiles and the largest numbers of columns, in one pass and mergeable in any order.

Quantiles: DDSketch (Masson, Rim & Lee 2019). Sizes are counted in buckets (gamma^(i-1), gamma^i], gamma = (1 + error) /
(1 - error), for negative and positive numbers. The bucket that contains the number of a rank is known exactly, and no
number in it differs from 2 gamma^i / (gamma + 1) by more than `error` of its own size. Sketches merge by adding counts.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array, Bool, Float, Int

NO_EXAMPLE = -1  # the id where there are fewer examples than asked for


@dataclasses.dataclass(frozen=True)
class Buckets:
    """The buckets that sizes are counted in.

    error: the relative error of quantiles.
    least, most: sizes below `least` are counted as 0, and above `most` as infinite.

    In order: minus infinity, negative numbers from large to small, 0, positive numbers from small to large, infinity.
    """

    error: float
    least: float
    most: float

    @property
    def log_gamma(self) -> float:
        return math.log((1 + self.error) / (1 - self.error))

    @functools.cached_property
    def each_side(self) -> int:
        """The number of buckets of one sign, without the infinite one."""
        return math.ceil(math.log(self.most / self.least) / self.log_gamma)

    @property
    def count(self) -> int:
        return 2 * self.each_side + 3

    def index(self, numbers: Float[Array, "..."]) -> Int[Array, "..."]:
        """Returns the bucket of each number."""
        size = jnp.abs(numbers)
        steps = jnp.ceil(jnp.log(jnp.maximum(size, self.least) / self.least) / self.log_gamma)
        steps = jnp.where(size <= self.least, 0, jnp.clip(steps, 1, self.each_side + 1))
        return (self.each_side + 1 + jnp.sign(numbers) * steps).astype(jnp.int32)

    def middles(self) -> np.ndarray:
        """Returns the number that represents each bucket."""
        gamma = math.exp(self.log_gamma)
        positive = self.least * np.exp(self.log_gamma * np.arange(1, self.each_side + 1)) * 2 / (gamma + 1)
        return np.concatenate([[-np.inf], -positive[::-1], [0.0], positive, [np.inf]])

    def edges(self) -> np.ndarray:
        """Returns the limits between buckets, without the infinite outer ones."""
        positive = self.least * np.exp(self.log_gamma * np.arange(self.each_side + 1))
        return np.concatenate([-positive[::-1], positive])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Top:
    """The k largest numbers of each column by size, in descending order; of equal numbers the smaller id comes first.

    values: [k, P], NaN if there are fewer.
    ids: [k, P], -1 if there are fewer.
    """

    values: Float[Array, "k P"]
    ids: Int[Array, "k P"]


def count_in_buckets(indices: Int[Array, "N P"], valid: Bool[Array, "N P"], buckets: int) -> Int[Array, "P b"]:
    """Counts how many valid numbers of each column lie in each bucket."""
    columns = jnp.arange(indices.shape[1])
    return jnp.zeros((indices.shape[1], buckets), jnp.int32).at[columns, indices].add(valid.astype(jnp.int32))


def quantiles(counts: Any, middles: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Returns the number of rank floor(share (n - 1)), from 0, of each column of counts [P, b]: [q, P], NaN for none."""
    below = np.cumsum(np.asarray(counts), axis=1, dtype=np.int64)
    total = below[:, -1]
    ranks = np.floor(shares[:, None] * np.maximum(total - 1, 0))
    buckets = (below <= ranks[:, :, None]).sum(axis=2)
    return np.where(total > 0, middles[np.minimum(buckets, len(middles) - 1)], np.nan)


def no_top(count: int, columns: int) -> Top:
    """Returns the largest of no numbers."""
    return Top(jnp.full((count, columns), jnp.nan), jnp.full((count, columns), NO_EXAMPLE, jnp.int32))


def top_of(values: Float[Array, "N P"], ids: Int[Array, " N"], valid: Bool[Array, "N P"], count: int) -> Top:
    """Returns the largest of the valid numbers."""
    rows = Top(jnp.where(valid, values, jnp.nan), jnp.where(valid, ids[:, None], NO_EXAMPLE))
    return _largest(rows, count)


def merge_top(left: Top, right: Top) -> Top:
    """Returns the largest of both."""
    both = Top(jnp.concatenate([left.values, right.values]), jnp.concatenate([left.ids, right.ids]))
    return _largest(both, len(left.values))


def _largest(rows: Top, count: int) -> Top:
    if len(rows.values) < count:
        more = no_top(count - len(rows.values), rows.values.shape[1])
        rows = Top(jnp.concatenate([rows.values, more.values]), jnp.concatenate([rows.ids, more.ids]))
    order = jnp.where(jnp.isnan(rows.values), jnp.inf, -jnp.abs(rows.values))
    _, ids, values = jax.lax.sort((order, rows.ids, rows.values), dimension=0, num_keys=2)
    return Top(values[:count], ids[:count])
