"""Shapley values by the regression of KernelSHAP (Lundberg & Lee 2017), on balanced pairs without replacement."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jax.tree_util import Partial

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import dot, in_own_units, power_of_two, ranks, safe_sqrt
from xaijax._core.typing import Array, Bool, Ids, Int, Key, KeyLike
from xaijax.shap._budget import read_key, read_stages
from xaijax.shap._design import SIZES, design, num_pairs
from xaijax.shap._least_squares import Large, Regression, large, regression, solve, solve_large
from xaijax.shap._paired import explain
from xaijax.shap._relabeled import Parts, Solve, efficient

SAMPLINGS = ["pairs", "published"]
_MOST_NUMBERS = 2**25  # in an operator: 128 MB


def kernel(
    game: Game,
    *,
    key: KeyLike | None = None,
    num_evaluations: int | None = None,
    sampling: str = "pairs",
    sizes: str = "singles",
    until: float | None = None,
    max_evaluations: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes Shapley values by weighted least squares (KernelSHAP), with standard errors.

    Why: the classical estimator, without a model of the game. It evaluates pairs of complements, drawn without
    replacement and balanced over the players, and all coalitions of a size where the budget allows. It is exact for games
    of pairs. Use it for budgets beyond those of `gaussian_process`, and where a frequentist error is wanted.

    Args:
      game: N games from `xai.game`, or one written by hand, of at least 2 players.
      key: a JAX random key. Each example's design depends on the key and its id alone. It may be left out where all
        coalitions are evaluated.
      num_evaluations: m coalitions, including the empty and the grand one; at least 2 M. Default: 20 M.
      sampling: "pairs", as above, or "published": sizes drawn from the Shapley kernel and coalitions with replacement, one
        by one, as in the paper, for comparison. Default "pairs".
      sizes: of the pairs: "uniform", equally many of each size, which is in proportion to their leverage in the regression
        (Musco & Witter 2025); "singles", all pairs of one player and the M - 1 others first, which weigh most, and the
        other sizes equally; or "kernel", in proportion to the Shapley kernel, as in the paper. Default "singles": far
        more accurate for 3 evaluations per player, and alike for many.
      until: a precision to reach: the largest standard error over the largest value. The evaluations are doubled until
        then. Such a loop has no reverse-mode gradient. For sampling="pairs". Default: none, and m evaluations.
      max_evaluations: the cap of `until`. `converged` says whether the precision was reached. Default: 16 m.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value, with
      std_errors (infinite where there are fewer pairs than players, or none but all of size 1, so that nothing tells the
      error), num_evaluations, and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or not among the choices above, or there are too few
        evaluations.

    References:
      Lundberg & Lee (2017), A unified approach to interpreting model predictions, arXiv:1705.07874, theorem 2.
      Covert & Lee (2021), Improving KernelSHAP, arXiv:2012.01536, for pairs.
      Musco & Witter (2025), Provably accurate Shapley value estimation via leverage score sampling, arXiv:2410.01917.
    """
    game = as_game(game)
    check.one_of("sampling", sampling, SAMPLINGS)
    check.one_of("sizes", sizes, SIZES)
    stages, until = read_stages(game, num_evaluations, until, max_evaluations)
    exact = sampling == "pairs" and stages[0] == num_pairs(game.num_players)
    key = read_key(key, exact, f"not all 2^{game.num_players} coalitions are evaluated, so they are drawn at random")
    ids = check.example_ids(ids, game.num_examples)
    batch_size = check.batch_size(batch_size)
    if sampling == "published":
        if until is not None:
            raise ValueError(
                f"`until` must be left out for sampling='published', got {until}: its designs are not nested; use "
                "sampling='pairs', or num_evaluations alone."
            )
        return _published(game, key, ids, num_evaluations=2 * stages[0] + 2, batch_size=batch_size)

    def prepare(stage: int) -> tuple[np.ndarray, Solve]:
        pairs = design(game.num_players, stages[: stage + 1], sizes)
        small = pairs.num_players * (stages[stage] + 1) <= _MOST_NUMBERS
        return pairs.coalitions, Partial(_solve, regression(pairs, stage) if small else large(pairs, stage))

    return explain(
        game,
        key,
        ids,
        prepare,
        stages=stages,
        until=until,
        estimator="kernel regression",
        title="shap.kernel",
        batch_size=batch_size,
    )


def _solve(problem: Regression | Large, parts: Parts, _active: Bool[Array, " M"]) -> tuple[Array, Array]:
    return solve(problem, parts.odd) if isinstance(problem, Regression) else solve_large(problem, parts.odd)


@compiled(static_argnames=("num_evaluations", "batch_size"), title="shap.kernel")
def _published(
    game: Game, key: Key[Array, ""], ids: Int[Array, " N"] | None, num_evaluations: int, batch_size: int | None
) -> Attribution:
    """KernelSHAP as published: coalitions one by one, with replacement, with sizes from the Shapley kernel.

    Least squares of v(z) - v(empty coalition) on z with equal weights, with the sum of the coefficients given.
    """
    num_players, count = game.num_players, num_evaluations - 2
    sizes = np.arange(1, num_players)
    chances = 1 / (sizes * (num_players - sizes))
    ends = jnp.asarray(np.cumsum(chances / chances.sum())[:-1], jnp.float32)[None]

    def solve_one(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        size_key, order_key = jax.random.split(key)
        drawn = 1 + jnp.sum(random.uniform(size_key, (count, 1)) > ends, axis=1, dtype=jnp.int32)
        coalitions = ranks(random.uniform(order_key, (count, num_players))) < drawn[:, None]
        limits = jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)])
        worth = v(jnp.concatenate([limits, coalitions]))
        shape = worth.shape[1:]
        worth = worth.reshape(len(worth), -1)
        unit = power_of_two(worth)
        gains = worth / unit[None]
        gains, unit = in_own_units(gains - gains[:1], unit)
        total = gains[1:2]
        present = coalitions.astype(worth.dtype)
        centered = present - present.mean(axis=1, keepdims=True)  # without the direction in which the sum is given
        goal = gains[2:] - drawn[:, None].astype(worth.dtype) * total / num_players
        gram = dot(centered.T, centered)
        size = jnp.trace(gram) / num_players
        gram = gram + size * (1 / num_players + 1e-6 * jnp.eye(num_players, dtype=gram.dtype))
        root = (jnp.linalg.cholesky(gram), True)
        values = cho_solve(root, dot(centered.T, goal))
        # [M, S], through the small inverse: a solve for all samples at once waits for the processor's other threads.
        pulls = dot(cho_solve(root, jnp.eye(num_players, dtype=gram.dtype)), centered.T)
        residuals = goal - dot(centered, values)
        spared = jnp.maximum(1 - (centered * pulls.T).sum(axis=1), 1e-3)[:, None]
        errors = unit[None] * safe_sqrt(dot(pulls**2, (residuals / spared) ** 2))
        errors = errors if count > num_players else jnp.full_like(errors, jnp.inf)
        values = unit[None] * efficient(values + total / num_players, total[0], active)
        return {
            "values": values.reshape(-1, *shape),
            "std_errors": jnp.where(active[:, None], errors, 0).reshape(-1, *shape),
            "base_value": worth[0].reshape(shape),
            "output": worth[1].reshape(shape),
            "num_evaluations": jnp.asarray(num_evaluations, jnp.int32),
        }

    return game.attribute(
        Attribution,
        solve_one,
        method="SHAP",
        estimator="kernel regression, as published",
        efficient=True,
        key=key,
        ids=ids,
        coalitions_at_once=num_evaluations,
        batch_size=batch_size,
    )
