"""Evenly spread random numbers: Latin hypercubes in antithetic pairs, and their normal quantiles."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import random
from xaijax._core.typing import Array, Float
from xaijax.lime._neighborhood import Layout

LARGEST = 1 - 2e-7  # bound of the numbers: the normal quantile is infinite at 1
PAIRS_OF_PRIMES = [2 * prime for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)]  # possible block lengths


class Seeds(NamedTuple):
    """Uniform numbers in [0, 1) that determine D columns: orders, starts, offsets [D, blocks], and rest [D, rest]."""

    orders: Float[Array, "*D blocks"]
    starts: Float[Array, "*D blocks"]
    offsets: Float[Array, "*D blocks"]
    rest: Float[Array, "*D rest"]


def seeds(key: Array, layout: Layout, num_columns: int) -> Seeds:
    """Draws the seeds of some columns."""
    block_key, rest_key = jax.random.split(key)
    orders, starts, offsets = random.uniform(block_key, (3, num_columns, layout.number))
    return Seeds(orders, starts, offsets, random.uniform(rest_key, (num_columns, layout.rest)))


def half_blocks(seeds: Seeds, length: int) -> Float[Array, "*D blocks half"]:
    """Returns the numbers of one column or of several, uniform in (-1, 1), for the first half of each block; the second half is its negative.

    A half has p points for a prime p. In each column they take the p strata in an order of its own, i ↦ (g i + c) mod p
    with random g and c. Over the draws of g and c, two points of a column lie in any two strata equally often, as in a
    random order. Second moments are therefore those of a Latin hypercube (McKay, Beckman & Conover 1979), from a few
    random numbers per column instead of a sort.
    """
    return _strata(seeds, jnp.arange(length // 2, dtype=seeds.offsets.dtype), length // 2)


def whole_blocks(seeds: Seeds, length: int) -> Float[Array, "*D blocks length"]:
    """Returns the numbers of one column or of several for both halves of each block."""
    size = length // 2
    points, sign = np.tile(np.arange(size), 2), np.repeat([1, -1], size)
    return jnp.asarray(sign, seeds.offsets.dtype) * _strata(seeds, jnp.asarray(points, seeds.offsets.dtype), size)


def rest_numbers(seeds: Seeds) -> Float[Array, "*D rest"]:
    """Returns the numbers of one column or of several, uniform in (-1, 1), for the independent rows."""
    return _bounded(2 * seeds.rest - 1)


def _strata(seeds: Seeds, points: Float[Array, " points"], size: int) -> Float[Array, "*D blocks points"]:
    steps, starts = 1 + jnp.floor(seeds.orders * (size - 1)), jnp.floor(seeds.starts * size)
    # Integers stored as floats, small enough to be exact: integer division is many times slower.
    ranks = points * steps[..., None] + starts[..., None]
    strata = ranks - size * jnp.floor((ranks + 0.5) * (1 / size))
    # In this order no step depends on whether the compiler fuses a product and a sum: every program gives the same bits.
    return _bounded(2 * ((strata + seeds.offsets[..., None]) / size) - 1)


def _bounded(numbers: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.clip(numbers, -LARGEST, LARGEST)


# Coefficients of the polynomials in w - 2.5 below w = 5 and in sqrt(w) - 3 above, from the highest power.
_CENTER = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
_TAILS = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


def normal_quantile(numbers: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns the standard normal quantile of (1 + u) / 2 for u between -1 and 1, an odd function, to a relative 5e-7.

    Giles (2010), Approximating the erfinv function, table 5, as in XLA's erf_inv, but with w = -log((1 - u)(1 + u))
    instead of -log(1 - u²). The latter loses digits near 1, and loses others in another program.
    """
    w = -jnp.log((1 - numbers) * (1 + numbers))
    inverse = jnp.where(w < 5, _polynomial(_CENTER, w - 2.5), _polynomial(_TAILS, jnp.sqrt(w) - 3))
    return math.sqrt(2) * inverse * numbers


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, "..."]) -> Float[Array, "..."]:
    value = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
