"""Shapley values by weighted least squares (Charnes et al. 1988; KernelSHAP: Lundberg & Lee 2017), with paired coalitions.

phi = argmin sum_s w_s (x_s·phi - o_s)²  with  sum_i phi_i = v(all) - v(nobody)

over pairs of spins x = z - 1/2 and odd parts o; the even part of a game falls out of the regression (Covert & Lee 2021).
w is Shapley's kernel (M - 1) / (C(M, k) k (M - k)) over the chance of a pair to be drawn. Constants of the design, made on
the host in float64: phi is a constant matrix times the odd parts.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import cho_factor, cho_solve

from xaijax._core.typing import Array, Bool, Float
from xaijax.shap._design import Design

_HIGHEST = jax.lax.Precision.HIGHEST
_CONJUGATE_STEPS = 40


class Regression(NamedTuple):
    """operator: [M, n+1] from odd parts, that of all players last, to Shapley values; spins: [n, M]; spared: [n] 1 - leverage;
    left: [n] 1 - chance, what is unknown of a pair's size; enough: whether the residuals have degrees of freedom."""

    operator: Float[Array, "M n"]
    spins: Float[Array, "n M"]
    spared: Float[Array, " n"]
    left: Float[Array, " n"]
    enough: Bool[Array, ""]


class Large(NamedTuple):
    """The same for designs whose operator is too large to write down. weights: [n] of the pairs."""

    spins: Float[Array, "n M"]
    weights: Float[Array, " n"]
    left: Float[Array, " n"]


@functools.lru_cache(maxsize=16)
def regression(design: Design, stage: int) -> Regression:
    spins, weights = _spins(design, stage), kernel_weights(design, stage)
    count, num_players = spins.shape
    # Without the direction of all ones, in which the sum is given.
    centered = spins - spins.mean(axis=1, keepdims=True)
    gram = (centered * weights[:, None]).T @ centered
    size = np.trace(gram) / num_players
    gram += size * (np.ones((num_players, num_players)) / num_players + 1e-10 * np.eye(num_players))
    operator = cho_solve(cho_factor(gram), (centered * weights[:, None]).T)
    leverage = (centered * operator.T).sum(axis=1)
    everybody = 2 / num_players * (1 - operator @ spins.sum(axis=1))  # what the given sum adds, per odd part of all
    spared = np.maximum(1 - leverage, 1e-3)
    left = 1 - design.chance[stage, :count]
    numbers = (np.column_stack([operator, everybody]), spins, spared, left)
    operator, spins, spared, left = (jnp.asarray(part, jnp.float32) for part in numbers)
    return Regression(operator, spins, spared, left, jnp.asarray(count > num_players - 1))


@functools.lru_cache(maxsize=4)
def large(design: Design, stage: int) -> Large:
    spins, weights = _spins(design, stage), kernel_weights(design, stage)
    left = 1 - design.chance[stage, : len(spins)]
    return Large(*(jnp.asarray(part, jnp.float32) for part in (spins, weights / weights.mean(), left)))


def kernel_weights(design: Design, stage: int) -> np.ndarray:
    """[n] Shapley's kernel over the chance of each pair, up to a factor.

    The chance is the number of pairs of k players drawn, over C(M, k), or half as many where k = M / 2: the binomials, which
    no float holds for many players, cancel.
    """
    pairs, num_players = design.stages[stage], design.num_players
    sizes = design.coalitions[:pairs].sum(axis=1)
    halved = np.where(2 * sizes == num_players, 0.5, 1.0)
    return halved / (design.alike[stage, :pairs] * sizes * (num_players - sizes))


def solve(problem: Regression, odd: Float[Array, "n K"]) -> tuple[Float[Array, "M K"], Float[Array, "M K"]]:
    """Values, and standard errors by the sandwich (HC3: MacKinnon & White 1985) for sampling without replacement:

    Var phi = sum_s (1 - pi_s) (H_s r_s / (1 - h_s))², with r the residuals, h the leverages, H the operator.
    """
    values = jnp.matmul(problem.operator, odd, precision=_HIGHEST)
    residuals = odd[:-1] - jnp.matmul(problem.spins, values, precision=_HIGHEST)
    scores = problem.left * (residuals / problem.spared[:, None]).T ** 2
    variances = jnp.matmul(problem.operator[:, :-1] ** 2, scores.T, precision=_HIGHEST)
    errors = jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)
    # All pairs there are leave nothing to chance; as many as coefficients leave nothing over to judge by.
    known = (problem.left == 0).all()
    return values, jnp.where(known, 0, jnp.where(problem.enough, errors, jnp.inf))


def solve_large(problem: Large, odd: Float[Array, "n K"]) -> tuple[Float[Array, "M K"], Float[Array, "M K"]]:
    """By conjugate gradients: the Gram matrix of balanced pairs is near a multiple of the identity.

    Standard errors take it for that multiple, and leverages by it.
    """
    count, num_players = problem.spins.shape
    centered = problem.spins - problem.spins.mean(axis=1, keepdims=True)
    share = 2 * odd[-1] / num_players
    goal = odd[:-1] - problem.spins.sum(axis=1)[:, None] * share

    def gram(step: Float[Array, "M K"]) -> Float[Array, "M K"]:
        along = problem.weights[:, None] * jnp.matmul(centered, step, precision=_HIGHEST)
        return jnp.matmul(centered.T, along, precision=_HIGHEST)

    def one_step(state, _):
        values, left, step, size = state
        image = gram(step)
        curvature = (step * image).sum(axis=0)
        length = jnp.where(curvature > 0, size / jnp.where(curvature > 0, curvature, 1), 0)
        values, left = values + length * step, left - length * image
        left = left - left.mean(axis=0)  # rounding's part along all ones, where nothing curves, would grow without end
        new = (left**2).sum(axis=0)
        turn = jnp.where(size > 0, new / jnp.where(size > 0, size, 1), 0)
        return (values, left, left + turn * step, new), None

    start = jnp.matmul(centered.T, problem.weights[:, None] * goal, precision=_HIGHEST)
    state = (jnp.zeros_like(start), start, start, (start**2).sum(axis=0))
    (values, *_), _ = jax.lax.scan(one_step, state, length=_CONJUGATE_STEPS)
    values = values + share

    residuals = odd[:-1] - jnp.matmul(problem.spins, values, precision=_HIGHEST)
    multiple = (problem.weights[:, None] * centered**2).sum() / (num_players - 1)
    pull = problem.weights / multiple
    spared = jnp.maximum(1 - pull * (centered**2).sum(axis=1), 1e-3)
    scores = problem.left[:, None] * (pull[:, None] * residuals / spared[:, None]) ** 2
    variances = jnp.matmul((centered**2).T, scores, precision=_HIGHEST)
    errors = jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)
    return values, errors if count > num_players - 1 else jnp.full_like(errors, jnp.inf)


def _spins(design: Design, stage: int) -> np.ndarray:
    return design.coalitions[: design.stages[stage]] - 0.5
