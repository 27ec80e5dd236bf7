"""Exact Shapley values by enumeration (Shapley 1953).

phi_i = sum over S not containing i of |S|! (M - |S| - 1)! / M! · [v(S ∪ {i}) - v(S)]
"""

from __future__ import annotations

from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax import _check
from xaijax._attribution import Attribution
from xaijax._compile import compiled
from xaijax._game import Game, Value, as_game

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
    if game.num_players > MOST_PLAYERS:
        raise ValueError(
            f"game has {game.num_players} players, so 2^{game.num_players} coalitions: shap.exact takes at most "
            f"{MOST_PLAYERS}; group the players (groups= of the masker) or use xai.shap.permutation."
        )
    batch_size = _check.batch_size(batch_size)
    return _exact(game, batch_size=batch_size)


@compiled(static_argnames=("batch_size",))
def _exact(game: Game, batch_size: int | None) -> Attribution:
    num_players = game.num_players
    subsets = np.arange(2**num_players)
    players = np.arange(num_players)[:, None]
    coalitions = (subsets[None] >> players & 1).astype(bool).T  # subset number s holds player i if its bit i is set
    without = np.stack([subsets[subsets >> player & 1 == 0] for player in range(num_players)])  # [M, 2^(M-1)]
    sizes = coalitions.sum(axis=1)[without]
    weights = 1.0 / (num_players * np.array([comb(num_players - 1, size) for size in range(num_players)]))[sizes]

    def shapley(v: Value, _key: Any, _alive: Any) -> dict[str, jax.Array]:
        worth = v(jnp.asarray(coalitions))
        marginal_contributions = worth[without + (1 << players)] - worth[without]
        values = jnp.einsum(
            "ms,ms...->m...", weights.astype(worth.dtype), marginal_contributions, precision=jax.lax.Precision.HIGHEST
        )
        return {"values": values, "base_value": worth[0], "output": worth[-1]}

    return game.attribute(
        Attribution, shapley, coalitions_at_once=len(subsets), batch_size=batch_size, method="exact Shapley values"
    )
