"""The centered columns of a regression, with all products that fitting a line takes.

Of rows in pairs of opposites u and -u, half of the numbers determine every product.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp

from xaijax._core.numerics import dot
from xaijax._core.typing import Array, Bool, Float
from xaijax.lime._neighborhood import Layout


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns X of S rows, each row times the root of its share of the weights.

    rows: [S, M].
    """

    rows: Float[Array, "S M"]

    def gram(self, factor: Float[Array, "M M"] | None = None) -> Float[Array, "M M"]:
        """Returns X'X, or that of the columns X F for a factor F."""
        rows = self.rows if factor is None else dot(self.rows, factor)
        return dot(rows.T, rows)

    def products(self, values: Float[Array, "S K"]) -> Float[Array, "M K"]:
        """Returns X'v."""
        return dot(values.T, self.rows).T  # in the order that reads the rows contiguously

    def line(self, coefficients: Float[Array, "M K"]) -> Float[Array, "S K"]:
        """Returns X w."""
        return dot(self.rows, coefficients)

    def line_and_leverage(self, coefficients: Float[Array, "M K"], inverse: Float[Array, "M M"]) -> tuple[Array, Array]:
        """Returns X w [S, K], and the sum of squares of each row of X R^-1, [S]."""
        return self.line(coefficients), (dot(self.rows, inverse) ** 2).sum(axis=1)

    def block_sums(self, values: Float[Array, "S K"], layout: Layout) -> Float[Array, "B M K"]:
        """Returns X'v of each block's rows alone, without the input's row."""
        return layout.block_sums(self.rows[:, :, None] * values[:, None, :])

    def restricted(self, support: Bool[Array, " M"]) -> Columns:
        """Returns the same with zeros for the columns outside `support`."""
        return Columns(self.rows * support)


@dataclasses.dataclass(frozen=True)
class OppositeColumns:
    """The same for n rows of equal weight after the input's row, which has none: pairs ±u - d and single rows u - d.

    numbers: [M, H] of the pairs u sqrt(2/n), then of the single rows u sqrt(1/n). Each column is contiguous, as drawn.
    offset: [M] d.
    layout: which rows are pairs: in each block, the second half is opposite to the first.
    """

    numbers: Float[Array, "M H"]
    offset: Float[Array, " M"]
    layout: Layout

    @property
    def root(self) -> float:
        """The root of each row's share."""
        return math.sqrt(1 / self.layout.drawn)

    @property
    def pairs(self) -> int:
        return self.layout.number * self.layout.length // 2

    def gram(self, factor: Float[Array, "M M"] | None = None) -> Float[Array, "M M"]:
        if factor is None:
            numbers, offset = self.numbers, self.offset
        else:
            numbers, offset = dot(factor.T, self.numbers), dot(factor.T, self.offset)
        return dot(numbers, numbers.T) - offset[:, None] * offset

    def products(self, values: Float[Array, "S K"]) -> Float[Array, "M K"]:
        return dot(self.numbers, self._odd(values)) - self.offset[:, None] * (self.root * values[1:].sum(axis=0))

    def line(self, coefficients: Float[Array, "M K"]) -> Float[Array, "S K"]:
        shift = self.root * dot(self.offset, coefficients)
        return self._each_row(dot(coefficients.T, self.numbers).T, lambda odd, sign: sign * odd - shift)

    def line_and_leverage(self, coefficients: Float[Array, "M K"], inverse: Float[Array, "M M"]) -> tuple[Array, Array]:
        # |R^-1'(±u - d)|² = |R^-1'u|² ∓ 2 (R'R)^-1 d·u + |R^-1'd|²
        moved = dot(inverse.T, self.offset)
        lines = jnp.concatenate([coefficients, dot(inverse, moved)[:, None]], axis=1)
        both = dot(jnp.concatenate([inverse, lines], axis=1).T, self.numbers)  # in one product
        lines, squares = both[len(inverse) :].T, (both[: len(inverse)] ** 2).sum(axis=0)
        shift, apart = self.root * dot(self.offset, coefficients), self.root**2 * (moved**2).sum()
        line = self._each_row(lines[:, :-1], lambda odd, sign: sign * odd - shift)
        squares = jnp.stack([squares, lines[:, -1]], axis=1)

        def leverage(of: Float[Array, "h 2"], sign: float) -> Float[Array, " h"]:
            return sign**2 * of[:, 0] - 2 * self.root * sign * of[:, 1] + apart

        return line, self._each_row(squares, leverage)

    def block_sums(self, values: Float[Array, "S K"], layout: Layout) -> Float[Array, "B M K"]:
        odd, pairs = self._odd(values), self.pairs
        products = self.numbers[:, :, None] * odd
        blocks = products[:, :pairs].reshape(len(products), layout.number, layout.length // 2, -1).sum(axis=2)
        sums = jnp.concatenate([blocks, products[:, pairs:]], axis=1)
        shifts = layout.block_sums(values)
        return jnp.moveaxis(sums, 0, 1) - self.offset[:, None] * (self.root * shifts[:, None])

    def restricted(self, support: Bool[Array, " M"]) -> OppositeColumns:
        return OppositeColumns(self.numbers * support[:, None], self.offset * support, self.layout)

    def _odd(self, values: Float[Array, "S K"]) -> Float[Array, "H K"]:
        """Returns (v+ - v-) / sqrt(2) of the pairs, then the values of the single rows."""
        end = 1 + 2 * self.pairs
        halves = values[1:end].reshape(self.layout.number, 2, self.layout.length // 2, -1)
        odd = (halves[:, 0] - halves[:, 1]).reshape(self.pairs, -1) * math.sqrt(0.5)
        return jnp.concatenate([odd, values[end:]])

    def _each_row(self, halves: Float[Array, "H ..."], of: Callable[[Array, float], Array]) -> Float[Array, "S ..."]:
        """Returns of(half, sign) for each row, of the size ±sqrt(1/2) for those of pairs; 0 for the input's row."""
        paired, sign = halves[: self.pairs], math.sqrt(0.5)
        both = [of(paired, sign), of(paired, -sign)]
        shape = both[0].shape[1:]
        both = jnp.stack([part.reshape(self.layout.number, self.layout.length // 2, *shape) for part in both], axis=1)
        single = of(halves[self.pairs :], 1.0)
        return jnp.concatenate([jnp.zeros_like(both[:1, 0, 0]), both.reshape(2 * self.pairs, *shape), single])
