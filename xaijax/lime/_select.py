"""Omega(g) of LIME: which players the surrogate may use (Ribeiro, Singh & Guestrin 2016, section 3.4).

All on the Gram matrix G of the scaled columns and their products c with one output, in static shapes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float
from xaijax.lime._surrogate import Regression, dot

SELECTIONS = ["auto", "none", "forward_selection", "highest_weights", "lasso_path"]
_FORWARD_AT_MOST = 6  # "auto", as in lime: each step of the forward selection pays for its accuracy with a sweep
# The lasso path: penalties from the one that keeps nothing down to a thousandth, and sweeps at each from the last one's
# coefficients, which suffice for a change of 7 %.
_PENALTIES, _SWEEPS = 100, 10


def select(
    problem: Regression,
    goal: Float[Array, " S"],
    num_features: int,
    method: str,
    weights: Float[Array, " M"],
) -> Bool[Array, " M"]:
    """Which players stay: `num_features` of them at most.

    Args:
      problem: the columns.
      goal: one output.
      num_features: how many may stay.
      method: "forward_selection" adds the player that lowers the error most, one by one. "highest_weights" keeps the
        largest of `weights`. "lasso_path" follows |y - X w|²/2 + lambda |w|_1 from large penalties down to the last one
        at which no more players than allowed have coefficients. "auto": forward for at most 6, else highest weights.
      weights: the coefficients of the fit of all players.
    """
    if method == "auto":
        method = "forward_selection" if num_features <= _FORWARD_AT_MOST else "highest_weights"
    if method == "highest_weights":
        _, best = jax.lax.top_k(jnp.abs(weights), num_features)
        return jnp.zeros(len(weights), bool).at[best].set(True)
    rows, varies = problem.rows[:, : len(weights)], problem.varies[: len(weights)]
    search = _forward if method == "forward_selection" else _lasso
    return search(dot(rows.T, rows), dot(rows.T, goal), varies, num_features)


def _forward(
    gram: Float[Array, "M M"], products: Float[Array, " M"], varies: Bool[Array, " M"], steps: int
) -> Bool[Array, " M"]:
    """Each step takes the column that explains most of what the others have left, and sweeps it out of all (Beaton 1964)."""

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        gram, products, chosen = state
        left = jnp.diagonal(gram)
        free = varies & ~chosen & (left > 1e-5)  # of variance 1: what the chosen ones cannot say
        gains = jnp.where(free, products**2 / jnp.where(free, left, 1), -1)
        best = jnp.argmax(gains)
        column, pivot = gram[:, best], jnp.where(free[best], left[best], 1)
        taken = jnp.where(free[best], 1.0, 0.0)
        swept = gram - taken * column[:, None] * column / pivot
        return swept, products - taken * column * products[best] / pivot, chosen.at[best].set(chosen[best] | free[best])

    return jax.lax.fori_loop(0, steps, step, (gram, products, jnp.zeros(len(products), bool)))[2]


def _lasso(
    gram: Float[Array, "M M"], products: Float[Array, " M"], varies: Bool[Array, " M"], most: int
) -> Bool[Array, " M"]:
    """Coordinate descent along the path (Friedman, Hastie & Tibshirani 2010); no refit, only who is in."""
    size = jnp.where(varies, jnp.diagonal(gram), 1)
    largest = jnp.max(jnp.abs(products))

    def coordinate(j: int, weights: Array, penalty: Array) -> Array:
        left = products[j] - dot(gram[j], weights) + size[j] * weights[j]
        new = jnp.sign(left) * jnp.maximum(jnp.abs(left) - penalty, 0) / size[j]
        return weights.at[j].set(jnp.where(varies[j], new, 0))

    def at_penalty(state: tuple[Array, Array], share: Array) -> tuple[tuple[Array, Array], None]:
        weights, chosen = state
        step = lambda i, weights: coordinate(i % len(weights), weights, share * largest)  # noqa: E731
        weights = jax.lax.fori_loop(0, _SWEEPS * len(weights), step, weights)
        inside = weights != 0
        return (weights, jnp.where(inside.sum() <= most, inside, chosen)), None

    shares = jnp.logspace(0, -3, _PENALTIES)
    start = (jnp.zeros_like(products), jnp.zeros(len(products), bool))
    return jax.lax.scan(at_penalty, start, shares)[0][1]
