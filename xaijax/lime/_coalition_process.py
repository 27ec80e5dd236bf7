"""The Gaussian process surrogate over coalitions: the line of all coalitions, estimated from the drawn ones.

LIME asks for the best line of the game v under P(z) ∝ pi(z), where all sets of one size are equally likely. Least squares
takes the drawn coalitions for all of them. Here the game is a line and a Gaussian process g of kernel k,

    v(z) = b + w·z + g(z) + noise,    k(y, z) = q^|y ∆ z|,    q = 1 - 2 degree / M,

where |y ∆ z| is the number of players in which y and z differ. The prior spreads over interactions by their degree, as a
binomial distribution of that mean. The part of g that is a line under P belongs to b + w·z. Without it, g has the kernel
(I - L) k (I - L), with L the projection on lines under P. The line of v over all coalitions is then b + w·z itself, and
its posterior is generalized least squares on the columns (1, z_s), with S = kernel + noise.

As P depends on sizes only, L has a closed form. Let the sets y, z of sizes t, s be random given their sizes,
phi_n(t, s) = E[q^|y ∆ z|] among n players, and E_P over s from P. L splits into a line in the size, which acts on phi_M,
and single players given the size: the coefficient of k(y, ·) for player j is

    Cov_P(s, phi_M(t, s)) / Var_P(s) + r(t) (y_j - t / M),    r(t) = (1 - q²) E_P[s (M - s) phi_M-2(t-1, s-1)] / E_P[s (M - s)].

Each output gets the degree and the noise of the greatest restricted likelihood on a small grid.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.numerics import at_least_float32, dot, ratio
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.lime._generalized_least_squares import generalized_least_squares, restricted_likelihood

# Mean degrees of interaction, limited to 0.45 of the players: q = 0 at half of them.
DEGREES = (0.5, 1.0, 2.0, 4.0, 8.0)
# Variances of the noise relative to that of g. The smallest keeps float32 factors of nearly equal rows finite; at the
# largest the line is that of least squares.
NOISES = (3e-4, 1e-2, 1e-1, 1.0, 1e2)


class Adjustment(NamedTuple):
    """The change from the line of least squares to that of the process.

    coefficients: [M, K].
    prediction: [K] at the grand coalition.
    scores: [1+M, M, K], with scores'scores the covariance of the adjusted coefficients.
    degree, noise: [K] the chosen ones.
    """

    coefficients: Float[Array, "M K"]
    prediction: Float[Array, " K"]
    scores: Float[Array, "M+1 M K"]
    degree: Float[Array, " K"]
    noise: Float[Array, " K"]


class Rows(NamedTuple):
    """Distinct coalitions, at the first row of each; all other rows have mass 0.

    columns: [S, 1+M] of the line.
    values: [S, K].
    mass: [S] the weight of all rows of the coalition.
    within: [K] the squared deviations of rows from their coalition's mean, with `repeated` [K] degrees of freedom.
    """

    columns: Float[Array, "S M+1"]
    values: Float[Array, "S K"]
    mass: Float[Array, " S"]
    within: Float[Array, " K"]
    repeated: Float[Array, " K"]


def adjust(
    coalitions: Bool[Array, "S M"],
    residuals: Float[Array, "S K"],
    weights: Float[Array, " S"] | Bool[Array, " S"],
    log_sizes: Float[Array, " M+1"],
    active: Bool[Array, " M"],
) -> Adjustment:
    """Computes the line of a Gaussian process relative to a line of least squares.

    Costs 25 Cholesky factors of S x S, S³/3 each, and 10 M³. float32 suffices for S up to some thousands.

    Args:
      coalitions: [S, M] which players are present. Inactive players are left out.
      residuals: [S, K] of the values from any line; the sum of both lines does not depend on which.
      weights: [S] the rows' weights in the least squares, 0 for rows to leave out. The noise is inverse to them.
      log_sizes: [M+1] log P(a players are absent), a = 0 ... M, from `log_size_distribution`.
      active: [M] which players can change anything.

    Returns:
      An Adjustment. Coefficients are 0 and scores infinite unless there are more distinct coalitions than columns.
    """
    residuals = at_least_float32(residuals)
    scale = jnp.sqrt(jnp.mean(residuals**2, axis=0))
    scale = jax.lax.stop_gradient(jnp.where(scale > 0, scale, 1))
    num_active = jnp.sum(active)
    absent = (~coalitions & active).astype(residuals.dtype)
    sizes = jnp.sum(absent, axis=1)
    both = dot(absent, absent.T)
    differing = sizes[:, None] + sizes - 2 * both
    rows, center = _distinct_coalitions(absent, residuals / scale, weights.astype(residuals.dtype), differing)
    columns, outputs = absent.shape[1] + 1, residuals.shape[1]
    line, scores = jnp.zeros((columns, outputs)), jnp.full((columns, columns - 1, outputs), jnp.inf)
    best = (jnp.full(outputs, -jnp.inf), line, scores, jnp.zeros(outputs), jnp.zeros(outputs))

    def try_degree(best, degree):
        log_similarity = jnp.log1p(-2 * jnp.minimum(degree / jnp.maximum(num_active, 1), 0.45))
        kernel = _without_lines(log_similarity, sizes, differing, both, jnp.exp(log_sizes), num_active)
        diagonal = jnp.sum(jnp.diag(kernel), where=rows.mass > 0) / jnp.maximum(jnp.sum(rows.mass > 0), 1)
        kernel = kernel / jnp.maximum(diagonal, jnp.finfo(kernel.dtype).tiny)

        def try_noise(best, noise):
            likelihood, line, scores = _fit_line(rows, kernel, noise)
            candidate = (
                likelihood, line, scores, jnp.full_like(likelihood, degree), jnp.full_like(likelihood, noise),
            )  # fmt: skip
            return jax.tree.map(lambda new, old: jnp.where(likelihood > best[0], new, old), candidate, best), None

        return jax.lax.scan(try_noise, best, jnp.asarray(NOISES))

    best, _ = jax.lax.scan(try_degree, best, jnp.asarray(DEGREES))
    _, line, scores, degree, noise = best
    # The line is in absent players, about the rows' center. Present players are 1 minus absent ones.
    coefficients = -line[1:] * scale
    prediction = line[0] * scale + dot(center, coefficients)
    return Adjustment(coefficients, prediction, scores * scale, degree, noise)


def _distinct_coalitions(
    absent: Float[Array, "S M"],
    values: Float[Array, "S K"],
    weights: Float[Array, " S"],
    differing: Float[Array, "S S"],
) -> tuple[Rows, Float[Array, " M"]]:
    """Joins the rows of each coalition in their mean, and returns them with the center of their columns.

    A deterministic game repeats itself exactly. This is no evidence that its noise is small next to a rough g, so that
    the rows of a coalition count as one unless they differ.
    """
    used = weights > 0
    # The harmonic mean gives most rows mass 1, for every share of the input in the distribution.
    typical = jnp.sum(used) / jnp.sum(ratio(used.astype(weights.dtype), weights))
    weights = jnp.where(used, weights / jnp.where(used.any(), typical, 1), 0)
    alike = jnp.where((differing == 0) & used & used[:, None], weights, 0)
    mass = jnp.sum(alike, axis=1)
    means = dot(alike, values) / jnp.where(used, mass, 1)[:, None]
    first = used & (jnp.argmax(alike > 0, axis=1) == jnp.arange(len(used)))
    within = dot(weights, (values - means) ** 2)
    noisy = within > 1e-6 * dot(weights, values**2)
    repeated = jnp.where(noisy, jnp.sum(used) - jnp.sum(first), 0).astype(values.dtype)
    count = jnp.maximum(jnp.sum(first), 1)
    center = jnp.sum(absent, axis=0, where=first[:, None]) / count
    varies = (center > 0.5 / count) & (center < 1 - 0.5 / count)
    columns = jnp.concatenate([jnp.ones((len(used), 1)), jnp.where(varies, absent - center, 0)], axis=1)
    kept = first[:, None]
    rows = Rows(
        jnp.where(kept, columns, 0),
        jnp.where(kept, means, 0),
        jnp.where(first, mass, 0),
        jnp.where(noisy, within, 0),
        repeated,
    )
    return rows, center


def _without_lines(
    log_similarity: Array,
    sizes: Float[Array, " S"],
    differing: Float[Array, "S S"],
    both: Float[Array, "S S"],
    shares: Float[Array, " sizes"],
    num_active: Int[Array, ""],
) -> Float[Array, "S S"]:
    """Returns (I - L) k (I - L) between the rows.

    1 + d log q, with d = |y ∆ z|, is a line in y and in z, so that L removes it. It is removed first: the remainder of
    q^d is `_bend`, whose digits float32 would lose next to 1 where k is nearly a line.
    """
    num_players = len(shares) - 1
    counts = jnp.arange(num_players + 1)
    # L along the sizes: row s holds the weight of each size in the line at s.
    mean = dot(shares, counts.astype(shares.dtype))
    variance = dot(shares, (counts - mean) ** 2)
    line = shares * (1 + (counts[:, None] - mean) * ratio(counts - mean, variance))
    smooth = dot(_expected_bend(log_similarity, num_active, num_players), line.T)
    along = smooth + smooth.T - dot(line, smooth)
    # L within a size: r(t), from sets with one player of y exchanged for another, among the remaining players.
    mixed = shares * counts * jnp.maximum(num_active - counts, 0)
    mixed = (mixed / jnp.maximum(jnp.sum(mixed), jnp.finfo(shares.dtype).tiny))[1:]
    others = jnp.maximum(num_active - 2, 0)
    below_one = _expected_bend(log_similarity, others, num_players - 1)
    below_one += log_similarity * _expected_difference(counts[:-1, None], counts[:-1], others)  # E[q^d] - 1
    exchange = -jnp.expm1(2 * log_similarity) * dot(below_one, mixed) - _bend(2 * log_similarity)
    within = jnp.concatenate([jnp.zeros(1), exchange])  # the grand coalition has no absent players to exchange
    index = sizes.astype(int)
    apart = both - sizes[:, None] * sizes / jnp.maximum(num_active, 1)
    within_both = within[index][:, None] + within[index] - dot(exchange, mixed)
    return _bend(differing * log_similarity) - along[index][:, index] - within_both * apart


def _expected_bend(
    log_similarity: Array, num_active: Int[Array, ""], num_players: int
) -> Float[Array, "{num_players}+1 {num_players}+1"]:
    """Returns E[q^d - 1 - d log q] for d = |y ∆ z| and random sets y, z of t and s of the active players.

    The members of y are added one by one. Each is in z with probability s / n, so that phi(t, s) = E[q^d] satisfies
    phi_n(t, s) = s/n phi_n-1(t-1, s-1) + (1 - s/n) q phi_n-1(t-1, s), with phi_n(0, s) = q^s.
    """
    counts = jnp.arange(num_players + 1)
    others = counts[:, None]  # the number of players outside y, which is constant along a row
    fall = jnp.expm1(log_similarity)  # q - 1

    def add_member(table: Array, members: Array) -> tuple[Array, None]:
        players = others + members
        share = jnp.minimum(counts / players, 1)
        shared = jnp.concatenate([jnp.zeros_like(table[:, :1]), table[:, :-1]], axis=1)
        # q^(d+1) - 1 - (d+1) log q, from its value at d
        difference = _expected_difference(members - 1, counts, players - 1)
        lacking = (1 + fall) * table + fall * log_similarity * difference + _bend(log_similarity)
        return jnp.where(players <= num_active, share * shared + (1 - share) * lacking, table), None

    table = jnp.broadcast_to(_bend(log_similarity * counts), (num_players + 1, num_players + 1))
    table, _ = jax.lax.scan(add_member, table, counts[1:])
    return table[jnp.maximum(num_active - counts, 0)]


def _expected_difference(size: Array, other_size: Array, players: Array) -> Array:
    """Returns E|y ∆ z| for random sets of two sizes."""
    return size + other_size - 2 * size * other_size / jnp.maximum(players, 1)


def _bend(x: Array) -> Array:
    """Returns e^x - 1 - x."""
    series = x**2 / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7 * (1 + x / 8))))))
    return jnp.where(jnp.abs(x) < 0.5, series, jnp.expm1(x) - x)


def _fit_line(rows: Rows, kernel: Float[Array, "S S"], noise: Array) -> tuple[Array, Array, Array]:
    """Returns log likelihood [K], line [1+M, K], and scores [1+M, M, K] of its slopes."""
    used = rows.mass > 0
    variances = jnp.where(used, noise / jnp.where(used, rows.mass, 1), 1)
    triangle = jnp.linalg.cholesky(jnp.where(used & used[:, None], kernel, 0) + jnp.diag(variances))
    white = solve_triangular(triangle, jnp.concatenate([rows.columns, rows.values], axis=1), lower=True)
    line = generalized_least_squares(white[:, : rows.columns.shape[1]], white[:, rows.columns.shape[1] :])
    freedom = jnp.sum(used) - jnp.sum(line.varies) + rows.repeated
    squares = jnp.sum(line.residuals**2, axis=0) + rows.within / noise
    likelihood, deviation = restricted_likelihood(triangle, line, squares, freedom)
    likelihood = jnp.where(freedom > 0, likelihood - rows.repeated * jnp.log(noise) / 2, -jnp.inf)
    return jax.lax.stop_gradient(likelihood), line.coefficients, line.scores[:, 1:, None] * deviation
