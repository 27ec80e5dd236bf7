"""Shapley values of tables, images and texts, compared with the bare model on as many rows; and the parts of their time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from benchmarks._models import (
    KEY,
    VOCABULARY,
    mobile_net,
    perceptron,
    small_resnet,
    text_transformer,
    vision_transformer,
)
from benchmarks._overhead import Case, Size, bare, blocks, pick
from benchmarks._parts import parts_of_game
from benchmarks._timing import interleaved, seconds
from xaijax.shap._design import design
from xaijax.shap._least_squares import regression, solve
from xaijax.shap._process import mixture, process

Explain = Callable[[xai.Game], xai.Attribution]
_QUICK_PARTS = ("permutation SHAP", "Gaussian process SHAP", "kernel SHAP")


def shap_cases(size: Size) -> list[Case]:
    """Returns every estimator on a table of 30 features, and one of them on every other model."""
    return [*_of_tables(size), *_of_groups(size), *_of_gradients(size), *_of_images(size), *_of_texts(size)]


def _table(size: Size) -> dict[str, int]:
    inputs = pick(size, tiny=2, quick=10, full=20)
    return pick(
        size,
        tiny={"features": 5, "background": 3, "permutations": 2, "evaluations": 14, "inputs": inputs},
        quick={"features": 30, "background": 100, "permutations": 10, "evaluations": 600, "inputs": inputs},
        full={"features": 30, "background": 100, "permutations": 10, "evaluations": 600, "inputs": inputs},
    )


def _game_of_table(sizes: dict[str, int], groups: int | None = None) -> tuple[xai.Model, jax.Array, Any]:
    """Returns a perceptron, inputs, and a masker with a background."""
    features = sizes["features"]
    x = jax.random.normal(KEY, (sizes["inputs"], features))
    rows = jax.random.normal(jax.random.key(1), (sizes["background"], features))
    labels = None if groups is None else jnp.arange(features) % groups
    return perceptron(features), x, xai.mask.background(rows, groups=labels)


def _estimators(sizes: dict[str, int]) -> dict[str, tuple[int, Explain]]:
    """Returns the number of coalitions of one input and the call of each estimator."""
    permutations, evaluations = sizes["permutations"], sizes["evaluations"]
    walked = 2 * permutations * (sizes["features"] - 1) + 2
    budget = {"num_evaluations": evaluations, "key": KEY}
    return {
        "permutation SHAP": (walked, lambda game: xai.shap.permutation(game, num_permutations=permutations, key=KEY)),
        "orthogonal permutation SHAP": (
            walked,
            lambda game: xai.shap.permutation(game, num_permutations=permutations, orders="orthogonal", key=KEY),
        ),
        "Gaussian process SHAP": (evaluations, lambda game: xai.shap.gaussian_process(game, **budget)),
        "per-player Gaussian process SHAP": (
            evaluations,
            lambda game: xai.shap.gaussian_process(game, scales="per_player", **budget),
        ),
        "kernel SHAP": (evaluations, lambda game: xai.shap.kernel(game, **budget)),
        "published kernel SHAP": (evaluations, lambda game: xai.shap.kernel(game, sampling="published", **budget)),
        "interactions SHAP": (evaluations, lambda game: xai.shap.interactions(game, **budget)),
    }


def _of_tables(size: Size) -> list[Case]:
    cases = []
    for name, (coalitions, explain) in _estimators(_table(size)).items():
        sizes = _table(size)
        if name.startswith("per-player"):  # fits scales to each input, which takes as long with any model
            sizes["inputs"] = pick(size, tiny=1, quick=4, full=10)
        model, x, masker = _game_of_table(sizes)
        cases.append(
            _case(f"{name}, perceptron", model, xai.game(model, x, masker, target=0), explain, coalitions, sizes, size)
        )
    return cases


def _case(
    name: str, model: Any, game: xai.Game, explain: Explain, coalitions: int, sizes: dict[str, int], size: Size
) -> Case:
    rows = sizes["inputs"] * sizes["background"] * coalitions
    return Case(
        name,
        rows,
        lambda: explain(game),
        partial(bare, model, rows, (sizes["features"],), blocks("tables", size)),
        sizes,
    )


def _of_groups(size: Size) -> list[Case]:
    """Returns cases of all coalitions of ten groups of features, and Owen values of groups within groups."""
    groups = pick(size, tiny=4, quick=10, full=10)
    sizes = _table(size) | {"groups": groups}
    sizes["features"] = pick(size, tiny=8, quick=30, full=30)
    model, x, masker = _game_of_table(sizes, groups)
    game = xai.game(model, x, masker, target=0)
    half = groups // 2
    tree = [list(range(half)), list(range(half, groups))]
    # Both halves absent or complete, and the proper subsets of one half with the other half absent or complete.
    owen = 4 + 4 * (2**half - 2) if 2 * half == groups else 0
    explainers: dict[str, tuple[int, Explain]] = {
        "exact SHAP": (2**groups, xai.shap.exact),
        "exact interactions": (2**groups, lambda game: xai.shap.interactions(game)),
        "Banzhaf values": (2**groups, xai.shap.banzhaf),
        "Owen values": (owen, lambda game: xai.shap.owen(game, tree)),
    }
    return [
        _case(f"{name} of groups, perceptron", model, game, explain, coalitions, sizes, size)
        for name, (coalitions, explain) in explainers.items()
    ]


def _of_gradients(size: Size) -> list[Case]:
    """Returns expected gradients, compared with bare gradients, and the closed form of a linear model."""
    sizes = _table(size)
    sizes["samples"] = pick(size, tiny=32, quick=256, full=256)
    sizes["inputs"] = pick(size, tiny=2, quick=200, full=400)
    model, x, masker = _game_of_table(sizes)
    features, inputs = sizes["features"], sizes["inputs"]
    rows = inputs * sizes["samples"]
    weights = jax.random.normal(KEY, (features, 1))
    linear = xai.function(lambda weights, x: x @ weights, weights)
    return [
        Case(
            "expected gradients, perceptron",
            rows,
            lambda: xai.shap.expected_gradients(model, x, masker.rows, key=KEY, target=0, num_samples=sizes["samples"]),
            partial(bare, model, rows, (features,), blocks("tables", size), gradients=True),
            sizes,
        ),
        Case(
            "linear SHAP, linear model",
            inputs,
            lambda: xai.shap.linear(linear, x, masker.rows, target=0),
            partial(bare, linear, inputs, (features,), ()),
            sizes,
        ),
    ]


def _of_images(size: Size) -> list[Case]:
    side, evaluations = pick(size, tiny=(16, 10), quick=(64, 128), full=(64, 256))
    cells = pick(size, tiny=2, quick=7, full=7)
    models: list[tuple[str, Any, int]] = [
        ("small ResNet", small_resnet, pick(size, tiny=1, quick=1, full=2)),
        ("ViT", vision_transformer, pick(size, tiny=1, quick=4, full=8)),
    ]
    if size != "quick":
        models.append(("MobileNet", mobile_net, 1))
    cases = []
    for name, make, inputs in models:
        model = make(side)
        game = xai.game(model, jax.random.normal(KEY, (inputs, side, side, 3)), xai.mask.grid(cells), target=0)
        cases.append(
            Case(
                f"Gaussian process SHAP on a grid, {name}",
                inputs * evaluations,
                lambda game=game: xai.shap.gaussian_process(game, num_evaluations=evaluations, key=KEY),
                partial(bare, model, inputs * evaluations, (side, side, 3), blocks("images", size)),
                {"side": side, "cells": cells, "evaluations": evaluations, "inputs": inputs},
            )
        )
    return cases


def _of_texts(size: Size) -> list[Case]:
    """Returns kernel SHAP and pairs chosen in rounds for words: models for which half the evaluations are worth a fit."""
    length, evaluations, inputs = pick(size, tiny=(5, 14, 1), quick=(32, 320, 4), full=(64, 640, 2))
    model = text_transformer(length)
    x = jax.random.randint(KEY, (inputs, length), 1, VOCABULARY)
    game = xai.game(model, x, xai.mask.tokens(0), target=0)
    sizes = {"length": length, "evaluations": evaluations, "inputs": inputs}
    explainers = {
        "kernel SHAP": lambda: xai.shap.kernel(game, num_evaluations=evaluations, key=KEY),
        "high precision SHAP": lambda: xai.shap.values(game, num_evaluations=evaluations, key=KEY, precision="high"),
    }
    rows = inputs * evaluations
    ways = partial(bare, model, rows, (length,), blocks("texts", size), ids=VOCABULARY)
    return [
        Case(f"{name} of words, text transformer", rows, explain, ways, sizes) for name, explain in explainers.items()
    ]


def shap_parts(repeats: int, size: Size) -> list[dict[str, Any]]:
    """Measures the parts of the estimators on a table, and of one estimator on the grid of an image."""
    sizes = _table(size)
    model, x, masker = _game_of_table(sizes)
    pairs = design(sizes["features"], ((sizes["evaluations"] - 2) // 2,))
    alone = {
        name: _solver(constants, solver, pairs.stages[0], sizes["inputs"])
        for name, constants, solver in _solvers_of(pairs)
    }
    measured = []
    for name, (coalitions, explain) in _estimators(sizes).items():
        if name.startswith("per-player") or (size == "quick" and name not in _QUICK_PARTS):
            continue
        rows = sizes["inputs"] * sizes["background"] * coalitions
        measured.append(
            parts_of_game(
                f"{name}, perceptron", lambda game, explain=explain: explain(game).values, model, x, masker,
                bare=bare(model, rows, (sizes["features"],), blocks("tables", size)), repeats=repeats, sizes=sizes,
                solve=alone.get(name.removesuffix(" SHAP")),
                both="drawing" if "permutation" in name else "drawing and solving",
            )
        )  # fmt: skip
    return [*measured, _parts_on_a_grid(repeats, size)]


def _parts_on_a_grid(repeats: int, size: Size) -> dict[str, Any]:
    side, evaluations, inputs, cells = pick(size, tiny=(16, 10, 1, 2), quick=(64, 128, 1, 7), full=(64, 256, 2, 7))
    model = small_resnet(side)
    return parts_of_game(
        "Gaussian process SHAP on a grid, small ResNet",
        lambda game: xai.shap.gaussian_process(game, num_evaluations=evaluations, key=KEY),
        model, jax.random.normal(KEY, (inputs, side, side, 3)), xai.mask.grid(cells),
        bare=bare(model, inputs * evaluations, (side, side, 3), blocks("images", size)), repeats=repeats,
        sizes={"side": side, "cells": cells, "evaluations": evaluations, "inputs": inputs},
        both="drawing and solving",
    )  # fmt: skip


def _solvers_of(pairs: Any) -> list[tuple[str, Callable[[], Any], Callable[[Any, Any], Any]]]:
    """Returns names, functions that compute the constants, and solvers that use them."""
    return [
        ("Gaussian process", lambda: process(pairs, pairs.stages[0]), mixture),
        ("kernel", lambda: regression(pairs, 0), solve),
    ]


def _solver(constants: Callable[[], Any], solver: Callable[[Any, Any], Any], pairs: int, inputs: int) -> Any:
    """Returns a function that only solves, for all inputs, one after another."""
    computed, odd = constants(), jax.random.normal(KEY, (inputs, pairs + 1, 1))
    run = jax.jit(lambda computed, odd: jax.lax.map(lambda values: solver(computed, values), odd))
    return lambda: run(computed, odd)


def solvers(repeats: int, size: Size) -> list[dict[str, Any]]:
    """Measures milliseconds of the solvers for one input after the evaluations, and seconds of their constants."""
    rows = []
    for players in pick(size, tiny=(5,), quick=(30, 64), full=(30, 64, 200)):
        inputs = 20
        pairs = design(players, (min(10 * players - 1, 2 ** (players - 1) - 2),))
        for name, constants, solver in _solvers_of(pairs):
            for cached in (process, regression):
                cached.cache_clear()
            start = time.perf_counter()
            jax.block_until_ready(constants())
            once = time.perf_counter() - start
            run = _solver(constants, solver, pairs.stages[0], inputs)
            seconds(run)
            times = [1e3 * taken / inputs for taken in interleaved({"": run}, repeats)[""]]
            rows.append(
                {
                    "name": f"{name}, {players} players",
                    "solver": name,
                    "players": players,
                    "evaluations": 2 * pairs.stages[0] + 2,
                    "milliseconds": float(np.median(times)),
                    "constants_seconds": once,
                    "repeats": {"milliseconds": times},
                }
            )
    return rows
