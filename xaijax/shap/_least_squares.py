"""Shapley values by weighted least squares (Charnes et al. 1988; KernelSHAP: Lundberg & Lee 2017), with paired coalitions.

phi = argmin sum_s w_s (x_s·phi - o_s)²    with    sum_i phi_i = v(grand coalition) - v(empty coalition)

over pairs of spins x = z - 1/2 and odd parts o. The even part of a game drops out of the regression (Covert & Lee 2021).
w is the Shapley kernel (M - 1) / (C(M, k) k (M - k)) over the probability of drawing a pair. The constants of the design
are made on the host in float64: phi is a constant matrix times the odd parts.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import cho_factor, cho_solve

from xaijax._core.numerics import dot, ratio, safe_sqrt
from xaijax._core.typing import Array, Bool, Float
from xaijax.shap._design import Design

_CONJUGATE_STEPS = 40
_LEAST_SPARED = 1e-3  # of 1 - leverage: residuals are divided by it


class Regression(NamedTuple):
    """A regression as a matrix.

    operator: [M, n+1] from odd parts, that of the grand coalition last, to Shapley values.
    spins: [n, M].
    spared: [n] 1 - leverage.
    left: [n] the share of the pairs of this size that was not drawn.
    enough: whether the residuals have degrees of freedom.
    """

    operator: Float[Array, "M n"]
    spins: Float[Array, "n M"]
    spared: Float[Array, " n"]
    left: Float[Array, " n"]
    enough: Bool[Array, ""]


class Large(NamedTuple):
    """The same for designs whose operator is too large to store. weights: [n] of the pairs."""

    spins: Float[Array, "n M"]
    weights: Float[Array, " n"]
    left: Float[Array, " n"]


@functools.lru_cache(maxsize=16)
def regression(design: Design, stage: int) -> Regression:
    """Returns the constants of a design, on the device."""
    spins, weights = _spins(design, stage), kernel_weights(design, stage)
    count, num_players = spins.shape
    # Without the direction of all ones, in which the sum is given.
    centered = spins - spins.mean(axis=1, keepdims=True)
    gram = (centered * weights[:, None]).T @ centered
    size = np.trace(gram) / num_players
    gram += size * (np.ones((num_players, num_players)) / num_players + 1e-10 * np.eye(num_players))
    operator = cho_solve(cho_factor(gram), (centered * weights[:, None]).T)
    leverage = (centered * operator.T).sum(axis=1)
    of_grand = 2 / num_players * (1 - operator @ spins.sum(axis=1))  # what the given sum adds
    spared = np.maximum(1 - leverage, _LEAST_SPARED)
    numbers = (np.column_stack([operator, of_grand]), spins, spared, 1 - design.chance[stage, :count])
    with jax.ensure_compile_time_eval():
        tables = (jnp.asarray(part, jnp.float32) for part in numbers)
        return Regression(*tables, enough=jnp.asarray(count > num_players - 1))


@functools.lru_cache(maxsize=4)
def large(design: Design, stage: int) -> Large:
    """Returns the constants of a large design, on the device."""
    spins, weights = _spins(design, stage), kernel_weights(design, stage)
    numbers = (spins, weights / weights.mean(), 1 - design.chance[stage, : len(spins)])
    with jax.ensure_compile_time_eval():
        return Large(*(jnp.asarray(part, jnp.float32) for part in numbers))


def kernel_weights(design: Design, stage: int) -> np.ndarray:
    """Returns [n] the Shapley kernel over the probability of each pair, up to a factor.

    The probability is the number of pairs of k players drawn, over C(M, k), or half of it where k = M / 2. The binomials,
    which no float holds for many players, cancel.
    """
    pairs, num_players = design.stages[stage], design.num_players
    sizes = design.coalitions[:pairs].sum(axis=1)
    halved = np.where(2 * sizes == num_players, 0.5, 1.0)
    return halved / (design.alike[stage, :pairs] * sizes * (num_players - sizes))


def solve(problem: Regression, odd: Float[Array, "n K"]) -> tuple[Float[Array, "M K"], Float[Array, "M K"]]:
    """Returns values, and standard errors by the sandwich for sampling without replacement (HC3: MacKinnon & White 1985):

    Var phi = sum_s (1 - pi_s) (H_s r_s / (1 - h_s))², with r the residuals, h the leverages, H the operator.
    """
    operator, spins, spared, left = (table.astype(odd.dtype) for table in problem[:4])
    values = dot(operator, odd)
    residuals = odd[:-1] - dot(spins, values)
    scores = left[:, None] * (residuals / spared[:, None]) ** 2
    errors = safe_sqrt(dot(operator[:, :-1] ** 2, scores))
    # Where all pairs are drawn the values are exact; with as many pairs as coefficients, residuals have no spread.
    return values, jnp.where((left == 0).all(), 0, jnp.where(problem.enough, errors, jnp.inf))


def solve_large(problem: Large, odd: Float[Array, "n K"]) -> tuple[Float[Array, "M K"], Float[Array, "M K"]]:
    """Solves by conjugate gradients: the Gram matrix of balanced pairs is close to a multiple of the identity.

    Standard errors and leverages take it for that multiple.
    """
    spins, weights, left = (table.astype(odd.dtype) for table in problem)
    count, num_players = spins.shape
    centered = spins - spins.mean(axis=1, keepdims=True)
    share = 2 * odd[-1:] / num_players
    goal = odd[:-1] - spins.sum(axis=1)[:, None] * share

    def gram(step: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return dot(centered.T, weights[:, None] * dot(centered, step))

    def one_step(state, _):
        values, left, step, size = state
        image = gram(step)
        length = ratio(size, jnp.maximum((step * image).sum(axis=0), 0))[None]
        values, left = values + length * step, left - length * image
        left = left - left.mean(
            axis=0, keepdims=True
        )  # rounding errors along all ones, where nothing curves, would grow
        new = (left**2).sum(axis=0)
        return (values, left, left + ratio(new, size)[None] * step, new), None

    start = dot(centered.T, weights[:, None] * goal)
    state = (jnp.zeros_like(start), start, start, (start**2).sum(axis=0))
    (values, *_), _ = jax.lax.scan(one_step, state, length=_CONJUGATE_STEPS)
    values = values + share

    residuals = odd[:-1] - dot(spins, values)
    multiple = (weights[:, None] * centered**2).sum() / (num_players - 1)
    pull = weights / multiple
    spared = jnp.maximum(1 - pull * (centered**2).sum(axis=1), _LEAST_SPARED)
    scores = left[:, None] * (pull[:, None] * residuals / spared[:, None]) ** 2
    errors = safe_sqrt(dot((centered**2).T, scores))
    return values, errors if count > num_players - 1 else jnp.full_like(errors, jnp.inf)


def _spins(design: Design, stage: int) -> np.ndarray:
    return design.coalitions[: design.stages[stage]] - 0.5
