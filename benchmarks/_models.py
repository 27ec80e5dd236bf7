"""The explained models, with random weights: networks of tables, images and texts in Flax, and two plain functions."""

from __future__ import annotations

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai

KEY = jax.random.key(0)
VOCABULARY = 1000
_CONSTANTS = {"bias": 0.0, "scale": 1.0, "mean": 0.0, "var": 1.0}
_DEVIATIONS = {"embedding": 1.0, "positions": 0.02}


class ResidualBlock(nn.Module):
    channels: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = lambda: nn.BatchNorm(use_running_average=True)  # noqa: E731
        y = nn.relu(norm()(nn.Conv(self.channels, (3, 3), self.strides, use_bias=False)(x)))
        y = norm()(nn.Conv(self.channels, (3, 3), use_bias=False)(y))
        if x.shape != y.shape:
            x = norm()(nn.Conv(self.channels, (1, 1), self.strides, use_bias=False)(x))
        return nn.relu(x + y)


class SmallResNet(nn.Module):
    """Three stages of two blocks, 16, 32 and 64 channels, global average pooling, ten classes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(16, (3, 3))(x))
        for stage, channels in enumerate((16, 32, 64)):
            for block in range(2):
                x = ResidualBlock(channels, 2 if stage and not block else 1)(x)
        return nn.Dense(10)(x.mean(axis=(1, 2)))


class InvertedResidual(nn.Module):
    """Expansion, a depthwise convolution, and projection (Sandler et al. 2018, MobileNetV2)."""

    channels: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = lambda: nn.BatchNorm(use_running_average=True)  # noqa: E731
        wide = 4 * x.shape[-1]
        y = nn.relu6(norm()(nn.Conv(wide, (1, 1), use_bias=False)(x)))
        y = nn.Conv(wide, (3, 3), self.strides, feature_group_count=wide, use_bias=False)(y)
        y = norm()(nn.Conv(self.channels, (1, 1), use_bias=False)(nn.relu6(norm()(y))))
        return x + y if x.shape == y.shape else y


class MobileNet(nn.Module):
    """A stem of 16 channels, two inverted residual blocks each of 16, 24 and 48, a last 1 x 1 of 128, ten classes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu6(nn.Conv(16, (3, 3), 2)(x))
        for stage, channels in enumerate((16, 24, 48)):
            for block in range(2):
                x = InvertedResidual(channels, 2 if stage and not block else 1)(x)
        x = nn.relu6(nn.Conv(128, (1, 1))(x))
        return nn.Dense(10)(x.mean(axis=(1, 2)))


class TransformerBlock(nn.Module):
    """Attention of four heads and a hidden layer of four times the width, each after a normalization."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        width = x.shape[-1]
        attention = nn.MultiHeadDotProductAttention(num_heads=4, attention_fn=xai.tagged_attention)
        x = x + attention(nn.LayerNorm()(x), mask=mask)
        return x + nn.Dense(width)(nn.gelu(nn.Dense(4 * width)(nn.LayerNorm()(x))))


class VisionTransformer(nn.Module):
    """Patches of 8 x 8, three blocks of width 64, the mean of the tokens, ten classes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(64, (8, 8), 8)(x)
        x = x.reshape(len(x), -1, 64)
        x = x + self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(3):
            x = TransformerBlock()(x)
        return nn.Dense(10)(nn.LayerNorm()(x).mean(axis=1))


class Perceptron(nn.Module):
    """Two hidden layers of 64, one output."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
        return nn.Dense(1)(x)


class BagOfWords(nn.Module):
    """The mean of the embeddings of token ids, without id 0; one hidden layer, two classes."""

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        words = jnp.where((ids > 0)[..., None], nn.Embed(VOCABULARY, 32)(ids), 0)
        return nn.Dense(2)(nn.relu(nn.Dense(64)(words.mean(axis=1))))


class TextTransformer(nn.Module):
    """Token ids, two blocks of width 64 in which nothing attends to id 0, the mean of the others, two classes."""

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        present = ids > 0
        x = nn.Embed(VOCABULARY, 64)(ids)
        x = x + self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(2):
            x = TransformerBlock()(x, mask=present[:, None, None, :])
        words = jnp.where(present[..., None], nn.LayerNorm()(x), 0)
        return nn.Dense(2)(words.sum(axis=1) / jnp.maximum(present.sum(axis=1), 1)[:, None])


@functools.cache
def small_resnet(side: int) -> xai.Model:
    return _with_random_weights(SmallResNet(), jnp.zeros((1, side, side, 3)))


@functools.cache
def mobile_net(side: int) -> xai.Model:
    return _with_random_weights(MobileNet(), jnp.zeros((1, side, side, 3)))


@functools.cache
def vision_transformer(side: int) -> xai.Model:
    """For sides that patches of 8 x 8 divide."""
    return _with_random_weights(VisionTransformer(), jnp.zeros((1, side, side, 3)))


@functools.cache
def perceptron(features: int) -> xai.Model:
    return _with_random_weights(Perceptron(), jnp.zeros((1, features)))


@functools.cache
def bag_of_words(length: int) -> xai.Model:
    return _with_random_weights(BagOfWords(), jnp.zeros((1, length), jnp.int32))


@functools.cache
def text_transformer(length: int) -> xai.Model:
    return _with_random_weights(TextTransformer(), jnp.zeros((1, length), jnp.int32))


def _with_random_weights(module: nn.Module, x: jax.Array) -> xai.Model:
    return xai.linen(module, _random_variables(module, x))


def _random_variables(module: nn.Module, x: jax.Array) -> Any:
    """Draws the weights on the host: compiling Flax's initializers takes a second for each model."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        names = [entry.key for entry in path]
        if names[-1] in _CONSTANTS:
            return jnp.full(leaf.shape, _CONSTANTS[names[-1]], leaf.dtype)
        deviation = _DEVIATIONS.get(names[-1], _summed(names, leaf.shape) ** -0.5)
        return jnp.asarray(deviation * rng.standard_normal(leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _summed(names: list[str], shape: tuple[int, ...]) -> int:
    """Returns how many numbers an output of a kernel sums, by which weights are scaled to keep activations constant in size."""
    if "out" in names:
        return math.prod(shape[:2])  # of attention: heads, width of a head, width
    if len(shape) == 3:
        return shape[0]  # of its queries, keys and values: width, heads, width of a head
    return math.prod(shape[:-1])


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions to four times the channels, plus the input."""

    channels: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def convolved(x: jax.Array, number: int, channels: int, side: int, stride: int = 1) -> jax.Array:
            pad = side // 2
            options = {"strides": stride, "padding": ((pad, pad), (pad, pad)), "use_bias": False, "dtype": self.dtype}
            x = nn.Conv(channels, (side, side), name=f"conv{number}", **options)(x)
            return nn.BatchNorm(use_running_average=True, dtype=self.dtype, name=f"norm{number}")(x)

        y = nn.relu(convolved(x, 1, self.channels, 1))
        y = nn.relu(convolved(y, 2, self.channels, 3, self.stride))
        y = convolved(y, 3, 4 * self.channels, 1)
        if x.shape != y.shape:
            x = convolved(x, 4, 4 * self.channels, 1, self.stride)
        return nn.relu(x + y)


class ResNet50(nn.Module):
    """Sixteen bottlenecks in four stages; with other stages and widths, a smaller network of the same code."""

    stages: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(self.dtype)
        padding = ((3, 3), (3, 3))
        x = nn.Conv(self.width, (7, 7), 2, padding=padding, use_bias=False, dtype=self.dtype, name="conv")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, dtype=self.dtype, name="norm")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        for stage, blocks in enumerate(self.stages):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                x = Bottleneck(self.width * 2**stage, stride, self.dtype, name=f"stage{stage}_block{block}")(x)
        return nn.Dense(self.classes, dtype=self.dtype, name="head")(x.mean(axis=(1, 2)))

    @property
    def last(self) -> str:
        """Returns the path of the last block."""
        return f"stage{len(self.stages) - 1}_block{self.stages[-1] - 1}"


def resnet50(module: ResNet50, side: int) -> xai.Model:
    """Returns the network with random weights; convolutions and head are stored in the dtype of its computation."""
    variables = _random_variables(module, jnp.zeros((1, side, side, 3)))
    # Statistics other than 0 and 1, so that a comparison with the network in torch tests them.
    statistics = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(len(leaf)) / len(leaf), variables["batch_stats"])
    weights = jax.tree.map(lambda leaf: leaf.astype(module.dtype), variables["params"])
    return xai.linen(module, {"params": weights, "batch_stats": statistics})


def plain_perceptron(features: int, classes: int) -> xai.Model:
    """Returns a function with two hidden layers of 64 and `classes` outputs; without classes, one number for each row."""

    def apply(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for layer in weights[:-1]:
            x = jax.nn.relu(x @ layer)
        return x @ weights[-1] if classes else (x @ weights[-1])[:, 0]

    return xai.function(apply, _weights((features, 64), (64, 64), (64, max(1, classes))))


def plain_network(classes: int) -> xai.Model:
    """Returns a function with two convolutions, the second with a stride of two, average pooling and a linear head."""

    def apply(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for stride, kernel in enumerate(weights[:-1], start=1):
            layout = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=layout)
            x = jax.nn.relu(x)
        return xai.tag(x, "last").mean(axis=(1, 2)) @ weights[-1]

    return xai.function(apply, _weights((3, 3, 3, 16), (3, 3, 16, 32), (32, classes)))


def _weights(*shapes: tuple[int, ...]) -> list[jax.Array]:
    """Returns random weights, scaled to keep activations about constant in size."""
    return [
        jax.random.normal(jax.random.key(number), shape) * (2 / np.prod(shape[:-1])) ** 0.5
        for number, shape in enumerate(shapes)
    ]
