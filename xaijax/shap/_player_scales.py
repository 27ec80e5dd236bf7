"""The odd Gaussian process with a scale for each player (automatic relevance determination: MacKay 1994, Neal 1996).

k(x, y) = odd part of prod_i (1 + rho_i x_i y_i), over prod_i (1 + rho_i), plus a boost of the linear part. The scales rho_i,
the boost and the noise maximize the posterior, by gradient ascent, for each example and output. With a_i = atanh(rho_i),

    K = prod_i sqrt(1 - rho_i²) / (1 + rho_i) · sinh(X diag(a) X')

and the covariance of the Shapley value of player i with o(x) is the integral over t in [-1, 1] of

    rho_i x_i / (1 + t rho_i x_i) · prod_j (1 + t rho_j x_j) / (1 + rho_j)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import cho_solve, solve_triangular

from xaijax._core.numerics import dot, safe_sqrt
from xaijax._core.typing import Array, Bool, Float

_STEPS = 15  # of ascent; more steps change less than another draw of the design does
_RATE = 0.25
_START_DEGREE = 0.5  # sum of the scales, the mean degree of interactions
_LEAST_NOISE, _START_NOISE = 1e-5, 1e-4  # of the variance; float32 Cholesky factors need as much
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


class Scales(NamedTuple):
    """The parameters of one game's process.

    logits: [M] of the players' scales, about their mean. mean: of the logits. boost, noise: logarithms.
    """

    logits: Float[Array, " M"]
    mean: Float[Array, ""]
    boost: Float[Array, ""]
    noise: Float[Array, ""]

    def rho(self, active: Bool[Array, " M"]) -> Float[Array, " M"]:
        return jnp.where(active, 0.95 * jax.nn.sigmoid(self.mean + self.logits), 0)


def with_scales(
    spins: Float[Array, "n M"], odd: Float[Array, " n"], active: Bool[Array, " M"]
) -> tuple[Float[Array, " M"], Float[Array, " M"]]:
    """Returns posterior means and standard deviations of the Shapley values of one game, whose odd parts are about 1."""
    size = jnp.sqrt(jnp.mean(odd**2))
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1))
    odd = odd / size
    start = _START_DEGREE / jnp.maximum(active.sum(), 1).astype(odd.dtype)
    first = Scales(
        jnp.zeros(len(active), odd.dtype),
        jnp.log(start / (1 - start)).astype(odd.dtype),
        jnp.ones((), odd.dtype),
        jnp.asarray(math.log(_START_NOISE), odd.dtype),
    )
    optimizer = optax.adam(optax.linear_schedule(_RATE + 0.02, 0.02, _STEPS), b2=0.99)

    @jax.checkpoint
    def ascend(state, _):
        scales, moments, best, best_loss = state
        loss, slope = jax.value_and_grad(_loss)(scales, spins, odd, active)
        better = loss < best_loss
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), scales, best)
        slope = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0), slope)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            step, moments = optimizer.update(slope, moments)
            scales = optax.apply_updates(scales, step)
        return (scales, moments, best, jnp.where(better, loss, best_loss)), None

    state = (first, optimizer.init(first), first, jnp.asarray(jnp.inf, odd.dtype))
    (_, _, best, _), _ = jax.lax.scan(ascend, state, length=_STEPS)
    values, deviations = _posterior(best, spins, odd, active)
    return size * values, size * deviations


def _loss(scales: Scales, spins: Array, odd: Array, active: Array) -> Array:
    """Returns minus the logarithm of the posterior, with the amplitude that maximizes it."""
    root = _root(scales, spins, active)
    white = solve_triangular(root, odd, lower=True)
    likelihood = len(odd) / 2 * jnp.log(jnp.maximum(jnp.mean(white**2), 1e-30)) + jnp.log(jnp.diag(root)).sum()
    # Scales differ by a factor of about e, boosts from e by e², noises from their start by e³.
    prior = (scales.logits**2).sum() / 2 + ((scales.boost - 1) / 2) ** 2 / 2
    return likelihood + prior + ((scales.noise - math.log(_START_NOISE)) / 3) ** 2 / 2


def _root(scales: Scales, spins: Array, active: Array) -> Float[Array, "n n"]:
    rho = scales.rho(active)
    between = _covariances(rho, scales.boost, spins)
    noise = (_LEAST_NOISE + jnp.exp(scales.noise)) * jnp.mean(jnp.diag(between))
    return jnp.linalg.cholesky(between + noise * jnp.eye(len(spins), dtype=spins.dtype))


def _covariances(rho: Array, boost: Array, spins: Array) -> Float[Array, "n n"]:
    reach = jnp.arctanh(rho)
    products = dot(spins * reach[None], spins.T)
    top = reach.sum()  # the largest product: sinh is taken relative to its largest value, which float32 may not hold
    curved = (jnp.exp(products - top) - jnp.exp(-products - top)) / 2
    linear = dot(spins * rho[None], spins.T)
    return curved + jnp.expm1(boost) * jnp.exp(-jnp.log1p(rho).sum()) * linear


def _posterior(scales: Scales, spins: Array, odd: Array, active: Array) -> tuple[Array, Array]:
    rho = scales.rho(active)
    scale, boost = -jnp.log1p(rho).sum(), jnp.expm1(scales.boost)
    with_values = 2 * boost * jnp.exp(scale) * (spins * rho[None]).T
    for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
        inner = node * rho
        others = jnp.exp(scale + jnp.log1p(-(inner**2)).sum() / 2 + dot(spins, jnp.arctanh(inner)))
        with_values += weight * others[None] * (rho[None] * spins / (1 + inner[None] * spins)).T
    root = _root(scales, spins, active)
    values = dot(with_values, cho_solve((root, True), odd))
    explained = (solve_triangular(root, with_values.T, lower=True) ** 2).sum(axis=0)
    amplitude = jnp.mean(solve_triangular(root, odd, lower=True) ** 2)
    left = jnp.maximum(_variances(rho, scale) + 4 * boost * jnp.exp(scale) * rho - explained, 0)
    return values, safe_sqrt(amplitude * left)


def _variances(rho: Array, scale: Array) -> Float[Array, " M"]:
    """Returns the prior variances 4 sum over odd T with i of prod rho_T / |T|².

    1 / k² is the integral of s^(k-1) (-log s) over s from 0 to 1; with s = u³ the integrand is smooth.
    """
    nodes, weights = (_NODES + 1) / 2, _WEIGHTS / 2
    total = jnp.zeros_like(rho)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        s, measure = node**3, 3 * node**2 * weight * -3 * math.log(node)
        plus, minus = (jnp.log1p(sign * s * rho) for sign in (1, -1))
        even = (jnp.exp(scale + plus.sum() - plus) + jnp.exp(scale + minus.sum() - minus)) / 2
        total += measure * even
    return 4 * rho * total
