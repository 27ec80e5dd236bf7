"""Means and variances in one pass, as exact as in float64 (Chan, Golub & LeVeque 1979).

Sums are pairs of float32, number = high + low, whose additions are exact (Knuth's two-sum). Plain float32 would accumulate
the rounding errors of a million additions, and not every device has float64.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float, Int


class Pair(NamedTuple):
    """high + low, with |low| at most half a unit in the last place of high."""

    high: Array
    low: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, mean and spread of columns of numbers.

    count: [P] how many numbers there are.
    mean: [P] pairs.
    squares: [P] pairs, the sum of squared distances from the mean.
    """

    count: Int[Array, " P"]
    mean: Pair
    squares: Pair

    def variance(self) -> Float[Array, " P"]:
        """Returns the unbiased variance; NaN for fewer than two numbers."""
        return jnp.where(self.count > 1, self.squares.high / jnp.maximum(self.count - 1, 1), jnp.nan)

    def mean_errors(self) -> Float[Array, " P"]:
        """Returns the standard errors of the means."""
        return jnp.sqrt(self.variance() / jnp.maximum(self.count, 1))


def no_moments(columns: int) -> Moments:
    """Returns the moments of no numbers."""
    zero = jnp.zeros(columns, jnp.float32)
    return Moments(jnp.zeros(columns, jnp.int32), Pair(zero, zero), Pair(zero, zero))


def moments(numbers: Float[Array, "N P"], valid: Bool[Array, "N P"]) -> Moments:
    """Returns the moments of the valid numbers, from their distances to a guess of the mean, which are small and exact."""
    count = valid.sum(axis=0, dtype=jnp.int32)
    total = jnp.maximum(count, 1).astype(jnp.float32)
    guess = jnp.where(valid, numbers, 0).mean(axis=0) * (len(numbers) / total)
    # Rounded to 22 bits, which compilers must not omit: fused with the next operations, the guess might be an unrounded
    # product in one of them and a rounded one in another.
    guess = jax.lax.reduce_precision(guess, exponent_bits=8, mantissa_bits=22)
    distances = jnp.where(valid, numbers - guess, 0)
    shift = total_of(distances).high / total
    squares = add(total_of(distances**2), -total * shift**2)
    return Moments(count, add(Pair(guess, jnp.zeros_like(guess)), shift), squares)


def merge_moments(left: Moments, right: Moments) -> Moments:
    """Returns the moments of both sets of numbers.

    mean = mean_1 + d n_2/n, squares = squares_1 + squares_2 + d² n_1 n_2/n, with d = mean_2 - mean_1.
    """
    count = left.count + right.count
    first, second = left.count.astype(jnp.float32), right.count.astype(jnp.float32)
    share = second / jnp.maximum(count, 1).astype(jnp.float32)
    distance = (right.mean.high - left.mean.high) + (right.mean.low - left.mean.low)
    mean = add(left.mean, distance * share)
    squares = add(add(add(left.squares, right.squares.high), right.squares.low), distance**2 * first * share)
    return Moments(count, mean, squares)


def add(pair: Pair, number: Array) -> Pair:
    """Returns the sum of a pair and a number."""
    total, rest = _two_sum(pair.high, number)
    return Pair(*_two_sum(total, rest + pair.low))


def total_of(numbers: Float[Array, "N P"]) -> Pair:
    """Returns the sum over rows, added pairwise: [P] pairs."""
    high, low = numbers, jnp.zeros_like(numbers)
    while len(high) > 1:
        if len(high) % 2:
            high, low = (jnp.concatenate([part, jnp.zeros_like(part[:1])]) for part in (high, low))
        half = len(high) // 2
        total, rest = _two_sum(high[:half], high[half:])
        high, low = _two_sum(total, rest + low[:half] + low[half:])
    return Pair(high[0], low[0])


def _two_sum(left: Array, right: Array) -> tuple[Array, Array]:
    """The sum and its rounding error, exactly (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B)."""
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)
