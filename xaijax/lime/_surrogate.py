"""The surrogate of LIME: a weighted ridge regression in closed form.

w = argmin sum_s pi_s (y_s - b - w·z_s)² / sum_s pi_s + lambda sum_j v_j w_j²      (v_j the weighted variance of z_j)
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._typing import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST


class Fit(NamedTuple):
    """coefficients [M] or [M, K]; intercept [] or [K]; std_errors like coefficients; r_squared like intercept."""

    coefficients: Float[Array, "M ..."]
    intercept: Float[Array, "..."]
    std_errors: Float[Array, "M ..."]
    r_squared: Float[Array, "..."]


def fit_ridge(
    points: Float[Array, "S M"], values: Float[Array, "S ..."], weights: Float[Array, " S"], ridge: float | Array
) -> Fit:
    """Weighted ridge regression with an unpenalised intercept.

    Columns are centred by their weighted means, which takes the intercept and its conditioning out of the problem, and
    scaled to unit weighted variance, so that the penalty means the same for every column and unit. The R factor of the
    rows, extended by the penalty's, replaces the Gram matrix: the error grows with its condition number instead of the
    square, which float32 needs for correlated columns. One refinement step takes the residual through the data itself
    (corrected semi-normal equations, Björck 1987). Columns without variance get the coefficient 0.

    The standard errors are the sandwich estimate with the factor n / (n - M - 1) for n the effective sample size
    (White 1980; MacKinnon & White 1985, HC1): what another draw of the neighbourhood would change. Fewer effective
    samples than coefficients make them infinite. All weights zero gives NaN.
    """
    outputs = values.reshape(len(values), -1)
    shares = weights / weights.sum()
    centre, mean = _dot(shares, points), _dot(shares, outputs)
    centred, residual_of_mean = points - centre, outputs - mean
    variance = _dot(shares, centred**2)
    # A constant column leaves rounding dust behind; dividing by it would make a feature of it. Less spread than this,
    # and less than half of the digits of its values would tell it from dust.
    varies = variance > jnp.finfo(points.dtype).eps * centre**2
    scale = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 1)
    columns = jnp.where(varies, centred / scale, 0)
    rows, goal = jnp.sqrt(shares)[:, None] * columns, jnp.sqrt(shares)[:, None] * residual_of_mean

    num_columns = points.shape[1]
    penalty = jnp.sqrt(jnp.asarray(ridge, rows.dtype)) * jnp.eye(num_columns, dtype=rows.dtype)
    triangle = jnp.linalg.qr(jnp.concatenate([rows, penalty]))[1]

    def solve(right: Float[Array, "M k"]) -> Float[Array, "M k"]:
        return solve_triangular(triangle, solve_triangular(triangle, right, trans=1))  # (R'R)^-1

    scaled = solve(_dot(rows.T, goal))
    scaled += solve(_dot(rows.T, goal - _dot(rows, scaled)) - ridge * scaled)

    residuals = goal - _dot(rows, scaled)
    leftover, total = (residuals**2).sum(axis=0), (goal**2).sum(axis=0)
    r_squared = jnp.where(total > 0, 1 - leftover / jnp.where(total > 0, total, 1), 1)
    inverse = solve_triangular(triangle, jnp.eye(num_columns, dtype=rows.dtype))
    # What each sample's own residual adds to the coefficients. The errors need no refinement, so two small inverses and
    # a product serve, many times faster than solving for every sample.
    influence = _dot(_dot(inverse, inverse.T), rows.T) * jnp.sqrt(shares)
    effective = 1 / (shares**2).sum()
    spare = effective - num_columns - 1
    variances = _dot(influence**2, (residual_of_mean - _dot(columns, scaled)) ** 2)
    corrected = variances * jnp.where(spare > 0, effective / jnp.where(spare > 0, spare, 1), jnp.inf)
    std_errors = jnp.sqrt(jnp.where(corrected > 0, corrected, 1)) * (corrected > 0)

    coefficients = scaled / scale[:, None]
    intercept = mean - _dot(centre, coefficients)
    shape = values.shape[1:]
    return Fit(
        coefficients.reshape(num_columns, *shape),
        intercept.reshape(shape),
        (std_errors / scale[:, None]).reshape(num_columns, *shape),
        r_squared.reshape(shape),
    )


def _dot(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=_HIGHEST)
