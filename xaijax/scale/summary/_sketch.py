"""Quantiles in one pass, with a relative error that is known: DDSketch (Masson, Rim & Lee 2019).

Sizes are counted in buckets (gamma^(i-1), gamma^i], gamma = (1 + error) / (1 - error), for negative and positive numbers.
The bucket that holds the number of a rank is known exactly, and no number in it is further than `error` of its own size
from 2 gamma^i / (gamma + 1). Sketches merge by adding their counts, in any order.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Which sizes are told apart.

    error: relative, of quantiles.
    least, most: sizes below are counted as 0, and above as infinite.

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
        """The number of buckets of one sign, the infinite one not counted."""
        return math.ceil(math.log(self.most / self.least) / self.log_gamma)

    @property
    def count(self) -> int:
        return 2 * self.each_side + 3

    def place(self, numbers: Float[Array, "..."]) -> Int[Array, "..."]:
        """The bucket of each number."""
        size = jnp.abs(numbers)
        steps = jnp.ceil(jnp.log(jnp.maximum(size, self.least) / self.least) / self.log_gamma)
        steps = jnp.where(size <= self.least, 0, jnp.clip(steps, 1, self.each_side + 1))
        return (self.each_side + 1 + jnp.sign(numbers) * steps).astype(jnp.int32)

    def middles(self) -> np.ndarray:
        """The number that stands for each bucket."""
        gamma = math.exp(self.log_gamma)
        positive = self.least * np.exp(self.log_gamma * np.arange(1, self.each_side + 1)) * 2 / (gamma + 1)
        return np.concatenate([[-np.inf], -positive[::-1], [0.0], positive, [np.inf]])

    def edges(self) -> np.ndarray:
        """The limits between buckets, without the infinite outer ones."""
        positive = self.least * np.exp(self.log_gamma * np.arange(self.each_side + 1))
        return np.concatenate([-positive[::-1], positive])


def count_places(places: Int[Array, "N P"], there: Bool[Array, "N P"], buckets: int) -> Int[Array, "P b"]:
    """How many of each column lie in each bucket."""
    columns = jnp.arange(places.shape[1])
    return jnp.zeros((places.shape[1], buckets), jnp.int32).at[columns, places].add(there.astype(jnp.int32))


def quantiles(counts: Any, middles: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The number of rank floor(share (n - 1)), counted from 0, of each column of counts [P, b]: [q, P], NaN where none is."""
    below = np.cumsum(np.asarray(counts), axis=1, dtype=np.int64)
    total = below[:, -1]
    ranks = np.floor(shares[:, None] * np.maximum(total - 1, 0))
    places = (below <= ranks[:, :, None]).sum(axis=2)
    return np.where(total > 0, middles[np.minimum(places, len(middles) - 1)], np.nan)
