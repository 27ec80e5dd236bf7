"""The line of a Gaussian process: LIME's surrogate from what is known of all coalitions, not of the drawn ones alone.

LIME asks for the best line of the game v under P(z) ∝ pi(z), a law in which all sets of one size are equally likely.
Least squares takes the drawn coalitions for all. Here the game is a line and a Gaussian process g of kernel k

    v(z) = b + w·z + g(z) + noise,    k(y, z) = q^|y ∆ z|,    q = 1 - 2 degree / M

whose prior is spread over interactions by their degree as a binomial law of that mean (|y ∆ z|: in how many players
the two differ). What of g is a line under P belongs to b + w·z. Without it, g has the kernel (I - L) k (I - L), with L
the projection on lines under P; the line of all of v is then b + w·z itself, and its posterior is generalized least
squares: with X the rows (1, z_s) and S = kernel + noise,

    w = (X' S^-1 X)^-1 X' S^-1 v,    Var w = s² (X' S^-1 X)^-1,    s² = v' S^-1 (v - X w) / (rows - columns).

As P knows sizes only, L is in closed form. Let sets y, z of sizes t, s be random given their sizes,
phi_n(t, s) = E[q^|y ∆ z|] among n players, and E_P over s from P. L falls apart into a line in the size, which acts on
phi_M, and single players beside it: the coefficient of k(y, ·) for player j is

    Cov_P(s, phi_M(t, s)) / Var_P(s) + r(t) (y_j - t / M),    r(t) = (1 - q²) E_P[s (M - s) phi_M-2(t-1, s-1)] / E_P[s (M - s)].

Degree and noise are those of the greatest restricted likelihood on a small grid, for each output on its own.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.lime._surrogate import dot

# Mean degrees of interaction; at most 0.45 of the players, as q = 0 at half.
DEGREES = (0.5, 1.0, 2.0, 4.0, 8.0)
# Variances of the noise beside that of g. The least keeps float32 factors of alike rows finite; at the greatest the
# line is that of least squares.
NOISES = (3e-4, 1e-2, 1e-1, 1.0, 1e2)


class Adjustment(NamedTuple):
    """What to add to the line of least squares, and how sure of it the process is.

    coefficients [M, K]; prediction [K], at the coalition of all; scores [1+M, M, K] whose products are the covariance of
    the adjusted coefficients, scores' scores; degree [K], noise [K] the chosen ones.
    """

    coefficients: Float[Array, "M K"]
    prediction: Float[Array, " K"]
    scores: Float[Array, "M+1 M K"]
    degree: Float[Array, " K"]
    noise: Float[Array, " K"]


class Rows(NamedTuple):
    """Distinct coalitions: the first row of each; others are marked by mass 0.

    columns [S, 1+M] of the line, values [S, K], mass [S] the weight of all of its rows; within [K] the squares of
    rows about their coalition's mean, with so many degrees of freedom, repeated [K].
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
    """Moves the line of least squares to that of a Gaussian process.

    Costs 25 Cholesky factors of S x S, S³/3 each, and 10 M³; float32 holds for S up to some thousands.

    Args:
      coalitions: [S, M] which players are there. Players not active are left out.
      residuals: [S, K] of the values from any line; the sum of both lines does not depend on which.
      weights: [S] what rows count for, as in the least squares; 0 for rows to leave out. Noise is inverse to it.
      log_sizes: [M+1] log P(a players are absent), a = 0 ... M, as from `size_law`.
      active: [M] which players can change anything.

    Returns:
      An Adjustment; coefficients 0 and scores infinite where there are no more distinct coalitions than columns.
    """
    residuals = residuals.astype(jnp.promote_types(residuals.dtype, jnp.float32))
    scale = jnp.sqrt(jnp.mean(residuals**2, axis=0))
    scale = jax.lax.stop_gradient(jnp.where(scale > 0, scale, 1))
    num_alive = jnp.sum(active)
    absent = (~coalitions & active).astype(residuals.dtype)
    sizes = jnp.sum(absent, axis=1)
    both = dot(absent, absent.T)
    differing = sizes[:, None] + sizes - 2 * both
    rows, center = _distinct(absent, residuals / scale, weights.astype(residuals.dtype), differing)
    start = jnp.full(residuals.shape[1], -jnp.inf)
    columns, outputs = absent.shape[1] + 1, residuals.shape[1]
    line, scores = jnp.zeros((columns, outputs)), jnp.full((columns, columns - 1, outputs), jnp.inf)
    best = (start, line, scores, jnp.zeros(outputs), jnp.zeros(outputs))

    def each_degree(best, degree):
        log_similarity = jnp.log1p(-2 * jnp.minimum(degree / jnp.maximum(num_alive, 1), 0.45))
        kernel = _without_lines(log_similarity, sizes, differing, both, jnp.exp(log_sizes), num_alive)
        diagonal = jnp.sum(jnp.diag(kernel), where=rows.mass > 0) / jnp.maximum(jnp.sum(rows.mass > 0), 1)
        kernel = kernel / jnp.maximum(diagonal, jnp.finfo(kernel.dtype).tiny)

        def each_noise(best, noise):
            likelihood, line, scores = _least_squares(rows, kernel, noise)
            found = (likelihood, line, scores, jnp.full_like(likelihood, degree), jnp.full_like(likelihood, noise))
            better = likelihood > best[0]
            return jax.tree.map(lambda new, old: jnp.where(better, new, old), found, best), None

        return jax.lax.scan(each_noise, best, jnp.asarray(NOISES))

    best, _ = jax.lax.scan(each_degree, best, jnp.asarray(DEGREES))
    _, line, scores, degree, noise = best
    # Of absent players, about the rows' center: present ones are 1 minus absent ones.
    coefficients = -line[1:] * scale
    prediction = line[0] * scale + dot(center, coefficients)
    return Adjustment(coefficients, prediction, scores * scale, degree, noise)


def _distinct(
    absent: Float[Array, "S M"],
    values: Float[Array, "S K"],
    weights: Float[Array, " S"],
    differing: Float[Array, "S S"],
) -> tuple[Rows, Float[Array, " M"]]:
    """Joins the rows of a coalition in their mean, with the columns' center.

    A deterministic game repeats itself exactly, which is no evidence that its noise is small beside a rough g: rows of
    a coalition count as one, unless they differ.
    """
    used = weights > 0
    # Harmonic mean: most rows have mass 1, whatever the share of the law that the input has.
    typical = jnp.sum(used) / jnp.sum(jnp.where(used, 1 / jnp.where(used, weights, 1), 0))
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
    shares: Float[Array, " M+1"],
    num_alive: Int[Array, ""],
) -> Float[Array, "S S"]:
    """(I - L) k (I - L) between the rows.

    1 + d log q, with d = |y ∆ z|, is a line in y and in z, so that L removes it. It goes first: what is left of q^d is
    `_bend`, whose digits float32 would lose beside 1 where k is nearly a line.
    """
    num_players = len(shares) - 1
    counts = jnp.arange(num_players + 1)
    # L along the sizes: row s has what each size adds to the line at s.
    mean = dot(shares, counts.astype(shares.dtype))
    variance = dot(shares, (counts - mean) ** 2)
    slopes = jnp.where(variance > 0, (counts - mean) / jnp.where(variance > 0, variance, 1), 0)
    line = shares * (1 + (counts[:, None] - mean) * slopes)
    smooth = dot(_expected_bend(log_similarity, num_alive, num_players), line.T)
    along = smooth + smooth.T - dot(line, smooth)
    # L beside the sizes: r(t), from sets with one player of y exchanged for another, among the players but these two.
    mixed = shares * counts * jnp.maximum(num_alive - counts, 0)
    mixed = (mixed / jnp.maximum(jnp.sum(mixed), jnp.finfo(shares.dtype).tiny))[1:]
    others = jnp.maximum(num_alive - 2, 0)
    below_one = _expected_bend(log_similarity, others, num_players - 1)
    below_one += log_similarity * _expected_difference(counts[:-1, None], counts[:-1], others)  # E[q^d] - 1
    exchange = -jnp.expm1(2 * log_similarity) * dot(below_one, mixed) - _bend(2 * log_similarity)
    beside = jnp.concatenate([jnp.zeros(1), exchange])  # nobody absent: nobody to exchange
    index = sizes.astype(int)
    apart = both - sizes[:, None] * sizes / jnp.maximum(num_alive, 1)
    beside_both = beside[index][:, None] + beside[index] - dot(exchange, mixed)
    return _bend(differing * log_similarity) - along[index][:, index] - beside_both * apart


def _expected_bend(log_similarity: Array, num_alive: Int[Array, ""], num_players: int) -> Float[Array, "M+1 M+1"]:
    """E[q^d - 1 - d log q] for d = |y ∆ z| and random sets y, z of t and s of the players active.

    One member of y after the other: with chance s / n it is in z too, so that for phi(t, s) = E[q^d]
    phi_n(t, s) = s/n phi_n-1(t-1, s-1) + (1 - s/n) q phi_n-1(t-1, s), and phi_n(0, s) = q^s.
    """
    counts = jnp.arange(num_players + 1)
    others = counts[:, None]  # how many players are not in y: row by row, what is fixed on the way
    fall = jnp.expm1(log_similarity)  # q - 1

    def one_more(table: Array, members: Array) -> tuple[Array, None]:
        players = others + members
        share = jnp.minimum(counts / players, 1)
        shared = jnp.concatenate([jnp.zeros_like(table[:, :1]), table[:, :-1]], axis=1)
        # q^(d+1) - 1 - (d+1) log q, of its value at d
        difference = _expected_difference(members - 1, counts, players - 1)
        lacking = (1 + fall) * table + fall * log_similarity * difference + _bend(log_similarity)
        return jnp.where(players <= num_alive, share * shared + (1 - share) * lacking, table), None

    table = jnp.broadcast_to(_bend(log_similarity * counts), (num_players + 1, num_players + 1))
    table, _ = jax.lax.scan(one_more, table, counts[1:])
    return table[jnp.maximum(num_alive - counts, 0)]


def _expected_difference(one: Array, other: Array, players: Array) -> Array:
    """E|y ∆ z| for random sets of two sizes."""
    return one + other - 2 * one * other / jnp.maximum(players, 1)


def _bend(x: Array) -> Array:
    """e^x - 1 - x"""
    series = x**2 / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7 * (1 + x / 8))))))
    return jnp.where(jnp.abs(x) < 0.5, series, jnp.expm1(x) - x)


def _least_squares(rows: Rows, kernel: Float[Array, "S S"], noise: Array) -> tuple[Array, Array, Array]:
    """Generalized least squares: log likelihood [K], line [1+M, K], and scores [1+M, M, K] of its slopes."""
    used = rows.mass > 0
    variances = jnp.where(used, noise / jnp.where(used, rows.mass, 1), 1)
    triangle = jnp.linalg.cholesky(jnp.where(used & used[:, None], kernel, 0) + jnp.diag(variances))
    white = solve_triangular(triangle, jnp.concatenate([rows.columns, rows.values], axis=1), lower=True)
    columns, values = white[:, : rows.columns.shape[1]], white[:, rows.columns.shape[1] :]
    gram = dot(columns.T, columns)
    diagonal = jnp.diag(gram)
    constant = diagonal == 0  # columns that do not vary have the coefficient 0
    ridge = jnp.where(constant, 1, 1e-6 * diagonal)  # too few rows leave the line undecided, but finite
    root = jnp.linalg.cholesky(gram + jnp.diag(ridge))
    inverse = solve_triangular(root, jnp.eye(len(gram)), lower=True)
    line = dot(inverse.T, dot(inverse, dot(columns.T, values)))
    freedom = jnp.sum(used) - jnp.sum(~constant) + rows.repeated
    squares = jnp.sum((values - dot(columns, line)) ** 2, axis=0) + rows.within / noise
    amplitude = squares / jnp.maximum(freedom, 1)
    volume = jnp.sum(jnp.log(jnp.diag(triangle))) + jnp.sum(jnp.log(jnp.diag(root)), where=~constant)
    likelihood = -volume - (freedom * jnp.log(amplitude) + rows.repeated * jnp.log(noise)) / 2
    likelihood = jax.lax.stop_gradient(jnp.where(freedom > 0, likelihood, -jnp.inf))
    slopes = jnp.where(constant, 0, inverse)[:, 1:]
    return likelihood, line, slopes[:, :, None] * jnp.sqrt(amplitude)
