"""The line of a Gaussian process under a normal law: LIME's surrogate of numbers, from what is known of all rows.

LIME asks for the best line of the model f under P = N(c, s²), each feature by itself. With u = (z - c) / s its
coefficients are E[u_j f] (Stein 1981), to which the even part of f adds nothing: pairs of rows c ± s u give the odd part

    o(u) = (f(c + s u) - f(c - s u)) / 2

alone, and exactly. It is taken for a line and a Gaussian process (Bayesian quadrature: O'Hagan 1991, Rasmussen &
Ghahramani 2003) of the odd part of a squared exponential kernel, whose metric Λ has one direction ŵ of its own, that of
the line of least squares, as models mostly bend along their own slope (ridge functions: Friedman & Stuetzle 1981):

    o(u) = w·u + g(u) + noise,    k(u, v) = exp(-(u - v)'Λ(u - v)/2) / 2 - exp(-(u + v)'Λ(u + v)/2) / 2,
    Λ = λ_0 (I - ŵŵ') + λ_1 ŵŵ',    λ_0 = a / D,    λ_1 = λ_0 + b

What of g is a line under P belongs to w·u. With B = Λ (I + Λ)^-1, h(v) = |I + Λ|^-1/2 exp(-v'Bv/2),

    E_u[u k(u, v)] = h(v) B v,    E_uv[u v' k(u, v)] = |I + Λ|^-1/2 |I + B|^-1/2 B (I + B)^-1 = P,
    k'(u, v) = k(u, v) - h(v) u'B v - h(u) u'B v + u'P v

is the kernel of g without it, and w is generalized least squares: with rows u_i of U and S = k' + noise,

    w = A o,    A = (U' S^-1 U)^-1 U' S^-1,    Var w = s² (U' S^-1 U)^-1,    s² = o' S^-1 (o - U w) / (rows - columns).

Lines of several a, b and noises are averaged with their restricted likelihoods, for each output on its own. Where none of
these models holds, Var w is too small. What another draw would change is estimated beside it from how far the process
misses each pair that it is not told (White 1980), sum_i A_i² (o_i - o_-i)²; the errors are the wider of both.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.typing import Array, Bool, Float
from xaijax.lime._neighborhood import Blocks, Samples
from xaijax.lime._surrogate import dot

METRICS = ((0.2, 0.3), (0.5, 1.0), (1.0, 1.0), (1.0, 0.0))  # a, b
# Variances of the noise beside that of g. float32 factors hold at the least; at the greatest the line is nearly that of
# least squares.
NOISES = (1e-3, 3e-2, 1.0)


class _Line(NamedTuple):
    """Of one model: restricted log likelihood, coefficients [M] of u, scores [M, M] whose products are their covariance,
    and by_misses [M], their variance by what the process misses."""

    likelihood: Float[Array, ""]
    coefficients: Float[Array, " M"]
    scores: Float[Array, "M M"]
    by_misses: Float[Array, " M"]


def adjust(
    samples: Samples,
    residuals: Float[Array, "S K"],
    coefficients: Float[Array, "M K"],
    together: Blocks,
    deviation: Float[Array, ""],
) -> tuple[Float[Array, "M K"], Float[Array, " K"], Float[Array, "B M K"]]:
    """Moves the line of least squares to that of a Gaussian process.

    Costs 12 Cholesky factors and inverses of [n, n] for n pairs and each output; rows not in pairs are left out.

    Args:
      samples: rows whose blocks are antithetic pairs about the center of the law; weight 0 for places kept free.
      residuals: [S, K] of the values from a line.
      coefficients: [M, K] of that line, for its direction.
      together: which rows were drawn together.
      deviation: s, of the law, in units of the points.

    Returns:
      What to add to the coefficients [M, K] and to the prediction [K] at the points' 0, so that the line goes on through
      the samples' mean, and scores [B, M, K] whose products are the covariance of the new coefficients, infinite where
      there are no more pairs than features.
    """
    residuals = residuals.astype(jnp.promote_types(residuals.dtype, jnp.float32))
    points = samples.points.astype(residuals.dtype)
    odd = _half_differences(residuals, together)
    used = _half_differences(samples.weights[:, None], together, sign=1)[:, 0] > 0
    u = jnp.where(used[:, None], _half_differences(points, together) / deviation, 0)
    odd = jnp.where(used[:, None], odd, 0)
    products = dot(u, u.T)

    def one_output(each: tuple[Array, Array]) -> tuple[Array, Array]:
        return _average_line(u, products, used, *each)

    slopes, scores = jax.lax.map(one_output, (odd.T, coefficients.T.astype(residuals.dtype)))
    more = slopes.T / deviation
    shares = (samples.weights / samples.weights.sum()).astype(residuals.dtype)
    return more, -dot(dot(shares, points), more), jnp.moveaxis(scores, 0, -1) / deviation


def _half_differences(rows: Float[Array, "S C"], together: Blocks, sign: int = -1) -> Float[Array, "n C"]:
    """Half the difference (sign 1: sum) of the rows of each pair, round by round; a block's second half mirrors its first."""
    rounds = rows[1:].reshape(together.rounds, -1, rows.shape[1])[:, : together.number * together.length]
    halves = rounds.reshape(together.rounds * together.number, 2, together.length // 2, rows.shape[1])
    return ((halves[:, 0] + sign * halves[:, 1]) / 2).reshape(-1, rows.shape[1])


def _average_line(
    u: Float[Array, "n M"],
    products: Float[Array, "n n"],
    used: Bool[Array, " n"],
    odd: Float[Array, " n"],
    coefficients: Float[Array, " M"],
) -> tuple[Float[Array, " M"], Float[Array, "B M"]]:
    """The line of one output, the mean of the models' lines, and the scores of its covariance."""
    size = jnp.sqrt(jnp.mean(odd**2))
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1))
    direction = _unit(coefficients)
    varies = (u**2).sum(axis=0) > 0
    along = dot(u, direction)

    def of_metric(metric: Float[Array, " 2"]) -> _Line:
        kernel = without_lines(products, along, metric[0], metric[1], jnp.sum(varies))
        diagonal = jnp.sum(jnp.diag(kernel), where=used) / jnp.maximum(jnp.sum(used), 1)
        kernel = jnp.where(used & used[:, None], kernel, 0) / jnp.maximum(diagonal, jnp.finfo(u.dtype).tiny)
        of_noise = jax.checkpoint(lambda noise: _least_squares(u, odd / size, used, varies, kernel, noise))
        return jax.lax.map(of_noise, jnp.asarray(NOISES, u.dtype))

    models = jax.lax.map(of_metric, jnp.asarray(METRICS, u.dtype))
    models = _Line(*(part.reshape(-1, *part.shape[2:]) for part in models))
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


def _unit(vector: Float[Array, " M"]) -> Float[Array, " M"]:
    """The vector at length 1, or 0."""
    most = jax.lax.stop_gradient(jnp.abs(vector).max())
    vector = vector / jnp.where(most > 0, most, 1)
    squares = (vector**2).sum()
    return vector / jnp.sqrt(jnp.where(squares > 0, squares, 1))


def without_lines(
    products: Float[Array, "n n"],
    along: Float[Array, " n"],
    spread: Float[Array, ""] | float,
    bend: Float[Array, ""] | float,
    num_features: Array | int,
) -> Float[Array, "n n"]:
    """k' between rows of inner products u·v and products u·ŵ with the direction, or 0 without one; spread a, bend b."""
    features = jnp.maximum(num_features, 1)
    beside = jnp.asarray(spread / features, products.dtype)  # λ_0
    within = beside + bend * (along != 0).any()  # λ_1
    both = along[:, None] * along

    def form(of_beside: Array, of_within: Array) -> Array:
        """u'Mv for M of eigenvalues of_within along the direction and of_beside elsewhere."""
        return of_beside * products + (of_within - of_beside) * both

    def root_of_determinant(of_beside: Array, of_within: Array) -> Array:
        """|I + M|^-1/2"""
        return jnp.exp(-((features - 1) * jnp.log1p(of_beside) + jnp.log1p(of_within)) / 2)

    inner = form(beside, within)
    half = jnp.diag(inner) / 2
    distance = half[:, None] + half
    odd = (jnp.exp(inner - distance) - jnp.exp(-inner - distance)) / 2
    smooth = beside / (1 + beside), within / (1 + within)  # B
    smoothed, determinant = form(*smooth), root_of_determinant(beside, within)
    weights = determinant * jnp.exp(-jnp.diag(smoothed) / 2)  # h
    of_lines = form(*(part / (1 + part) for part in smooth))
    lines = determinant * root_of_determinant(*smooth) * of_lines  # u'Pv
    return odd - (weights[:, None] + weights) * smoothed + lines


def _least_squares(
    u: Float[Array, "n M"],
    odd: Float[Array, " n"],
    used: Bool[Array, " n"],
    varies: Bool[Array, " M"],
    kernel: Float[Array, "n n"],
    noise: Float[Array, ""],
) -> _Line:
    """Generalized least squares; columns that do not vary have the coefficient 0."""
    identity = jnp.eye(len(u), dtype=u.dtype)
    triangle = jnp.linalg.cholesky(kernel + jnp.where(used, noise, 1) * identity)
    inverse = solve_triangular(triangle, identity, lower=True)
    columns, values = dot(inverse, u), dot(inverse, odd)
    gram = dot(columns.T, columns)
    ridge = jnp.where(varies, 1e-6 * jnp.diag(gram), 1)  # too few rows leave the line undecided, but finite
    root = jnp.linalg.cholesky(gram + jnp.diag(ridge))
    scores = jnp.where(varies, solve_triangular(root, jnp.eye(len(gram), dtype=u.dtype), lower=True), 0)
    coefficients = dot(scores.T, dot(scores, dot(columns.T, values)))
    left = values - dot(columns, coefficients)
    freedom = jnp.maximum(jnp.sum(used) - jnp.sum(varies), 1)
    amplitude = jnp.maximum((left**2).sum() / freedom, 1e-30)
    volume = jnp.log(jnp.diag(triangle)).sum() + jnp.sum(jnp.log(jnp.diag(root)), where=varies)
    influence = dot(dot(inverse.T, columns), scores.T)
    own = (inverse**2).sum(axis=0)
    misses = dot(inverse.T, left) / jnp.maximum(own - (influence**2).sum(axis=1), 1e-3 * own)
    return _Line(
        -volume - freedom * jnp.log(amplitude) / 2,
        coefficients,
        scores * jnp.sqrt(amplitude),
        dot((dot(influence, scores) ** 2).T, misses**2),
    )
