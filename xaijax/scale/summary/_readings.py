"""Reads summaries: means, quantiles, histograms and extreme examples, computed from its state."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.classes import ONE_CLASS, warn_of_different
from xaijax._core.typing import Array, ArrayOrSequence
from xaijax.scale.summary._moments import Moments
from xaijax.scale.summary._sketch import Buckets, Top, quantiles

_STATIC: dict[str, Any] = {"static": True}


@dataclasses.dataclass(frozen=True)
class Readings:
    """The state of a summary, with one column for each player of P, and its statistics in the shape P.

    classes: [2] the least and the greatest class that an example explains; the least is the larger one without classes.
    """

    num_examples: Array
    gaps: Array
    signed: Moments
    absolute: Moments
    least: Array
    greatest: Array
    sketch: Array
    grid: Array | None
    largest: Top
    classes: Array
    shape: tuple[int, ...] = dataclasses.field(metadata=_STATIC)
    buckets: Buckets = dataclasses.field(metadata=_STATIC)
    bins: tuple[float, ...] | None = dataclasses.field(metadata=_STATIC)

    @property
    def top(self) -> int:
        """The number of examples with the largest values that are kept."""
        return self.largest.ids.shape[0]

    @property
    def missing(self) -> Array:
        """P the number of values that were NaN; they count nowhere else."""
        return self._laid_out(self.gaps)

    @property
    def counts(self) -> Array:
        """P the number of values, without NaN."""
        return self._laid_out(self.signed.count)

    @property
    def mean(self) -> Array:
        """P the means of the values; NaN without values. Warns where examples explain different classes."""
        return self._mean(self.signed)

    @property
    def mean_abs(self) -> Array:
        """P the means of |value|: the importance of each player over the data set. Warns as `mean` does."""
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
        """P the standard deviations of the values, with n - 1; NaN for fewer than two values."""
        return self._laid_out(jnp.sqrt(self.signed.variance()))

    def quantiles(self, shares: ArrayOrSequence) -> np.ndarray:
        """Returns quantiles of the values: of n sorted values the one of rank floor(share (n - 1)), counted from 0.

        Args:
          shares: [q] numbers from 0 to 1, or one.

        Returns:
          [q, *P], or P for one share: each within `relative_error` of its own size; 0 for sizes below the least of `sizes`,
          infinite above the greatest.

        References:
          Masson, Rim & Lee (2019), DDSketch: A fast and fully-mergeable quantile sketch with relative-error guarantees,
          arXiv:1908.10693.
        """
        try:
            wanted = check.host_array("shares", shares).astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"`shares` must be numbers from 0 to 1, got {check.shown(shares)}.") from None
        if wanted.ndim > 1 or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ValueError(f"`shares` must be numbers from 0 to 1, got {check.shown(shares)}.")
        values = quantiles(self.sketch, self.buckets.middles(), np.atleast_1d(wanted)).astype(np.float32)
        return values.reshape(*wanted.shape, *self.shape)

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns how many values lie between limits.

        Returns:
          Counts [*P, E + 1] and limits [E]. The first count is of values below the first limit, the last of values above the
          last limit. Values on a limit belong to the bin above it, except those on the last limit. (With the default limits,
          those of the quantiles, they belong to the bin nearer to 0.)
        """
        counts = self.sketch if self.grid is None else self.grid
        limits = self.buckets.edges() if self.bins is None else np.asarray(self.bins, np.float32)
        return np.asarray(counts).reshape(*self.shape, -1), limits

    def top_examples(self) -> tuple[Array, Array]:
        """Returns the examples in which each player has the largest |value|.

        Returns:
          ids [k, *P], in descending order, of equal values the smaller id first, -1 if there are fewer; and values [k, *P],
          NaN if there are fewer.
        """
        shape = (self.top, *self.shape)
        return self.largest.ids.reshape(shape), self.largest.values.reshape(shape)

    @property
    def extremes(self) -> tuple[Array, Array]:
        """P the least and P the greatest value; NaN without values."""
        return self._laid_out(self.least), self._laid_out(self.greatest)

    def warn_of_classes(self) -> None:
        """Warns where the examples explain different classes, such as the top class of each."""
        if check.is_concrete(self.classes):
            least, greatest = np.asarray(self.classes).tolist()
            if least < greatest:
                warn_of_different(f"from class {least} to class {greatest}", ONE_CLASS)

    def _mean(self, moments: Moments) -> Array:
        self.warn_of_classes()
        return self._laid_out(jnp.where(moments.count > 0, moments.mean.high, jnp.nan))

    def _laid_out(self, columns: Array) -> Array:
        return columns.reshape(self.shape)
