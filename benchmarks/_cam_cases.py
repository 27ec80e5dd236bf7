"""Class activation maps, compared with the passes by which each is defined; and the parts of their time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

import xaijax as xai
from benchmarks._models import KEY, mobile_net, small_resnet, vision_transformer
from benchmarks._overhead import Case, Size, Ways, at_once, bare, blocks, pick
from benchmarks._parts import Seconds, measure_parts

ONE_PASS = (
    xai.cam.grad_cam,
    xai.cam.grad_cam_plus_plus,
    xai.cam.hires_cam,
    xai.cam.xgrad_cam,
    xai.cam.layer_cam,
    xai.cam.elementwise_grad_cam,
    xai.cam.shapley_cam,
    xai.cam.eigen_cam,
    xai.cam.eigen_grad_cam,
    xai.cam.kpca_cam,
    xai.cam.fem,
)
LANDMARKS = 256  # of 3,136 positions
_FEW = (xai.cam.grad_cam, xai.cam.layer_cam)
_OF_MATRICES = (xai.cam.eigen_cam, xai.cam.kpca_cam)


def cam_cases(size: Size) -> list[Case]:
    """Returns every map of a small ResNet; some of larger inputs, of depthwise convolutions and of a transformer."""
    return [*_of_small_resnet(size), *_of_gradients(size), *_of_other_models(size)]


def _batch(model: Any, images: int, side: int) -> tuple[Any, jax.Array, dict[str, int]]:
    return model(side), jax.random.normal(KEY, (images, side, side, 3)), {"images": images, "side": side}


def _of_small_resnet(size: Size) -> list[Case]:
    """Returns cases of ten classes at 64 x 64; maps of many evaluations have one or two images."""
    images, side = pick(size, tiny=(2, 16), quick=(16, 64), full=(32, 64))
    model, x, sizes = _batch(small_resnet, images, side)
    forward = partial(at_once, model, x)

    def one_pass(title: str, explain: Any) -> Case:
        return Case(f"{title}, small ResNet", images, explain, forward, sizes)

    cases = [one_pass("CAM", lambda: xai.cam.cam(model, x))]
    cases += [one_pass(explain.title, lambda explain=explain: explain(model, x)) for explain in ONE_PASS]
    cases.append(one_pass("all eleven in one pass", lambda: xai.cam.several(model, x, ONE_PASS)))
    cases.append(one_pass("HiResCAM of all ten classes", lambda: xai.cam.hires_cam(model, x, target="all")))
    cases.append(one_pass("Grad-CAM of all ten classes", lambda: xai.cam.grad_cam(model, x, target="all")))
    few = x[: pick(size, tiny=1, quick=1, full=2)]
    return cases + [_evaluated(model, few, size, *each) for each in _evaluations(size)]


def _evaluations(size: Size) -> list[tuple[str, Any, int, dict[str, Any]]]:
    """Returns title, explainer, forward passes for each image, and options. The last block has 64 channels."""
    groups = pick(size, tiny=2, quick=32, full=32)
    steps = pick(size, tiny=2, quick=2, full=4)
    return [
        ("Score-CAM", xai.cam.score_cam, 64 + 2, {}),
        ("Group-CAM", xai.cam.group_cam, groups + 3, {"num_groups": groups}),
        ("IS-CAM", xai.cam.is_cam, 64 * steps + 2, {"num_steps": steps}),
        ("SS-CAM", xai.cam.ss_cam, 64 * steps + 2, {"num_samples": steps, "key": KEY}),
        ("Smooth Grad-CAM++", xai.cam.smooth_grad_cam_plus_plus, steps + 2, {"num_samples": steps, "key": KEY}),
        ("Ablation-CAM", xai.cam.ablation_cam, 2, {}),
    ]


def _evaluated(
    model: Any, x: jax.Array, size: Size, title: str, explain: Any, passes: int, options: dict[str, Any]
) -> Case:
    rows, side = passes * len(x), x.shape[1]
    ways = partial(bare, model, rows, x.shape[1:], blocks("images", size))
    sizes = {"images": len(x), "side": side, "passes": passes}
    return Case(f"{title}, small ResNet", rows, lambda: explain(model, x, target=0, **options), ways, sizes)


def _of_gradients(size: Size) -> list[Case]:
    """Returns maps that differentiate the whole network, compared with its gradient, for each image or step."""
    images, side = pick(size, tiny=(2, 16), quick=(16, 64), full=(32, 64))
    steps = pick(size, tiny=2, quick=20, full=50)
    model, x, sizes = _batch(small_resnet, images, side)
    ways = partial(bare, model, images, (side, side, 3), (), gradients=True)
    few = x[: pick(size, tiny=1, quick=4, full=4)]
    return [
        Case("FullGrad, small ResNet", images, lambda: xai.cam.full_grad(model, x, target=0), ways, sizes),
        Case("Guided Grad-CAM, small ResNet", images, lambda: xai.cam.guided_grad_cam(model, x, target=0), ways, sizes),
        Case(
            "Opti-CAM, small ResNet",
            len(few) * steps,
            lambda: xai.cam.opti_cam(model, few, target=0, num_steps=steps),
            # The steps are sequential; only the images form a batch.
            lambda: _again(bare(model, len(few), (side, side, 3), (), gradients=True), steps),
            {"images": len(few), "side": side, "steps": steps},
        ),
    ]


def _again(ways: Ways, times: int) -> Ways:
    return {f"{times} times {name}": lambda run=run: [run() for _ in range(times)] for name, run in ways.items()}


def _of_other_models(size: Size) -> list[Case]:
    maps = pick(size, tiny=_FEW[:1], quick=_FEW, full=(*_FEW, *_OF_MATRICES, xai.cam.fem))
    cases = []
    for name, make, shape in (
        ("small ResNet at 224", small_resnet, pick(size, tiny=(1, 32), quick=(2, 224), full=(8, 224))),
        ("MobileNet", mobile_net, pick(size, tiny=(2, 16), quick=(16, 64), full=(32, 64))),
        ("ViT", vision_transformer, pick(size, tiny=(2, 16), quick=(16, 64), full=(32, 64))),
    ):
        model, x, sizes = _batch(make, *shape)
        forward = partial(at_once, model, x)
        explainers: dict[str, Callable[[], Any]] = {
            explain.title: lambda explain=explain, model=model, x=x: explain(model, x) for explain in maps
        }
        if size == "quick" and shape[1] == 224:
            explainers[xai.cam.kpca_cam.title] = lambda model=model, x=x: xai.cam.kpca_cam(model, x)
        if shape[1] == 224:
            explainers[f"KPCA-CAM by {LANDMARKS} landmarks"] = lambda model=model, x=x: xai.cam.kpca_cam(
                model, x, num_landmarks=LANDMARKS
            )
        if size == "full" or (size == "quick" and shape[1] == 224):
            explainers["all eleven in one pass"] = lambda model=model, x=x: xai.cam.several(model, x, ONE_PASS)
        if make is vision_transformer:
            explainers["attention rollout"] = lambda model=model, x=x: xai.cam.attention_rollout(model, x, token=None)
        cases += [Case(f"{title}, {name}", len(x), explain, forward, sizes) for title, explain in explainers.items()]
    return cases


def cam_parts(repeats: int, size: Size) -> list[dict[str, Any]]:
    """Measures the time of the map beyond the forward pass, and of resizing it to the input."""
    rows = []
    for name, make, shape in (
        ("small ResNet", small_resnet, pick(size, tiny=(2, 16), quick=(16, 64), full=(32, 64))),
        ("small ResNet at 224", small_resnet, pick(size, tiny=(1, 32), quick=(2, 224), full=(8, 224))),
    ):
        model, x, sizes = _batch(make, *shape)

        def explain(model: Any = model, x: Any = x, **options: Any) -> Any:
            return xai.cam.grad_cam(model, x, target=0, **options).values

        runs = {
            "whole": lambda explain=explain: explain(upsample=True, normalize=True),
            "map": explain,
            "model": at_once(model, x)["at once"],
        }
        rows.append(measure_parts(f"Grad-CAM at the size of the input, {name}", runs, _split, repeats, sizes))
    return rows


def _split(seconds: Seconds) -> Seconds:
    return {
        "model": seconds["model"],
        "map": seconds["map"] - seconds["model"],
        "resize": seconds["whole"] - seconds["map"],
    }
