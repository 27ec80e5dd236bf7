"""The explained models in torch, with the same weights, for the peers that explain torch models."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._models import ResNet50


@contextlib.contextmanager
def threads(small: bool) -> Iterator[None]:
    """Sets one torch thread for each core, as XLA has, regardless of OMP_NUM_THREADS; one thread for tiny sizes."""
    import torch  # pyright: ignore[reportMissingImports]

    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(1 if small else cores)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def without_gradients(net: Any) -> Callable[[Any], Any]:
    """Returns the net in torch's inference mode, for explainers that only evaluate it."""
    import torch  # pyright: ignore[reportMissingImports]

    def evaluate(x: Any) -> Any:
        with torch.inference_mode():
            return net(x)

    return evaluate


def images(x: Any) -> Any:
    """Converts images [N, H, W, C] to torch's [N, C, H, W]."""
    import torch  # pyright: ignore[reportMissingImports]

    return torch.from_numpy(np.ascontiguousarray(np.asarray(x).transpose(0, 3, 1, 2)))


def in_fastest_layout(net: Any, x: Any) -> tuple[Any, Any]:
    """Returns the net and images [N, C, H, W] with channels first or last in memory, whichever is faster."""
    import torch  # pyright: ignore[reportMissingImports]

    def seconds(layout: Any) -> float:
        moved, inputs, taken = net.to(memory_format=layout), x.contiguous(memory_format=layout), []
        for _ in range(4):
            start = time.perf_counter()
            with torch.inference_mode():
                moved(inputs).sum().item()
            taken.append(time.perf_counter() - start)
        return float(np.median(taken[1:]))

    layout = min((torch.contiguous_format, torch.channels_last), key=seconds)
    return net.to(memory_format=layout), x.contiguous(memory_format=layout)


def check_equal(model: Any, net: Any, x: Any, theirs_x: Any) -> None:
    """Checks that the outputs of the two models are equal."""
    import torch  # pyright: ignore[reportMissingImports]

    with torch.inference_mode():
        theirs = net(theirs_x).float().cpu().numpy()
    ours = np.asarray(jax.jit(lambda model, x: model(x))(model, x), np.float32).reshape(theirs.shape)
    gap = np.abs(theirs - ours).max() / np.abs(ours).max()
    if not gap < 1e-3:
        raise RuntimeError(
            f"The outputs of the two models must be equal, got a difference of {gap:.1e}: check the weights."
        )


def torch_perceptron(model: xai.Model) -> Any:
    """Returns `plain_perceptron` in torch: products and ReLUs, one number for each row."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers: list[Any] = []
    for weights in jax.tree.leaves(model):
        layer = nn.Linear(*weights.shape, bias=False)
        layer.weight.data = torch.from_numpy(np.asarray(weights).T.copy())
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Flatten(0)).eval()


def torch_resnet(model: xai.Model) -> Any:
    """Returns the small ResNet in torch, with the same weights."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    variables = jax.tree.map(np.asarray, model.content)
    parameters, statistics = variables["params"], variables["batch_stats"]

    def conv(weights: Any, stride: int = 1) -> Any:
        outputs, inputs, side, _ = weights["kernel"].transpose(3, 2, 0, 1).shape
        # Flax pads "SAME": for a stride of two and an even side, no pixel before and one after.
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


def torch_resnet50(module: ResNet50, model: xai.Model) -> Any:
    """Returns the ResNet-50 in torch, with the same weights, in float32 on the CPU."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), model.content)
    weights, statistics = variables["params"], variables["batch_stats"]

    def convolved(weights: Any, statistics: Any, number: str = "", stride: int = 1) -> list[Any]:
        kernel = weights[f"conv{number}"]["kernel"].transpose(3, 2, 0, 1)
        outputs, inputs, side, _ = kernel.shape
        conv = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
        conv.weight.data = torch.from_numpy(kernel.copy())
        scale, running = weights[f"norm{number}"], statistics[f"norm{number}"]
        norm = nn.BatchNorm2d(outputs, eps=1e-5)
        norm.weight.data, norm.bias.data = (torch.from_numpy(scale[name].copy()) for name in ("scale", "bias"))
        norm.running_mean, norm.running_var = (torch.from_numpy(running[name].copy()) for name in ("mean", "var"))
        return [conv, norm]

    class Block(nn.Module):
        def __init__(self, name: str, stride: int):
            super().__init__()
            own, running = weights[name], statistics[name]
            self.main = nn.Sequential(
                *convolved(own, running, "1"), nn.ReLU(),
                *convolved(own, running, "2", stride), nn.ReLU(),
                *convolved(own, running, "3"),
            )  # fmt: skip
            skip = convolved(own, running, "4", stride) if "conv4" in own else [nn.Identity()]
            self.skip, self.relu = nn.Sequential(*skip), nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.main(x) + self.skip(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stem = [*convolved(weights, statistics, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
            self.stem = nn.Sequential(*stem)
            self.blocks = nn.Sequential(
                *(
                    Block(f"stage{stage}_block{block}", 2 if stage and not block else 1)
                    for stage, blocks in enumerate(module.stages)
                    for block in range(blocks)
                )
            )
            self.head = nn.Linear(*weights["head"]["kernel"].shape)
            self.head.weight.data = torch.from_numpy(weights["head"]["kernel"].T.copy())
            self.head.bias.data = torch.from_numpy(weights["head"]["bias"].copy())

        def forward(self, x: Any) -> Any:
            return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))

    return Net().eval()


def install_torchvision_stub() -> None:
    """Installs a stub of torchvision, if it is missing, for pytorch-grad-cam, which imports it but uses none of it.

    torchvision itself is large and requires one version of torch.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    torchvision: Any
    transforms: Any
    functional: Any
    torchvision, transforms, functional = (
        types.ModuleType(name)
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    )
    torchvision.transforms, transforms.functional = transforms, functional
    for name in ("Compose", "Normalize", "ToTensor"):
        setattr(transforms, name, _missing(name))
    functional.resize = _missing("resize")
    for module in (torchvision, transforms, functional):
        # find_spec, with which other packages look for torchvision, needs a spec.
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, loader=None)
        sys.modules[module.__name__] = module


def _missing(name: str) -> Any:
    def transform(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"torchvision.transforms.{name} is missing: install torchvision.")

    return transform
