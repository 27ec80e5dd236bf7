"""The benchmark's models in torch, with the same weights, for the peers that explain torch models."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import xaijax as xai


@contextlib.contextmanager
def threads(small: bool) -> Iterator[None]:
    """torch with a thread for each core, as XLA has, whatever OMP_NUM_THREADS says; one for tiny sizes."""
    import torch  # pyright: ignore[reportMissingImports]

    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(1 if small else cores)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def without_gradients(net: Any) -> Callable[[Any], Any]:
    """The net in torch's inference mode, for explainers that only evaluate it."""
    import torch  # pyright: ignore[reportMissingImports]

    def evaluate(x: Any) -> Any:
        with torch.inference_mode():
            return net(x)

    return evaluate


def images(x: Any) -> Any:
    """[N, H, W, C] as torch wants it."""
    import torch  # pyright: ignore[reportMissingImports]

    return torch.from_numpy(np.ascontiguousarray(np.asarray(x).transpose(0, 3, 1, 2)))


def in_fastest_layout(net: Any, x: Any) -> tuple[Any, Any]:
    """The net and images [N, C, H, W] with channels first or last in memory, whichever is faster here."""
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


def check_same(model: Any, net: Any, x: Any, theirs_x: Any) -> None:
    """Raises where the two models answer differently."""
    import torch  # pyright: ignore[reportMissingImports]

    with torch.inference_mode():
        theirs = net(theirs_x).float().cpu().numpy()
    ours = np.asarray(jax.jit(lambda model, x: model(x))(model, x), np.float32).reshape(theirs.shape)
    gap = np.abs(theirs - ours).max() / np.abs(ours).max()
    if not gap < 1e-3:
        raise RuntimeError(f"the two models disagree by {gap:.1e}: the comparison would be of different networks.")


def torch_perceptron(model: xai.Model) -> Any:
    """The perceptron of `_growth.py`: products and ReLUs, one number for each row."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers: list[Any] = []
    for weights in jax.tree.leaves(model):
        layer = nn.Linear(*weights.shape, bias=False)
        layer.weight.data = torch.from_numpy(np.asarray(weights).T.copy())
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Flatten(0)).eval()


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
