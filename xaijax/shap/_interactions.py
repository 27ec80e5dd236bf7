"""Interaction indices: what players do together, beyond what each does (Grabisch & Roubens 1999)."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Interactions
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.progress import watched
from xaijax._core.typing import Array, Bool, Float, Int, Key
from xaijax.shap._design import Design, design, num_pairs
from xaijax.shap._exact import MOST_PLAYERS
from xaijax.shap._indices import INDICES, SUMMING, coalition_weights, spin_weights
from xaijax.shap._paired import DEFAULT_EVALUATIONS, Parts, efficient, evaluate_pairs
from xaijax.shap._process import EVEN, ODD, Process, mixture, process
from xaijax.shap._weights import all_coalitions

_EXACT_PLAYERS = 12
_MOST_PAIRS = 1024  # of coalitions: the constants of pairs cost the cube of it, for each model and pair of players
_HIGHEST = jax.lax.Precision.HIGHEST


@watched("shap.interactions")
def interactions(
    game: Game,
    *,
    index: str = "k-SII",
    order: int = 2,
    key: Any = None,
    num_evaluations: int | None = None,
    ids: Any = None,
    batch_size: int | None = None,
) -> Interactions:
    """What pairs of players (or triples) add together, beyond what they add one by one.

    Why: a Shapley value shares interactions among those who take part; this shows them. Exact for up to 12 players, or
    where all coalitions are evaluated. Beyond, all pairs come from the same pairs of coalitions that
    `shap.gaussian_process` takes, without further evaluations, by Gaussian processes of the even and the odd part.

    Args:
      game: N games from `xai.game`, or one written by hand, of at least `order` players.
      index: "k-SII", the Shapley interaction index with single players corrected so that all orders sum to the output
        minus the base value; "SII" itself, whose single values are Shapley values; "STII", which takes single players
        alone and shares the rest among pairs; "FSII", the coefficients of the polynomial of this order that fits the game
        best by Shapley's kernel; "BII", Banzhaf's. Default "k-SII".
      order: 2 for pairs, 3 for triples too, which must be exact. Default 2.
      key: a JAX random key; needed where the values are not exact. Each example's design depends on it and its id alone.
      num_evaluations: m coalitions, at most 2,050 unless all. Default: all for up to 12 players, else 20 for each
        player. Pairs want more than single players: 50 for each player, where they can be had.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M], pairs [N, M, M] with 0 on the diagonal, and triples [N, M, M, M] for order 3 (all outputs: with K
      behind; one hand-written game: without N); base_value, output, num_evaluations; where they are estimated,
      std_errors and pair_errors, the posterior standard deviations.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or no name of those above, there are too few players or
        evaluations, or triples would not be exact.

    References:
      Grabisch & Roubens (1999), An axiomatic approach to the concept of interaction among players in cooperative games.
      See `_indices.py` for the others.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z[:, 0] * 1.0 + 5.0 * (z[:, 1] & z[:, 2]), num_players=3)
    >>> found = xai.shap.interactions(game, index="FSII")
    >>> [round(float(value), 4) + 0.0 for value in found.values], round(float(found.pairs[1, 2]), 4)
    ([1.0, 0.0, 0.0], 5.0)
    """
    game = as_game(game)
    check.one_of("index", index, INDICES)
    order = check.positive_int("order", order, least=2)
    if order > 3:
        raise ValueError(f"order must be 2 or 3, but it is {order}.")
    players = game.num_players
    if players < order:
        raise ValueError(f"game must have at least {order} players for order {order}, but it has {players}.")
    everything = 2**players
    if num_evaluations is None:
        num_evaluations = everything if players <= _EXACT_PLAYERS else DEFAULT_EVALUATIONS * players
    num_evaluations = check.positive_int("num_evaluations", num_evaluations)
    batch_size = check.batch_size(batch_size)
    if num_evaluations >= everything and players <= MOST_PLAYERS:
        with jax.ensure_compile_time_eval():
            coalitions, tables = _exact_constants(players, index, order)
        return _exact(game, coalitions, tables, index=index, order=order, batch_size=batch_size)
    if order == 3:
        raise ValueError(
            f"order 3 needs all 2^{players} = {everything:,} coalitions, for at most {MOST_PLAYERS} players, but "
            f"num_evaluations is {num_evaluations:,}: ask for order 2, or group the players."
        )
    if num_evaluations < 2 * players:
        raise ValueError(
            f"num_evaluations must be at least {2 * players}, twice the number of players, but it is {num_evaluations}."
        )
    if key is None:
        raise ValueError(
            f"key must be a JAX random key, as {players} players are too many for all coalitions to be evaluated."
        )
    pairs = min((num_evaluations - 2) // 2, num_pairs(players))
    if pairs > _MOST_PAIRS:
        raise ValueError(
            f"num_evaluations must be at most {2 * _MOST_PAIRS + 2:,} for interactions, or all {everything:,}, but it is "
            f"{num_evaluations:,}."
        )
    one = design(players, (pairs,))
    with jax.ensure_compile_time_eval():
        constants = _constants(one, index)
        coalitions = jnp.asarray(one.coalitions)
    key, ids = check.random_key(key), check.example_ids(ids, game.num_examples)
    return _estimated(game, key, ids, coalitions, constants, index=index, batch_size=batch_size)


@functools.lru_cache(maxsize=32)
def _exact_constants(num_players: int, index: str, order: int) -> tuple[Array, list[Array]]:
    tables = [coalition_weights(index, order, t, num_players) for t in range(1, order + 1)]
    return jnp.asarray(all_coalitions(num_players)), [jnp.asarray(table, jnp.float32) for table in tables]


@compiled(static_argnames=("index", "order", "batch_size"), title="shap.interactions")
def _exact(
    game: Game,
    coalitions: Bool[Array, "S M"],
    tables: list[Float[Array, "M+1 t+1"]],
    index: str,
    order: int,
    batch_size: int | None,
) -> Interactions:
    players = game.num_players
    sizes = coalitions.sum(axis=1)

    def indices(v: Value, _key: Any, active: Bool[Array, " M"]) -> dict[str, Array]:
        worth = v(coalitions)
        shape = worth.shape[1:]
        gains = (worth - worth[0]).reshape(len(worth), -1)

        def of(members: Int[Array, " t"], table: Float[Array, "M+1 t+1"]) -> Float[Array, " K"]:
            weights = table[sizes, coalitions[:, members].sum(axis=1)]
            found = jnp.matmul(weights, gains, precision=_HIGHEST)
            return jnp.where(active[members].all(), found, 0)

        orders = []
        for t, table in enumerate(tables, 1):
            sets = jnp.asarray(list(itertools.combinations(range(players), t)))
            found = jax.lax.map(lambda members, table=table: of(members, table), sets)
            orders.append(_symmetric(found, sets, players))
        singles, *together = orders
        spread = {
            name: part.reshape(*part.shape[:-1], *shape)
            for name, part in zip(("pairs", "triples"), together, strict=False)
        }
        return spread | {
            "values": singles.reshape(players, *shape),
            "base_value": worth[0],
            "output": worth[-1],
            "num_evaluations": jnp.asarray(len(coalitions), jnp.int32),
        }

    kind = functools.partial(Interactions, index=index)
    return game.attribute(
        kind,
        indices,
        coalitions_at_once=len(coalitions),
        batch_size=batch_size,
        method=index,
        estimator="exact",
        efficient=False,
    )


def _symmetric(found: Float[Array, "C K"], sets: Int[Array, "C t"], players: int) -> Float[Array, "..."]:
    """[M, ..., M, K]: the answer of each set at all orders of its members."""
    count = sets.shape[1]
    spread = jnp.zeros((players,) * count + found.shape[1:], found.dtype)
    for order in itertools.permutations(range(count)):
        spread = spread.at[tuple(sets[:, place] for place in order)].set(found)
    return spread


Sets = tuple[
    Process | None, Process | None
]  # by the even and by the odd part; None where the index knows nothing of it


@functools.lru_cache(maxsize=8)
def _constants(one: Design, index: str) -> tuple[Sets, Sets]:
    """Of single players and of pairs."""

    def part(t: int, parity: int) -> Process | None:
        if t == 1 and parity == ODD and index in ("SII", "k-SII"):  # Shapley values, which have their own process
            return process(one, len(one.coalitions))
        made = np.abs(spin_weights(index, t, one.num_players))
        return process(one, len(one.coalitions), index, t, parity) if made[parity::2].max() > 1e-12 else None

    with jax.ensure_compile_time_eval():
        return (part(1, EVEN), part(1, ODD)), (part(2, EVEN), part(2, ODD))


@compiled(static_argnames=("index", "batch_size"), title="shap.interactions")
def _estimated(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    coalitions: Bool[Array, "n M"],
    constants: tuple[Sets, Sets],
    index: str,
    batch_size: int | None,
) -> Interactions:
    players, evaluations = game.num_players, 2 * len(coalitions) + 2
    singles, of_pairs = constants

    def indices(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        labels, parts, ends = evaluate_pairs(v, coalitions, key)
        shape, total = ends.shape[1:], (ends[1] - ends[0]).reshape(-1)
        both = (active[:, None] & active & ~jnp.eye(players, dtype=bool))[:, :, None]
        sets = jnp.asarray(list(itertools.combinations(range(players), 2)))
        pairs, pair_variances = (
            jnp.where(both, _symmetric(part, sets, players)[labels][:, labels], 0)
            for part in _posterior(of_pairs, parts)
        )
        values, variances = (part[labels] for part in _posterior(singles, parts))
        if index == "SII":
            values = efficient(values, total, active)
        elif index in SUMMING:
            values = efficient(values, total - pairs.sum(axis=(0, 1)) / 2, active)
        return {
            "values": jnp.where(active[:, None], values, 0).reshape(players, *shape),
            "std_errors": jnp.where(active[:, None], _root(variances), 0).reshape(players, *shape),
            "pairs": pairs.reshape(players, players, *shape),
            "pair_errors": _root(pair_variances).reshape(players, players, *shape),
            "base_value": ends[0],
            "output": ends[1],
            "num_evaluations": jnp.asarray(evaluations, jnp.int32),
        }

    return game.attribute(
        functools.partial(Interactions, index=index),
        indices,
        key=key,
        ids=ids,
        coalitions_at_once=evaluations,
        batch_size=batch_size,
        method=index,
        estimator="Gaussian process",
        efficient=False,
    )


def _posterior(by_parity: Sets, parts: Parts) -> tuple[Float[Array, "Q K"], Float[Array, "Q K"]]:
    """Means and variances, of the even and the odd part together."""
    found = [
        mixture(models, part)
        for models, part in zip(by_parity, (parts.even, parts.odd), strict=True)
        if models is not None
    ]
    return sum(one.values for one in found), sum(one.errors**2 for one in found)  # pyright: ignore[reportReturnType]


def _root(variances: Array) -> Array:
    return jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)
