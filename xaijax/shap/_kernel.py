"""Shapley values by the regression of KernelSHAP (Lundberg & Lee 2017), on balanced pairs without replacement."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, as_game
from xaijax._core.typing import Array, Bool, Int, Key
from xaijax.shap._design import SIZES, Design, design
from xaijax.shap._least_squares import Large, Regression, large, regression, solve, solve_large
from xaijax.shap._paired import Parts, Solve, check_players, explain, read_stages
from xaijax.shap._published_kernel import published

SAMPLINGS = ["pairs", "published"]
_MOST_NUMBERS = 2**25  # in an operator: 128 MB


def kernel(
    game: Game,
    *,
    key: Any,
    num_evaluations: int | None = None,
    sampling: str = "pairs",
    sizes: str = "uniform",
    until: float | None = None,
    max_evaluations: int | None = None,
    ids: Any = None,
    batch_size: int | None = None,
) -> Attribution:
    """Shapley values by weighted least squares (KernelSHAP), with standard errors.

    Why: the classical estimator, without a model of the game. Here on pairs of complements drawn without replacement, all
    coalitions of a size where the budget reaches them, in blocks in which all players are absent equally often: exact for
    games of pairs, and at equal evaluations about a third of the squared error of the published sampling. For budgets
    beyond those of `gaussian_process`, and where a frequentist error is wanted.

    Args:
      game: N games from `xai.game`, or one written by hand, of at least 2 players.
      key: a JAX random key. Each example's design depends on the key and its id alone.
      num_evaluations: m coalitions, those of nobody and of all among them; at least 2 M. Default: 20 M.
      sampling: "pairs", as above, or "published": sizes drawn from the Shapley kernel and coalitions with replacement, one
        by one, as in the paper, for comparison. Default "pairs".
      sizes: of the pairs: "uniform", equally many of each size, which is in proportion to their leverage in the regression
        (Musco & Witter 2025), or "kernel", in proportion to the Shapley kernel, as in the paper. Default "uniform": as
        good for few players and safer for many.
      until: a precision to reach: the largest standard error over the largest value. The evaluations are doubled until
        then. Default: none, and m evaluations. Such a loop has no reverse-mode gradient. For pairs.
      max_evaluations: the cap of `until`. Default 16 m. `converged` says whether the precision was reached before it.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value, with
      std_errors (infinite where there are fewer pairs than players), num_evaluations, and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, no name of those above, or there are too few evaluations.

    References:
      Lundberg & Lee (2017), A unified approach to interpreting model predictions, arXiv:1705.07874, theorem 2.
      Covert & Lee (2021), Improving KernelSHAP, arXiv:2012.01536, for pairs.
      Musco & Witter (2025), Provably accurate Shapley value estimation via leverage score sampling, arXiv:2410.01917.
    """
    game = as_game(game)
    check.one_of("sampling", sampling, SAMPLINGS)
    check.one_of("sizes", sizes, SIZES)
    check_players(game)
    stages, until = read_stages(game.num_players, num_evaluations, until, max_evaluations)
    key, ids = check.random_key(key), check.example_ids(ids, game.num_examples)
    batch_size = check.batch_size(batch_size)
    if sampling == "published":
        if until is not None:
            raise ValueError("until is for sampling='pairs', whose designs are nested: give num_evaluations alone.")
        return published(game, key, ids, num_evaluations=2 * stages[0] + 2, batch_size=batch_size)
    pairs = design(game.num_players, stages, sizes)
    with jax.ensure_compile_time_eval():
        constants = [_constants(pairs, stage) for stage in range(len(stages))]
        coalitions = jnp.asarray(pairs.coalitions)
    return _kernel(game, key, ids, coalitions, constants, stages=stages, until=until, batch_size=batch_size)


@functools.lru_cache(maxsize=16)
def _constants(pairs: Design, stage: int) -> Regression | Large:
    with jax.ensure_compile_time_eval():
        small = pairs.num_players * (pairs.stages[stage] + 1) <= _MOST_NUMBERS
        return regression(pairs, stage) if small else large(pairs, stage)


@compiled(static_argnames=("stages", "until", "batch_size"))
def _kernel(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    coalitions: Bool[Array, "n M"],
    constants: list[Any],
    stages: tuple[int, ...],
    until: float | None,
    batch_size: int | None,
) -> Attribution:
    def solve_with(problem: Regression | Large) -> Solve:
        def solved(parts: Parts, _alive: Bool[Array, " M"]) -> tuple[Array, Array]:
            return (solve if isinstance(problem, Regression) else solve_large)(problem, parts.odd)  # pyright: ignore

        return solved

    return explain(
        game,
        coalitions,
        [solve_with(one) for one in constants],
        stages=stages,
        until=until,
        key=key,
        ids=ids,
        batch_size=batch_size,
        estimator="kernel regression",
    )
