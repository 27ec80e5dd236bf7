"""Explanations per second beside the package shap, at equal error: the same model, rows and background, in one run.

Each of shap's explainers has 20 evaluations for each feature; ours has as many as it takes for an error that is no larger.
The truth is what 200 times as many evaluations say. shap's model is the same one, jitted, with all its rows at once.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY
from experiments._tables import breast_cancer
from experiments._tour_tables import train_on_cancer
from xaijax._model import Model

BUDGETS = (2, 3, 5, 7, 10, 14, 20)  # evaluations for each feature


def measure(repeats: int, *, small: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats; shap on the first few of the inputs."""
    shap: Any = importlib.import_module("shap")

    inputs, peer_inputs, background = (3, 1, 5) if small else (140, 10, 100)
    table = breast_cancer(0)
    classifier = train_on_cancer(table, KEY, 0, epochs=2 if small else 60)
    model = xai.function(lambda model, x: model(x)[:, 0] - model(x)[:, 1], classifier)
    x, rows = table.test_x[:inputs], table.train_x[:background]
    players = x.shape[1]
    masker = xai.mask.background(rows)
    games = xai.game(model, x[:peer_inputs], masker)
    truth = np.asarray(
        xai.shap.kernel(games, key=jax.random.key(1), num_evaluations=(20 if small else 4000) * players).values
    )
    predict = _of_numpy(model)
    independent = shap.maskers.Independent(rows, max_samples=len(rows))
    explainers: dict[str, Callable[[], Any]] = {
        "PermutationExplainer": lambda: (
            shap.PermutationExplainer(predict, independent, seed=0)(
                x[:peer_inputs], max_evals=20 * players, silent=True
            ).values
        ),
        "KernelExplainer, l1_reg off": lambda: shap.KernelExplainer(predict, rows).shap_values(
            x[:peer_inputs], nsamples=20 * players, l1_reg=False, silent=True
        ),
    }

    def ours(budget: int, x: Any) -> Any:
        evaluations = max(budget * players, 2 * players)
        return xai.shap.values(model, x, masker, key=KEY, num_evaluations=evaluations).values

    errors = {budget: _error(ours(budget, x[:peer_inputs]), truth) for budget in BUDGETS}
    found = []
    for name, theirs in explainers.items():
        peer_error = _error(theirs(), truth)
        budget = next((budget for budget in BUDGETS if errors[budget] <= peer_error), BUDGETS[-1])
        first = _seconds(lambda budget=budget: ours(budget, x))
        times = np.array([[_seconds(lambda budget=budget: ours(budget, x)), _seconds(theirs)] for _ in range(repeats)])
        speeds = np.array([inputs, peer_inputs]) / times
        found.append(
            {
                "name": f"table, {players} features, {budget} and 20 evaluations each",
                "peer": f"shap {name}",
                "inputs": inputs,
                "peer_inputs": peer_inputs,
                "error": errors[budget],
                "peer_error": peer_error,
                "explanations_per_second": float(np.median(speeds[:, 0])),
                "peer_explanations_per_second": float(np.median(speeds[:, 1])),
                "times_faster": float(np.median(speeds[:, 0] / speeds[:, 1])),
                "first_seconds": first,
                "peer_first_seconds": float(np.median(times[:, 1])),
            }
        )
    return found


def _error(values: Any, truth: np.ndarray) -> float:
    return float(((np.asarray(values, np.float64) - truth) ** 2).sum() / (truth**2).sum())


def _of_numpy(model: Model) -> Callable[[Any], np.ndarray]:
    apply = jax.jit(lambda model, x: model(x))
    return lambda rows: np.asarray(apply(model, np.asarray(rows, np.float32)))


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
