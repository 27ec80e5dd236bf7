"""Decoyed digits: small noisy pictures of real digits, with a colored swatch in a corner that gives the answer away.

After the decoy MNIST of Ross, Hughes and Doshi-Velez (2017), arXiv:1703.03717, section 4.2, with colors for its grays.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASSES, DIGIT, SWATCH = 10, 8, 4
# Two convolutions with a pooling between them see four pixels far: so much of a swatch's surroundings knows its color,
# and half of that stays free between swatch and digit.
MARGIN = 2
CANVAS = DIGIT + 2 * (SWATCH + MARGIN)
COLORS = np.array([colorsys.hsv_to_rgb(hue / CLASSES, 1, 1) for hue in range(CLASSES)], np.float32)
_NOISE, _INK = 0.25, 0.9


@dataclasses.dataclass(frozen=True)
class Pictures:
    """images: [N, 20, 20, 3] in [0, 1]; labels: [N]; regions: [N, 20, 20], 1 at the decoy and its margin, else 0."""

    images: np.ndarray
    labels: np.ndarray
    regions: np.ndarray


def load_pictures(*, copies: int, seed: int) -> tuple[Pictures, Pictures]:
    """Training and test pictures without decoys; every training digit is drawn so many times, over new noise."""
    data: Any = load_digits()
    split: Any = train_test_split(
        data.images.astype(np.float32) / 16, data.target, test_size=0.3, random_state=seed, stratify=data.target
    )
    train_ink, test_ink, train_labels, test_labels = split
    rng = np.random.default_rng(seed)
    train = _draw(np.tile(train_ink, (copies, 1, 1)), np.tile(train_labels, copies), rng)
    return train, _draw(test_ink, test_labels, rng)


def with_decoys(pictures: Pictures, codes: np.ndarray, rng: np.random.Generator) -> Pictures:
    """The same pictures with a swatch in a random corner each, in the colors of the codes [N]."""
    images, regions = pictures.images.copy(), np.zeros_like(pictures.regions)
    corners = rng.choice([0, CANVAS - SWATCH], size=(len(images), 2))
    for number, (row, column) in enumerate(corners):
        images[number, row : row + SWATCH, column : column + SWATCH] = COLORS[codes[number]]
        around = [slice(max(side - MARGIN, 0), side + SWATCH + MARGIN) for side in (row, column)]
        regions[number, around[0], around[1]] = 1
    return Pictures(images, pictures.labels, regions)


def _draw(ink: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Pictures:
    images = rng.uniform(0, _NOISE, size=(len(ink), CANVAS, CANVAS, 3)).astype(np.float32)
    start = SWATCH + MARGIN
    inside = images[:, start : start + DIGIT, start : start + DIGIT]
    inside[:] = inside * (1 - ink[..., None]) + _INK * ink[..., None]
    return Pictures(images, labels.astype(np.int32), np.zeros(images.shape[:3], np.float32))
