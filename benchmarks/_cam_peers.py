"""Explanations per second beside pytorch-grad-cam: the same architecture, weights and images, in the same run.

Needs the packages of the extra `peers` (see `.ci/run` for how they are installed without what they drag in).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import xaijax as xai
from benchmarks import _torchvision_stub
from benchmarks._beside import Side, beside, missing, skipped
from benchmarks._models import small_resnet
from benchmarks._torch_peers import check_same, images, in_fastest_layout, threads, torch_resnet

# Ours, and the class of theirs.
PAIRS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "xgrad_cam": "XGradCAM",
    "layer_cam": "LayerCAM",
    "elementwise_grad_cam": "GradCAMElementWise",
    "shapley_cam": "ShapleyCAM",
    "eigen_cam": "EigenCAM",
    "eigen_grad_cam": "EigenGradCAM",
    "kpca_cam": "KPCA_CAM",
    "fem": "FEM",
    "ablation_cam": "AblationCAM",
    "score_cam": "ScoreCAM",
    "full_grad": "FullGrad",
}
_EVALUATED = ("ablation_cam", "score_cam")  # tens of passes for each image: fewer images


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats, for every map that both packages have; maps at the size of the input."""
    if sentence := missing("torch", "pytorch_grad_cam"):
        return [skipped("pytorch-grad-cam", sentence)]
    _torchvision_stub.install()
    import pytorch_grad_cam  # pyright: ignore[reportMissingImports]
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # pyright: ignore[reportMissingImports]

    number, side = (2, 16) if small else (8, 64) if quick else (32, 64)
    model = small_resnet(side)
    x = np.random.default_rng(0).normal(size=(number, side, side, 3)).astype(np.float32)
    found = []
    with threads(small):
        net, theirs_x = in_fastest_layout(torch_resnet(model), images(x))
        check_same(model, net, x, theirs_x)
        for name, peer in PAIRS.items():
            count = min(number, 2) if name in _EVALUATED else number
            targets = [ClassifierOutputTarget(0)] * count
            layers = [] if name == "full_grad" else [net.blocks[-1]]
            explainer = getattr(pytorch_grad_cam, peer)(net, layers)
            explainer.batch_size = 32
            options = {} if name == "full_grad" else {"upsample": True, "normalize": True}

            def ours(name: str = name, count: int = count, options: Any = options) -> Any:
                return getattr(xai.cam, name)(model, x[:count], target=0, **options).values

            def theirs(explainer: Any = explainer, count: int = count, targets: Any = targets) -> Any:
                return explainer(theirs_x[:count], targets)

            title = f"pytorch-grad-cam, {peer}"
            found.append(beside(name, title, Side(ours, count, 1), Side(theirs, count, 1), repeats=repeats))
            if hasattr(explainer, "activations_and_grads"):
                explainer.activations_and_grads.release()  # its hooks would run in the next one's passes
    return found
