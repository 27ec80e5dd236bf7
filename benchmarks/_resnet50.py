"""ResNet-50 (He, Zhang, Ren & Sun 2015), with strides in the 3 x 3 convolutions (v1.5) and random weights.

Paddings are torch's, so that the same network in torch needs no layers of its own for them (`_resnet50_peers.py`).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import xaijax as xai


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions to four times the channels, around which the input is added."""

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
        """The path of the last block."""
        return f"stage{len(self.stages) - 1}_block{self.stages[-1] - 1}"


def resnet50(module: ResNet50, side: int) -> xai.Model:
    """The network with random weights, its convolutions and head stored in the type that it computes in."""
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, side, side, 3)))
    # Statistics other than 0 and 1: the network in torch is to have them too.
    statistics = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(len(leaf)) / len(leaf), variables["batch_stats"])
    weights = jax.tree.map(lambda leaf: leaf.astype(module.dtype), variables["params"])
    return xai.linen(module, {"params": weights, "batch_stats": statistics})
