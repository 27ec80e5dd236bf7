"""Gradient methods, compared with as many bare gradients, and methods without a derivative with as many passes."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

import xaijax as xai
from benchmarks._models import KEY, perceptron, small_resnet
from benchmarks._overhead import Case, Size, bare, blocks, pick


def gradient_cases(size: Size) -> list[Case]:
    """Returns single gradients of images, and paths and samples of images and tables."""
    return [*_single(size), *_paths(size), *_of_tables(size)]


def _images(size: Size, few: bool = False) -> tuple[Any, jax.Array, dict[str, int]]:
    images, side = pick(size, tiny=(2, 16), quick=(16, 64), full=(32, 64))
    images = pick(size, tiny=1, quick=2, full=2) if few else images
    return small_resnet(side), jax.random.normal(KEY, (images, side, side, 3)), {"images": images, "side": side}


def _single(size: Size) -> list[Case]:
    model, x, sizes = _images(size)
    ways = partial(bare, model, len(x), x.shape[1:], (), gradients=True)
    explainers = {
        "saliency": xai.gradient.saliency,
        "input x gradient": xai.gradient.input_x_gradient,
        "guided backpropagation": xai.gradient.guided_backpropagation,
        "deconvolution": xai.gradient.deconvolution,
        "DeepLIFT": xai.gradient.deep_lift,
        "relevance propagation": xai.gradient.propagate,
    }
    return [
        Case(f"{name}, small ResNet", len(x), lambda explain=explain: explain(model, x, target=0), ways, sizes)
        for name, explain in explainers.items()
    ]


def _paths(size: Size) -> list[Case]:
    model, x, sizes = _images(size, few=True)
    steps, side = pick(size, tiny=3, quick=50, full=50), x.shape[1]
    smooth = xai.gradient.smooth(xai.gradient.saliency, num_samples=steps)
    stride = side // 4
    gradients = partial(bare, model, steps * len(x), x.shape[1:], blocks("images", size), gradients=True)
    windows = partial(bare, model, 17 * len(x), x.shape[1:], blocks("images", size))
    options: dict[str, Any] = {"target": 0, "num_steps": steps}
    return [
        Case(f"{name}, small ResNet", rows * len(x), explain, ways, sizes | {"passes": rows})
        for name, rows, explain, ways in (
            ("integrated gradients", steps, lambda: xai.gradient.integrated_gradients(model, x, **options), gradients),
            ("SmoothGrad", steps, lambda: smooth(model, x, target=0, key=KEY), gradients),
            ("occlusion", 17, lambda: xai.gradient.occlusion(model, x, stride, target=0), windows),
        )
    ]


def _of_tables(size: Size) -> list[Case]:
    features, inputs, steps = pick(size, tiny=(5, 2, 3), quick=(12, 1000, 50), full=(12, 4000, 50))
    model, x = perceptron(features), jax.random.normal(KEY, (inputs, features))
    rows = inputs * steps
    return [
        Case(
            "integrated gradients, perceptron",
            rows,
            lambda: xai.gradient.integrated_gradients(model, x, target=0, num_steps=steps),
            partial(bare, model, rows, (features,), blocks("tables", size), gradients=True),
            {"features": features, "inputs": inputs, "steps": steps},
        )
    ]
