"""Banzhaf values (Banzhaf 1965): beta_i = mean over all S not containing i of [v(S ∪ {i}) - v(S)]."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.game import Game, as_game
from xaijax._core.typing import Array
from xaijax.shap._exact import check_few, sum_of_coalitions
from xaijax.shap._weights import all_coalitions


def banzhaf(game: Game, *, batch_size: int | None = None) -> Attribution:
    """Exact Banzhaf values: the plain mean of a player's marginal contributions over all coalitions.

    Why: what a player adds to a coalition of everybody who tosses a fair coin; steadier than Shapley values where the
    game is noisy (Wang & Jia 2023). The values do not sum to output minus base value.

    Args:
      game: N games from `xai.game`, or one written by hand, of at most 16 players: all 2^M coalitions are evaluated.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]), base_value v(no players), output v(all).

    Raises:
      ValueError: if there are more than 16 players.

    References:
      Banzhaf (1965), Weighted voting doesn't work. Wang & Jia (2023), Data Banzhaf, arXiv:2205.15466.
    """
    game = as_game(game)
    check_few("shap.banzhaf", game)
    with jax.ensure_compile_time_eval():
        coalitions, weights = _constants(game.num_players)
    return sum_of_coalitions(
        game, coalitions, weights, method="Banzhaf", efficient=False, batch_size=check.batch_size(batch_size)
    )


@functools.cache
def _constants(num_players: int) -> tuple[Array, Array]:
    coalitions = all_coalitions(num_players)
    weights = np.where(coalitions.T, 1.0, -1.0) / 2 ** (num_players - 1)
    return jnp.asarray(coalitions), jnp.asarray(weights, jnp.float32)
