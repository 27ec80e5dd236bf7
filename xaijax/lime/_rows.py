"""Neighborhoods of rows of a table: every feature varies by itself, around the row or around the training data."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from xaijax._core.typing import Array, Bool, Float, Key
from xaijax.lime._kernel import kernel
from xaijax.lime._neighborhood import (
    LARGEST,
    PAIRS_OF_PRIMES,
    Blocks,
    Samples,
    Seeds,
    blocks,
    half_of_blocks,
    independent,
    samples,
    seeds,
    whole_blocks,
    within,
)
from xaijax.lime._normal import normal_quantile
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


def active(row: Float[Array, " D"], statistics: Statistics) -> Bool[Array, " D"]:
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
    center = (statistics.mean - row) / deviation if around == "data" else jnp.zeros_like(row)
    precision = 1 + 2 / width**2 if weighted else 1.0
    tilt = jnp.exp(-1 / width**2) if weighted else 1.0
    varies = active(row, statistics)
    seed = seeds(key, together, len(row))
    numbers, conditions = np.flatnonzero(~conditional), np.flatnonzero(conditional)
    parts, around_mean = [], None
    if len(numbers):
        normals = _normals(jax.tree.map(lambda leaf: leaf[numbers], seed), together)
        steps = jnp.where(varies[numbers], center[numbers] / precision + normals / jnp.sqrt(precision), 0)
        parts.append((steps, row[numbers] + statistics.deviation[numbers] * steps))
    if len(conditions):
        laws = _conditions(row, statistics, tilt)
        seed, laws = jax.tree.map(lambda leaf: leaf[conditions], (seed, laws))
        steps, values = _from_bins(seed, together, laws)
        around_mean = laws.around_mean(steps, values) / deviation[conditions]
        parts.append((jnp.where(varies[conditions], steps, 0), values))
    steps, seen = (jnp.concatenate(them, axis=1) for them in zip(*parts, strict=True))
    if len(parts) == 2:
        order = np.argsort(np.concatenate([numbers, conditions]))
        steps, seen = steps[:, order], seen[:, order]
    beside = None
    if weighted and around_mean is not None:
        beside = jnp.concatenate([jnp.zeros_like(around_mean[:1]), around_mean])
    weights = jnp.ones(len(steps)) if weighted else kernel(jnp.linalg.norm(steps, axis=1), width)
    # The law of numbers gives the row itself no share; in the paper it is a sample like the others.
    own = jnp.zeros(1) if weighted else jnp.ones(1)
    points = jnp.concatenate([jnp.zeros_like(steps[:1]), steps])
    weights = jnp.concatenate([own, weights]).astype(steps.dtype)
    return samples(points, weights, beside), jnp.concatenate([row[None], seen])


def _normals(seed: Seeds, together: Blocks) -> Float[Array, "n D"]:
    """Standard normal numbers, in each block pairs of opposite ones."""
    parts = []
    if together.number:
        # Loops over the columns keep what they make; otherwise the compiler repeats the drawing wherever it is used. The
        # quantile has a loop of its own, over flat vectors: of the short rows of blocks it takes three times as long.
        uniform = jax.lax.map(lambda column: half_of_blocks(column, together.length).ravel(), seed)
        half = jax.lax.map(normal_quantile, uniform).reshape(len(uniform), together.number, -1)
        parts.append(jnp.concatenate([half, -half], axis=2).reshape(len(half), -1))
    if together.rest:
        parts.append(jax.lax.map(normal_quantile, within(2 * seed.rest - 1)))
    return jnp.concatenate(parts, axis=1).T


def _from_bins(seed: Seeds, together: Blocks, laws: Condition) -> tuple[Array, Array]:
    """Steps and values of every row, each [n, D]."""
    parts = []
    if together.number:
        uniform = jax.lax.map(lambda column: whole_blocks(column, together.length).ravel(), seed)
        parts.append(jax.lax.map(lambda one: one[1].draw(one[0]), (uniform, laws)))
    if together.rest:
        parts.append(jax.lax.map(lambda one: one[1].draw(within(2 * one[0] - 1)), (seed.rest, laws)))
    columns = len(seed.orders)
    steps, values = (
        jnp.concatenate([part.reshape(columns, -1).T for part in them]) for them in zip(*parts, strict=True)
    )
    return steps, values


def _own_frequency(row: Float[Array, " D"], statistics: Statistics) -> Float[Array, " D"]:
    bins = statistics.bins
    assert bins is not None
    own = jnp.minimum(statistics.own_bins(row), bins.mean.shape[1] - 1)
    return jnp.take_along_axis(bins.frequency, own[:, None], axis=1)[:, 0]


class Condition(NamedTuple):
    """How columns' values are drawn from Q bins, the row's own first, by numbers between -1 and 1; all [D, Q], or [Q]
    for one column.

    ends: of each bin's share of the numbers; start, slope: of the straight line from a number to 2q - 1 for the quantile q
    of the bin's normal; mean, deviation, low, high: of the values; kept, failed, dust [D]: the mean of the values where
    the condition holds and where it fails, and what of a difference to it is rounding.
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

    def draw(self, numbers: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """-1 where the condition fails and 0 elsewhere, and the values."""

        def of(table: Float[Array, " Q"]) -> Float[Array, "..."]:
            found = jnp.broadcast_to(table[0], numbers.shape)
            for q in range(1, len(table)):
                found = jnp.where(numbers >= self.ends[q - 1], table[q], found)
            return found

        quantile = jnp.clip(of(self.start) + of(self.slope) * numbers, -LARGEST, LARGEST)
        values = jnp.clip(of(self.mean) + of(self.deviation) * normal_quantile(quantile), of(self.low), of(self.high))
        return jnp.where(numbers >= self.ends[0], -1.0, 0.0), values

    def around_mean(self, steps: Float[Array, "n D"], values: Float[Array, "n D"]) -> Float[Array, "n D"]:
        """How far the values are from their mean given that the condition holds or fails."""
        found = values - jnp.where(steps < 0, self.failed, self.kept)
        return jnp.where(jnp.abs(found) > self.dust, found, 0)


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
    unit = jnp.where(bins.deviation > 0, bins.deviation, 1)
    low, high = (bins.low - bins.mean) / unit, (bins.high - bins.mean) / unit
    mass = ndtr(high) - ndtr(low)
    slope = mass / jnp.maximum(chance, 1e-30)
    start = ndtr(low) - starts * slope
    shift = (_density(low) - _density(high)) / jnp.maximum(mass, 1e-7)  # a normal's mean between its bounds
    means = bins.mean + jnp.where(bins.deviation > 0, unit * shift, 0)
    others = chance.at[:, 0].set(0)
    failed = (others * means).sum(axis=1) / jnp.maximum(others.sum(axis=1), 1e-30)
    # Where all values are one, what is left is rounding: as a column it would be the condition itself, scaled up.
    dust = 16 * jnp.finfo(means.dtype).eps * jnp.maximum(jnp.abs(bins.low), jnp.abs(bins.high)).max(axis=1)
    # A number u between -1 and 1 stands for (1 + u) / 2 between 0 and 1.
    tables = 2 * ends - 1, 2 * start + slope - 1, slope, bins.mean, bins.deviation, bins.low, bins.high
    return Condition(*tables, kept=means[:, 0], failed=failed, dust=dust)


def _density(places: Array) -> Array:
    return jnp.exp(-(places**2) / 2) / math.sqrt(2 * math.pi)
