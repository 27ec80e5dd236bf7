"""The cases of the overhead benchmark."""

from __future__ import annotations

import jax

import xaijax as xai
from benchmarks._bare import KEY, bare
from benchmarks._cam_cases import cam_cases
from benchmarks._models import perceptron, small_resnet
from benchmarks._timing import Case


def cases(small: bool = False) -> list[Case]:
    """All cases; small ones run in seconds and show nothing but that they run."""
    return [*cam_cases(small), _permutation(small), _lime_tabular(small), _lime_image(small)]


def _permutation(small: bool) -> Case:
    features, background, permutations, inputs = (5, 3, 2, 2) if small else (30, 100, 10, 20)
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    masker = xai.mask.background(jax.random.normal(jax.random.key(1), (background, features)))
    game = xai.game(model, x, masker, target=0)
    rows = inputs * background * (2 * permutations * (features - 1) + 2)
    return Case(
        "permutation SHAP, perceptron",
        rows,
        lambda: xai.shap.permutation(game, num_permutations=permutations, key=KEY).values,
        bare(model, rows, (features,), (2048, 8192, 16384)),
        {"features": features, "background": background, "permutations": permutations, "inputs": inputs},
    )


def _lime_tabular(small: bool) -> Case:
    features, samples, inputs = (5, 20, 2) if small else (30, 1000, 1000)
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    statistics = xai.lime.statistics(x)
    return Case(
        "LIME, perceptron",
        inputs * samples,
        lambda: xai.lime.tabular(model, x, statistics, key=KEY, target=0, num_samples=samples).values,
        bare(model, inputs * samples, (features,), (2048, 8192, 16384)),
        {"features": features, "samples": samples, "inputs": inputs},
    )


def _lime_image(small: bool) -> Case:
    side, samples, inputs, cells = (16, 20, 1, 2) if small else (64, 500, 2, 7)
    model = small_resnet(side)
    game = xai.game(model, jax.random.normal(KEY, (inputs, side, side, 3)), xai.mask.grid(cells), target=0)
    return Case(
        "LIME on a grid, small ResNet",
        inputs * samples,
        lambda: xai.lime.fit(game, key=KEY, num_samples=samples).values,
        bare(model, inputs * samples, (side, side, 3), (32, 64, 128)),
        {"side": side, "samples": samples, "inputs": inputs, "regions": cells**2},
    )
