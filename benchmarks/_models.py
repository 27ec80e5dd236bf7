"""The models that are explained: a small ResNet, a perceptron and a bag of words, with random weights."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

import xaijax as xai


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
        words = jnp.where((ids > 0)[..., None], nn.Embed(1000, 32)(ids), 0)
        return nn.Dense(2)(nn.relu(nn.Dense(64)(words.mean(axis=1))))


def small_resnet(side: int) -> xai.Model:
    return _with_random_weights(SmallResNet(), (1, side, side, 3))


def bag_of_words(length: int) -> xai.Model:
    module = BagOfWords()
    return xai.linen(module, module.init(jax.random.key(0), jnp.zeros((1, length), jnp.int32)))


def perceptron(features: int) -> xai.Model:
    return _with_random_weights(Perceptron(), (1, features))


def _with_random_weights(module: nn.Module, shape: tuple[int, ...]) -> xai.Model:
    return xai.linen(module, module.init(jax.random.key(0), jnp.zeros(shape)))
