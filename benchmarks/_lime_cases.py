"""LIME of tables, images and text, beside the bare model on as many rows; and where the time of tables goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY, bare
from benchmarks._models import bag_of_words, perceptron, small_resnet
from benchmarks._timing import Case
from xaijax.lime import _explain, _rows
from xaijax.lime._surrogate import Ridge


def lime_cases(small: bool) -> list[Case]:
    return [_table(small, None), _table(small, "quartile"), _image(small), _text(small)]


def _table(small: bool, bins: str | None) -> Case:
    features, samples, inputs = (5, 20, 2) if small else (30, 5000, 100)
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    statistics = xai.lime.statistics(x, bins=bins)
    return Case(
        "LIME of numbers, perceptron" if bins is None else f"LIME of {bins}s, perceptron",
        inputs * samples,
        lambda: xai.lime.tabular(model, x, statistics, key=KEY, target=0, num_samples=samples).values,
        bare(model, inputs * samples, (features,), (2048, 8192, 16384)),
        {"features": features, "samples": samples, "inputs": inputs},
    )


def _image(small: bool) -> Case:
    side, samples, inputs = (16, 20, 1) if small else (64, 500, 2)
    model = small_resnet(side)
    x = jax.random.normal(KEY, (inputs, side, side, 3))
    regions = xai.mask.superpixels(4 if small else 50)
    return Case(
        "LIME on superpixels, small ResNet",
        inputs * samples,
        lambda: xai.lime.image(model, x, regions, key=KEY, target=0, num_samples=samples).values,
        bare(model, inputs * samples, (side, side, 3), (32, 64, 128)),
        {"side": side, "samples": samples, "inputs": inputs},
    )


def _text(small: bool) -> Case:
    length, samples, inputs = (8, 20, 2) if small else (128, 1000, 20)
    model = bag_of_words(length)
    x = jax.random.randint(KEY, (inputs, length), 1, 1000)
    return Case(
        "LIME of words, bag of embeddings",
        inputs * samples,
        lambda: xai.lime.text(model, x, key=KEY, mask_id=0, target=0, num_samples=samples).values,
        bare(model, inputs * samples, (length,), (512, 2048), ids=1000),
        {"length": length, "samples": samples, "inputs": inputs},
    )


def parts(repeats: int, *, small: bool = False) -> list[dict[str, Any]]:
    """Seconds of tabular LIME by what they are spent on: drawing, model, solving, one example after another."""
    inputs, samples, features = (3, 50, 5) if small else (1000, 5000, 30)
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    found = []
    for bins in (None, "quartile"):
        statistics = xai.lime.statistics(x, bins=bins)
        together = _rows.layout("weighted", samples - 1)
        recipe = _explain.read_recipe(
            together, Ridge(1e-6), num_players=features, num_features=None, feature_selection="auto", top=5,
            until=None, max_samples=None, certain=True,
        )  # fmt: skip
        width = 0.75 * features**0.5

        def draw(
            key: Any, row: Any, statistics: Any = statistics, together: Any = together, width: float = width
        ) -> Any:
            return _rows.draw("weighted", key, row, statistics, width, "row", together)

        drawn, rows = jax.jit(draw)(KEY, x[0])
        values = model(rows)

        def fit(key: Any, samples: Any, values: Any, recipe: Any = recipe) -> Any:
            return _explain.explain(
                lambda _: (samples, values), lambda values: values, key, recipe, alive=jnp.ones(features, bool)
            )

        keys = jax.random.split(KEY, inputs)
        # The samples differ from key to key, so that no part can be computed once for all.
        seconds = {
            "draw": _median(lambda keys, x: jax.lax.map(lambda pair: _sum(draw(*pair)), (keys, x)), (keys, x), repeats),
            "model": _median(lambda x, rows: jax.lax.map(lambda row: model(rows + row).sum(), x), (x, rows), repeats),
            "solve": _median(
                lambda keys, drawn, values: jax.lax.map(
                    lambda key: _sum(fit(key, drawn, values + jax.random.uniform(key, values.shape))), keys
                ),
                (keys, drawn, values),
                repeats,
            ),
        }
        found.append({"bins": bins or "none", "inputs": inputs, "samples": samples, "features": features} | seconds)
    return found


def _sum(tree: Any) -> Any:
    return jax.tree.map(jnp.sum, tree)


def _median(function: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> float:
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - start)
    return float(np.median(times))
