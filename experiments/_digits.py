"""Real handwritten digits at random places over crops of real photographs: there is something to find, and where.

Digits: scikit-learn's 1,797 of the UCI optical recognition set (Alpaydin & Kaynak 1998), 8 x 8. Photographs: those that
ship with scikit-image. The test digits, and the upper left quarter of every photograph, are not seen in training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
import skimage.data
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from experiments._networks import DigitNet
from experiments._train import cross_entropy, train

CANVAS, DIGIT = 40, 16
Network = TypeVar("Network", bound=nnx.Module)
_PHOTOGRAPHS = ("camera", "brick", "grass", "gravel", "moon")


@dataclasses.dataclass(frozen=True)
class Scenes:
    """images: [N, 40, 40, 1] in [0, 1]; labels: [N]; corners: [N, 2] row and column of the digit's 16 x 16 box."""

    images: np.ndarray
    labels: np.ndarray
    corners: np.ndarray

    def boxes(self) -> np.ndarray:
        """Which places belong to the digit's box, [N, 40, 40]."""
        rows, columns = (np.arange(CANVAS) - self.corners[:, axis, None] for axis in (0, 1))
        inside = [(steps >= 0) & (steps < DIGIT) for steps in (rows, columns)]
        return inside[0][:, :, None] & inside[1][:, None, :]


def load_scenes(*, train_copies: int, seed: int, test_copies: int = 1) -> tuple[Scenes, Scenes]:
    """Training scenes and test scenes, every digit placed as many times as there are copies."""
    data: Any = load_digits()
    ink = np.asarray(
        jax.image.resize(data.images.astype(np.float32) / 16, (len(data.images), DIGIT, DIGIT), "cubic")
    ).clip(0, 1)
    split: Any = train_test_split(ink, data.target, test_size=0.2, random_state=seed, stratify=data.target)
    train_ink, test_ink, train_labels, test_labels = split
    rng = np.random.default_rng(seed)
    train = _place(np.tile(train_ink, (train_copies, 1, 1)), np.tile(train_labels, train_copies), False, rng)
    return train, _place(np.tile(test_ink, (test_copies, 1, 1)), np.tile(test_labels, test_copies), True, rng)


def train_digit_net(
    scenes: Scenes,
    seed: int,
    *,
    epochs: int = 6,
    network: Callable[[nnx.Rngs], Network] = DigitNet,
) -> Network:
    """A network that names the digit, in inference mode."""
    net: Any = network(nnx.Rngs(seed))
    net.train()
    structure, parameters, statistics = nnx.split(net, nnx.Param, ...)

    def loss(parameters: Any, statistics: Any, batch: Any) -> tuple[jax.Array, Any]:
        model = nnx.merge(structure, parameters, statistics, copy=True)
        value = cross_entropy(model(batch["x"]), batch["y"])
        return value, nnx.split(model, nnx.Param, ...)[2]

    data = {"x": scenes.images, "y": scenes.labels}
    parameters, statistics = train(
        loss, parameters, statistics, data, epochs=epochs, batch_size=64, rate=8e-3, seed=seed
    )
    net = nnx.merge(structure, parameters, statistics)
    net.eval()
    return net


def _place(ink: np.ndarray, labels: np.ndarray, testing: bool, rng: np.random.Generator) -> Scenes:
    photographs = [np.asarray(getattr(skimage.data, name)(), np.float32) / 255 for name in _PHOTOGRAPHS]
    corners = rng.integers(0, CANVAS - DIGIT + 1, size=(len(ink), 2))
    images = np.empty((len(ink), CANVAS, CANVAS), np.float32)
    for number, (stroke, (row, column)) in enumerate(zip(ink, corners, strict=True)):
        scene = 0.6 * _crop(photographs[rng.integers(len(photographs))], testing, rng)
        box = scene[row : row + DIGIT, column : column + DIGIT]
        box[:] = box * (1 - stroke) + rng.uniform(0.75, 1.0) * stroke
        images[number] = scene
    return Scenes(images[..., None], labels.astype(np.int32), corners)


def _crop(photograph: np.ndarray, testing: bool, rng: np.random.Generator) -> np.ndarray:
    half = np.array(photograph.shape[:2]) // 2
    while True:
        row, column = (int(rng.integers(0, side - CANVAS)) for side in photograph.shape[:2])
        in_quarter = row + CANVAS <= half[0] and column + CANVAS <= half[1]
        touches_quarter = row < half[0] and column < half[1]
        if in_quarter if testing else not touches_quarter:
            return photograph[row : row + CANVAS, column : column + CANVAS].copy()
