"""The cases of the overhead benchmark."""

from __future__ import annotations

import jax

import xaijax as xai
from benchmarks._bare import KEY, bare
from benchmarks._cam_cases import cam_cases
from benchmarks._lime_cases import lime_cases
from benchmarks._models import perceptron
from benchmarks._timing import Case


def cases(small: bool = False) -> list[Case]:
    """All cases; small ones run in seconds and show nothing but that they run."""
    return [*cam_cases(small), _permutation(small), *lime_cases(small)]


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
