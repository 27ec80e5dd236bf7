"""What can be read from the state of a summary."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array
from xaijax.scale.summary._moments import Moments
from xaijax.scale.summary._sketch import Buckets, quantiles
from xaijax.scale.summary._top import Top

_STATIC: dict[str, Any] = {"static": True}


@dataclasses.dataclass(frozen=True)
class Readings:
    """The state, in columns: one for each place of P; and the numbers that it stands for, in the shape P."""

    num_examples: Array
    gaps: Array
    signed: Moments
    absolute: Moments
    least: Array
    greatest: Array
    sketch: Array
    grid: Array | None
    largest: Top
    shape: tuple[int, ...] = dataclasses.field(metadata=_STATIC)
    buckets: Buckets = dataclasses.field(metadata=_STATIC)
    bins: tuple[float, ...] | None = dataclasses.field(metadata=_STATIC)

    @property
    def top(self) -> int:
        """How many of the largest values are remembered."""
        return self.largest.ids.shape[0]

    @property
    def missing(self) -> Array:
        """P how many values were NaN, and are in nothing else."""
        return self._laid_out(self.gaps)

    @property
    def counts(self) -> Array:
        """P how many values there were, without NaN."""
        return self._laid_out(self.signed.count)

    @property
    def mean(self) -> Array:
        """P the means of the values; NaN where there is none."""
        return self._mean(self.signed)

    @property
    def mean_abs(self) -> Array:
        """P the means of |value|: the importance of each player over the data set."""
        return self._mean(self.absolute)

    @property
    def mean_errors(self) -> Array:
        """P the standard errors of `mean`, from the spread over examples: s / sqrt(n)."""
        return self._laid_out(self.signed.mean_errors())

    @property
    def mean_abs_errors(self) -> Array:
        """P the standard errors of `mean_abs`."""
        return self._laid_out(self.absolute.mean_errors())

    @property
    def standard_deviations(self) -> Array:
        """P of the values, with n - 1; NaN for fewer than two."""
        return self._laid_out(jnp.sqrt(self.signed.variance()))

    def quantiles(self, shares: Any) -> np.ndarray:
        """Quantiles of the values: of the n values in order, the one of rank floor(share (n - 1)), counted from 0.

        Args:
          shares: [q] numbers from 0 to 1, or one.

        Returns:
          [q, *P], or P for one share: each within `relative_error` of its own size, 0 for sizes below the least, infinite
          above the greatest that are told apart. (Masson, Rim & Lee 2019, DDSketch, arXiv:1908.10693.)
        """
        asked = np.asarray(shares, dtype=np.float64)
        if asked.ndim > 1 or not ((asked >= 0) & (asked <= 1)).all():
            raise ValueError(f"shares must be numbers from 0 to 1, but it is {shares!r}.")
        found = quantiles(self.sketch, self.buckets.middles(), np.atleast_1d(asked)).astype(np.float32)
        return found.reshape(*asked.shape, *self.shape)

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """How many values lie between limits.

        Returns:
          Counts [*P, E + 1] and limits [E]: below the first limit, from each limit up to the next one, which belongs to the
          next bin but for the last, and above the last. (For the default limits, those of the quantiles, numbers on a limit
          belong to the side of 0.)
        """
        counts = self.sketch if self.grid is None else self.grid
        limits = self.buckets.edges() if self.bins is None else np.asarray(self.bins, np.float32)
        return np.asarray(counts).reshape(*self.shape, -1), limits

    def top_examples(self) -> tuple[Array, Array]:
        """The examples in which each player counts most, by |value|.

        Returns:
          ids [k, *P], from the largest down, of equals the smaller id first, -1 where there are fewer; and values [k, *P],
          NaN where there are fewer.
        """
        shape = (self.top, *self.shape)
        return self.largest.ids.reshape(shape), self.largest.values.reshape(shape)

    @property
    def extremes(self) -> tuple[Array, Array]:
        """P the least and P the greatest value; NaN where there is none."""
        return self._laid_out(self.least), self._laid_out(self.greatest)

    def _mean(self, moments: Moments) -> Array:
        return self._laid_out(jnp.where(moments.count > 0, moments.mean.high, jnp.nan))

    def _laid_out(self, columns: Array) -> Array:
        return columns.reshape(self.shape)
