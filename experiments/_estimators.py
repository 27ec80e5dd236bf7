"""The Shapley estimators to measure: ours, and shap's algorithm in NumPy. Those of packages are in `_peers.py`.

Each takes a game, a number of evaluations and seeds, and returns an estimate for each seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import norm, t

import xaijax as xai
from experiments._known_games import KnownGame


class Estimates(NamedTuple):
    """values: [R, M] for R seeds; half_widths: [R, M] of their 95 % intervals, or None; evaluations: the mean number used."""

    values: np.ndarray
    half_widths: np.ndarray | None
    evaluations: float


class Failure(Exception):
    """Says why an estimator has no estimate of a game."""


# A game, its number of evaluations and the seeds.
Estimate = Callable[[KnownGame, int, Sequence[int]], Estimates]


class Estimator(NamedTuple):
    """most: the largest budget, in evaluations per player, since some estimators take minutes for more."""

    name: str
    package: str
    estimate: Estimate
    most: float = float("inf")


def ours() -> list[Estimator]:
    """Returns the estimators of this library."""

    def of(name: str, explain: Callable[..., xai.Attribution], most: float = float("inf")) -> Estimator:
        return Estimator(name, "xaijax", functools.partial(estimate, explain), most)

    return [
        of("default", _values),
        of("high precision", functools.partial(_values, precision="high"), most=20),
        of("Gaussian process", lambda game, key, m: xai.shap.gaussian_process(game, key=key, num_evaluations=m)),
        of("kernel", lambda game, key, m: xai.shap.kernel(game, key=key, num_evaluations=m)),
        of("permutations", permutations),
        of("orthogonal permutations", functools.partial(permutations, orders="orthogonal")),
    ]


def _values(game: xai.Game, key: jax.Array, num_evaluations: int, **options: Any) -> xai.Attribution:
    """Calls `shap.values` on the model x → v(x > 0.5) at the row of ones, with zeros for absent players."""
    model = xai.function(lambda value, x: value(x > 0.5), game.value)
    row = jax.numpy.ones((1, game.num_players))
    masker = xai.mask.baseline(jax.numpy.zeros(game.num_players))
    return xai.shap.values(model, row, masker, num_evaluations=num_evaluations, key=key, **options)[0]


def permutations(game: xai.Game, key: jax.Array, num_evaluations: int, **options: Any) -> xai.Attribution:
    count = max(1, (num_evaluations - 2) // (2 * (game.num_players - 1)))
    return xai.shap.permutation(game, key=key, num_permutations=count, **options)


def estimate(
    explain: Callable[..., xai.Attribution], known: KnownGame, num_evaluations: int, seeds: Sequence[int]
) -> Estimates:
    """Explains a game once for each seed, by explain(game, key, num_evaluations)."""
    game = known.game
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    attributions = _for_each_key(explain, num_evaluations)(game, keys)
    values, evaluations = np.asarray(attributions.values, np.float64), np.asarray(attributions.num_evaluations)
    quantile = float(norm.ppf(0.975))
    if "permutation" in attributions.choices[int(np.asarray(attributions.choice).flat[0])][0]:
        pairs = (evaluations.flat[0] - 2) // (2 * (game.num_players - 1))
        quantile = float(t.ppf(0.975, pairs - 1)) if pairs > 1 else np.nan
    errors = attributions.std_errors
    half_widths = None if errors is None else quantile * np.asarray(errors, np.float64)
    return Estimates(values, half_widths, float(np.mean(evaluations)))


@functools.lru_cache(maxsize=64)
def _for_each_key(explain: Callable[..., xai.Attribution], num_evaluations: int) -> Any:
    return jax.jit(lambda game, keys: jax.lax.map(lambda key: explain(game, key, num_evaluations), keys))


def stand_in() -> Estimator:
    """Returns the algorithm of shap's PermutationExplainer in NumPy, with as many orders: fast, for quick comparisons."""
    return Estimator("PermutationExplainer's algorithm", "NumPy", _permutations_as_many_as_shap)


def _permutations_as_many_as_shap(known: KnownGame, num_evaluations: int, seeds: Sequence[int]) -> Estimates:
    """Walks orders forwards and backwards; shap evaluates 2 M + 1 coalitions for each order."""
    num_players = len(known.exact)
    count = max(1, num_evaluations // (2 * num_players + 1))
    steps = np.arange(num_players + 1)[None, :, None]
    values = []
    for seed in seeds:
        ranks = np.random.default_rng(seed).permuted(np.tile(np.arange(num_players), (count, 1)), axis=1)
        before = ranks[:, None, :] < steps  # [P, M + 1, M]
        both = np.concatenate([before, ~before]).reshape(-1, num_players)
        worth = np.asarray(known.value.in_numpy(both), np.float64).reshape(2, count, num_players + 1)
        by_rank = (np.diff(worth[0]) - np.diff(worth[1])) / 2
        values.append(np.take_along_axis(by_rank, ranks, axis=1).mean(axis=0))
    return Estimates(np.array(values), None, count * (2 * num_players + 1))
