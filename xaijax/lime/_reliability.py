"""How far a surrogate can be trusted: standard errors, local fidelity, stability."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import random
from xaijax._core.numerics import ranks
from xaijax._core.typing import Array, Bool, Float, Key
from xaijax.lime._neighborhood import Blocks, Samples
from xaijax.lime._surrogate import Line, Regression, dot

_DRAWS = 200  # of the bootstrap: a probability is known to 3.5 %


class Reliability(NamedTuple):
    """scores [B, M, K] what each block adds to the scaled coefficients; errors [M, K] theirs; effective [] samples."""

    scores: Float[Array, "B M K"]
    errors: Float[Array, "M K"]
    effective: Float[Array, ""]


def effective_samples(samples: Samples) -> Float[Array, ""]:
    """How many samples of equal weight know as much: (sum w)² / sum w² (Kish 1965), of those that were drawn."""
    weights = jnp.where(samples.drawn, samples.weights, 0)
    total, squares = weights.sum(), (weights**2).sum()
    return jnp.where(squares > 0, total**2 / jnp.where(squares > 0, squares, 1), 0)


def reliability(
    line: Line, samples: Samples, together: Blocks, num_used: Array, effective: Float[Array, ""]
) -> Reliability:
    """The sandwich estimate (White 1980) over blocks (Liang & Zeger 1986): what another draw would change.

    Each row adds its influence times its residual, divided by what its own value takes of it, 1 - leverage (HC3:
    MacKinnon & White 1985). Blocks are independent draws; the spread of their sums, around what blocks of their length
    add on average, is the error of the whole. Fewer effective samples than coefficients make it infinite.
    """
    kept = jnp.where(samples.drawn, 1.0, 0.0).astype(line.residuals.dtype)
    residuals = line.residuals * (kept / jnp.maximum(1 - line.leverage, 1e-3))[:, None]
    scores = together.sums(line.whitened[:, :, None] * residuals[:, None, :])
    lengths = together.sums(kept)
    number = jnp.sum(lengths > 0)
    share = lengths / jnp.maximum(lengths.sum(), 1)
    scores = scores - share[:, None, None] * scores.sum(axis=0)
    scores = jnp.einsum("ij,bjk->bik", line.inverse, scores, precision=jax.lax.Precision.HIGHEST)
    scores = scores * jnp.sqrt(number / jnp.maximum(number - 1, 1))
    variances = (scores**2).sum(axis=0)
    enough = (effective > num_used + 1) & (number > 1)
    errors = jnp.sqrt(jnp.where(variances > 0, variances, 1)) * (variances > 0)
    return Reliability(scores, jnp.where(enough, errors, jnp.inf), effective)


def r_squared(problem: Regression, line: Line, drawn: Bool[Array, " S"], players: int) -> tuple[Array, Array]:
    """Weighted R² of the players' line, [K], and the same with each drawn row predicted by the fit of the others."""
    total = (problem.goal**2).sum(axis=0)
    beside = line.scaled.at[:players].set(0) if problem.rows.shape[1] > players else None
    own = line.residuals if beside is None else line.residuals + dot(problem.rows, beside)
    spared = jnp.where(drawn, jnp.minimum(line.leverage, 0.999), 0)[:, None]

    def of(residuals: Array) -> Array:
        left = (residuals**2).sum(axis=0)
        return jnp.where(total > 0, 1 - left / jnp.where(total > 0, total, 1), 1)

    return of(own), of(own + line.residuals * spared / (1 - spared))


def stability(
    key: Key[Array, ""], coefficients: Float[Array, "M K"], scores: Float[Array, "B M K"], top: int
) -> Float[Array, " K"]:
    """The probability that the `top` largest coefficients would be those of the same players on another draw.

    A bootstrap over the same evaluations, in which each block gets a normal weight of mean 0 and variance 1 (Kline &
    Santos 2012); no model is asked again. Sums of many blocks with such weights are normal with the covariance of the
    scores, from which they are drawn. Another draw differs from this one by the errors of both: twice the variance.
    """
    blocks, players, _ = scores.shape
    if blocks > players:
        scores = jax.vmap(_factor, in_axes=-1, out_axes=-1)(scores)
    multipliers = random.normal(key, (_DRAWS, len(scores)), coefficients.dtype)
    changes = math.sqrt(2) * jnp.einsum("rb,bmk->rmk", multipliers, scores, precision=jax.lax.Precision.HIGHEST)

    def largest(coefficients: Float[Array, "M K"]) -> Bool[Array, "M K"]:
        return (ranks(-jnp.abs(coefficients).T) < top).T

    same = jax.vmap(largest)(coefficients + changes) == largest(coefficients)
    return same.all(axis=1).mean(axis=0)


def _factor(scores: Float[Array, "B M"]) -> Float[Array, "M M"]:
    """F with F'F = scores'scores, of as many rows as there are players."""
    variances = (scores**2).sum(axis=0)
    spread = jnp.sqrt(jnp.where(variances > 0, variances, 1))
    alike = scores / spread
    # Columns of one length: what keeps the factor of dependent ones finite is far below their own variance.
    triangle = jnp.linalg.cholesky(dot(alike.T, alike) + 1e-5 * jnp.eye(len(spread), dtype=scores.dtype))
    return triangle.T * jnp.where(variances > 0, spread, 0)
