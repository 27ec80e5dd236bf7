"""Whole networks of photographs and their explanations, relative to the bare networks.

EfficientNet-Lite0 has depthwise convolutions, which XLA's programs for CPUs compute group by group. Explanations and
`xai.fast` avoid that: ratios below 1. ResNet-50 has the sizes that most maps are computed for; its peak memory is compared
too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

import xaijax as xai
from benchmarks._models import KEY, ResNet50, mobile_net, resnet50
from benchmarks._overhead import Case, Size, at_once, bare, gradients_at_once, pick
from experiments._efficientnet import load_efficientnet


def network_cases(size: Size) -> list[Case]:
    """Returns forward passes and gradients at several numbers of images, four explanations, and Grad-CAM of ResNet-50."""
    side = pick(size, tiny=16, quick=128, full=224)
    name, model = ("MobileNet", mobile_net(side)) if size == "tiny" else ("EfficientNet-Lite0", _efficientnet())
    cases = []
    for images in pick(size, tiny=(2,), quick=(8,), full=(1, 8)):
        x = jax.random.normal(KEY, (images, side, side, 3))
        fast, sizes = xai.fast(model), {"images": images, "side": side}
        for title, ways in (("forward", at_once), ("gradient", gradients_at_once)):
            run = ways(fast, x)["at once"]
            plain = functools.partial(ways, model, x)
            cases.append(Case(f"{title} by xai.fast, {name}, {images} images", images, run, plain, sizes))
    return [*cases, *_explanations(name, model, size, side), _grad_cam(size)]


def _grad_cam(size: Size) -> Case:
    """Returns Grad-CAM on the last block of ResNet-50: time and peak memory."""
    stages, width, images, side = pick(
        size, tiny=((1, 1), 4, 2, 16), quick=((3, 4, 6, 3), 64, 8, 64), full=((3, 4, 6, 3), 64, 32, 224)
    )
    module = ResNet50(stages, width)
    model, x = resnet50(module, side), jax.random.normal(KEY, (images, side, side, 3))

    def explain(model: Any, x: jax.Array) -> jax.Array:
        return xai.cam.grad_cam(model, x, layer=module.last, target=0).values

    return Case(
        f"Grad-CAM, ResNet-50, {images} images at {side}",
        images,
        lambda: explain(model, x),
        functools.partial(at_once, model, x),
        {"images": images, "side": side},
        lambda: (jax.jit(explain).lower(model, x), jax.jit(lambda model, x: model(x)).lower(model, x)),
    )


def _explanations(name: str, model: Any, size: Size, side: int) -> list[Case]:
    images = pick(size, tiny=2, quick=8, full=8)
    x = jax.random.normal(KEY, (images, side, side, 3))
    samples, cells = pick(size, tiny=(8, 2), quick=(16, 3), full=(64, 5))
    one_pass = functools.partial(at_once, model, x)

    def case(title: str, rows: int, explain: Callable[[], Any], plain: Any) -> Case:
        return Case(f"{title}, {name}", rows, explain, plain, {"images": images, "rows": rows, "side": side})

    def of_rows(rows: int) -> Callable[[], Any]:
        return lambda: bare(model, rows, (side, side, 3), (8,))

    few = x[:1]
    games = xai.game(model, few, xai.mask.grid(cells), target=0)
    orders = 2 * cells**2  # coalitions of one order and its reverse
    options: dict[str, Any] = {"key": KEY, "target": 0, "num_samples": samples}
    lime = lambda: xai.lime.image(model, few, xai.mask.grid(cells), **options)  # noqa: E731
    shap = lambda: xai.shap.permutation(games, num_permutations=1, key=KEY)  # noqa: E731
    return [
        case("CAM", images, lambda: xai.cam.cam(model, x), one_pass),
        case("Grad-CAM", images, lambda: xai.cam.grad_cam(model, x), one_pass),
        case("LIME on a grid", samples, lime, of_rows(samples)),
        case("permutation SHAP on a grid", orders, shap, of_rows(orders)),
    ]


@functools.cache
def _efficientnet() -> Any:
    return load_efficientnet()
