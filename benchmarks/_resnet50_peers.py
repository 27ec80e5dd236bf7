"""The ResNet-50 of `_resnet50.py` in torch, with the same weights."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._resnet50 import ResNet50


def torch_resnet50(module: ResNet50, model: xai.Model) -> Any:
    """In float32, on the CPU; move it where it is wanted."""
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
