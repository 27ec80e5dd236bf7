"""Handwritten digits at random positions in front of photographs: images whose evidence has a known position.

Digits: scikit-learn's 1,797 of the UCI optical recognition set (Alpaydin & Kaynak 1998), 8 x 8. Photographs: those that
scikit-image contains. The test digits, and the upper left quarter of every photograph, are not used in training.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import skimage.data
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CANVAS, DIGIT = 40, 16
_PHOTOGRAPHS = ("camera", "brick", "grass", "gravel", "moon")


@dataclasses.dataclass(frozen=True)
class Scenes:
    """images: [N, 40, 40, 1] in [0, 1]; labels: [N]; corners: [N, 2] row and column of the digit's 16 x 16 box."""

    images: np.ndarray
    labels: np.ndarray
    corners: np.ndarray

    def boxes(self) -> np.ndarray:
        """Returns which pixels belong to the digit's box, [N, 40, 40]."""
        rows, columns = (np.arange(CANVAS) - self.corners[:, axis, None] for axis in (0, 1))
        inside = [(steps >= 0) & (steps < DIGIT) for steps in (rows, columns)]
        return inside[0][:, :, None] & inside[1][:, None, :]

    def draw_frame(self, ax: Axes, index: int, width: float = 1.2) -> None:
        """Draws the box of one scene's digit."""
        top, left = self.corners[index]
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), DIGIT, DIGIT, fill=False, edgecolor="#4fd0d0", lw=width))


def load_scenes(*, train_copies: int, seed: int, test_copies: int = 1) -> tuple[Scenes, Scenes]:
    """Returns training scenes and test scenes; each digit appears in as many scenes as there are copies."""
    digits: Any = load_digits()
    ink = np.asarray(
        jax.image.resize(digits.images.astype(np.float32) / 16, (len(digits.images), DIGIT, DIGIT), "cubic")
    ).clip(0, 1)
    split: Any = train_test_split(ink, digits.target, test_size=0.2, random_state=seed, stratify=digits.target)
    train_ink, test_ink, train_labels, test_labels = split
    rng = np.random.default_rng(seed)
    train = _compose(np.tile(train_ink, (train_copies, 1, 1)), np.tile(train_labels, train_copies), False, rng)
    return train, _compose(np.tile(test_ink, (test_copies, 1, 1)), np.tile(test_labels, test_copies), True, rng)


def _compose(ink: np.ndarray, labels: np.ndarray, testing: bool, rng: np.random.Generator) -> Scenes:
    """Draws each digit at a random position over a crop of a photograph."""
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
    """Returns a random crop: within the upper left quarter for tests, outside of it for training."""
    half = np.array(photograph.shape[:2]) // 2
    while True:
        row, column = (int(rng.integers(0, side - CANVAS)) for side in photograph.shape[:2])
        in_quarter = row + CANVAS <= half[0] and column + CANVAS <= half[1]
        touches_quarter = row < half[0] and column < half[1]
        if in_quarter if testing else not touches_quarter:
            return photograph[row : row + CANVAS, column : column + CANVAS].copy()
