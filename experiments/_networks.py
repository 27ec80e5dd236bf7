"""The networks of the studies, in Flax NNX (digits) and Flax Linen (tables and texts)."""

from __future__ import annotations

import itertools
from typing import Any

import flax.linen as nn
import jax
from flax import nnx


class DigitBlock(nnx.Module):
    """Convolution, batch normalization, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, rngs: nnx.Rngs):
        self.conv = nnx.Conv(channels_in, channels_out, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(channels_out, momentum=0.9, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.norm(self.conv(x)))


class DigitNet(nnx.Module):
    """Images [N, 40, 40, 1] to ten logits: four blocks, global average pooling, a linear head."""

    def __init__(self, rngs: nnx.Rngs):
        widths = [1, 16, 32, 48, 48]
        self.blocks = nnx.List([DigitBlock(*pair, rngs=rngs) for pair in itertools.pairwise(widths)])
        self.head = nnx.Linear(widths[-1], 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number < 2:
                x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        return self.head(x.mean(axis=(1, 2)))


class TableNet(nn.Module):
    """Rows [N, D] to K outputs: two hidden layers with dropout while training."""

    outputs: int
    dropout: float = 0.2

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for width in (32, 16):
            x = nn.Dropout(self.dropout, deterministic=not train)(nn.tanh(nn.Dense(width)(x)))
        return nn.Dense(self.outputs)(x)


class TextNet(nn.Module):
    """Token ids [N, L] to two logits: the mean embedding of the known words and one hidden layer."""

    vocabulary: int

    @nn.compact
    def __call__(self, ids: Any) -> jax.Array:
        embedded = nn.Embed(self.vocabulary, 32)(ids)
        present = (ids > 0)[..., None]
        mean = (embedded * present).sum(axis=1) / jax.numpy.maximum(present.sum(axis=1), 1)
        return nn.Dense(2)(nn.relu(nn.Dense(32)(mean)))


class SmallTransformer(nn.Module):
    """Token ids [N, L] to two logits: two blocks of attention over the words, without padding, and their mean."""

    vocabulary: int

    @nn.compact
    def __call__(self, ids: Any) -> jax.Array:
        present = ids > 0
        mask = nn.make_attention_mask(present, present)
        positions = self.param("positions", nn.initializers.normal(0.02), (ids.shape[1], 32))
        x = nn.Embed(self.vocabulary, 32)(ids) + positions
        for _ in range(2):
            x = x + nn.MultiHeadDotProductAttention(num_heads=4)(nn.LayerNorm()(x), mask=mask)
            x = x + nn.Dense(32)(nn.gelu(nn.Dense(64)(nn.LayerNorm()(x))))
        x = jax.numpy.where(present[..., None], nn.LayerNorm()(x), 0)
        return nn.Dense(2)(x.sum(axis=1) / jax.numpy.maximum(present.sum(axis=1, keepdims=True), 1))


class SmallDigitNet(nn.Module):
    """Digits [N, 8, 8, 1] to ten logits: two convolutions and a hidden layer over all pixels."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for channels in (16, 32):
            x = nn.relu(nn.Conv(channels, (3, 3))(x))
        return nn.Dense(10)(nn.relu(nn.Dense(32)(x.reshape(len(x), -1))))


class PooledDigitNet(DigitNet):
    """The digit network in two parts, features and head, so that a figure can show the channel maps between them."""

    def features(self, x: jax.Array) -> jax.Array:
        """The channel maps [N, 10, 10, 48]."""
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number < 2:
                x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        return x

    def classify(self, maps: jax.Array) -> jax.Array:
        """Logits [N, 10] of the channel maps."""
        return self.head(maps.mean(axis=(1, 2)))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.classify(self.features(x))


class HiddenDigitNet(PooledDigitNet):
    """The same features, then one more block, pooling and a hidden layer: no weight of the head belongs to a channel.

    Without the additional block, a channel's gradient would be the same at all pixels.
    """

    def __init__(self, rngs: nnx.Rngs):
        super().__init__(rngs)
        self.mixing = DigitBlock(self.head.in_features, 64, rngs=rngs)
        self.hidden = nnx.Linear(64, 32, rngs=rngs)
        self.head = nnx.Linear(32, self.head.out_features, rngs=rngs)

    def classify(self, maps: jax.Array) -> jax.Array:
        return self.head(nnx.relu(self.hidden(self.mixing(maps).mean(axis=(1, 2)))))
