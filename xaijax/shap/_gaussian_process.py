"""Shapley values by an odd Gaussian process over coalitions: the posterior mean, and its standard deviation as the error.

phi = B (K + noise)^-1 o,    Var phi = s² (P - B (K + noise)^-1 B'),    s² = o' (K + noise)^-1 o / n

with o the odd parts of the evaluated pairs; see `_process.py` for K, B and P. For a fixed design and model this is a
constant matrix times the values of the game.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import one_by_one
from xaijax._core.game import Game, as_game
from xaijax._core.numerics import dot
from xaijax._core.progress import watched
from xaijax._core.typing import Array, Bool, Float, Ids, KeyLike
from xaijax.shap._adapted_scales import adapted
from xaijax.shap._budget import read_key, read_stages
from xaijax.shap._choice import choose, rounded
from xaijax.shap._chosen_pairs import ChosenPairs, chosen_pairs
from xaijax.shap._design import design, num_pairs
from xaijax.shap._exact import pair_operator
from xaijax.shap._paired import ROUNDS, explain
from xaijax.shap._player_scales import fit, with_scales
from xaijax.shap._process import Posterior, Process, mixture, one_order, process
from xaijax.shap._relabeled import Parts

SCALES = ["isotropic", "adapted", "per_player", "fixed"]
ESTIMATORS = {scales: f"{scales.replace('_', '-')} Gaussian process" for scales in SCALES}
_MOST_PAIRS = 2048  # the cost of their constants grows with the cube: a Cholesky factor for each of 24 models
MOST_EVALUATIONS = 2 * _MOST_PAIRS + 2
_CANDIDATES = 1024  # pairs to choose from, or twice as many as are evaluated


@watched("shap.gaussian_process")
def gaussian_process(
    game: Game,
    *,
    key: KeyLike | None = None,
    num_evaluations: int | None = None,
    scales: str = "isotropic",
    until: float | None = None,
    max_evaluations: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes Shapley values as the posterior mean of an odd Gaussian process over coalitions, with standard errors.

    Why: from 2 M + 2 evaluations on, the estimator with the smallest error for a number of evaluations (`python -m
    benchmarks --errors`). It assumes that interactions of few players weigh more than those of many. Where the grand
    coalition's value is far from what the other coalitions predict, the errors are widened accordingly. Its
    pairs are those that tell most about the values of a process: first all pairs of one player and the M - 1 others.

    Args:
      game: N games from `xai.game`, or one written by hand, of at least 2 players.
      key: a JAX random key. Each example's design depends on the key and its id alone. It may be left out where all
        coalitions are evaluated.
      num_evaluations: m coalitions, including the empty and the grand one: (m - 2) / 2 pairs of a coalition and its
        complement. At most 4,098. Default: 20 for each player, at most 4,098.
      scales: "isotropic": interactions are equally likely for all players, and the values are a mixture of constant
        matrices times the game. "adapted": a scale for each player, in two steps from one that all share, by how much its
        interactions explain. It is what `shap.values` chooses: more accurate from 5 evaluations for each player on. It
        takes a Cholesky factor and an inverse [m/2, m/2] for each output of each example, and two of at most 128 rows.
        "per_player": each player's own scale, for games whose evaluations are expensive. It is more accurate, and takes
        seconds to compile. All pairs of size 1 are evaluated first. Two rounds follow, three calls of the model in all:
        scales are fitted to the values so far, and half of the other pairs are chosen, each example's own, by how much they
        are expected to reduce the sum of the variances of its values. Each of three fits takes 15 Cholesky factors and
        inverses [m/2, m/2], and each chosen pair some 1,000 m/2 operations. With several outputs, one process with an
        amplitude for each output chooses the pairs of all, and each output's values have scales of their own. Where
        rounding differs, as on another device, other pairs may be chosen. "fixed": one model alone, so that values are
        linear in the game; its errors are too wide for smooth games and too narrow for rough ones. Default "isotropic".
      until: a precision to reach: the largest standard error over the largest value. The evaluations are doubled until
        then. Such a loop has no reverse-mode gradient. Default: none, and m evaluations.
      max_evaluations: the cap of `until`. `converged` says whether the precision was reached. Default: 16 m, at most 4,098.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value, with
      std_errors, num_evaluations, and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, or there are too few or too many evaluations.

    References:
      Rasmussen & Williams (2006), Gaussian processes for machine learning, chapter 2.
      Fumagalli et al. (2026), An odd estimator for Shapley values, arXiv:2602.01399, for the odd part.
      Rundel et al. (2026), arXiv:2606.02247 (ShaplEIG), for a Gaussian process over coalitions whose Shapley values have a
      posterior in closed form. Mohammadi et al. (2025), Exact Shapley attributions for FANOVA Gaussian processes,
      arXiv:2508.14499, for that of a process over inputs.
    """
    game = as_game(game)
    check.one_of("scales", scales, SCALES)
    if 2 * game.num_players > MOST_EVALUATIONS:
        raise ValueError(
            f"`game` must have at most {MOST_EVALUATIONS // 2:,} players for shap.gaussian_process, got "
            f"{game.num_players:,}: group the players (groups= of the masker), or use xai.shap.permutation."
        )
    stages, until = read_stages(game, num_evaluations, until, max_evaluations, most=MOST_EVALUATIONS)
    if stages[-1] > _MOST_PAIRS and stages[-1] < num_pairs(game.num_players):
        name = "num_evaluations" if until is None else "max_evaluations"
        raise ValueError(
            f"`{name}` must be at most {MOST_EVALUATIONS:,} for shap.gaussian_process, whose cost grows with its cube, got "
            f"{2 * stages[-1] + 2:,}: use xai.shap.kernel for more evaluations."
        )
    exact = stages[0] == num_pairs(game.num_players)
    key = read_key(key, exact, f"not all 2^{game.num_players} coalitions are evaluated, so they are drawn at random")
    return explain(
        game,
        key,
        check.example_ids(ids, game.num_examples),
        lambda stage: _prepare(game.num_players, stages[: stage + 1], scales),
        stages=stages,
        until=until,
        estimator=ESTIMATORS[scales],
        title="shap.gaussian_process",
        batch_size=check.batch_size(batch_size),
    )


def of_one_order(game: Game, key: Any, ids: Ids, batch_size: int | None) -> Attribution:
    """Explains from one order and its reverse, at 2 M evaluations, with the errors that processes expect of this estimate."""
    order = one_order(game.num_players)
    return explain(
        game,
        key,
        ids,
        lambda _: (order.coalitions, Partial(_solve, order.models)),
        stages=(game.num_players - 1,),
        until=None,
        estimator="antithetic permutations",
        title="shap.permutation",
        batch_size=batch_size,
    )


def _prepare(num_players: int, stages: tuple[int, ...], scales: str) -> tuple[Any, ...]:
    """Returns the coalitions up to the last of the stages, its solver, and what chooses pairs, if anything does."""
    count = stages[-1]
    if scales == "per_player" and stages[0] < num_pairs(num_players):
        return _prepare_choices(num_players, stages)
    pairs = chosen_pairs(num_players, count)
    if count == num_pairs(num_players):
        return pairs.coalitions, Partial(_solve_all, _all_pairs(pairs))
    models = process(pairs, count, fixed=True) if scales == "fixed" else process(pairs, count)
    if scales == "adapted":
        return pairs.coalitions, Partial(_solve_adapted, models, jnp.asarray(pairs.coalitions))
    return pairs.coalitions, Partial(_solve, models)


def _prepare_choices(num_players: int, stages: tuple[int, ...]) -> tuple[Any, ...]:
    """Returns the first coalitions, the solver of the last stage, and what chooses its pairs."""
    everything = num_pairs(num_players)
    sizes = [min(num_players + max(_CANDIDATES, 2 * stage), everything) for stage in stages]
    pool = _pool(num_players, tuple(dict.fromkeys(sizes)))
    first = stages[0] - ROUNDS * (max(0, stages[0] - num_players) // ROUNDS)
    solve = Partial(_solve_with_scales)
    if stages[-1] == everything:
        by_size = pair_operator(np.tri(num_players, num_players, -1, bool))[[0, -1]]  # of members, and of the others
        with jax.ensure_compile_time_eval():
            solve = Partial(_solve_all_chosen, jnp.asarray(by_size, jnp.float32))
    return pool[:first], solve, Partial(_choose_pairs, pool)


@functools.lru_cache(maxsize=16)
def _pool(num_players: int, sizes: tuple[int, ...]) -> Bool[Array, "C M"]:
    """Returns the pairs to choose from, those of size 1 first; a larger pool begins with the smaller ones."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(design(num_players, sizes, "singles").coalitions)


@functools.lru_cache(maxsize=16)
def _all_pairs(pairs: ChosenPairs) -> Array:
    """Returns the Shapley sum over all pairs."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(pair_operator(pairs.coalitions), jnp.float32)


def _solve_all(operator: Float[Array, "M n"], parts: Parts, _active: Bool[Array, " M"]) -> tuple[Array, Array]:
    values = dot(operator.astype(parts.odd.dtype), parts.odd)
    return values, jnp.zeros_like(values)


def _solve_all_chosen(
    by_size: Float[Array, "2 M+1"], parts: Parts, active: Bool[Array, " M"], coalitions: Bool[Array, "n M"]
) -> tuple[Array, Array]:
    present = jnp.concatenate([coalitions, jnp.ones((1, coalitions.shape[1]), bool)])
    inside, outside = by_size[:, present.sum(axis=1)]
    return _solve_all(jnp.where(present.T, inside[None], outside[None]), parts, active)


def _solve(models: Process, parts: Parts, _active: Bool[Array, " M"]) -> tuple[Array, Array]:
    posterior = mixture(models, parts.odd)
    return posterior.values, widened(posterior)


def _solve_adapted(
    models: Process, coalitions: Bool[Array, "n M"], parts: Parts, active: Bool[Array, " M"]
) -> tuple[Array, Array]:
    posterior = adapted(models, _with_grand(coalitions, parts.odd.dtype), parts.odd, active)
    return posterior.values, widened(posterior)


def _choose_pairs(
    pool: Bool[Array, "C M"],
    odd: Float[Array, "n K"],
    coalitions: Bool[Array, "n M"],
    present: Bool[Array, " n"],
    active: Bool[Array, " M"],
    count: int,
) -> Bool[Array, "count M"]:
    """Returns pairs of the pool that are not among the present ones. One process of all outputs decides."""

    def decide(pool: Array, odd: Array, coalitions: Array, present: Array, active: Array) -> Bool[Array, "count M"]:
        spins, candidates = _with_grand(coalitions, odd.dtype), 2 * pool.astype(odd.dtype) - 1
        scales = fit(spins, odd, active, present)
        known = ((dot(candidates, spins.T) > pool.shape[1] - 1) & present[None]).any(axis=1)
        return pool[choose(scales, spins, active, present, candidates, ~known, count)]

    return one_by_one(decide)(pool, rounded(odd), coalitions, jnp.append(present, True), active | ~active.any())


def _solve_with_scales(parts: Parts, active: Bool[Array, " M"], coalitions: Bool[Array, "n M"]) -> tuple[Array, Array]:
    fitted = active | ~active.any()  # a process without players has no factor
    spins = _with_grand(coalitions, parts.odd.dtype)
    if parts.odd.shape[1] == 1:  # matrices compile and run faster than batches of them
        values, errors = with_scales(spins, parts.odd[:, 0], fitted)
        return values[:, None], errors[:, None]
    return jax.vmap(with_scales, in_axes=(None, 1, None), out_axes=1)(spins, parts.odd, fitted)


def _with_grand(coalitions: Bool[Array, "n M"], dtype: Any) -> Float[Array, "n+1 M"]:
    """Returns spins, those of the grand coalition last."""
    return 2 * jnp.concatenate([coalitions, jnp.ones((1, coalitions.shape[1]), bool)]).astype(dtype) - 1


def widened(posterior: Posterior) -> Float[Array, "M K"]:
    """Returns the posterior's errors, or wider ones where the residual of the grand coalition is large.

    Interactions of many players show in the grand coalition alone, and their amplitude is not that of the others. The
    logarithm of the ratio of amplitudes is taken to be normal with variance 2.5. The squared residual is one observation
    of it, with the variance pi²/2 of the logarithm of a chi-square variable, and shifts it by 2.5 / (2.5 + pi²/2) = 1/3 of
    its own logarithm.
    """
    return posterior.errors * jnp.maximum(posterior.residual, 1)[None] ** (1 / 6)
