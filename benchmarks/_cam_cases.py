"""The class activation maps of the overhead benchmark: every one beside the forward passes it is defined by."""

from __future__ import annotations

from typing import Any

import jax

import xaijax as xai
from benchmarks._bare import KEY, at_once, bare
from benchmarks._models import small_resnet
from benchmarks._timing import Case

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


def cam_cases(small: bool) -> list[Case]:
    """Batch 32 of a small ResNet of ten classes at 64 x 64; the evaluated maps on two images."""
    images, side = (2, 16) if small else (32, 64)
    model = small_resnet(side)
    x = jax.random.normal(KEY, (images, side, side, 3))
    sizes = {"images": images, "side": side}
    forward = at_once(model, x)

    def one_pass(title: str, explain: Any) -> Case:
        return Case(f"{title}, small ResNet", images, explain, forward, sizes)

    cases = [one_pass("CAM", lambda: xai.cam.cam(model, x).values)]
    cases += [one_pass(one.title, lambda one=one: one(model, x).values) for one in ONE_PASS]
    cases.append(one_pass("all eleven together", lambda: xai.cam.several(model, x, ONE_PASS)))
    cases.append(one_pass("HiResCAM of all ten classes", lambda: xai.cam.hires_cam(model, x, target="all").values))
    cases.append(one_pass("Grad-CAM of all ten classes", lambda: xai.cam.grad_cam(model, x, target="all").values))
    return cases + [_evaluated(model, x[: 1 if small else 2], *each) for each in _evaluations(small)]


def _evaluations(small: bool) -> list[tuple[str, Any, int, dict[str, Any]]]:
    """Title, explainer, forward passes for each image, options. The last block has 64 channels."""
    groups, steps = (2, 2) if small else (32, 4)
    return [
        ("Score-CAM", xai.cam.score_cam, 64 + 2, {}),
        ("Group-CAM", xai.cam.group_cam, groups + 3, {"num_groups": groups}),
        ("IS-CAM", xai.cam.is_cam, 64 * steps + 2, {"num_steps": steps}),
        ("SS-CAM", xai.cam.ss_cam, 64 * steps + 2, {"num_samples": steps, "key": KEY}),
        ("Smooth Grad-CAM++", xai.cam.smooth_grad_cam_plus_plus, steps + 2, {"num_samples": steps, "key": KEY}),
        ("Ablation-CAM", xai.cam.ablation_cam, 2, {}),
    ]


def _evaluated(model: Any, x: jax.Array, title: str, explain: Any, passes: int, options: dict[str, Any]) -> Case:
    rows, side = passes * len(x), x.shape[1]
    ways = bare(model, rows, x.shape[1:], (32, 64) if rows > 32 else ())
    sizes = {"images": len(x), "side": side, "passes": passes}
    return Case(f"{title}, small ResNet", rows, lambda: explain(model, x, target=0, **options).values, ways, sizes)
