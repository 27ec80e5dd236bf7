"""Exact Shapley values by enumeration (Shapley 1953).

phi_i = sum over S not containing i of |S|! (M - |S| - 1)! / M! · [v(S ∪ {i}) - v(S)]

The sum is one constant matrix times the values of all coalitions.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.typing import Array, Bool, Float
from xaijax.shap._weights import all_coalitions, operator

MOST_PLAYERS = 16  # 65,536 coalitions for each input; beyond it the sampled estimators are the better use of the time


def exact(game: Game, *, batch_size: int | None = None) -> Attribution:
    """Exact Shapley values: the weighted mean of a player's marginal contributions over all coalitions.

    Why: no sampling error, and cheaper than sampling to useful precision for up to about a dozen players.

    Args:
      game: N games from `xai.game`, or one written by hand, of at most 16 players: all 2^M coalitions are evaluated.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) with base_value v(no players) and output
      v(all players), from one to the other of which the values sum.

    Raises:
      ValueError: if there are more than 16 players.

    References:
      Shapley (1953), A value for n-person games.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> pay = jnp.array([0.0, 4, 7, 10, 5, 16, 20, 35])  # of the coalitions -, A, B, AB, C, AC, BC, ABC
    >>> game = xai.Game(lambda z: pay[z @ jnp.array([1, 2, 4])], num_players=3)
    >>> [f"{value:.3f}" for value in xai.shap.exact(game).values.tolist()]
    ['8.667', '12.167', '14.167']
    """
    game = as_game(game)
    check_few("shap.exact", game)
    with jax.ensure_compile_time_eval():
        coalitions, weights = _constants(game.num_players)
    return sum_of_coalitions(
        game, coalitions, weights, method="SHAP", efficient=True, batch_size=check.batch_size(batch_size)
    )


def check_few(name: str, game: Game) -> None:
    """Raises where all coalitions are too many."""
    if game.num_players > MOST_PLAYERS:
        number = f" = {2**game.num_players:,}" if game.num_players <= 64 else ""
        raise ValueError(
            f"game has {game.num_players} players, so 2^{game.num_players}{number} coalitions: {name} "
            f"takes at most {MOST_PLAYERS} players; group the players (groups= of the masker), or use an estimator, such "
            "as xai.shap.gaussian_process."
        )


@functools.cache
def _constants(num_players: int) -> tuple[Array, Array]:
    coalitions = all_coalitions(num_players)
    return jnp.asarray(coalitions), jnp.asarray(operator(coalitions), jnp.float32)


@compiled(static_argnames=("method", "efficient", "batch_size"), title=lambda options: options["method"])
def sum_of_coalitions(
    game: Game,
    coalitions: Bool[Array, "S M"],
    weights: Float[Array, "M S"],
    method: str,
    efficient: bool,
    batch_size: int | None,
) -> Attribution:
    """phi = weights · v(coalitions), of which the first is nobody and the last everybody; weights sum to 0 over S."""

    def values(v: Value, _key: Any, active: Bool[Array, " M"]) -> dict[str, Array]:
        worth = v(coalitions)
        gains = worth - worth[0]  # what all have in common would cost digits
        found = jnp.einsum("ms,s...->m...", weights, gains, precision=jax.lax.Precision.HIGHEST)
        found = jnp.where(active.reshape(-1, *[1] * (found.ndim - 1)), found, 0)
        return {
            "values": found,
            "std_errors": jnp.zeros_like(found),
            "base_value": worth[0],
            "output": worth[-1],
            "num_evaluations": jnp.asarray(len(coalitions), jnp.int32),
        }

    return game.attribute(
        Attribution,
        values,
        method=method,
        estimator="exact",
        efficient=efficient,
        coalitions_at_once=len(coalitions),
        batch_size=batch_size,
    )
