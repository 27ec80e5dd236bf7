"""The cases of the overhead benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import xaijax as xai
from benchmarks._models import perceptron, small_resnet
from benchmarks._timing import Case

_apply = jax.jit(lambda model, x: model(x))
_apply_in_blocks = jax.jit(lambda model, x: jax.lax.map(model, x))
KEY = jax.random.key(0)


def cases(small: bool = False) -> list[Case]:
    """All cases; small ones run in seconds and show nothing but that they run."""
    return [_grad_cam(small), _permutation(small), _lime_tabular(small), _lime_image(small)]


def _bare(model: Any, rows: int, row: tuple[int, ...], blocks: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """The bare model on `rows` rows: at once, and in compiled loops over blocks of several sizes."""
    ways: dict[str, Callable[[], Any]] = {}
    if rows * jnp.prod(jnp.array(row)) < 5e6:
        whole = jax.random.normal(KEY, (rows, *row))
        ways["at once"] = lambda: _apply(model, whole)
    for size in blocks:
        number = -(-rows // size)
        x = jax.random.normal(KEY, (number, rows // number, *row))  # a few rows less than `rows`, never more
        ways[f"{number} blocks of {rows // number}"] = lambda x=x: _apply_in_blocks(model, x)
    return ways


def _grad_cam(small: bool) -> Case:
    images, side = (2, 16) if small else (32, 64)
    model, x = small_resnet(side), jax.random.normal(KEY, (images, side, side, 3))
    return Case(
        "Grad-CAM, small ResNet",
        images,
        lambda: xai.cam.grad_cam(model, x).values,
        {"at once": lambda: _apply(model, x)},
        {"images": images, "side": side},
    )


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
        _bare(model, rows, (features,), (2048, 8192, 16384)),
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
        _bare(model, inputs * samples, (features,), (2048, 8192, 16384)),
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
        _bare(model, inputs * samples, (side, side, 3), (32, 64, 128)),
        {"side": side, "samples": samples, "inputs": inputs, "regions": cells**2},
    )
