"""Neighbourhoods of rows of a table: every feature varies by itself, around the row or around the training data."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri

from xaijax._typing import Array, Bool, Float, Key
from xaijax.lime._kernel import kernel
from xaijax.lime._neighbourhood import PAIRS_OF_PRIMES, Blocks, Samples, blocks, independent, samples, uniforms
from xaijax.lime._statistics import Statistics

SAMPLINGS = ["weighted", "independent"]


def layout(sampling: str, drawn: int, *, paired: bool = False) -> Blocks:
    """How the rows are drawn together; paired: in pairs even where that leaves few blocks to compare."""
    if sampling != "weighted":
        return independent(drawn)
    together = blocks(drawn, PAIRS_OF_PRIMES)
    if paired and not together.number:
        shortest = min(PAIRS_OF_PRIMES)
        return Blocks(drawn // shortest, shortest, drawn % shortest)
    return together


def alive(row: Float[Array, " D"], statistics: Statistics) -> Bool[Array, " D"]:
    """Which features vary in the training data at all."""
    varies = statistics.deviation > 0
    if statistics.bins is None:
        return varies
    return jnp.where(statistics.conditional, _own_frequency(row, statistics) < 1, varies)


def deviation_of_law(width: Any) -> Float[Array, ""]:
    """The standard deviation of a number's point in the weighted law."""
    return 1 / jnp.sqrt(1 + 2 / jnp.asarray(width) ** 2)


def draw(
    sampling: str,
    key: Key[Array, ""],
    row: Float[Array, " D"],
    statistics: Statistics,
    width: float | Array,
    around: str,
    together: Blocks,
) -> tuple[Samples, Float[Array, "S D"]]:
    """One round of rows, the row itself first, as points and as what the model sees.

    A number's point is its distance from the row in standard deviations, and it is drawn from N(row, deviation²), or
    N(mean, deviation²) around the training data. A condition's point is 0 where it holds and -1 where it fails; bins
    are drawn by their frequency, and values within a bin from its normal distribution cut at its range, as in lime.

    D² is the sum of squares of the points. The kernel is a product over features, and so is the law
    P(z) ∝ pi(z) P_0(z): normals become normals of precision 1 + 2/sigma², conditions hold with probability
    p / (p + (1 - p) exp(-1/sigma²)) instead of p.
    """
    weighted = sampling == "weighted"
    conditional = statistics.conditional
    deviation = jnp.where(statistics.deviation > 0, statistics.deviation, 1)
    centre = (statistics.mean - row) / deviation if around == "data" else jnp.zeros_like(row)
    precision = 1 + 2 / width**2 if weighted else 1.0
    tilt = jnp.exp(-1 / width**2) if weighted else 1.0
    conditions = None if statistics.bins is None else _conditions(row, statistics, tilt)

    def column(each: tuple[Any, ...]) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
        """The points, what the model sees, and how far values are from their mean given their condition."""
        numbers, own, varies, deviation, centre, has_condition, condition = each
        steps, seen, around_mean = jnp.zeros_like(numbers), jnp.zeros_like(numbers), jnp.zeros_like(numbers)
        if not conditional.all():
            steps = jnp.where(varies, centre / precision + ndtri(numbers) / jnp.sqrt(precision), 0)
            seen = own + deviation * steps
        if condition is not None:
            fails, values, around_mean = condition.draw(numbers)
            steps = jnp.where(has_condition, jnp.where(varies & fails, -1.0, 0.0), steps)
            seen = jnp.where(has_condition, values, seen)
        return steps, seen, around_mean

    numbers = uniforms(key, together, len(row))
    columns = numbers, row, alive(row, statistics), statistics.deviation, centre, jnp.asarray(conditional), conditions
    # A loop over the columns keeps what it makes; otherwise the compiler repeats the drawing wherever it is used.
    steps, seen, around_mean = (part.T for part in jax.lax.map(column, columns))
    beside = None
    if weighted and conditional.any():
        around_mean = (around_mean / deviation)[:, np.flatnonzero(conditional)]
        beside = jnp.concatenate([jnp.zeros_like(around_mean[:1]), around_mean])
    weights = jnp.ones(len(steps)) if weighted else kernel(jnp.linalg.norm(steps, axis=1), width)
    # The law of numbers gives the row itself no share; in the paper it is a sample like the others.
    own = jnp.zeros(1) if weighted else jnp.ones(1)
    points = jnp.concatenate([jnp.zeros_like(steps[:1]), steps])
    weights = jnp.concatenate([own, weights]).astype(steps.dtype)
    return samples(points, weights, beside), jnp.concatenate([row[None], seen])


def _own_frequency(row: Float[Array, " D"], statistics: Statistics) -> Float[Array, " D"]:
    bins = statistics.bins
    assert bins is not None
    own = jnp.minimum(statistics.own_bins(row), bins.mean.shape[1] - 1)
    return jnp.take_along_axis(bins.frequency, own[:, None], axis=1)[:, 0]


class Condition(NamedTuple):
    """How a column's values are drawn from Q bins, the row's own first; all [D, Q], or [Q] for one column.

    ends: of each bin's share of the numbers between 0 and 1; start, slope: of the straight line from a number to the
    quantile of the bin's normal; mean, deviation, low, high: of the values; kept, failed, dust []: the mean of the
    values where the condition holds and where it fails, and what of a difference to it is rounding.
    """

    ends: Float[Array, "*D Q"]
    start: Float[Array, "*D Q"]
    slope: Float[Array, "*D Q"]
    mean: Float[Array, "*D Q"]
    deviation: Float[Array, "*D Q"]
    low: Float[Array, "*D Q"]
    high: Float[Array, "*D Q"]
    kept: Float[Array, "*D"]
    failed: Float[Array, "*D"]
    dust: Float[Array, "*D"]

    def draw(self, numbers: Float[Array, " n"]) -> tuple[Bool[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
        """Which conditions fail, the values, and how far these are from their mean given that it holds or fails."""

        def of(table: Float[Array, " Q"]) -> Float[Array, " n"]:
            found = jnp.broadcast_to(table[0], numbers.shape)
            for q in range(1, len(table)):
                found = jnp.where(numbers >= self.ends[q - 1], table[q], found)
            return found

        quantile = jnp.clip(of(self.start) + of(self.slope) * numbers, 1e-7, 1 - 1e-7)
        values = jnp.clip(of(self.mean) + of(self.deviation) * ndtri(quantile), of(self.low), of(self.high))
        fails = numbers >= self.ends[0]
        around_mean = values - jnp.where(fails, self.failed, self.kept)
        return fails, values, jnp.where(jnp.abs(around_mean) > self.dust, around_mean, 0)


def _conditions(row: Float[Array, " D"], statistics: Statistics, tilt: float | Array) -> Condition:
    """The row's own bin takes the numbers up to its probability, the others follow."""
    bins = statistics.bins
    assert bins is not None
    own = statistics.own_bins(row)[:, None] == jnp.arange(bins.mean.shape[1])
    chance = bins.frequency * jnp.where(own, 1.0, tilt)
    order = jnp.argsort(~own, axis=1, stable=True)  # the row's own bin first
    bins = jax.tree.map(lambda table: jnp.take_along_axis(table, order[:, : table.shape[1]], axis=1), bins)
    chance = jnp.take_along_axis(chance / chance.sum(axis=1, keepdims=True), order, axis=1)
    ends = jnp.cumsum(chance, axis=1)
    starts = ends - chance
    ends = jnp.where(ends < ends[:, -1:], ends, 2)  # no number is beyond the last bin that has a chance
    spread = jnp.where(bins.deviation > 0, bins.deviation, 1)
    low, high = (bins.low - bins.mean) / spread, (bins.high - bins.mean) / spread
    mass = ndtr(high) - ndtr(low)
    slope = mass / jnp.maximum(chance, 1e-30)
    shift = (_density(low) - _density(high)) / jnp.maximum(mass, 1e-7)  # a normal's mean between its bounds
    means = bins.mean + jnp.where(bins.deviation > 0, spread * shift, 0)
    others = chance.at[:, 0].set(0)
    failed = (others * means).sum(axis=1) / jnp.maximum(others.sum(axis=1), 1e-30)
    # Where all values are one, what is left is rounding: as a column it would be the condition itself, scaled up.
    dust = 16 * jnp.finfo(means.dtype).eps * jnp.maximum(jnp.abs(bins.low), jnp.abs(bins.high)).max(axis=1)
    return Condition(
        ends, ndtr(low) - starts * slope, slope, bins.mean, bins.deviation, bins.low, bins.high,
        means[:, 0], failed, dust,
    )  # fmt: skip


def _density(places: Array) -> Array:
    return jnp.exp(-(places**2) / 2) / math.sqrt(2 * math.pi)
