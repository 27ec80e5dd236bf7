"""The surrogate of LIME: a weighted ridge regression in closed form.

w = argmin sum_s pi_s (y_s - b - w·z_s)² / sum_s pi_s + sum_j p_j w_j²
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float

_HIGHEST = jax.lax.Precision.HIGHEST
_MOST_INFLATION = 10.0  # of a coefficient's variance by the other columns, above which these are nearly dependent


@dataclasses.dataclass(frozen=True)
class Ridge:
    """The penalty p: `amount` times the weighted variance of each column, or over the sum of the weights as in lime."""

    amount: float
    absolute: bool = False


class Factor(NamedTuple):
    """inverse [M, M] of R with R'R = rows'rows + penalty; apart: whether no column is nearly a sum of the others."""

    inverse: Float[Array, "M M"]
    apart: Bool[Array, ""]


class Regression(NamedTuple):
    """The problem on columns of mean 0 and variance 1 under the weights, whose line has no intercept.

    rows [S, M] and goal [S, K], each row times the root of its share of the weights; shares [S]; scale [M] of the
    columns; center [M], mean [K] the weighted means; penalty [M]; factor of rows'rows + penalty.
    """

    rows: Float[Array, "S M"]
    goal: Float[Array, "S K"]
    shares: Float[Array, " S"]
    scale: Float[Array, " M"]
    center: Float[Array, " M"]
    mean: Float[Array, " K"]
    varies: Bool[Array, " M"]
    penalty: Float[Array, " M"]
    factor: Factor


class Line(NamedTuple):
    """scaled [M, K] the coefficients of the scaled columns; residuals [S, K], each times the root of its row's share;
    inverse [M, M] and whitened [S, M] = rows R^-1, whose product is what one unit of a row's residual adds to the
    coefficients; leverage [S] the share of a row's own value in its fit."""

    scaled: Float[Array, "M K"]
    residuals: Float[Array, "S K"]
    inverse: Float[Array, "M M"]
    whitened: Float[Array, "S M"]
    leverage: Float[Array, " S"]


def regression(
    points: Float[Array, "S M"], values: Float[Array, "S K"], weights: Float[Array, " S"], ridge: Ridge
) -> Regression:
    """Centers and scales the columns, and reduces the rows to their triangular factor.

    Columns are centered by their weighted means, which takes the intercept and its conditioning out of the problem, and
    scaled to unit weighted variance, so that the penalty means the same for every column and unit. Columns without
    variance get the coefficient 0.
    """
    shares = weights / weights.sum()
    center, mean = dot(shares, points), dot(shares, values)
    centered = points - center
    variance = dot(shares, centered**2)
    # A constant column leaves rounding dust behind; dividing by it would make a feature of it. Less spread than this,
    # and less than half of the digits of its values would tell it from dust.
    varies = variance > jnp.finfo(points.dtype).eps * center**2
    scale = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 1)
    columns = jnp.where(varies, centered / scale, 0)
    roots = jnp.sqrt(shares)[:, None]
    rows, goal = roots * columns, roots * (values - mean)
    amount = jnp.asarray(ridge.amount, rows.dtype)
    penalty = amount / (weights.sum() * scale**2) if ridge.absolute else jnp.full(points.shape[1], amount)
    return Regression(rows, goal, shares, scale, center, mean, varies, penalty, _factor(rows, penalty))


def _factor(rows: Float[Array, "S M"], penalty: Float[Array, " M"]) -> Factor:
    """The factor of the Gram matrix, whose error grows with the condition of the rows and not with its square.

    A Cholesky factor of the Gram matrix loses nearly equal columns in float32. Here (shifted CholeskyQR2: Fukaya et al.
    2020) the first factor is of a matrix moved away from singular ones, and the second of the Gram matrix of the rows
    that the first has made nearly orthogonal; all in matrix products, many times faster than orthogonalising the rows.
    Where no variance inflation factor is above 10 nothing is lost, and the second Gram matrix is taken from the first.
    """
    identity = jnp.eye(rows.shape[1], dtype=rows.dtype)
    dust = 10 * jnp.finfo(rows.dtype).eps

    def inverse_of_cholesky(gram: Array) -> Array:
        return inverse_of_triangle(jnp.linalg.cholesky(gram)).T

    def of_orthogonal_rows(gram: Array, first: Array) -> Array:
        nearly = dot(rows, first)
        return dot(nearly.T, nearly) + dot(first.T, penalty[:, None] * first)

    gram = dot(rows.T, rows) + jnp.diag(penalty)
    first = inverse_of_cholesky(gram + dust * jnp.trace(gram) * identity)
    inflation = jnp.diagonal(gram) * (first**2).sum(axis=1)
    apart = inflation.max() <= _MOST_INFLATION
    second = jax.lax.cond(apart, lambda gram, first: dot(first.T, dot(gram, first)), of_orthogonal_rows, gram, first)
    return Factor(dot(first, inverse_of_cholesky(second + dust * identity)), apart)


def inverse_of_triangle(lower: Float[Array, "M M"]) -> Float[Array, "M M"]:
    """The inverse of a lower triangle, from blocks of one number to blocks of twice the size until they are one.

    [[A, 0], [C, B]]^-1 = [[A^-1, 0], [-B^-1 C A^-1, B^-1]]. Products alone: triangular solvers for CPUs start threads for
    matrices as small as these, and on busy cores wait longer for them than the rest of an explanation takes.
    """
    size = 1 << (len(lower) - 1).bit_length()
    rest = size - len(lower)
    padded = jnp.pad(lower, (0, rest)) + jnp.diag(
        jnp.pad(jnp.zeros(len(lower), lower.dtype), (0, rest), constant_values=1)
    )
    inverse = 1 / jnp.diagonal(padded)[:, None, None]
    width = 1
    while width < size:
        number = size // (2 * width)
        blocks = jnp.diagonal(padded.reshape(number, 2 * width, number, 2 * width), axis1=0, axis2=2)
        corner = jnp.moveaxis(blocks, -1, 0)[:, width:, :width]
        above, below = inverse[0::2], inverse[1::2]
        corner = -dot(dot(below, corner), above)
        upper = jnp.concatenate([above, jnp.zeros_like(above)], axis=2)
        inverse = jnp.concatenate([upper, jnp.concatenate([corner, below], axis=2)], axis=1)
        width *= 2
    return inverse[0, : len(lower), : len(lower)]


def solve(problem: Regression, goal: Float[Array, "S K"], support: Bool[Array, " M"] | None = None) -> Line:
    """The lines of some outputs, of the columns in `support` alone.

    Refinement takes the residual through the rows themselves (corrected semi-normal equations, Björck 1987).
    """
    rows, factor, penalty = problem.rows, problem.factor, problem.penalty[:, None]
    if support is not None:
        rows = rows * support
        factor = _factor(rows, jnp.where(support, problem.penalty, 1))
    inverse = factor.inverse

    def inverse_of_gram(right: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return dot(inverse, dot(inverse.T, right))  # (R'R)^-1

    def onto_columns(values: Float[Array, "S K"]) -> Float[Array, "M K"]:
        return dot(values.T, rows).T  # rows'values, in the order that does not walk the rows across

    def refined(scaled: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return scaled + inverse_of_gram(onto_columns(goal - dot(rows, scaled)) - penalty * scaled)

    scaled = refined(inverse_of_gram(onto_columns(goal)))
    scaled = jax.lax.cond(factor.apart, lambda scaled: scaled, refined, scaled)
    whitened = dot(rows, inverse)
    leverage = (whitened**2).sum(axis=1) + problem.shares
    return Line(scaled, goal - dot(rows, scaled), inverse, whitened, leverage)


def dot(left: Array, right: Array) -> Array:
    """The product in full precision, on every device."""
    return jnp.matmul(left, right, precision=_HIGHEST)
