"""Means and variances in one pass, as exact as in float64 (Chan, Golub & LeVeque 1979).

Sums run in pairs of float32, number = high + low, whose additions lose nothing (Knuth's two-sum): plain float32 would be
wrong by what a million roundings make, and devices without float64 would have no better.
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
    """Of columns of numbers.

    count: [P] how many there were.
    mean: [P] pairs.
    squares: [P] pairs, the sum of squared distances from the mean.
    """

    count: Int[Array, " P"]
    mean: Pair
    squares: Pair

    def variance(self) -> Float[Array, " P"]:
        """Of the population, from at least two numbers; NaN else."""
        return jnp.where(self.count > 1, self.squares.high / jnp.maximum(self.count - 1, 1), jnp.nan)

    def mean_errors(self) -> Float[Array, " P"]:
        """The standard errors of the means."""
        return jnp.sqrt(self.variance() / jnp.maximum(self.count, 1))


def no_moments(columns: int) -> Moments:
    zero = jnp.zeros(columns, jnp.float32)
    return Moments(jnp.zeros(columns, jnp.int32), Pair(zero, zero), Pair(zero, zero))


def moments(numbers: Float[Array, "N P"], there: Bool[Array, "N P"]) -> Moments:
    """Of those numbers that are there, by their distances from a first guess of the mean, which are small and exact."""
    count = there.sum(axis=0, dtype=jnp.int32)
    total = jnp.maximum(count, 1).astype(jnp.float32)
    guess = jnp.where(there, numbers, 0).mean(axis=0) * (len(numbers) / total)
    # To 22 bits, which compilers cannot leave out: fused with what follows, it might be a product that is never rounded
    # there, and another number here.
    guess = jax.lax.reduce_precision(guess, exponent_bits=8, mantissa_bits=22)
    distances = jnp.where(there, numbers - guess, 0)
    shift = total_of(distances).high / total
    squares = add(total_of(distances**2), -total * shift**2)
    return Moments(count, add(Pair(guess, jnp.zeros_like(guess)), shift), squares)


def merge_moments(one: Moments, other: Moments) -> Moments:
    """Of both together: mean = mean_1 + d n_2/n, squares = squares_1 + squares_2 + d² n_1 n_2/n, d = mean_2 - mean_1."""
    count = one.count + other.count
    first, second = one.count.astype(jnp.float32), other.count.astype(jnp.float32)
    share = second / jnp.maximum(count, 1).astype(jnp.float32)
    distance = (other.mean.high - one.mean.high) + (other.mean.low - one.mean.low)
    mean = add(one.mean, distance * share)
    squares = add(add(add(one.squares, other.squares.high), other.squares.low), distance**2 * first * share)
    return Moments(count, mean, squares)


def add(pair: Pair, number: Array) -> Pair:
    """A pair and a number."""
    total, rest = _two_sum(pair.high, number)
    return Pair(*_two_sum(total, rest + pair.low))


def total_of(numbers: Float[Array, "N P"]) -> Pair:
    """The sum over rows, in halves of halves: [P] pairs."""
    high, low = numbers, jnp.zeros_like(numbers)
    while len(high) > 1:
        if len(high) % 2:
            high, low = (jnp.concatenate([part, jnp.zeros_like(part[:1])]) for part in (high, low))
        half = len(high) // 2
        total, rest = _two_sum(high[:half], high[half:])
        high, low = _two_sum(total, rest + low[:half] + low[half:])
    return Pair(high[0], low[0])


def _two_sum(one: Array, other: Array) -> tuple[Array, Array]:
    """The sum, and exactly what rounding took from it (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B)."""
    total = one + other
    part = total - one
    return total, (one - (total - part)) + (other - part)
