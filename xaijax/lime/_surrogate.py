"""The linear surrogate of LIME: a weighted ridge regression in closed form, and the choice of its players.

w = argmin sum_s pi_s (y_s - b - w·z_s)² / sum_s pi_s + sum_j p_j w_j²
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.numerics import dot
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.lime._columns import Columns, OppositeColumns
from xaijax.lime._neighborhood import Layout, Pairs

SELECTIONS = ["auto", "none", "forward_selection", "highest_weights", "lasso_path"]
_LARGEST_INFLATION = 10.0  # of a coefficient's variance by the other columns; above it they are nearly dependent
_LOOPED = 32  # rows of a triangle that are inverted in a loop; products of more cost more than they save
_LARGEST_FORWARD = 6  # "auto", as in lime: each step of the forward selection sweeps the whole matrix
# The lasso path: penalties from the one that keeps nothing down to a thousandth of it. The sweeps at each start from the
# previous coefficients, and suffice for a change of 7 %.
_PENALTIES, _SWEEPS = 100, 10


@dataclasses.dataclass(frozen=True)
class Ridge:
    """The penalty p: `amount` times the weighted variance of each column, or divided by the sum of the weights (lime)."""

    amount: float
    absolute: bool = False


class Factor(NamedTuple):
    """inverse: [M, M] of R with R'R = rows'rows + penalty. apart: whether no column is nearly a sum of the others."""

    inverse: Float[Array, "M M"]
    apart: Bool[Array, ""]


class Regression(NamedTuple):
    """The problem on columns of mean 0 and variance 1 under the weights; its line has no intercept.

    columns: of [S, M] rows, and goal: [S, K], each row times the root of its share of the weights.
    shares: [S] the weights divided by their sum.
    center: [M] and mean: [K] the weighted means.
    scale: [M] the weighted standard deviations.
    varies: [M] which columns vary.
    penalty: [M] of the scaled columns.
    factor: of rows'rows + penalty.
    """

    columns: Columns | OppositeColumns
    goal: Float[Array, "S K"]
    shares: Float[Array, " S"]
    scale: Float[Array, " M"]
    center: Float[Array, " M"]
    mean: Float[Array, " K"]
    varies: Bool[Array, " M"]
    penalty: Float[Array, " M"]
    factor: Factor


class Line(NamedTuple):
    """A fitted line.

    scaled: [M, K] the coefficients of the scaled columns.
    residuals: [S, K], each times the root of its row's share.
    columns: those that were fitted, and inverse: [M, M] of R. inverse inverse' row is what one unit of a row's residual
      adds to the coefficients.
    leverage: [S] the share of a row's own value in its fit.
    """

    scaled: Float[Array, "M K"]
    residuals: Float[Array, "S K"]
    columns: Columns | OppositeColumns
    inverse: Float[Array, "M M"]
    leverage: Float[Array, " S"]


def regression(
    points: Float[Array, "S M"], values: Float[Array, "S K"], weights: Float[Array, " S"], ridge: Ridge
) -> Regression:
    """Centers and scales the columns, and reduces the rows to their triangular factor.

    Centering by the weighted means removes the intercept and its conditioning. Scaling to unit weighted variance gives
    the penalty the same meaning for every column. Columns without variance get the coefficient 0.
    """
    shares = weights / weights.sum()
    center = dot(shares, points)
    centered = points - center
    variance = dot(shares, centered**2)
    varies, scale = _scale(variance, center)
    columns = Columns(jnp.sqrt(shares)[:, None] * jnp.where(varies, centered / scale, 0))
    return _regression(columns, values, weights, shares, center, varies, scale, ridge)


def regression_of_pairs(
    pairs: Pairs, values: Float[Array, "S K"], weights: Float[Array, " S"], layout: Layout, ridge: Ridge
) -> Regression:
    """Does the same for drawn rows of equal weights in pairs of opposites, from one row of each."""
    shares = weights / weights.sum()
    number = layout.number * layout.length // 2
    offset = pairs.halves[:, number:].sum(axis=1) / layout.drawn  # mean of the pairs and the single rows: ±u cancel
    counts = jnp.asarray(np.repeat([2, 1], [number, layout.rest]), offset.dtype)
    variance = dot(pairs.halves**2, counts) / layout.drawn - offset**2
    center = pairs.middle + offset
    varies, scale = _scale(variance, center)
    unit = jnp.where(varies, 1 / scale, 0)
    numbers = pairs.halves * unit[:, None] * jnp.sqrt(counts / layout.drawn)
    columns = OppositeColumns(numbers, offset * unit, layout)
    return _regression(columns, values, weights, shares, center, varies, scale, ridge)


def _scale(variance: Float[Array, " M"], center: Float[Array, " M"]) -> tuple[Bool[Array, " M"], Float[Array, " M"]]:
    """Returns which columns vary, and their standard deviations, 1 for the others."""
    # A constant column leaves rounding errors; scaled up, they would act as a feature. A variance below this bound has
    # fewer than half of the digits of its column and cannot be told from them.
    varies = variance > jnp.finfo(variance.dtype).eps * center**2
    return varies, jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 1)


def _regression(
    columns: Columns | OppositeColumns,
    values: Float[Array, "S K"],
    weights: Float[Array, " S"],
    shares: Float[Array, " S"],
    center: Float[Array, " M"],
    varies: Bool[Array, " M"],
    scale: Float[Array, " M"],
    ridge: Ridge,
) -> Regression:
    mean = dot(shares, values)
    goal = jnp.sqrt(shares)[:, None] * (values - mean)
    amount = jnp.asarray(ridge.amount, scale.dtype)
    penalty = amount / (weights.sum() * scale**2) if ridge.absolute else jnp.full(len(scale), amount)
    return Regression(columns, goal, shares, scale, center, mean, varies, penalty, _factor(columns, penalty))


def _factor(columns: Columns | OppositeColumns, penalty: Float[Array, " M"]) -> Factor:
    """Factors the Gram matrix with an error that grows with the condition of the rows, not with its square.

    A Cholesky factor of the Gram matrix loses nearly equal columns in float32. In shifted CholeskyQR2 (Fukaya et al.
    2020) the first factor is of a shifted matrix, and the second of the Gram matrix of the nearly orthogonal rows that
    the first makes. Both are matrix products, many times faster than orthogonalizing the rows. Where no variance
    inflation factor is above 10 nothing is lost, and the second Gram matrix is computed from the first.
    """
    identity = jnp.eye(len(penalty), dtype=penalty.dtype)
    shift = 10 * jnp.finfo(penalty.dtype).eps

    def inverse_of_cholesky(gram: Array) -> Array:
        return inverse_of_triangle(jnp.linalg.cholesky(gram)).T

    def from_orthogonal_rows(gram: Array, first: Array) -> Array:
        return columns.gram(first) + dot(first.T, penalty[:, None] * first)

    gram = columns.gram() + jnp.diag(penalty)
    first = inverse_of_cholesky(gram + shift * jnp.trace(gram) * identity)
    inflation = jnp.diagonal(gram) * (first**2).sum(axis=1)
    apart = inflation.max() <= _LARGEST_INFLATION
    second = jax.lax.cond(apart, lambda gram, first: dot(first.T, dot(gram, first)), from_orthogonal_rows, gram, first)
    return Factor(dot(first, inverse_of_cholesky(second + shift * identity)), apart)


def inverse_of_triangle(lower: Float[Array, "M M"]) -> Float[Array, "M M"]:
    """Returns the inverse of a lower triangle, from blocks that double in size.

    [[A, 0], [C, B]]^-1 = [[A^-1, 0], [-B^-1 C A^-1, B^-1]]. It consists of products only: triangular solvers for CPUs
    start threads even for small matrices, and wait for them on busy cores. Blocks of up to 32 rows are inverted in a loop
    of whole products, which compiles many times faster than a product for each size; larger ones in a product for each.
    """
    padded, width = _in_blocks(lower)
    inverse = _inverse_of_blocks(_diagonal_blocks(padded, width))
    while width < len(padded):
        corner = _diagonal_blocks(padded, 2 * width)[:, width:, :width]
        above, below = inverse[0::2], inverse[1::2]
        corner = -dot(dot(below, corner), above)
        upper = jnp.concatenate([above, jnp.zeros_like(above)], axis=2)
        inverse = jnp.concatenate([upper, jnp.concatenate([corner, below], axis=2)], axis=1)
        width *= 2
    return inverse[0, : len(lower), : len(lower)]


def _in_blocks(lower: Float[Array, "M M"]) -> tuple[Float[Array, "m m"], int]:
    """Returns a triangle that is filled up to a power of two of blocks, and the number of rows of a block."""
    width = min(len(lower), _LOOPED)
    size = width << (-(-len(lower) // width) - 1).bit_length()
    padded = jnp.eye(size, dtype=lower.dtype).at[: len(lower), : len(lower)].set(lower) if size > len(lower) else lower
    return padded, width


def _diagonal_blocks(matrix: Float[Array, "m m"], width: int) -> Float[Array, "blocks width width"]:
    number = len(matrix) // width
    if number == 1:
        return matrix[None]
    return jnp.moveaxis(jnp.diagonal(matrix.reshape(number, width, number, width), axis1=0, axis2=2), -1, 0)


def _inverse_of_blocks(lower: Float[Array, "blocks M M"]) -> Float[Array, "blocks M M"]:
    """Doubles the inverted blocks: with A the blocks and C the corners that join them, (A + C)^-1 = A^-1 - A^-1 C A^-1."""
    players = lower.shape[-1]
    row, column = np.arange(players)[:, None], np.arange(players)
    # The level at which an entry is in a corner: the highest bit in which its row and column differ.
    level = jnp.asarray(np.where(row > column, np.frexp(row ^ column)[1] - 1, -1))
    diagonal = jnp.where(row == column, 1 / jnp.where(row == column, lower, 1), 0)

    def double(step: Int[Array, ""], inverse: Array) -> Array:
        corners = jnp.where(level == step, lower, 0)
        return inverse - dot(dot(inverse, corners), inverse)

    return jax.lax.fori_loop(0, (players - 1).bit_length(), double, diagonal)


def solve(problem: Regression, goal: Float[Array, "S K"], support: Bool[Array, " M"] | None = None) -> Line:
    """Fits the lines of some outputs, on all columns or on those in `support`.

    The refinement computes residuals from the rows themselves (corrected semi-normal equations, Björck 1987).
    """
    columns, factor, penalty = problem.columns, problem.factor, problem.penalty[:, None]
    if support is not None:
        columns = columns.restricted(support)
        factor = _factor(columns, jnp.where(support, problem.penalty, 1))
    inverse = factor.inverse

    def inverse_of_gram(right: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return dot(inverse, dot(inverse.T, right))  # (R'R)^-1

    def refined(scaled: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return scaled + inverse_of_gram(columns.products(goal - columns.line(scaled)) - penalty * scaled)

    scaled = refined(inverse_of_gram(columns.products(goal)))
    scaled = jax.lax.cond(factor.apart, lambda scaled: scaled, refined, scaled)
    line, leverage = columns.line_and_leverage(scaled, inverse)
    return Line(scaled, goal - line, columns, inverse, leverage + problem.shares)


def select(
    problem: Regression,
    goal: Float[Array, " S"],
    num_features: int,
    method: str,
    weights: Float[Array, " M"],
) -> Bool[Array, " M"]:
    """Selects at most `num_features` players (Omega(g); Ribeiro, Singh & Guestrin 2016, section 3.4).

    All methods work on the Gram matrix of the scaled columns and their products with one output, in static shapes.

    Args:
      problem: the columns.
      goal: one output.
      num_features: the largest number of players.
      method: "forward_selection" adds the player that lowers the error most, one by one. "highest_weights" keeps the
        largest of `weights`. "lasso_path" follows |y - X w|²/2 + lambda |w|_1 from large penalties down to the last one
        at which no more players than allowed have coefficients. "auto": forward for at most 6, else highest weights.
      weights: the coefficients of the fit of all players.
    """
    if method == "auto":
        method = "forward_selection" if num_features <= _LARGEST_FORWARD else "highest_weights"
    if method == "highest_weights":
        _, best = jax.lax.top_k(jnp.abs(weights), num_features)
        return jnp.zeros(len(weights), bool).at[best].set(True)
    players = len(weights)
    gram, products = problem.columns.gram()[:players, :players], problem.columns.products(goal[:, None])[:players, 0]
    search = _select_forward if method == "forward_selection" else _select_by_lasso
    return search(gram, products, problem.varies[:players], num_features)


def _select_forward(
    gram: Float[Array, "M M"], products: Float[Array, " M"], varies: Bool[Array, " M"], steps: int
) -> Bool[Array, " M"]:
    """Adds the column that explains most of the residual, and sweeps it out of all columns (Beaton 1964)."""

    def step(_: Int[Array, ""], state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        gram, products, chosen = state
        left = jnp.diagonal(gram)
        free = varies & ~chosen & (left > 1e-5)  # of variance 1: the part that the chosen columns do not explain
        gains = jnp.where(free, products**2 / jnp.where(free, left, 1), -1)
        best = jnp.argmax(gains)
        column, pivot = gram[:, best], jnp.where(free[best], left[best], 1)
        taken = jnp.where(free[best], 1.0, 0.0)
        swept = gram - taken * column[:, None] * column / pivot
        return swept, products - taken * column * products[best] / pivot, chosen.at[best].set(chosen[best] | free[best])

    return jax.lax.fori_loop(0, steps, step, (gram, products, jnp.zeros(len(products), bool)))[2]


def _select_by_lasso(
    gram: Float[Array, "M M"], products: Float[Array, " M"], varies: Bool[Array, " M"], most: int
) -> Bool[Array, " M"]:
    """Follows the path by coordinate descent (Friedman, Hastie & Tibshirani 2010), without refitting."""
    size = jnp.where(varies, jnp.diagonal(gram), 1)
    largest = jnp.max(jnp.abs(products))

    def coordinate(j: Int[Array, ""], weights: Array, penalty: Array) -> Array:
        left = products[j] - dot(gram[j], weights) + size[j] * weights[j]
        new = jnp.sign(left) * jnp.maximum(jnp.abs(left) - penalty, 0) / size[j]
        return weights.at[j].set(jnp.where(varies[j], new, 0))

    def at_penalty(state: tuple[Array, Array], share: Array) -> tuple[tuple[Array, Array], None]:
        weights, chosen = state
        step = lambda i, weights: coordinate(i % len(weights), weights, share * largest)  # noqa: E731
        weights = jax.lax.fori_loop(0, _SWEEPS * len(weights), step, weights)
        inside = weights != 0
        return (weights, jnp.where(inside.sum() <= most, inside, chosen)), None

    shares = jnp.logspace(0, -3, _PENALTIES)
    start = (jnp.zeros_like(products), jnp.zeros(len(products), bool))
    return jax.lax.scan(at_penalty, start, shares)[0][1]
