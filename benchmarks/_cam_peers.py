"""Explanations per second beside pytorch-grad-cam: the same architecture, weights and images, in the same run.

Needs the packages of the extra `peers` (see `.ci/run` for how they are installed without what they drag in).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks import _torchvision_stub
from benchmarks._models import small_resnet

# Ours, and the class of theirs.
_PAIRS = {
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


def measure(repeats: int, *, small: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats, for every map that both packages have; maps at the size of the input."""
    _torchvision_stub.install()
    import pytorch_grad_cam  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # pyright: ignore[reportMissingImports]

    images, side = (2, 16) if small else (32, 64)
    model = small_resnet(side)
    net = torch_resnet(model)
    x = np.random.default_rng(0).normal(size=(images, side, side, 3)).astype(np.float32)
    theirs_x = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        gap = np.abs(net(theirs_x).numpy() - np.asarray(model(x))).max()
    if gap > 1e-3:
        raise RuntimeError(f"the two models disagree by {gap:.1e}: the comparison would be of different networks")

    found = []
    for name, peer in _PAIRS.items():
        count = min(images, 2) if name in _EVALUATED else images
        targets = [ClassifierOutputTarget(0)] * count
        layers = [] if name == "full_grad" else [net.blocks[-1]]
        explainer = getattr(pytorch_grad_cam, peer)(net, layers)
        explainer.batch_size = 32
        options = {} if name == "full_grad" else {"upsample": True, "normalize": True}
        ours = functools.partial(_explain, name, model, x[:count], options)
        theirs = functools.partial(explainer, theirs_x[:count], targets)
        first = [_seconds(run) for run in (ours, theirs)]
        times = np.array([[_seconds(run) for run in (ours, theirs)] for _ in range(repeats)])
        speeds = count / np.median(times, axis=0)
        found.append(
            {
                "name": name,
                "peer": f"pytorch-grad-cam, {peer}",
                "inputs": count,
                "peer_inputs": count,
                "explanations_per_second": float(speeds[0]),
                "peer_explanations_per_second": float(speeds[1]),
                "times_faster": float(np.median(times[:, 1] / times[:, 0])),
                "first_seconds": first[0],
                "peer_first_seconds": first[1],
            }
        )
    return found


def _explain(name: str, model: xai.Model, x: np.ndarray, options: dict[str, Any]) -> None:
    jax.block_until_ready(getattr(xai.cam, name)(model, x, target=0, **options).values)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def torch_resnet(model: xai.Model) -> Any:
    """The small ResNet of `_models.py` in torch, with the same weights."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    variables = jax.tree.map(np.asarray, model.content)
    parameters, statistics = variables["params"], variables["batch_stats"]

    def conv(weights: Any, stride: int = 1) -> Any:
        outputs, inputs, side, _ = weights["kernel"].transpose(3, 2, 0, 1).shape
        # Flax pads "SAME": for a stride of two and an even side, nothing before and one behind.
        pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 and side == 3 else nn.ZeroPad2d(side // 2)
        layer = nn.Conv2d(inputs, outputs, side, stride, bias="bias" in weights)
        layer.weight.data = torch.from_numpy(weights["kernel"].transpose(3, 2, 0, 1).copy())
        if layer.bias is not None:
            layer.bias.data = torch.from_numpy(weights["bias"].copy())
        return nn.Sequential(pad, layer)

    def norm(weights: Any, running: Any) -> Any:
        layer = nn.BatchNorm2d(len(weights["scale"]), eps=1e-5)
        layer.weight.data, layer.bias.data = (torch.from_numpy(weights[name].copy()) for name in ("scale", "bias"))
        layer.running_mean, layer.running_var = (torch.from_numpy(running[name].copy()) for name in ("mean", "var"))
        return layer

    class Block(nn.Module):
        def __init__(self, weights: Any, running: Any, stride: int):
            super().__init__()
            norms = [norm(weights[f"BatchNorm_{i}"], running[f"BatchNorm_{i}"]) for i in range(len(running))]
            first, second = conv(weights["Conv_0"], stride), conv(weights["Conv_1"])
            self.main = nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1])
            self.skip = nn.Sequential(conv(weights["Conv_2"], stride), norms[2]) if len(norms) > 2 else nn.Identity()
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.main(x) + self.skip(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(conv(parameters["Conv_0"]), nn.ReLU())
            self.blocks = nn.Sequential(
                *[
                    Block(parameters[f"ResidualBlock_{i}"], statistics[f"ResidualBlock_{i}"], 2 if i in (2, 4) else 1)
                    for i in range(6)
                ]
            )
            self.head = nn.Linear(*parameters["Dense_0"]["kernel"].shape)
            self.head.weight.data = torch.from_numpy(parameters["Dense_0"]["kernel"].T.copy())
            self.head.bias.data = torch.from_numpy(parameters["Dense_0"]["bias"].copy())

        def forward(self, x: Any) -> Any:
            return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))

    return Net().eval()
