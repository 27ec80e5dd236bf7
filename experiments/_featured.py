"""Digit networks in two parts, features and head, so that a figure can show what lies between them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments._digits import Scenes, load_scenes, train_digit_net
from experiments._networks import DigitBlock, DigitNet

LAYER = "blocks/3"  # whose output the features are


class PooledDigitNet(DigitNet):
    """The tour's digit network: global average pooling and a linear head, as CAM needs it."""

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
    """The same features before one more block, pooling and a hidden layer: no weight of the head belongs to a channel.

    (One more block, because behind pooling alone a channel's gradient would be the same at all places.)
    """

    def __init__(self, rngs: nnx.Rngs):
        super().__init__(rngs)
        self.mixing = DigitBlock(self.head.in_features, 64, rngs=rngs)
        self.hidden = nnx.Linear(64, 32, rngs=rngs)
        self.head = nnx.Linear(32, self.head.out_features, rngs=rngs)

    def classify(self, maps: jax.Array) -> jax.Array:
        return self.head(nnx.relu(self.hidden(self.mixing(maps).mean(axis=(1, 2)))))


def trained(network: Any, *, epochs: int, seed: int) -> tuple[Any, Scenes, float]:
    """A trained network, the scenes that it has not seen, and its accuracy there."""
    training, test = load_scenes(train_copies=3, seed=seed)
    model = train_digit_net(training, seed, epochs=epochs, network=network)
    logits = np.asarray(nnx.jit(lambda model, x: model(x))(model, test.images))
    return model, test, float((logits.argmax(axis=1) == test.labels).mean())


def first_right(model: Any, scenes: Scenes, digit: int) -> int:
    """The first scene with this digit that the network names rightly; the first with it, where there is none."""
    places = np.flatnonzero(scenes.labels == digit)
    said = np.asarray(model(scenes.images[places])).argmax(axis=1)
    return int(places[np.argmax(said == digit)])
