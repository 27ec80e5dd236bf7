"""The models that are explained, with random weights: a perceptron, three networks of images and two of text."""

from __future__ import annotations

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai

VOCABULARY = 1000
_CONSTANTS = {"bias": 0.0, "scale": 1.0, "mean": 0.0, "var": 1.0}
_DEVIATIONS = {"embedding": 1.0, "places": 0.02}


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
    """Wider, a convolution of each channel by itself, narrower again (Sandler et al. 2018, MobileNetV2)."""

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
    """Attention of four heads and a hidden layer of four times the width, each behind a normalization."""

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
        x = x + self.param("places", nn.initializers.normal(0.02), (1, *x.shape[1:]))
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
    """The mean of the embeddings of token ids, id 0 left out; one hidden layer, two classes."""

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        words = jnp.where((ids > 0)[..., None], nn.Embed(VOCABULARY, 32)(ids), 0)
        return nn.Dense(2)(nn.relu(nn.Dense(64)(words.mean(axis=1))))


class TextTransformer(nn.Module):
    """Token ids, two blocks of width 64 in which nothing attends to id 0, the mean of the others, two classes."""

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        there = ids > 0
        x = nn.Embed(VOCABULARY, 64)(ids)
        x = x + self.param("places", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(2):
            x = TransformerBlock()(x, mask=there[:, None, None, :])
        words = jnp.where(there[..., None], nn.LayerNorm()(x), 0)
        return nn.Dense(2)(words.sum(axis=1) / jnp.maximum(there.sum(axis=1), 1)[:, None])


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
    """Drawn on the host: to compile what Flax draws them with takes a second for each model."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        names = [one.key for one in path]
        if names[-1] in _CONSTANTS:
            return jnp.full(leaf.shape, _CONSTANTS[names[-1]], leaf.dtype)
        deviation = _DEVIATIONS.get(names[-1], _summed(names, leaf.shape) ** -0.5)
        return jnp.asarray(deviation * rng.standard_normal(leaf.shape), leaf.dtype)

    return xai.linen(module, jax.tree_util.tree_map_with_path(draw, shapes))


def _summed(names: list[str], shape: tuple[int, ...]) -> int:
    """How many numbers one output of a kernel sums: by these, activations stay about as large from layer to layer."""
    if "out" in names:
        return math.prod(shape[:2])  # of attention: heads, width of a head, width
    if len(shape) == 3:
        return shape[0]  # of its queries, keys and values: width, heads, width of a head
    return math.prod(shape[:-1])
