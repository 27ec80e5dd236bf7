"""Neighborhoods of rows of a table: every feature varies independently, around the row or around the training data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from xaijax._core import random
from xaijax._core.numerics import ratio
from xaijax._core.typing import Array, Bool, Float, Key, Shaped
from xaijax.lime._hypercubes import (
    LARGEST,
    PAIRS_OF_PRIMES,
    Seeds,
    half_blocks,
    normal_quantile,
    rest_numbers,
    seeds,
    whole_blocks,
)
from xaijax.lime._neighborhood import Layout, Pairs, Samples, block_layout, independent_layout, kernel, samples
from xaijax.lime._statistics import Statistics

SAMPLINGS = ["weighted", "independent"]
UNSEEN_PROBABILITY = 0.05  # of a condition that holds for no training row, before the kernel


def row_layout(sampling: str, drawn: int, *, paired: bool = False) -> Layout:
    """Returns the layout in which rows are drawn; paired: in pairs even where that leaves few blocks to compare."""
    if sampling != "weighted":
        return independent_layout(drawn)
    layout = block_layout(drawn, PAIRS_OF_PRIMES)
    if paired and not layout.number:
        shortest = min(PAIRS_OF_PRIMES)
        return Layout(drawn // shortest, shortest, drawn % shortest)
    return layout


def active_features(row: Shaped[Array, " D"], statistics: Statistics) -> Bool[Array, " D"]:
    """Returns which features vary among the samples."""
    varies = statistics.deviation > 0
    if statistics.bins is None:
        return varies
    return jnp.where(statistics.conditional, statistics.own_frequency(row) < 1, varies)


def weighted_deviation(width: Any) -> Float[Array, ""]:
    """Returns the standard deviation of a number's point in the weighted distribution."""
    return 1 / jnp.sqrt(1 + 2 / jnp.asarray(width) ** 2)


def draw_rows(
    sampling: str,
    key: Key[Array, ""],
    row: Shaped[Array, " D"],
    statistics: Statistics,
    width: float | Array,
    around: str,
    layout: Layout,
) -> tuple[Samples, Shaped[Array, "S D"]]:
    """Draws one round of rows, the row itself first, as points and as model inputs in the dtype of the row.

    A number's point is its distance from the row in standard deviations, drawn from N(row, deviation²), or from
    N(mean, deviation²) around the training data. A condition's point is 0 where it holds and -1 where it fails. Bins are
    drawn by their frequency, and values within a bin from its normal distribution cut at its range, as in lime. The row's
    own condition has the row's own value and the probability 0.05 where it holds for no training row.

    D² is the sum of squares of the points. The kernel is a product over features, and so is the distribution
    P(z) ∝ pi(z) P_0(z): normals become normals of precision 1 + 2/sigma², and conditions hold with probability
    p / (p + (1 - p) exp(-1/sigma²)) instead of p.

    Integers are rounded up or down at random, such that the mean stays, and kept within the range of the training rows;
    their points are those of the rounded values.
    """
    weighted = sampling == "weighted"
    conditional = statistics.conditional
    deviation = jnp.where(statistics.deviation > 0, statistics.deviation, 1)
    center = (
        difference(statistics.mean, row, deviation.dtype) / deviation if around == "data" else jnp.zeros_like(deviation)
    )
    precision = 1 + 2 / width**2 if weighted else 1.0
    tilt = jnp.exp(-1 / width**2) if weighted else 1.0
    varies = active_features(row, statistics)
    seed = seeds(key, layout, len(row))
    integers = np.array(statistics.integers) | (not jnp.issubdtype(row.dtype, jnp.floating))
    coins = _coins(key, layout, len(row)) if integers.any() else jnp.zeros((1, len(row)))
    numbers, conditions = np.flatnonzero(~conditional), np.flatnonzero(conditional)
    parts, controls, pairs = [], None, None
    if len(numbers):
        halves = _half_normals(jax.tree.map(lambda leaf: leaf[numbers], seed), layout) / jnp.sqrt(precision)
        middle = jnp.where(varies[numbers], center[numbers] / precision, 0)
        halves = jnp.where(varies[numbers, None], halves, 0)
        steps = middle + _both_halves(halves, layout)
        if weighted and layout.number and not len(conditions) and not integers.any():
            pairs = Pairs(middle, halves)
        parts.append(_move(row, statistics, numbers, steps, integers[numbers], coins[:, numbers]))
    if len(conditions):
        tables = _conditions(row, statistics, tilt)
        seed, tables = jax.tree.map(lambda leaf: leaf[conditions], (seed, tables))
        steps, values = _from_bins(seed, layout, tables, row.dtype, integers[conditions], coins[:, conditions])
        controls = tables.around_mean(steps, values.astype(deviation.dtype)) / deviation[conditions]
        parts.append((jnp.where(varies[conditions], steps, 0), values))
    steps, inputs = (jnp.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    if len(parts) == 2:
        order = np.argsort(np.concatenate([numbers, conditions]))
        steps, inputs = steps[:, order], inputs[:, order]
    if weighted and controls is not None:
        controls = jnp.concatenate([jnp.zeros_like(controls[:1]), controls])
    else:
        controls = None
    points = jnp.concatenate([jnp.zeros_like(steps[:1]), steps])
    # The distribution of numbers gives the row itself no share; in the paper it is a sample like the others.
    if weighted:
        weights: Any = np.append(0, np.ones(len(steps))).astype(steps.dtype)  # known: sums of it need no program
    else:
        weights = jnp.concatenate([jnp.ones(1), kernel(jnp.linalg.norm(steps, axis=1), width)]).astype(steps.dtype)
    return samples(points, weights, controls, pairs), jnp.concatenate([row[None], inputs])


def difference(left: Shaped[Array, " D"], row: Shaped[Array, " D"], dtype: Any) -> Float[Array, " D"]:
    """Returns left - row as floats; whole parts of integers are subtracted before float32 rounds them."""
    if jnp.issubdtype(row.dtype, jnp.floating):
        return left - row
    whole = left.astype(row.dtype)
    above = jnp.where(whole >= row, (whole - row).astype(dtype), -(row - whole).astype(dtype))  # unsigned ones wrap
    return above + (left - whole.astype(left.dtype)).astype(dtype)


def _coins(key: Key[Array, ""], layout: Layout, num_columns: int) -> Float[Array, "n D"]:
    """Draws the uniform numbers that round integers up or down; rows of a pair share theirs, and so stay opposite."""
    half = layout.length // 2 if layout.number else 0
    drawn = random.uniform(jax.random.fold_in(key, 1), (layout.number * half + layout.rest, num_columns))
    pairs = drawn[: layout.number * half].reshape(layout.number, half, num_columns)
    pairs = jnp.concatenate([pairs, pairs], axis=1).reshape(-1, num_columns)
    return jnp.concatenate([pairs, drawn[layout.number * half :]])


def _half_normals(seed: Seeds, layout: Layout) -> Float[Array, "D H"]:
    """Returns standard normal numbers for the first half of each block, and for the independent rows after the blocks."""
    # A loop over the columns keeps its results; otherwise the compiler repeats the drawing wherever it is used.
    return jax.lax.map(normal_quantile, _numbers(seed, layout, half_blocks))


def _numbers(
    seed: Seeds, layout: Layout, of_blocks: Callable[[Seeds, int], Float[Array, "D blocks points"]]
) -> Float[Array, "D n"]:
    """Returns the numbers between -1 and 1 of the blocks and then of the independent rows, flat for loops over columns."""
    rest = rest_numbers(seed)
    if not layout.number:
        return rest
    blocks = of_blocks(seed, layout.length)
    return jnp.concatenate([blocks.reshape(len(blocks), -1), rest], axis=1)


def _both_halves(halves: Float[Array, "D H"], layout: Layout) -> Float[Array, "n D"]:
    """Returns all rows: in each block, the second half is opposite to the first."""
    if not layout.number:
        return halves.T
    half = layout.length // 2
    paired = halves[:, : layout.number * half].T.reshape(layout.number, 1, half, -1)
    signs = jnp.asarray([1, -1], halves.dtype)[:, None, None]
    paired = (signs * paired).reshape(-1, len(halves))
    return jnp.concatenate([paired, halves[:, layout.number * half :].T])


def _move(
    row: Shaped[Array, " D"],
    statistics: Statistics,
    columns: np.ndarray,
    steps: Float[Array, "n d"],
    integers: np.ndarray,
    coins: Float[Array, "#n d"],
) -> tuple[Float[Array, "n d"], Shaped[Array, "n d"]]:
    """Returns the points and values of numbers that are `steps` deviations away from the row."""
    own, deviation = row[columns], statistics.deviation[columns]
    change = deviation * steps
    if not integers.any():
        return steps, own + change
    low, high = (jnp.asarray(end)[columns].astype(row.dtype) for end in (statistics.low, statistics.high))
    low, high = jnp.minimum(low, own), jnp.maximum(high, own)
    down, up = difference(low, own, change.dtype), difference(high, own, change.dtype)
    whole = jnp.clip(jnp.sign(change) * jnp.floor(jnp.abs(change) + coins), down, up)
    change = jnp.where(integers, whole, change)
    steps = jnp.where(integers, ratio(change, jnp.broadcast_to(deviation, change.shape)), steps)
    if jnp.issubdtype(row.dtype, jnp.floating):
        return steps, own + change
    # In the row's own dtype, whose integers float32 may not hold.
    size = jnp.abs(change).astype(row.dtype)
    return steps, jnp.clip(jnp.where(change < 0, own - size, own + size), low, high)


class Conditions(NamedTuple):
    """The tables by which values are drawn from Q bins by numbers between -1 and 1: [D, Q], or [Q] for one column.

    The row's own bin comes first.

    ends: of each bin's share of the numbers.
    start, slope: of the straight line from a number to 2q - 1, for the quantile q of the bin's normal distribution.
    mean, deviation, low, high: of the values, low and high in the dtype of the row.
    kept, failed: [D] mean of the values where the condition holds and where it fails.
    rounding: [D] bound of the rounding errors of the difference from these means.
    """

    ends: Float[Array, "*D Q"]
    start: Float[Array, "*D Q"]
    slope: Float[Array, "*D Q"]
    mean: Float[Array, "*D Q"]
    deviation: Float[Array, "*D Q"]
    low: Shaped[Array, "*D Q"]
    high: Shaped[Array, "*D Q"]
    kept: Float[Array, "*D"]
    failed: Float[Array, "*D"]
    rounding: Float[Array, "*D"]

    def draw(self, numbers: Float[Array, "..."]) -> tuple[Array, Array, Array, Array]:
        """Returns -1 where the condition fails and 0 elsewhere; the values as floats; and the range of their bins."""

        def of(table: Shaped[Array, " Q"]) -> Shaped[Array, "..."]:
            chosen = jnp.broadcast_to(table[0], numbers.shape)
            for q in range(1, len(table)):
                chosen = jnp.where(numbers >= self.ends[q - 1], table[q], chosen)
            return chosen

        quantile = jnp.clip(of(self.start) + of(self.slope) * numbers, -LARGEST, LARGEST)
        values = of(self.mean) + of(self.deviation) * normal_quantile(quantile)
        return jnp.where(numbers >= self.ends[0], -1.0, 0.0), values, of(self.low), of(self.high)

    def around_mean(self, steps: Float[Array, "n D"], values: Float[Array, "n D"]) -> Float[Array, "n D"]:
        """Returns the difference of the values from their mean given that the condition holds or fails."""
        difference = values - jnp.where(steps < 0, self.failed, self.kept)
        return jnp.where(jnp.abs(difference) > self.rounding, difference, 0)


def _from_bins(
    seed: Seeds, layout: Layout, tables: Conditions, dtype: Any, integers: np.ndarray, coins: Float[Array, "#n d"]
) -> tuple[Float[Array, "n d"], Shaped[Array, "n d"]]:
    """Draws the points and the values of conditions."""

    numbers = _numbers(seed, layout, whole_blocks)

    def draw(column: tuple[Array, Conditions]) -> tuple[Array, ...]:
        numbers, tables = column
        steps, values, low, high = tables.draw(numbers)
        return (steps, values, low, high) if integers.any() else (steps, jnp.clip(values, low, high))

    steps, values, *ends = (part.T for part in jax.lax.map(draw, (numbers, tables)))
    if not integers.any():
        return steps, values
    low, high = ends
    lowest = low.astype(values.dtype)
    above = jnp.clip(values - lowest, 0, high.astype(values.dtype) - lowest)
    above = jnp.where(integers, jnp.floor(above + coins), above)
    return steps, jnp.clip(low + above.astype(dtype), low, high)


def _conditions(row: Shaped[Array, " D"], statistics: Statistics, tilt: float | Array) -> Conditions:
    """The row's own bin takes the numbers up to its probability, the others follow."""
    bins = statistics.bins
    assert bins is not None
    num_bins = bins.frequency.shape[1]
    index = statistics.own_bins(row)[:, None]
    is_own = index == jnp.arange(num_bins)
    frequency = statistics.own_frequency(row)[:, None]
    unseen = frequency == 0

    def own_first(own: Array, others: Array) -> Array:
        return jnp.concatenate([own, others], axis=1)

    def of_own(table: Array, value: Array) -> Array:
        own = jnp.take_along_axis(table, jnp.minimum(index, num_bins - 1), axis=1)
        return own_first(jnp.where(unseen, value.astype(table.dtype), own), table)

    others = jnp.where(is_own, 0, bins.frequency) * jnp.where(unseen, 1 - UNSEEN_PROBABILITY, 1)
    chance = own_first(jnp.where(unseen, UNSEEN_PROBABILITY, frequency), others * tilt)
    chance = chance / chance.sum(axis=1, keepdims=True)
    ends = jnp.cumsum(chance, axis=1)
    starts = ends - chance
    ends = jnp.where(ends < ends[:, -1:], ends, 2)  # no number lies beyond the last bin that has a chance
    value = row[:, None]
    mean, deviation = of_own(bins.mean, value), of_own(bins.deviation, jnp.zeros_like(value))
    low, high = (of_own(end.astype(row.dtype), value) for end in (bins.low, bins.high))
    unit = jnp.where(deviation > 0, deviation, 1)
    lowest, highest = (low.astype(mean.dtype) - mean) / unit, (high.astype(mean.dtype) - mean) / unit
    mass = ndtr(highest) - ndtr(lowest)
    slope = mass / jnp.maximum(chance, 1e-30)
    start = ndtr(lowest) - starts * slope
    shift = (_density(lowest) - _density(highest)) / jnp.maximum(mass, 1e-7)  # mean of a normal between its bounds
    means = mean + jnp.where(deviation > 0, unit * shift, 0)
    failing = chance.at[:, 0].set(0)
    failed = (failing * means).sum(axis=1) / jnp.maximum(failing.sum(axis=1), 1e-30)
    # Where all values are equal the difference is a rounding error: scaled up, it would repeat the condition itself.
    largest = jnp.maximum(jnp.abs(low.astype(mean.dtype)), jnp.abs(high.astype(mean.dtype))).max(axis=1)
    rounding = 16 * jnp.finfo(means.dtype).eps * largest
    # A number u between -1 and 1 stands for (1 + u) / 2 between 0 and 1.
    tables = 2 * ends - 1, 2 * start + slope - 1, slope, mean, deviation, low, high
    return Conditions(*tables, kept=means[:, 0], failed=failed, rounding=rounding)


def _density(x: Array) -> Array:
    return jnp.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
