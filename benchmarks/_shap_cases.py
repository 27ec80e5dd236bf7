"""Shapley values of tables and images, beside the bare model on as many rows; and where their time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY, bare
from benchmarks._models import perceptron, small_resnet
from benchmarks._timing import Case
from xaijax.shap import _gaussian_process, _kernel
from xaijax.shap._design import design
from xaijax.shap._least_squares import regression, solve
from xaijax.shap._odd_process import process
from xaijax.shap._process import mixture


def shap_cases(small: bool) -> list[Case]:
    return [
        _permutation(small),
        *(_table(small, name) for name in ("Gaussian process", "kernel", "interactions")),
        _image(small),
    ]


def _permutation(small: bool) -> Case:
    features, background, permutations, inputs = (5, 3, 2, 2) if small else (30, 100, 10, 20)
    model, game = _game_of_table(features, background, inputs)
    rows = inputs * background * (2 * permutations * (features - 1) + 2)
    return Case(
        "permutation SHAP, perceptron",
        rows,
        lambda: xai.shap.permutation(game, num_permutations=permutations, key=KEY).values,
        bare(model, rows, (features,), (2048, 8192, 16384)),
        {"features": features, "background": background, "permutations": permutations, "inputs": inputs},
    )


def _table(small: bool, name: str) -> Case:
    features, background, evaluations, inputs = (5, 3, 14, 2) if small else (30, 100, 600, 20)
    model, game = _game_of_table(features, background, inputs)
    rows = inputs * background * evaluations
    explain: dict[str, Callable[..., xai.Attribution]] = {
        "Gaussian process": xai.shap.gaussian_process,
        "kernel": xai.shap.kernel,
        "interactions": xai.shap.interactions,
    }
    return Case(
        f"{name} SHAP, perceptron",
        rows,
        lambda: explain[name](game, num_evaluations=evaluations, key=KEY).values,
        bare(model, rows, (features,), (2048, 8192, 16384)),
        {"features": features, "background": background, "evaluations": evaluations, "inputs": inputs},
    )


def _image(small: bool) -> Case:
    side, evaluations, inputs = (16, 10, 1) if small else (64, 500, 2)
    model = small_resnet(side)
    x = jax.random.normal(KEY, (inputs, side, side, 3))
    game = xai.game(model, x, xai.mask.grid(2 if small else 7), target=0)
    return Case(
        "Gaussian process SHAP on a grid, small ResNet",
        inputs * evaluations,
        lambda: xai.shap.gaussian_process(game, num_evaluations=evaluations, key=KEY).values,
        bare(model, inputs * evaluations, (side, side, 3), (32, 64, 128)),
        {"side": side, "evaluations": evaluations, "inputs": inputs},
    )


def _game_of_table(features: int, background: int, inputs: int) -> tuple[xai.Model, xai.Game]:
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    masker = xai.mask.background(jax.random.normal(jax.random.key(1), (background, features)))
    return model, xai.game(model, x, masker, target=0)


def solvers(repeats: int, *, small: bool = False) -> list[dict[str, Any]]:
    """Milliseconds that the solvers take for one input once the coalitions are evaluated, and their constants, once."""
    found = []
    for players in (5,) if small else (30, 64, 200):
        pairs = design(players, (min(10 * players - 1, 2 ** (players - 1) - 2),))
        odd = jax.random.normal(KEY, (20, pairs.stages[0] + 1, 1))
        for name, constants, solver in (
            (
                "Gaussian process",
                lambda pairs=pairs: _gaussian_process._constants(pairs, pairs.stages[0], False),
                mixture,
            ),
            ("kernel", lambda pairs=pairs: _kernel._constants(pairs, 0), solve),
        ):
            for cached in (_gaussian_process._constants, _kernel._constants, process, regression):
                cached.cache_clear()
            start = time.perf_counter()
            made = jax.block_until_ready(constants())
            once = time.perf_counter() - start
            run = jax.jit(lambda made, odd, solver=solver: jax.lax.map(lambda one: solver(made, one), odd))
            jax.block_until_ready(run(made, odd))
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                jax.block_until_ready(run(made, odd))
                times.append(time.perf_counter() - start)
            found.append(
                {
                    "solver": name,
                    "players": players,
                    "evaluations": 2 * pairs.stages[0] + 2,
                    "milliseconds": 1e3 * float(np.median(times)) / len(odd),
                    "constants_seconds": once,
                }
            )
    return found
