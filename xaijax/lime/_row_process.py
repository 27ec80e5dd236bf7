"""The Gaussian process surrogate over rows of numbers: the line of all rows, estimated from the drawn ones.

LIME asks for the best line of the model f under P = N(c, s²), independent in each feature. With u = (z - c) / s its
coefficients are E[u_j f] (Stein 1981). The even part of f adds nothing to them, and pairs of rows c ± s u give the odd part

    o(u) = (f(c + s u) - f(c - s u)) / 2

exactly. The odd part is modeled as a line and a Gaussian process (Bayesian quadrature: O'Hagan 1991, Rasmussen &
Ghahramani 2003) of the odd part of a squared exponential kernel. Its metric Λ has one direction ŵ of its own, that of the
line of least squares, as models mostly bend along their own slope (ridge functions: Friedman & Stuetzle 1981):

    o(u) = w·u + g(u) + noise,    k(u, v) = exp(-(u - v)'Λ(u - v)/2) / 2 - exp(-(u + v)'Λ(u + v)/2) / 2,
    Λ = λ_0 (I - ŵŵ') + λ_1 ŵŵ',    λ_0 = a / D,    λ_1 = λ_0 + b

The part of g that is a line under P belongs to w·u. With B = Λ (I + Λ)^-1, h(v) = |I + Λ|^-1/2 exp(-v'Bv/2),

    E_u[u k(u, v)] = h(v) B v,    E_uv[u v' k(u, v)] = |I + Λ|^-1/2 |I + B|^-1/2 B (I + B)^-1 = P,
    k'(u, v) = k(u, v) - h(v) u'B v - h(u) u'B v + u'P v

is the kernel of g without it, and w is generalized least squares on the rows u_i, with S = k' + noise: w = A o.

Lines of several a, b and noises are averaged by their restricted likelihoods, for each output separately. Where none of
these models holds, Var w is too small. A second estimate of what another draw would change comes from how far the process
misses each pair when fitted without it (White 1980), sum_i A_i² (o_i - o_-i)². The errors are the larger of both.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.numerics import at_least_float32, dot
from xaijax._core.typing import Array, Bool, Float
from xaijax.lime._generalized_least_squares import generalized_least_squares, restricted_likelihood
from xaijax.lime._neighborhood import Layout, Samples

METRICS = ((0.2, 0.3), (0.5, 1.0), (1.0, 1.0), (1.0, 0.0))  # a, b
# Variances of the noise relative to that of g. The smallest keeps float32 factors finite; at the largest the line is
# nearly that of least squares.
NOISES = (1e-3, 3e-2, 1.0)


class _Model(NamedTuple):
    """The line of one metric and noise.

    likelihood: its restricted log likelihood.
    coefficients: [M] of u.
    scores: [M, M], with scores'scores their covariance.
    by_misses: [M] their variance by how far the process misses each pair.
    """

    likelihood: Float[Array, ""]
    coefficients: Float[Array, " M"]
    scores: Float[Array, "M M"]
    by_misses: Float[Array, " M"]


def adjust(
    samples: Samples,
    residuals: Float[Array, "S K"],
    coefficients: Float[Array, "M K"],
    layout: Layout,
    deviation: Float[Array, ""],
) -> tuple[Float[Array, "M K"], Float[Array, " K"], Float[Array, "B M K"]]:
    """Computes the line of a Gaussian process relative to a line of least squares.

    Costs 12 Cholesky factors and inverses of [n, n] for n pairs and each output. Rows outside pairs are left out.

    Args:
      samples: rows whose blocks are antithetic pairs about the center of the distribution; weight 0 for reserved rows.
      residuals: [S, K] of the values from a line.
      coefficients: [M, K] of that line, for its direction.
      layout: which rows form blocks.
      deviation: s of the distribution, in units of the points.

    Returns:
      The changes of the coefficients [M, K] and of the prediction [K] at the points' 0, by which the line still passes
      through the samples' mean; and scores [B, M, K], with scores'scores the covariance of the new coefficients, infinite
      unless there are more pairs than features.
    """
    residuals = at_least_float32(residuals)
    points = samples.points.astype(residuals.dtype)
    odd = _half_differences(residuals, layout)
    used = _half_differences(samples.weights[:, None], layout, sign=1)[:, 0] > 0
    u = jnp.where(used[:, None], _half_differences(points, layout) / deviation, 0)
    odd = jnp.where(used[:, None], odd, 0)
    products = dot(u, u.T)

    def adjust_output(output: tuple[Array, Array]) -> tuple[Array, Array]:
        return _average_line(u, products, used, *output)

    slopes, scores = jax.lax.map(adjust_output, (odd.T, coefficients.T.astype(residuals.dtype)))
    change = slopes.T / deviation
    shares = (samples.weights / samples.weights.sum()).astype(residuals.dtype)
    return change, -dot(dot(shares, points), change), jnp.moveaxis(scores, 0, -1) / deviation


def _half_differences(rows: Float[Array, "S C"], layout: Layout, sign: int = -1) -> Float[Array, "n C"]:
    """Returns half the difference (sign 1: sum) of the rows of each pair; a block's second half mirrors its first."""
    rounds = rows[1:].reshape(layout.rounds, -1, rows.shape[1])[:, : layout.number * layout.length]
    halves = rounds.reshape(layout.rounds * layout.number, 2, layout.length // 2, rows.shape[1])
    return ((halves[:, 0] + sign * halves[:, 1]) / 2).reshape(-1, rows.shape[1])


def _average_line(
    u: Float[Array, "n M"],
    products: Float[Array, "n n"],
    used: Bool[Array, " n"],
    odd: Float[Array, " n"],
    coefficients: Float[Array, " M"],
) -> tuple[Float[Array, " M"], Float[Array, "B M"]]:
    """Returns the mean line of all models for one output, and the scores of its covariance."""
    size = jnp.sqrt(jnp.mean(odd**2))
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1))
    varies = (u**2).sum(axis=0) > 0
    along = dot(u, _normalized(coefficients))

    def of_metric(metric: Float[Array, " 2"]) -> _Model:
        kernel = without_lines(products, along, metric[0], metric[1], jnp.sum(varies))
        diagonal = jnp.sum(jnp.diag(kernel), where=used) / jnp.maximum(jnp.sum(used), 1)
        kernel = jnp.where(used & used[:, None], kernel, 0) / jnp.maximum(diagonal, jnp.finfo(u.dtype).tiny)
        of_noise = jax.checkpoint(lambda noise: _fit_model(u, odd / size, used, kernel, noise))
        return jax.lax.map(of_noise, jnp.asarray(NOISES, u.dtype))

    models = jax.lax.map(of_metric, jnp.asarray(METRICS, u.dtype))
    models = _Model(*(part.reshape(-1, *part.shape[2:]) for part in models))
    chances = jax.nn.softmax(models.likelihood)
    mean = dot(chances, models.coefficients)
    apart = models.coefficients - mean
    roots = jnp.sqrt(chances)[:, None]
    scores = jnp.concatenate([(roots[:, :, None] * models.scores).reshape(-1, len(mean)), roots * apart])
    variances, by_misses = (scores**2).sum(axis=0), dot(chances, models.by_misses + apart**2)
    known = variances > 0
    wider = jnp.sqrt(jnp.maximum(jnp.where(known, by_misses / jnp.where(known, variances, 1), 1), 1))
    enough = jnp.sum(used) > jnp.sum(varies)
    return jnp.where(enough, size * mean, 0), jnp.where(enough, size * scores * wider, jnp.inf)


def _normalized(vector: Float[Array, " M"]) -> Float[Array, " M"]:
    """Returns the vector at length 1, or 0."""
    largest = jax.lax.stop_gradient(jnp.abs(vector).max())
    vector = vector / jnp.where(largest > 0, largest, 1)
    squares = (vector**2).sum()
    return vector / jnp.sqrt(jnp.where(squares > 0, squares, 1))


def without_lines(
    products: Float[Array, "n n"],
    along: Float[Array, " n"],
    spread: Float[Array, ""] | float,
    bend: Float[Array, ""] | float,
    num_features: Array | int,
) -> Float[Array, "n n"]:
    """Returns k' between rows.

    Args:
      products: [n, n] their inner products u·v.
      along: [n] their products u·ŵ with the direction, or 0 without one.
      spread, bend: a and b of the metric.
      num_features: D.
    """
    features = jnp.maximum(num_features, 1)
    across = jnp.asarray(spread / features, products.dtype)  # λ_0
    within = across + bend * (along != 0).any()  # λ_1
    both = along[:, None] * along

    def form(of_across: Array, of_within: Array) -> Array:
        """u'Mv for M of eigenvalues of_within along the direction and of_across elsewhere."""
        return of_across * products + (of_within - of_across) * both

    def root_of_determinant(of_across: Array, of_within: Array) -> Array:
        """|I + M|^-1/2"""
        return jnp.exp(-((features - 1) * jnp.log1p(of_across) + jnp.log1p(of_within)) / 2)

    inner = form(across, within)
    half = jnp.diag(inner) / 2
    distance = half[:, None] + half
    odd = (jnp.exp(inner - distance) - jnp.exp(-inner - distance)) / 2
    smooth = across / (1 + across), within / (1 + within)  # B
    smoothed, determinant = form(*smooth), root_of_determinant(across, within)
    weights = determinant * jnp.exp(-jnp.diag(smoothed) / 2)  # h
    of_lines = form(*(part / (1 + part) for part in smooth))
    lines = determinant * root_of_determinant(*smooth) * of_lines  # u'Pv
    return odd - (weights[:, None] + weights) * smoothed + lines


def _fit_model(
    u: Float[Array, "n M"],
    odd: Float[Array, " n"],
    used: Bool[Array, " n"],
    kernel: Float[Array, "n n"],
    noise: Float[Array, ""],
) -> _Model:
    identity = jnp.eye(len(u), dtype=u.dtype)
    triangle = jnp.linalg.cholesky(kernel + jnp.where(used, noise, 1) * identity)
    inverse = solve_triangular(triangle, identity, lower=True)
    columns = dot(inverse, u)
    line = generalized_least_squares(columns, dot(inverse, odd)[:, None])
    left = line.residuals[:, 0]
    freedom = jnp.maximum(jnp.sum(used) - jnp.sum(line.varies), 1)
    likelihood, deviation = restricted_likelihood(triangle, line, (line.residuals**2).sum(axis=0), freedom)
    influence = dot(dot(inverse.T, columns), line.scores.T)
    own = (inverse**2).sum(axis=0)
    misses = dot(inverse.T, left) / jnp.maximum(own - (influence**2).sum(axis=1), 1e-3 * own)
    by_misses = dot((dot(influence, line.scores) ** 2).T, misses**2)
    return _Model(likelihood[0], line.coefficients[:, 0], line.scores * deviation[0], by_misses)
