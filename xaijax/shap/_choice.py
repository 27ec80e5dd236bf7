"""The choice of the next pairs to evaluate: those that are expected to reduce the variances of the Shapley values most.

Given the pairs so far, let c(z) be the posterior covariances of the Shapley values with the odd part o(z), and d(z) the
posterior variance of o(z) with its noise. The variances of a Gaussian process do not depend on what is observed. If the pair
of z is evaluated, the sum of the variances of the values falls by

    sum over i of c_i(z)² / d(z)

Pairs are chosen greedily: the best of the candidates, then the best given that one, and so on (A-optimality). Each choice
adds a row to the Cholesky factor of the covariances, and changes c and d by one outer product.

Rundel et al. (2026), arXiv:2606.02247 (ShaplEIG) choose coalitions one by one, by the expected gain of information about the
values. Here few rounds choose many pairs each, so that the model evaluates whole batches.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.numerics import dot
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.shap._player_scales import Observed, OddProcess, Scales

# Odd parts are rounded to 1/256 of their size before they decide: 1e-6 of their variance, less than the least noise. So
# the rounding errors of the model, which differ with the batch, seldom change what is chosen.
_ROUNDED = 256


def rounded(odd: Float[Array, "n K"]) -> Float[Array, "n K"]:
    """Returns odd parts in units of their root mean square, rounded to what decides."""
    size = jnp.sqrt(jnp.mean(odd**2, axis=0, keepdims=True))
    return jnp.round(_ROUNDED * odd / jnp.where(size > 0, size, 1)) / _ROUNDED


def choose(
    scales: Scales,
    spins: Float[Array, "n M"],
    active: Bool[Array, " M"],
    present: Bool[Array, " n"],
    candidates: Float[Array, "C M"],
    available: Bool[Array, " C"],
    count: int,
) -> Int[Array, " count"]:
    """Returns the indices of `count` candidates.

    Args:
      scales: the process.
      spins, present: the evaluated pairs; rows that are not present do not count.
      active: the players that change anything.
      candidates: the spins of C pairs, of which those that are available may be chosen: at least `count`.
      count: the number of pairs to choose. Each costs (n + count) C operations.
    """
    process = OddProcess.of(scales, active)
    rows = Observed.of(process.observed(spins, present), process.linear, spins, present)
    seen = present[:, None]
    of_values = jnp.where(seen, process.with_values(spins).T, 0)
    of_candidates = jnp.where(seen, process.between(spins, candidates), 0)
    values, own = rows.unexplained(2 * jnp.eye(len(active), dtype=spins.dtype), of_values)
    explained, left = rows.unexplained(candidates.T, of_candidates)
    cross = process.with_values(candidates) - dot(values.T, explained) + dot(own.T, left)
    least = process.noise / 2  # variances are differences, which rounding may bring below the noise
    variances = process.variance() + process.noise - (explained**2).sum(axis=0) + (left**2).sum(axis=0)
    chosen_rows = jnp.zeros((count, len(candidates)), spins.dtype)
    factor = jnp.concatenate([left, explained, chosen_rows])  # posterior covariances are those of g, minus the products
    signs = jnp.concatenate([-jnp.ones(len(left), spins.dtype), jnp.ones(len(spins) + count, spins.dtype)])

    def choose_one(number: Int[Array, ""], state: tuple[Array, ...]) -> tuple[Array, ...]:
        factor, cross, variances, available, chosen = state
        best = jnp.argmax(jnp.where(available, (cross**2).sum(axis=0) / variances, -1))
        spin = jax.lax.dynamic_slice_in_dim(candidates, best, 1)
        column = jax.lax.dynamic_slice_in_dim(factor, best, 1, axis=1)[:, 0]
        deviation = jnp.sqrt(variances[best])
        row = (process.between(spin, candidates)[0] - dot(column * signs, factor)) / deviation
        cross = cross - (cross[:, best] / deviation)[:, None] * row[None]
        variances = jnp.maximum(variances - row**2, least)
        factor = jax.lax.dynamic_update_slice_in_dim(factor, row[None], len(left) + len(spins) + number, axis=0)
        return factor, cross, variances, available.at[best].set(False), chosen.at[number].set(best.astype(jnp.int32))

    state = (factor, cross, jnp.maximum(variances, least), available, jnp.zeros(count, jnp.int32))
    return jax.lax.fori_loop(0, count, choose_one, state)[-1]
