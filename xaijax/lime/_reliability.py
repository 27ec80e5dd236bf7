"""The reliability of a surrogate: standard errors, local fidelity, stability."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import random
from xaijax._core.numerics import dot, einsum, ranks, ratio, safe_sqrt
from xaijax._core.typing import Array, Bool, Float, Key
from xaijax.lime._neighborhood import Layout, Samples
from xaijax.lime._surrogate import Line, Regression

_DRAWS = 200  # of the bootstrap, whose probabilities then have an error of 3.5 %


class Reliability(NamedTuple):
    """scores: [B, M, K] the contribution of each block to the scaled coefficients. errors: [M, K] their standard errors."""

    scores: Float[Array, "B M K"]
    errors: Float[Array, "M K"]


def effective_samples(samples: Samples) -> Float[Array, ""]:
    """Returns the effective sample size (sum w)² / sum w² (Kish 1965) of the drawn samples."""
    xp = np if isinstance(samples.weights, np.ndarray) else jnp
    weights = xp.where(samples.drawn, samples.weights, 0)
    return ratio(weights.sum() ** 2, (weights**2).sum())


def reliability(
    line: Line, samples: Samples, layout: Layout, num_used: Array, effective: Float[Array, ""]
) -> Reliability:
    """Estimates what another draw would change, by the sandwich (White 1980) over blocks (Liang & Zeger 1986).

    Each row adds its influence times its residual, divided by 1 - leverage (HC3: MacKinnon & White 1985). Blocks are
    independent draws; the spread of their sums, around the average of blocks of their length, is the error of the
    whole. With fewer effective samples than coefficients it is infinite.
    """
    kept = jnp.where(samples.drawn, 1.0, 0.0).astype(line.residuals.dtype)
    residuals = line.residuals * (kept / jnp.maximum(1 - line.leverage, 1e-3))[:, None]
    scores = line.columns.block_sums(residuals, layout)
    lengths = layout.block_sums(kept)
    number = jnp.sum(lengths > 0)
    share = lengths / jnp.maximum(lengths.sum(), 1)
    scores = scores - share[:, None, None] * scores.sum(axis=0)
    scores = einsum("ij,bjk->bik", dot(line.inverse, line.inverse.T), scores)
    scores = scores * jnp.sqrt(number / jnp.maximum(number - 1, 1))
    enough = (effective > num_used + 1) & (number > 1)
    return Reliability(scores, jnp.where(enough, safe_sqrt((scores**2).sum(axis=0)), jnp.inf))


def r_squared(
    problem: Regression, line: Line, drawn: Bool[Array, " S"] | np.ndarray, players: int
) -> tuple[Array, Array]:
    """Returns the weighted R² of the players' line, [K], and the same with each drawn row predicted by a fit without it."""
    controls = line.scaled.at[:players].set(0) if len(problem.scale) > players else None
    own = line.residuals if controls is None else line.residuals + problem.columns.line(controls)
    held_out = jnp.where(drawn, jnp.minimum(line.leverage, 0.999), 0)[:, None]
    held_out = own + line.residuals * held_out / (1 - held_out)
    squares = jnp.concatenate([problem.goal, own, held_out], axis=1) ** 2  # summed at once: one program
    total, of_line, of_others = jnp.split(squares.sum(axis=0), 3)
    return 1 - ratio(of_line, total), 1 - ratio(of_others, total)


def stability(
    key: Key[Array, ""], coefficients: Float[Array, "M K"], scores: Float[Array, "B M K"], top: int
) -> Float[Array, " K"]:
    """Returns the probability that the `top` largest coefficients belong to the same players on another draw.

    A bootstrap over the same evaluations gives each block a normal weight of mean 0 and variance 1 (Kline & Santos 2012).
    Sums of many blocks with such weights are normal with the covariance of the scores, from which they are drawn.
    Another draw differs from this one by the errors of both: twice the variance.
    """
    blocks, players, _ = scores.shape
    if blocks > players:
        scores = jax.vmap(_factor, in_axes=-1, out_axes=-1)(scores)
    multipliers = random.normal(key, (_DRAWS, len(scores)), coefficients.dtype)
    changes = math.sqrt(2) * einsum("rb,bmk->rmk", multipliers, scores)

    largest = ranks(-jnp.abs(coefficients.T)) < top
    return _are_largest(jnp.abs(coefficients + changes), largest.T).mean(axis=0)


def _are_largest(sizes: Float[Array, "n M K"], chosen: Bool[Array, "M K"]) -> Bool[Array, "n K"]:
    """Returns whether the chosen players have the largest sizes; of equal sizes, those of the first players count."""
    least = jnp.min(sizes, axis=1, where=chosen, initial=jnp.inf, keepdims=True)
    most = jnp.max(sizes, axis=1, where=~chosen, initial=-jnp.inf, keepdims=True)
    index = jnp.arange(len(chosen))[:, None]
    last = jnp.max(index, axis=1, where=chosen & (sizes == least), initial=-1)
    first = jnp.min(index, axis=1, where=~chosen & (sizes == most), initial=len(chosen))
    least, most = least[:, 0], most[:, 0]
    return (least > most) | ((least == most) & (last < first))


def _factor(scores: Float[Array, "B M"]) -> Float[Array, "M M"]:
    """Returns F with F'F = scores'scores and as many rows as there are players."""
    variances = (scores**2).sum(axis=0)
    spread = jnp.sqrt(jnp.where(variances > 0, variances, 1))
    normalized = scores / spread
    # Columns of one length: the shift that keeps the factor of dependent ones finite is far below their own variance.
    gram = dot(normalized.T, normalized) + 1e-5 * jnp.eye(len(spread), dtype=scores.dtype)
    return jnp.linalg.cholesky(gram).T * jnp.where(variances > 0, spread, 0)
