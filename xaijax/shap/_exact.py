"""Exact Shapley values (Shapley 1953) and Banzhaf values (Banzhaf 1965) by enumeration.

phi_i  = sum over S not containing i of |S|! (M - |S| - 1)! / M! · [v(S ∪ {i}) - v(S)]
beta_i = mean over S not containing i of [v(S ∪ {i}) - v(S)]

Both sums are one constant matrix times the values of all coalitions.
"""

from __future__ import annotations

import functools
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import einsum, power_of_two, zero_where
from xaijax._core.typing import Array, Bool, Float

MOST_PLAYERS = 16  # 65,536 coalitions for each input; with more players, sampled estimators are the better use of time


def exact(game: Game, *, batch_size: int | None = None) -> Attribution:
    """Computes exact Shapley values: weighted means of a player's marginal contributions over all coalitions.

    Why: no sampling error. For up to about a dozen players also cheaper than sampling to a useful precision.

    Args:
      game: N games from `xai.game`, or one written by hand, of at most 16 players: all 2^M coalitions are evaluated.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value: the values
      of the grand coalition and of the empty one. std_errors are 0.

    Raises:
      TypeError, ValueError: if `game` is not a game, or has more than 16 players.

    References:
      Shapley (1953), A value for n-person games.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> pay = jnp.array([0.0, 4, 7, 10, 5, 16, 20, 35])  # of the coalitions -, A, B, AB, C, AC, BC, ABC
    >>> game = xai.Game(lambda z: pay[z @ jnp.array([1, 2, 4])], num_players=3)
    >>> [f"{value:.3f}" for value in xai.shap.exact(game).values.tolist()]
    ['8.667', '12.167', '14.167']
    """
    game = as_game(game)
    _check_players("shap.exact", game)
    with jax.ensure_compile_time_eval():
        coalitions, weights = _shapley_constants(game.num_players)
    return sum_of_coalitions(
        game,
        coalitions,
        weights,
        method="SHAP",
        efficient=True,
        all_of_them=True,
        batch_size=check.batch_size(batch_size),
    )


def banzhaf(game: Game, *, batch_size: int | None = None) -> Attribution:
    """Computes exact Banzhaf values: plain means of a player's marginal contributions over all coalitions.

    Why: the contribution to a coalition that every other player joins with probability 1/2. More robust than Shapley
    values where the game is noisy (Wang & Jia 2023). The values do not sum to output minus base value.

    Args:
      game: N games from `xai.game`, or one written by hand, of at most 16 players: all 2^M coalitions are evaluated.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]), base_value and output: the values of the empty
      coalition and of the grand coalition. std_errors are 0.

    Raises:
      TypeError, ValueError: if `game` is not a game, or has more than 16 players.

    References:
      Banzhaf (1965), Weighted voting doesn't work. Wang & Jia (2023), Data Banzhaf, arXiv:2205.15466.
    """
    game = as_game(game)
    _check_players("shap.banzhaf", game)
    with jax.ensure_compile_time_eval():
        coalitions, weights = _banzhaf_constants(game.num_players)
    return sum_of_coalitions(
        game,
        coalitions,
        weights,
        method="Banzhaf",
        efficient=False,
        all_of_them=True,
        batch_size=check.batch_size(batch_size),
    )


def _check_players(name: str, game: Game) -> None:
    if game.num_players > MOST_PLAYERS:
        number = f" = {2**game.num_players:,}" if game.num_players <= 64 else ""
        raise ValueError(
            f"`game` must have at most {MOST_PLAYERS} players for {name}, got {game.num_players} players, that is "
            f"2^{game.num_players}{number} coalitions: group the players (groups= of the masker), or use an estimator "
            "such as xai.shap.gaussian_process."
        )


@functools.lru_cache(maxsize=64)
def _shapley_constants(num_players: int) -> tuple[Array, Array]:
    coalitions = all_coalitions(num_players)
    return jnp.asarray(coalitions), jnp.asarray(operator(coalitions), jnp.float32)


@functools.lru_cache(maxsize=64)
def _banzhaf_constants(num_players: int) -> tuple[Array, Array]:
    coalitions = all_coalitions(num_players)
    weights = np.where(coalitions.T, 1.0, -1.0) / 2 ** (num_players - 1)
    return jnp.asarray(coalitions), jnp.asarray(weights, jnp.float32)


@compiled(
    static_argnames=("method", "efficient", "all_of_them", "batch_size"),
    title=lambda options: f"exact {options['method']}",
)
def sum_of_coalitions(
    game: Game,
    coalitions: Bool[Array, "S M"],
    weights: Float[Array, "M S"],
    method: str,
    efficient: bool,
    all_of_them: bool,
    batch_size: int | None,
) -> Attribution:
    """Returns weights · v(coalitions). The empty coalition is the first, the grand one the last; rows of weights sum to 0.

    With `all_of_them`, these are `all_coalitions` in their order, and a row weighs S ∪ {i} like S, with the other sign.
    """

    def solve(v: Value, _key: Any, active: Bool[Array, " M"]) -> dict[str, Array]:
        worth = v(coalitions)
        unit = power_of_two(worth)  # products of weights and tiny values would be subnormal, which CPUs take for 0
        gains = worth / unit[None]
        if all_of_them:
            values = _sum_contributions(gains, weights.astype(gains.dtype))
        else:
            values = einsum(
                "ms,s...->m...", weights.astype(gains.dtype), gains - gains[:1]
            )  # an offset would cost digits
        values = zero_where(~active, unit[None] * values)
        return {
            "values": values,
            "std_errors": jnp.zeros_like(values),
            "base_value": worth[0],
            "output": worth[-1],
            "num_evaluations": jnp.asarray(len(coalitions), jnp.int32),
        }

    return game.attribute(
        Attribution,
        solve,
        method=method,
        estimator="exact",
        efficient=efficient,
        coalitions_at_once=len(coalitions),
        batch_size=batch_size,
    )


def _sum_contributions(worth: Float[Array, "S ..."], weights: Float[Array, "M S"]) -> Float[Array, "M ..."]:
    """Returns Σ_S w(S ∪ i) (v(S ∪ i) - v(S)): exactly 0 for a player that changes nothing, in any order of the sum."""

    def of(player: int) -> Array:
        halves = worth.reshape(-1, 2, 2**player, *worth.shape[1:])  # bit number `player` of the coalition's number
        with_player = weights[player].reshape(-1, 2, 2**player)[:, 1]
        return einsum("ab,ab...->...", with_player, halves[:, 1] - halves[:, 0])

    return jnp.stack([of(player) for player in range(len(weights))])


def all_coalitions(num_players: int) -> np.ndarray:
    """Returns [2^M, M]: coalition number s holds player i if bit i of s is set."""
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)


def operator(coalitions: np.ndarray) -> np.ndarray:
    """Returns [M, S]: Shapley values from the values of all coalitions; of some coalitions, their part of the sum."""
    num_players = coalitions.shape[1]
    weights = np.array([1 / (num_players * comb(num_players - 1, size)) for size in range(num_players)])
    sizes = coalitions.sum(axis=1)
    with_player = np.append(0.0, weights)[sizes]  # the player's contribution to the others
    without_player = np.append(weights, 0.0)[sizes]  # the contribution it would make
    return np.where(coalitions.T, with_player, -without_player)


def pair_operator(coalitions: np.ndarray) -> np.ndarray:
    """Returns [M, n+1]: Shapley values from the odd parts of all pairs, the pair of the grand coalition last."""
    grand = np.ones((1, coalitions.shape[1]), bool)
    return 2 * operator(np.concatenate([coalitions, grand]))  # a complement has the same weight, and -o
