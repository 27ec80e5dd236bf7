"""Generalized least squares and its restricted likelihood, shared by both Gaussian process surrogates.

v = X w + e,    Cov e = s² S,    w = (X' S^-1 X)^-1 X' S^-1 v,    Var w = s² (X' S^-1 X)^-1,
s² = (v - X w)' S^-1 (v - X w) / (rows - columns)
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.numerics import dot, safe_sqrt
from xaijax._core.typing import Array, Bool, Float

_RIDGE = 1e-6  # of each column's sum of squares: too few rows leave the line undetermined, but finite


class Line(NamedTuple):
    """Generalized least squares of K outputs on C columns.

    coefficients: [C, K], 0 for columns that do not vary.
    residuals: [S, K], whitened: L^-1 (v - X w) with S = L L'.
    scores: [C, C], with scores'scores = (X' S^-1 X)^-1.
    varies: [C] which columns vary.
    log_volume: log |X' S^-1 X| / 2.
    """

    coefficients: Float[Array, "C K"]
    residuals: Float[Array, "S K"]
    scores: Float[Array, "C C"]
    varies: Bool[Array, " C"]
    log_volume: Float[Array, ""]


def generalized_least_squares(columns: Float[Array, "S C"], values: Float[Array, "S K"]) -> Line:
    """Fits whitened values L^-1 v on whitened columns L^-1 X."""
    gram = dot(columns.T, columns)
    diagonal = jnp.diag(gram)
    varies = diagonal != 0
    root = jnp.linalg.cholesky(gram + jnp.diag(jnp.where(varies, _RIDGE * diagonal, 1)))
    inverse = solve_triangular(root, jnp.eye(len(gram), dtype=gram.dtype), lower=True)
    scores = jnp.where(varies, inverse, 0)
    coefficients = dot(scores.T, dot(scores, dot(columns.T, values)))
    log_volume = jnp.sum(jnp.log(jnp.diag(root)), where=varies)
    return Line(coefficients, values - dot(columns, coefficients), scores, varies, log_volume)


def restricted_likelihood(
    triangle: Float[Array, "S S"], line: Line, squares: Float[Array, " K"], freedom: Array
) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
    """Returns the restricted log likelihood and the deviation s of each output.

    Args:
      triangle: L, the Cholesky factor of S.
      line: the fitted line.
      squares: [K] the sum of the squared residuals.
      freedom: the degrees of freedom that they have.
    """
    amplitude = squares / jnp.maximum(freedom, 1)
    volume = jnp.log(jnp.diag(triangle)).sum() + line.log_volume
    return -volume - freedom * jnp.log(jnp.maximum(amplitude, 1e-30)) / 2, safe_sqrt(amplitude)
