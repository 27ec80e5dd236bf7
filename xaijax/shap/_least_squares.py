"""Shapley values by weighted least squares (Charnes et al. 1988; KernelSHAP: Lundberg & Lee 2017), with paired coalitions.

phi = argmin sum_s w_s (x_s·phi - o_s)²    with    sum_i phi_i = v(grand coalition) - v(empty coalition)

over pairs of spins x = z - 1/2 and odd parts o. The even part of a game drops out of the regression (Covert & Lee 2021).
w is the Shapley kernel (M - 1) / (C(M, k) k (M - k)) over the probability of drawing a pair. The constants of the design
are made on the host in float64: phi is a constant matrix times the odd parts. Where this matrix would be too large, the
coalitions are kept as bits, and conjugate gradients solve the regression. Nothing but the results is as large as a design.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.numerics import dot, ratio, safe_sqrt
from xaijax._core.typing import Array, Bool, Float
from xaijax.shap._design import Design, num_pairs

_CONJUGATE_STEPS, _FEW_PAIRS_STEPS = 40, 200  # of conjugate gradients: to 1e-7 from 4 M pairs on, and from 2 M on
_LEAST_SPARED = 1e-3  # of 1 - leverage: residuals are divided by it
_ROWS = 1024  # pairs at once: temporary arrays are [1024, M]


class Regression(NamedTuple):
    """A regression as a matrix.

    operator: [M, n+1] from odd parts, that of the grand coalition last, to Shapley values.
    spins: [n, M].
    spared: [n] 1 - leverage.
    left: [n] the share of the pairs of this size that was not drawn.
    """

    operator: Float[Array, "M n"]
    spins: Float[Array, "n M"]
    spared: Float[Array, " n"]
    left: Float[Array, " n"]


class Large(NamedTuple):
    """The same for designs whose operator is too large to store.

    coalitions: [b, r, M] in b blocks of r rows. weights, left: [b, r]; 0 for rows that fill up the last block.
    """

    coalitions: Bool[Array, "b r M"]
    weights: Float[Array, "b r"]
    left: Float[Array, "b r"]


@functools.lru_cache(maxsize=16)
def regression(design: Design, stage: int) -> Regression:
    """Returns the constants of a design, on the device."""
    from scipy.linalg import cho_factor, cho_solve  # imported on first use: it takes a tenth of a second

    weights, num_players = kernel_weights(design, stage), design.num_players
    count = len(weights)
    gram = np.zeros((num_players, num_players))
    for rows, _, centered in _blocks(design, stage):
        gram += (centered * weights[rows, None]).T @ centered
    size = np.trace(gram) / num_players
    gram += size * (np.ones((num_players, num_players)) / num_players + 1e-10 * np.eye(num_players))
    root = cho_factor(gram, overwrite_a=True)
    operator, leverage = np.empty((num_players, count + 1), np.float32), np.empty(count)
    of_sums = np.zeros(num_players)
    for rows, spins, centered in _blocks(design, stage):
        part = cho_solve(root, (centered * weights[rows, None]).T)
        operator[:, rows], leverage[rows] = part, (centered * part.T).sum(axis=1)
        of_sums += part @ spins.sum(axis=1)
    operator[:, -1] = 2 / num_players * (1 - of_sums)  # what the given sum adds
    spins = design.coalitions[:count] - np.float32(0.5)
    numbers = (operator, spins, np.maximum(1 - leverage, _LEAST_SPARED), 1 - design.chance[stage, :count])
    with jax.ensure_compile_time_eval():
        return Regression(*(jnp.asarray(part, jnp.float32) for part in numbers))


@functools.lru_cache(maxsize=4)
def large(design: Design, stage: int) -> Large:
    """Returns the constants of a large design, on the device."""
    weights = kernel_weights(design, stage)
    count = len(weights)

    def in_blocks(numbers: np.ndarray) -> np.ndarray:
        filled = np.concatenate([numbers, np.zeros((-count % _ROWS, *numbers.shape[1:]), numbers.dtype)])
        return filled.reshape(-1, _ROWS, *numbers.shape[1:])

    with jax.ensure_compile_time_eval():
        return Large(
            jnp.asarray(in_blocks(design.coalitions[:count])),
            jnp.asarray(in_blocks(weights / weights.mean()), jnp.float32),
            jnp.asarray(in_blocks(1 - design.chance[stage, :count]), jnp.float32),
        )


def _blocks(design: Design, stage: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yields rows, their spins, and these without the direction of all ones, in which the sum is given."""
    count = design.stages[stage]
    for start in range(0, count, _ROWS):
        rows = slice(start, min(start + _ROWS, count))
        spins = design.coalitions[rows] - 0.5
        yield rows, spins, spins - spins.mean(axis=1, keepdims=True)


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
    operator, spins, spared, left = (table.astype(odd.dtype) for table in problem)
    values = dot(operator, odd)
    residuals = odd[:-1] - dot(spins, values)
    scores = left[:, None] * (residuals / spared[:, None]) ** 2
    errors = safe_sqrt(dot(operator[:, :-1] ** 2, scores))
    return values, _where_known(errors, left, len(left))


def _where_known(errors: Float[Array, "M K"], left: Float[Array, "..."], num_drawn: int) -> Float[Array, "M K"]:
    """Returns the errors: 0 where all pairs are drawn, and infinite where nothing tells them.

    Of as many pairs as coefficients, residuals have no spread. Where all pairs of some sizes are drawn, and none of the
    others, chance has no part in the values, which are not exact for all that.
    """
    if num_drawn == num_pairs(len(errors)):
        return jnp.zeros_like(errors)
    return jnp.where((num_drawn >= len(errors)) & (left > 0).any(), errors, jnp.inf)


def solve_large(problem: Large, odd: Float[Array, "n K"]) -> tuple[Float[Array, "M K"], Float[Array, "M K"]]:
    """Solves by conjugate gradients: the Gram matrix of balanced pairs is close to a multiple of the identity.

    Standard errors and leverages take it for that multiple. All steps are orthogonal to the direction of all ones, in
    which the sum is given, so that spins need not be centered.
    """
    blocks, rows, num_players = problem.coalitions.shape
    dtype, count = odd.dtype, len(odd) - 1
    weights, left = problem.weights.astype(dtype)[..., None], problem.left.astype(dtype)[..., None]
    observed = jnp.pad(odd[:-1], [(0, blocks * rows - count), (0, 0)]).reshape(blocks, rows, -1)
    share = 2 * odd[-1:] / num_players

    def summed(of_block: Callable[..., Any], *others: Array) -> Any:
        """Sums a function of the spins of each block, and of what else is given for its rows."""

        def add(total: Any, block: tuple[Array, ...]) -> tuple[Any, None]:
            coalitions, *rest = block
            return jax.tree.map(jnp.add, total, of_block(coalitions.astype(dtype) - 0.5, *rest)), None

        given = (problem.coalitions, *others)
        shapes = jax.eval_shape(
            lambda *first: of_block(first[0].astype(dtype) - 0.5, *first[1:]), *(a[0] for a in given)
        )
        zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.scan(add, zeros, given)[0]

    def projected(numbers: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return numbers - numbers.mean(axis=0, keepdims=True)

    def gram(step: Float[Array, "M K"]) -> Float[Array, "M K"]:
        return projected(summed(lambda spins, weights: dot(spins.T, weights * dot(spins, step)), weights))

    def one_step(state, _):
        values, left, step, size = state
        image = gram(step)
        length = ratio(size, jnp.maximum((step * image).sum(axis=0), 0))[None]
        # Rounding errors along all ones, where nothing curves, would grow.
        values, left = values + length * step, projected(left - length * image)
        new = (left**2).sum(axis=0)
        return (values, left, left + ratio(new, size)[None] * step, new), None

    def of_goal(spins: Array, weights: Array, observed: Array) -> Array:
        return dot(spins.T, weights * (observed - spins.sum(axis=1, keepdims=True) * share))

    steps = _CONJUGATE_STEPS if count >= 4 * num_players else _FEW_PAIRS_STEPS
    start = projected(summed(of_goal, weights, observed))
    state = (jnp.zeros_like(start), start, start, (start**2).sum(axis=0))
    (values, *_), _ = jax.lax.scan(one_step, state, length=steps)
    values = values + share

    # The squares of centered spins s - m are 1/4 - 2 m s + m².
    def of_squares(spins: Array, weights: Array) -> Array:
        return (weights[:, 0] * num_players * (1 / 4 - spins.mean(axis=1) ** 2)).sum()

    multiple = summed(of_squares, weights) / (num_players - 1)

    def of_residuals(spins: Array, weights: Array, left: Array, observed: Array) -> Array:
        mean, pull = spins.mean(axis=1, keepdims=True), weights / multiple
        spared = jnp.maximum(1 - pull * num_players * (1 / 4 - mean**2), _LEAST_SPARED)
        scores = left * (pull * (observed - dot(spins, values)) / spared) ** 2
        return ((1 / 4 + mean**2) * scores).sum(axis=0)[None] - 2 * dot(spins.T, mean * scores)

    errors = safe_sqrt(summed(of_residuals, weights, left, observed))
    return values, _where_known(errors, left, count)
