"""Shapley values by an odd Gaussian process over coalitions: the posterior mean, and its standard deviation as the error.

phi = B (K + noise)^-1 o,    Var phi = s² (P - B (K + noise)^-1 B'),    s² = o' (K + noise)^-1 o / n

with o the odd parts of the evaluated pairs; see `_odd_process.py` for K, B and P. For a fixed design and model this is a
constant matrix times the values of the game.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, as_game
from xaijax._core.progress import watched
from xaijax._core.typing import Array, Bool, Float, Int, Key
from xaijax.shap._design import Design, design, num_pairs
from xaijax.shap._paired import Parts, Solve, check_players, explain, read_stages
from xaijax.shap._player_scales import with_scales
from xaijax.shap._process import Posterior, Process, mixture, process
from xaijax.shap._weights import pair_operator

SCALES = ["isotropic", "per_player", "fixed"]
MOST_PAIRS = 2048  # the cost of their constants grows with the cube: a factor takes 3 GFLOP, for each of 24 models
_HIGHEST = jax.lax.Precision.HIGHEST


@watched("shap.gaussian_process")
def gaussian_process(
    game: Game,
    *,
    key: Any,
    num_evaluations: int | None = None,
    scales: str = "isotropic",
    until: float | None = None,
    max_evaluations: int | None = None,
    ids: Any = None,
    batch_size: int | None = None,
) -> Attribution:
    """Shapley values as the posterior mean of an odd Gaussian process over coalitions, with its standard deviations.

    Why: of all estimators here the one with the smallest error for a number of evaluations, from about five for each
    player on: in geometric mean over ten games a quarter of the squared error of antithetic permutations at ten, a
    seventh at twenty (`python -m benchmarks --errors`). It supposes that interactions of few players weigh more than
    those of many. Where these dominate (a game that pays when half of 60 players are together) it is still the most exact
    one, and the pair of all and nobody is not what the others let expect: by that its intervals grow. Its 95 % intervals
    then held 94-97 % of the values; with few players (12 in such teams, or near enumeration) they are too wide, 98-100 %.

    Args:
      game: N games from `xai.game`, or one written by hand, of at least 2 players.
      key: a JAX random key. Each example's design depends on the key and its id alone.
      num_evaluations: m coalitions, those of nobody and of all among them: (m - 2) / 2 pairs of a coalition and its
        complement, at most 2,048. Default: 20 for each player.
      scales: "isotropic": interactions are equally likely for all players; the answer is a mixture of constant matrices
        times the values. "per_player": each player's own scale, found by gradient ascent of the likelihood for each
        example and output; several times more exact where some players matter much more than others, at the cost of
        some 15 Cholesky factors and their gradients [m/2, m/2] for each, which only expensive models are worth. Its errors are the larger of
        its own and the isotropic ones. "fixed": one model, so that values are linear in the game; its errors are too
        wide for smooth games and too narrow for rough ones. Default "isotropic".
      until: a precision to reach: the largest standard error over the largest value. The evaluations are doubled until
        then. Default: none, and m evaluations. Such a loop has no reverse-mode gradient.
      max_evaluations: the cap of `until`. Default 16 m, at most 4,098. `converged` says whether the precision was reached before it.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value, with
      std_errors, num_evaluations, and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, or there are too few or too many evaluations.

    References:
      Rasmussen & Williams (2006), Gaussian processes for machine learning, chapter 2.
      Fumagalli et al. (2026), An odd estimator for Shapley values, arXiv:2602.01399, for the odd part.
    """
    game = as_game(game)
    check.one_of("scales", scales, SCALES)
    check_players(game)
    stages, until = read_stages(game.num_players, num_evaluations, until, max_evaluations, MOST_PAIRS)
    if stages[-1] > MOST_PAIRS and stages[-1] < num_pairs(game.num_players):
        name = "num_evaluations" if until is None else "max_evaluations"
        raise ValueError(
            f"{name} must be at most {2 * MOST_PAIRS + 2:,} for shap.gaussian_process, whose constants cost the cube of "
            f"it, but it is {2 * stages[-1] + 2:,}: use xai.shap.kernel for more."
        )
    pairs = design(game.num_players, stages)
    with jax.ensure_compile_time_eval():
        constants = [_constants(pairs, stage, scales == "fixed") for stage in stages]
        coalitions = jnp.asarray(pairs.coalitions)
    return _gaussian_process(
        game, check.random_key(key), check.example_ids(ids, game.num_examples), coalitions, constants,
        stages=stages, until=until, per_player=scales == "per_player", batch_size=check.batch_size(batch_size),
    )  # fmt: skip


def wider(found: Posterior) -> Float[Array, "M K"]:
    """The posterior's errors, or wider ones where the models do not hold.

    Interactions of many players are seen at none of the coalitions but that of all, and their amplitude is not that of the
    others. Its logarithm is taken for normal about theirs with a variance of 2.5; the surprise is one observation of it,
    of the variance pi²/2 that the logarithm of a chi-square has, and moves it by 2.5 / (2.5 + pi²/2) = 1/3 of its own.
    """
    surprise = jnp.maximum(found.residual, 1)
    return found.errors * surprise ** (1 / 6)


@functools.lru_cache(maxsize=16)
def _constants(pairs: Design, stage: int, fixed: bool) -> Process | Array:
    """On the device; of all pairs there are, Shapley's own sum."""
    with jax.ensure_compile_time_eval():
        if stage == num_pairs(pairs.num_players):
            return jnp.asarray(pair_operator(pairs.coalitions), jnp.float32)
        return process(pairs, stage, fixed=fixed)


@compiled(static_argnames=("stages", "until", "per_player", "batch_size"))
def _gaussian_process(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    coalitions: Bool[Array, "n M"],
    constants: list[Any],
    stages: tuple[int, ...],
    until: float | None,
    per_player: bool,
    batch_size: int | None,
) -> Attribution:
    def solve_at(constants: Any, pairs: int) -> Solve:
        def solve(parts: Parts, active: Bool[Array, " M"]) -> tuple[Array, Array]:
            if not isinstance(constants, Process):
                values = jnp.einsum("mn,nk->mk", constants, parts.odd, precision=_HIGHEST)
                return values, jnp.zeros_like(values)
            found = mixture(constants, parts.odd)
            values, errors = found.values, wider(found)
            if not per_player:
                return values, errors
            everybody = jnp.ones((1, len(active)), bool)
            spins = 2 * jnp.concatenate([coalitions[:pairs], everybody]).astype(parts.odd.dtype) - 1
            each = jax.vmap(with_scales, in_axes=(None, 1, None), out_axes=1)
            values, own_errors = each(spins, parts.odd, active)
            return values, jnp.maximum(errors, own_errors)

        return solve

    return explain(
        game,
        coalitions,
        [solve_at(one, pairs) for one, pairs in zip(constants, stages, strict=True)],
        stages=stages,
        until=until,
        key=key,
        ids=ids,
        batch_size=batch_size,
        estimator=f"{'per-player' if per_player else 'isotropic'} Gaussian process",
    )
