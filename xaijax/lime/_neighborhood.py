"""Neighborhoods: the samples that LIME fits its line to, and how they were drawn.

The explanation is a line fitted under the law P(z) ∝ pi_x(z) P_0(z), where P_0 is the sampling of the paper (fair coins,
Gaussians). The paper draws from P_0 and weighs each sample by pi_x. Drawing from P itself, every sample with weight one
(GLIME: Tan, Tian & Li 2023), fits the same line, and no width makes the weights vanish.

Samples come in blocks, each drawn on its own: within a block they are spread evenly (stratified, balanced, in
antithetic pairs), between blocks they are independent. What varies from block to block is therefore what another draw
would change, whatever the design within, and that is what the standard errors are made of.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import random
from xaijax._core.typing import Array, Bool, Float


class Samples(NamedTuple):
    """points [S, M] measured from the input, which is at 0; weights [S]; drawn [S] False for what is there for certain.

    The input itself is there for certain, with the weight that the law gives it, and rows kept free for later.

    beside [S, E] is what else is known of the samples and has mean 0 whatever the point, by the law: fitted together
    with the points it takes nothing from their coefficients but noise (control variates).
    """

    points: Float[Array, "S M"]
    weights: Float[Array, " S"]
    drawn: Bool[Array, " S"]
    beside: Float[Array, "S E"]


def samples(points: Float[Array, "S M"], weights: Float[Array, " S"], beside: Array | None = None) -> Samples:
    """Samples of which the first is the input's own."""
    drawn = jnp.arange(len(points)) > 0
    return Samples(points, weights, drawn, jnp.zeros((len(points), 0), points.dtype) if beside is None else beside)


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Which rows were drawn together: the first one is the input, then `rounds` times `number` blocks of `length` rows
    and `rest` single ones."""

    number: int
    length: int
    rest: int
    rounds: int = 1

    def sums(self, rows: Float[Array, "S ..."]) -> Float[Array, "B ..."]:
        """The sum of each block's rows; the input's row is left out."""
        shape = rows.shape[1:]
        rounds = rows[1:].reshape(self.rounds, -1, *shape)
        cut = self.number * self.length
        together = rounds[:, :cut].reshape(self.rounds * self.number, self.length, *shape).sum(axis=1)
        return jnp.concatenate([together, rounds[:, cut:].reshape(self.rounds * self.rest, *shape)])

    @property
    def drawn(self) -> int:
        """How many rows one round draws."""
        return self.number * self.length + self.rest


# Blocks long enough to be spread evenly and short enough that there are many to compare: at least 40 where there are
# enough samples for blocks at all, as for the t distribution of 40 degrees of freedom 1.96 is 2.02.
_FEWEST_BLOCKS, _LONGEST_BLOCK = 40, 64


def blocks(drawn: int, lengths: list[int]) -> Blocks:
    """Blocks of the longest of the possible lengths that leaves at least 40; what is over is drawn by itself."""
    fitting = [length for length in lengths if length <= min(_LONGEST_BLOCK, drawn // _FEWEST_BLOCKS)]
    if not fitting:
        return Blocks(0, 1, drawn)
    length = max(fitting)
    return Blocks(drawn // length, length, drawn % length)


def independent(drawn: int) -> Blocks:
    """Every row by itself."""
    return Blocks(0, 1, drawn)


LARGEST = 1 - 2e-7  # of what `spread` draws: at 1 the normal quantile is infinite


class Seeds(NamedTuple):
    """What the numbers of D columns are made of, all between 0 and 1: orders, starts, places [D, blocks], rest [D, rest]."""

    orders: Float[Array, "*D blocks"]
    starts: Float[Array, "*D blocks"]
    places: Float[Array, "*D blocks"]
    rest: Float[Array, "*D rest"]


def seeds(key: Array, layout: Blocks, num_columns: int) -> Seeds:
    block_key, rest_key = jax.random.split(key)
    orders, starts, places = random.uniform(block_key, (3, num_columns, layout.number))
    return Seeds(orders, starts, places, random.uniform(rest_key, (num_columns, layout.rest)))


def half_of_blocks(column: Seeds, length: int) -> Float[Array, "blocks half"]:
    """Numbers uniform in (-1, 1) for one column, evenly spread in each block: Latin hypercubes in antithetic pairs.

    Half of a block, p points for a prime p, takes in each column the p strata in an order of its own, i ↦ (g i + c) mod p
    with random g and c; the other half is its negative. Over the draws of g and c two points of a column lie in any two
    strata equally often, as in a random order, so that second moments are those of a Latin hypercube (McKay, Beckman &
    Conover 1979), for a handful of random numbers in each column instead of a sorting.
    """
    return _strata(column, jnp.arange(length // 2, dtype=column.places.dtype), length // 2)


def whole_blocks(column: Seeds, length: int) -> Float[Array, "blocks length"]:
    """Both halves, numbers and negatives, in one go."""
    size = length // 2
    points, sign = np.tile(np.arange(size), 2), np.repeat([1, -1], size)
    return jnp.asarray(sign, column.places.dtype) * _strata(column, jnp.asarray(points, column.places.dtype), size)


def _strata(column: Seeds, points: Float[Array, " points"], size: int) -> Float[Array, "blocks points"]:
    steps, starts = 1 + jnp.floor(column.orders * (size - 1)), jnp.floor(column.starts * size)
    # Whole numbers as floats, small enough to be exact: integer division is many times slower.
    ranks = points * steps[:, None] + starts[:, None]
    strata = ranks - size * jnp.floor((ranks + 0.5) * (1 / size))
    # In this order no step depends on whether a compiler joins a product and a sum: the same bits in every program.
    return within(2 * ((strata + column.places[:, None]) / size) - 1)


def within(numbers: Float[Array, "..."]) -> Float[Array, "..."]:
    """Away from -1 and 1, where the normal quantile is infinite."""
    return jnp.clip(numbers, -LARGEST, LARGEST)


PAIRS_OF_PRIMES = [2 * prime for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)]
