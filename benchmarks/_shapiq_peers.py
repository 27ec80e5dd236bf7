"""Explanations per second beside the package shapiq: the same games and as many evaluations, in the same run.

shapiq takes a game of NumPy arrays, here the same model, jitted, and explains one input after another.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._beside import Side, beside, missing, skipped, squared_error
from benchmarks._shapley_games import known_table, values

# With the smallest errors of its estimators over ten games (`python -m benchmarks --errors`), and their options.
ESTIMATORS: dict[str, dict[str, Any]] = {"KernelSHAP": {"pairing_trick": True}, "kADDSHAP": {"max_order": 2}}


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats, beside our kernel, and beside the default; shapiq on the first few inputs."""
    if sentence := missing("shapiq"):
        return [skipped("shapiq", sentence)]
    approximator: Any = importlib.import_module("shapiq.approximator")

    players, inputs, peer_inputs = (5, 4, 2) if small else (12, 200 if quick else 1000, 5)
    evaluations = 4 * players if small else 20 * players
    table = known_table(players, inputs)
    worth = jax.jit(lambda model, row, coalitions: model(coalitions * row))

    def theirs(name: str) -> np.ndarray:
        found = []
        for number, row in enumerate(np.asarray(table.x[:peer_inputs])):
            empty = float(table.model(np.zeros((1, players), np.float32))[0])
            game = lambda coalitions, row=row, empty=empty: (  # noqa: E731
                np.asarray(worth(table.model, row, np.asarray(coalitions, np.float32)), np.float64) - empty
            )
            with contextlib.redirect_stdout(None), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                estimator = getattr(approximator, name)(n=players, random_state=number, **ESTIMATORS[name])
                answer = estimator.approximate(evaluations, game).dict_values
            found.append([answer.get((player,), 0.0) for player in range(players)])
        return np.array(found)

    ours = {
        "kernel": lambda: values(xai.shap.kernel, table.game, num_evaluations=evaluations),
        "Gaussian process": lambda: values(xai.shap.gaussian_process, table.game, num_evaluations=evaluations),
    }
    rows = []
    for peer in ESTIMATORS:
        for name, explain in ours.items():

            def errors(explain: Any = explain, peer: str = peer) -> tuple[float, float]:
                return (
                    squared_error(explain(), table.truth),
                    squared_error(theirs(peer), table.truth[:peer_inputs]),
                )

            sides = (
                Side(explain, inputs, evaluations),
                Side(lambda peer=peer: theirs(peer), peer_inputs, evaluations),
            )
            title = f"{name} SHAP, table, {players} features"
            rows.append(beside(title, f"shapiq {peer}", *sides, repeats=repeats, errors=errors))
    return rows
