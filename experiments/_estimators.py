"""Shapley estimators to be measured: ours, and those of the packages shap and shapiq where they are installed.

Each takes a game, a number of evaluations and seeds, and says what it found for each seed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.scipy.special import ndtri

import xaijax as xai
from experiments._known_games import KnownGame


class Found(NamedTuple):
    """values: [R, M] of each seed; half_widths: [R, M] of their 95 % intervals, or None; evaluations: how many were used."""

    values: np.ndarray
    half_widths: np.ndarray | None
    evaluations: float


# A game, its number of evaluations and the seeds.
Estimate = Callable[[KnownGame, int, Sequence[int]], Found]


class Estimator(NamedTuple):
    """most: the most evaluations, for each player, that it is asked for: some take minutes beyond."""

    name: str
    package: str
    estimate: Estimate
    most: float = float("inf")


def ours() -> list[Estimator]:
    def of(name: str, explain: Callable[..., xai.Attribution], most: float = float("inf")) -> Estimator:
        return Estimator(name, "xaijax", functools.partial(_ours, explain), most)

    return [
        of("default", _front),
        of("high precision", functools.partial(_front, precision="high"), most=20),
        of("Gaussian process", lambda game, key, m: xai.shap.gaussian_process(game, key=key, num_evaluations=m)),
        of("kernel", lambda game, key, m: xai.shap.kernel(game, key=key, num_evaluations=m)),
        of("permutations", _permutations),
        of("orthogonal permutations", functools.partial(_permutations, orders="orthogonal")),
    ]


def _front(game: xai.Game, key: jax.Array, num_evaluations: int, **options: Any) -> xai.Attribution:
    """`shap.values` of the model x → v(x > 0.5) at the row of ones, with zeros for what is absent."""
    model = xai.function(lambda value, x: value(x > 0.5), game.value)
    everybody = jax.numpy.ones((1, game.num_players))
    nobody = xai.mask.baseline(jax.numpy.zeros(game.num_players))
    options |= {"num_evaluations": num_evaluations, "key": key}
    return jax.tree.map(lambda leaf: leaf[0], xai.shap.values(model, everybody, nobody, **options))


def _permutations(game: xai.Game, key: jax.Array, num_evaluations: int, **options: Any) -> xai.Attribution:
    count = max(1, (num_evaluations - 2) // (2 * (game.num_players - 1)))
    return xai.shap.permutation(game, key=key, num_permutations=count, **options)


def _ours(
    explain: Callable[..., xai.Attribution], known: KnownGame, num_evaluations: int, seeds: Sequence[int]
) -> Found:
    game = known.game
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    found = _for_each_key(explain, num_evaluations)(game, keys)
    values = np.asarray(found.values, np.float64)
    evaluations = 2**game.num_players if found.num_evaluations is None else found.num_evaluations
    widths = None
    if found.std_errors is not None:
        quantile = float(ndtri(0.975))
        if "permutation" in found.method:
            from scipy.stats import t

            pairs = (np.asarray(evaluations).flat[0] - 2) // (2 * (game.num_players - 1))
            quantile = float(t.ppf(0.975, pairs - 1)) if pairs > 1 else np.nan
        widths = quantile * np.asarray(found.std_errors, np.float64)
    return Found(values, widths, float(np.mean(evaluations)))


@functools.lru_cache(maxsize=64)
def _for_each_key(explain: Callable[..., xai.Attribution], num_evaluations: int) -> Any:
    return jax.jit(lambda game, keys: jax.lax.map(lambda key: explain(game, key, num_evaluations), keys))


def peers() -> list[Estimator]:
    """Those of the packages that are installed."""
    found = []
    if importlib.util.find_spec("shap"):
        found += [
            Estimator("PermutationExplainer", "shap", _shap_permutation),
            Estimator("KernelExplainer", "shap", functools.partial(_shap_kernel, l1_reg="num_features(10)")),
            Estimator("KernelExplainer, l1_reg off", "shap", functools.partial(_shap_kernel, l1_reg=False)),
        ]
    if importlib.util.find_spec("shapiq"):
        for name in ("KernelSHAP", "UnbiasedKernelSHAP", "kADDSHAP", "SVARM", "OwenSamplingSV", "StratifiedSamplingSV"):
            found.append(Estimator(name, "shapiq", functools.partial(_shapiq, name)))
    return found


def _of_numpy(known: KnownGame) -> tuple[Callable[[Any], np.ndarray], list[int]]:
    """The game as the peers want it, in float64, and how many coalitions it was asked for in each call."""
    asked: list[int] = []

    def worth(coalitions: Any) -> np.ndarray:
        rows = np.atleast_2d(np.asarray(coalitions)) > 0.5
        asked.append(len(rows))
        return np.asarray(known.value.in_numpy(rows), np.float64)

    return worth, asked


def _shap_permutation(known: KnownGame, num_evaluations: int, seeds: Sequence[int]) -> Found:
    shap: Any = importlib.import_module("shap")

    worth, asked = _of_numpy(known)
    nobody, everybody = np.zeros((1, len(known.exact))), np.ones((1, len(known.exact)))
    masker = shap.maskers.Independent(nobody)
    values = []
    for seed in seeds:
        explain = shap.PermutationExplainer(worth, masker, seed=int(seed))
        values.append(explain(everybody, max_evals=num_evaluations, silent=True).values[0])
    return Found(np.array(values), None, sum(asked) / len(seeds))


def _shap_kernel(known: KnownGame, num_evaluations: int, seeds: Sequence[int], *, l1_reg: Any) -> Found:
    shap: Any = importlib.import_module("shap")

    worth, asked = _of_numpy(known)
    nobody, everybody = np.zeros((1, len(known.exact))), np.ones((1, len(known.exact)))
    values = []
    for seed in seeds:
        np.random.seed(int(seed))  # noqa: NPY002  (the only one that it knows)
        explain = shap.KernelExplainer(worth, nobody)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"nsamples": num_evaluations - 2, "l1_reg": l1_reg, "silent": True}
            values.append(explain.shap_values(everybody, **options)[0])
    return Found(np.array(values), None, sum(asked) / len(seeds))


def _shapiq(name: str, known: KnownGame, num_evaluations: int, seeds: Sequence[int]) -> Found:
    approximator: Any = importlib.import_module("shapiq.approximator")

    worth, asked = _of_numpy(known)
    empty = worth(np.zeros((1, len(known.exact))))[0]
    asked.clear()
    centered = lambda coalitions: worth(coalitions) - empty  # noqa: E731  (what shapiq's own games do)
    values = []
    for seed in seeds:
        with contextlib.redirect_stdout(None), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options: dict[str, Any] = {"n": len(known.exact), "random_state": int(seed)}
            if name == "kADDSHAP":
                options["max_order"] = 2
            found = getattr(approximator, name)(**options).approximate(num_evaluations, centered)
            values.append([found.dict_values.get((player,), 0.0) for player in range(len(known.exact))])
    return Found(np.array(values), None, sum(asked) / len(seeds))
