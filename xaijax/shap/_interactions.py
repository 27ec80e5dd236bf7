"""Interaction indices: the joint contributions of players, beyond those of each alone (Grabisch & Roubens 1999)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Interactions
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled, is_eager
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import dot, power_of_two, safe_sqrt, zero_where
from xaijax._core.progress import watched
from xaijax._core.settings import own
from xaijax._core.typing import Array, Bool, Float, Ids, Inputs, Int, Key, KeyLike, TargetLike
from xaijax.shap._budget import DEFAULT_EVALUATIONS, read_key
from xaijax.shap._chosen_pairs import ChosenPairs, chosen_pairs
from xaijax.shap._design import num_pairs
from xaijax.shap._exact import MOST_PLAYERS, all_coalitions
from xaijax.shap._indices import INDICES, SUMMING, coalition_weights, spin_weights
from xaijax.shap._process import EVEN, ODD, Process, mixture, process
from xaijax.shap._relabeled import Parts, Relabeled, efficient, games_at_once, in_units, relabel
from xaijax.shap._trees import tree_interactions
from xaijax.trees._forest import Forest

_EXACT_PLAYERS = 12
_MOST_PAIRS = 1024  # of coalitions: the constants cost the cube of it, for each model
_MOST_ESTIMATED = 256  # players: the constants have a row for each of their 32,640 pairs
_MOST_EVALUATIONS = 2 * _MOST_PAIRS + 2


@watched("shap.interactions")
@own
def interactions(
    game: Game | Forest,
    x: Inputs = None,
    masker: Any = None,
    *,
    target: TargetLike = None,
    index: str = "k-SII",
    order: int = 2,
    key: KeyLike | None = None,
    num_evaluations: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Interactions:
    """Computes the contributions of pairs of players (or triples), beyond those of the single players.

    Why: a Shapley value shares interactions among their players; this shows them. Exact for up to 12 players, or where
    all coalitions are evaluated. With more players, all pairs are estimated by Gaussian processes of the even and the odd
    part of the game. They evaluate the pairs of coalitions that `gaussian_process` evaluates, which tell most about single
    players, and more about pairs of them than coalitions of all sizes do, equally many of each. All pairs of a forest's
    players are exact for any number of players, without evaluations.

    Args:
      game: N games from `xai.game`, or one written by hand, of at least `order` players; of at most 256, where the values
        are not exact. Or a forest from `xai.trees.read`.
      x, masker, target: for a forest alone: as in `xai.shap.trees`.
      index: "k-SII", the Shapley interaction index with single players corrected so that all orders sum to the output
        minus the base value; "SII" itself, whose single values are Shapley values; "STII", which gives single players
        their values alone and shares the rest among pairs; "FSII", the coefficients of the polynomial of this order that
        fits the game best by the Shapley kernel; "BII", Banzhaf's. Default "k-SII".
      order: 2 for pairs, 3 for triples too, which must be exact. Default 2.
      key: a JAX random key; needed where the values are not exact. Each example's design depends on it and its id alone.
      num_evaluations: m coalitions, at most 2,050 unless all. Pairs need more evaluations than single players, about 50
        for each player. Default: all for up to 12 players, else 20 for each player, at most 2,050.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M], pairs [N, M, M] with 0 on the diagonal, and triples [N, M, M, M] for order 3 (all outputs: with K
      last; one hand-written game: without N); base_value, output, num_evaluations; std_errors and pair_errors, the
      posterior standard deviations, or 0 where the values are exact.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or not among the choices above, there are too few or too
        many players or evaluations, or triples would not be exact.

    References:
      Grabisch & Roubens (1999), An axiomatic approach to the concept of interaction among players in cooperative games.
      See `_indices.py` for the others.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z[:, 0] * 1.0 + 5.0 * (z[:, 1] & z[:, 2]), num_players=3)
    >>> interactions = xai.shap.interactions(game, index="FSII")
    >>> [round(float(value), 4) + 0.0 for value in interactions.values], round(float(interactions.pairs[1, 2]), 4)
    ([1.0, 0.0, 0.0], 5.0)
    """
    check.one_of("index", index, INDICES)
    order = check.positive_int("order", order, least=2, most=3)
    if isinstance(game, Forest):
        return _of_forest(game, x, masker, target, index, order, num_evaluations, batch_size)
    game = as_game(game)
    if x is not None or masker is not None or target is not None:
        raise TypeError("`x`, `masker` and `target` must be left out unless a forest is explained: a game holds them.")
    players = game.num_players
    if players < order:
        raise ValueError(f"`game` must have at least {order} players for order {order}, got {players}.")
    if num_evaluations is None:
        few = players <= _EXACT_PLAYERS
        num_evaluations = 2**players if few else min(DEFAULT_EVALUATIONS * players, _MOST_EVALUATIONS)
    num_evaluations = check.positive_int("num_evaluations", num_evaluations)
    ids, batch_size = check.example_ids(ids, game.num_examples), check.batch_size(batch_size)
    key = None if key is None else check.random_key(key)
    if players <= MOST_PLAYERS and num_evaluations >= 2**players:
        with jax.ensure_compile_time_eval():
            coalitions, tables = _exact_constants(players, index, order)
        return _exact(game, coalitions, tables, index=index, batch_size=batch_size)
    _check_estimated(players, order, num_evaluations)
    key = read_key(key, False, f"{players} players are too many for all coalitions to be evaluated")
    pairs = chosen_pairs(players, min((num_evaluations - 2) // 2, num_pairs(players)))
    with jax.ensure_compile_time_eval():
        coalitions = jnp.asarray(pairs.coalitions)
    run = _estimated_in_programs if is_eager(game, key, ids) else _estimated
    return run(game, key, ids, coalitions, _constants(pairs, index), index=index, batch_size=batch_size)


def _of_forest(
    forest: Forest,
    x: Any,
    masker: Any,
    target: Any,
    index: str,
    order: int,
    num_evaluations: int | None,
    batch_size: int | None,
) -> Interactions:
    if order != 2 or num_evaluations is not None:
        raise ValueError(
            f"`order` must be 2 and `num_evaluations` None for a forest, whose pairs are exact, got {order} and "
            f"{num_evaluations}: pass xai.game(forest, x, masker) for triples or estimates."
        )
    if x is None:
        raise TypeError("`x` must be inputs [N, D] of the forest, got None.")
    return tree_interactions(forest, x, masker, target=target, index=index, batch_size=batch_size)


def _check_estimated(players: int, order: int, num_evaluations: int) -> None:
    """Raises where interactions are neither exact nor can be estimated."""
    everything = f"2^{players}" + (f" = {2**players:,}" if players <= 64 else "")
    if order == 3:
        raise ValueError(
            f"`order` must be 2 unless all {everything} coalitions of at most {MOST_PLAYERS} players are evaluated, got 3 "
            f"with {num_evaluations:,} evaluations: use order=2, or group the players (groups= of the masker)."
        )
    if players > _MOST_ESTIMATED:
        raise ValueError(
            f"`game` must have at most {_MOST_ESTIMATED} players for shap.interactions, got {players:,}, which make "
            f"{players * (players - 1) // 2:,} pairs: group the players (groups= of the masker)."
        )
    if num_evaluations < 2 * players:
        raise ValueError(
            f"`num_evaluations` must be at least {2 * players}, twice the number of players, got {num_evaluations}."
        )
    if num_evaluations > _MOST_EVALUATIONS:
        raise ValueError(
            f"`num_evaluations` must be at most {_MOST_EVALUATIONS:,} for interactions, or all {everything}, got "
            f"{num_evaluations:,}."
        )


@functools.lru_cache(maxsize=32)
def _exact_constants(num_players: int, index: str, order: int) -> tuple[Array, list[Array]]:
    tables = [coalition_weights(index, order, t, num_players) for t in range(1, order + 1)]
    return jnp.asarray(all_coalitions(num_players)), [jnp.asarray(table, jnp.float32) for table in tables]


@compiled(static_argnames=("index", "batch_size"), title="shap.interactions")
def _exact(
    game: Game,
    coalitions: Bool[Array, "S M"],
    tables: list[Float[Array, "M+1 _"]],
    index: str,
    batch_size: int | None,
) -> Interactions:
    players = game.num_players
    sizes = coalitions.sum(axis=1, dtype=jnp.int32)

    def solve(v: Value, _key: Any, active: Bool[Array, " M"]) -> dict[str, Array]:
        worth = v(coalitions)
        shape = worth.shape[1:]
        worth = worth.reshape(len(worth), -1)
        unit = power_of_two(worth)[
            None
        ]  # products of weights and tiny values would be subnormal, which CPUs take for 0
        gains = worth / unit
        gains = gains - gains[:1]

        def of_set(members: Int[Array, " t"], table: Float[Array, "sizes t+1"]) -> Float[Array, " K"]:
            weights = table[sizes, coalitions[:, members].sum(axis=1, dtype=jnp.int32)]
            return unit[0] * dot(weights.astype(gains.dtype), gains)

        fields = {}
        for t, (name, table) in enumerate(zip(("values", "pairs", "triples"), tables, strict=False), 1):
            sets = jnp.asarray(list(itertools.combinations(range(players), t)))
            each = jax.lax.map(lambda members, table=table: of_set(members, table), sets)
            each = _symmetric(zero_where(~active[sets].all(axis=1), each), sets, players)
            fields[name] = each.reshape(*each.shape[:-1], *shape)
        return fields | {
            "std_errors": jnp.zeros_like(fields["values"]),
            "pair_errors": jnp.zeros_like(fields["pairs"]),
            "base_value": worth[0].reshape(shape),
            "output": worth[-1].reshape(shape),
            "num_evaluations": jnp.asarray(len(coalitions), jnp.int32),
        }

    return game.attribute(
        functools.partial(Interactions, index=index),
        solve,
        coalitions_at_once=len(coalitions),
        batch_size=batch_size,
        method=index,
        estimator="exact",
        efficient=False,
    )


def _symmetric(each: Float[Array, "C K"], sets: Int[Array, "C t"], players: int) -> Float[Array, "..."]:
    """Returns [M, ..., M, K]: the value of each set at all orders of its members."""
    count = sets.shape[1]
    table = jnp.zeros((players,) * count + each.shape[1:], each.dtype)
    for order in itertools.permutations(range(count)):
        table = table.at[tuple(sets[:, position] for position in order)].set(each)
    return table


Sets = tuple[Process | None, Process | None]  # of the even and the odd part; None where the index does not depend on it


def _constants(pairs: ChosenPairs, index: str) -> tuple[Sets, Sets]:
    """Returns the processes of single players and of pairs."""
    count, num_players = pairs.coalitions.shape

    def part(t: int, parity: int) -> Process | None:
        if t == 1 and parity == ODD and index in ("SII", "k-SII"):
            return process(pairs, count)  # Shapley values
        moments = np.abs(spin_weights(index, t, num_players))
        return process(pairs, count, index, t, parity) if moments[parity::2].max() > 1e-12 else None

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
    def solve(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        relabeled = relabel(v, coalitions, key, active)
        return _of_ends(relabeled) | _solved(relabeled, constants, index)

    result = functools.partial(Interactions, index=index)
    return game.attribute(result, solve, key=key, ids=ids, **_options(coalitions, index, batch_size))


def _options(coalitions: Bool[Array, "n M"], index: str, batch_size: int | None) -> dict[str, Any]:
    """Returns the options of `Game.attribute`."""
    return {
        "coalitions_at_once": 2 * len(coalitions) + 2,
        "batch_size": batch_size,
        "method": index,
        "estimator": "Gaussian process",
        "efficient": False,
    }


def _of_ends(game: Relabeled) -> dict[str, Array]:
    evaluations = 2 * game.pairs.own.shape[-2] + 2
    return {
        "base_value": game.ends[0],
        "output": game.ends[1],
        "num_evaluations": jnp.asarray(evaluations, jnp.int32),
    }


def _solved(game: Relabeled, constants: tuple[Sets, Sets], index: str) -> dict[str, Array]:
    """Returns the interactions of one game, and their errors."""
    singles, of_pairs = constants
    labels, active, players, shape = game.labels, game.active, len(game.labels), game.ends.shape[1:]
    sets = jnp.asarray(list(itertools.combinations(range(players), 2)))
    parts, units = in_units(game)
    unit = jnp.maximum(units.odd, units.even)
    total = 2 * parts.odd[-1] * (units.odd / unit)  # all sums are in the larger unit
    absent = ~(active[:, None] & active[None, :] & ~jnp.eye(players, dtype=bool)).reshape(-1)
    pairs, pair_errors = (
        _symmetric(part, sets, players)[labels][:, labels].reshape(players**2, -1)
        for part in _posterior(of_pairs, parts, units, unit)
    )
    pairs = zero_where(absent, pairs).reshape(players, players, -1)
    pair_errors = jnp.where(absent[:, None], 0, pair_errors)
    values, errors = (part[labels] for part in _posterior(singles, parts, units, unit))
    if index == "SII":
        values = efficient(values, total, active)
    elif index in SUMMING:
        values = efficient(values, total - pairs.sum(axis=(0, 1)) / 2, active)
    else:
        values = zero_where(~active, values)
    return {
        "values": (unit[None] * values).reshape(players, *shape),
        "std_errors": (unit[None] * jnp.where(active[:, None], errors, 0)).reshape(players, *shape),
        "pairs": (unit[None, None] * pairs).reshape(players, players, *shape),
        "pair_errors": (unit[None] * pair_errors).reshape(players, players, *shape),
    }


def _estimated_in_programs(
    game: Game, key: Any, ids: Any, coalitions: Array, constants: tuple[Sets, Sets], *, index: str, batch_size: Any
) -> Interactions:
    """Does the same by two programs: the one without the model is compiled once for all models."""
    unsolved, state = _evaluated(game, key, ids, coalitions, index=index, batch_size=batch_size)
    fields = _solved_alone(state, unsolved.values, constants, index=index, at_once=games_at_once(state))
    return dataclasses.replace(unsolved, **fields)


@compiled(static_argnames=("index", "batch_size"), title="shap.interactions")
def _evaluated(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    coalitions: Bool[Array, "n M"],
    index: str,
    batch_size: int | None,
) -> tuple[Interactions, Relabeled]:
    """Returns the evaluated games, and interactions that are 0, or NaN for invalid examples, instead of arrays."""

    def solve(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Any]:
        state = relabel(v, coalitions, key, active)
        unsolved = dict.fromkeys(["values", "std_errors", "pairs", "pair_errors"], jnp.zeros_like(state.ends[0]).sum())
        return _of_ends(state) | unsolved | {"state": state}

    def with_state(state: Relabeled, **fields: Any) -> Any:
        return Interactions(**fields, index=index), state

    return game.attribute(with_state, solve, key=key, ids=ids, **_options(coalitions, index, batch_size))


@compiled(static_argnames=("index", "at_once"), title="shap.interactions", quick_to_compile=True)
def _solved_alone(
    state: Relabeled, unsolved: Float[Array, "*N"], constants: tuple[Sets, Sets], index: str, at_once: int
) -> dict[str, Array]:
    """Solves every game. unsolved: 0, or NaN for invalid examples."""

    def solve(own: tuple[Relabeled, Array]) -> dict[str, Array]:
        return jax.tree.map(lambda field: field + own[1], _solved(own[0], constants, index))

    return in_blocks(each(solve), (state, unsolved), at_once) if unsolved.ndim else solve((state, unsolved))


def _posterior(
    by_parity: Sets, parts: Parts, units: Parts, unit: Float[Array, " K"]
) -> tuple[Float[Array, "Q K"], Float[Array, "Q K"]]:
    """Returns means and standard deviations in the unit, as the sum of an even and an odd part."""
    shares = [
        ((own / unit)[None], mixture(models, part))
        for models, part, own in zip(by_parity, (parts.even, parts.odd), (units.even, units.odd), strict=True)
        if models is not None
    ]
    values = [share * posterior.values for share, posterior in shares]
    errors = [share * posterior.errors for share, posterior in shares]
    if len(shares) == 1:
        return values[0], errors[0]
    return values[0] + values[1], safe_sqrt(errors[0] ** 2 + errors[1] ** 2)
