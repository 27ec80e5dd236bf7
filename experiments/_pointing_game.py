"""The pointing games: mosaics of test images, scores of maps whose right answer is known, and their intervals.

Pointing game: Zhang et al. (2018), Top-down neural attention by excitation backprop, IJCV 126. Grid pointing game:
Böhle, Fritz and Schiele (2021), Convolutional dynamic alignment networks for interpretable classifications,
arXiv:2104.00032, section 5.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

QUADRANTS, HALVES = (2, 2), (1, 2)  # rows and columns of a mosaic
_Z = 1.96  # the normal quantile of 95 % intervals


class Interval(NamedTuple):
    """An estimate and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Mosaics:
    """Mosaics of R rows and L columns of images [h, w, C], each of another class.

    images: [N, R h, L w, C].
    labels: [N, R L] of the cells in reading order, all different.
    members: [N, R L] image indices.
    shape: (R, L).
    """

    images: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    shape: tuple[int, int] = QUADRANTS

    def cells(self) -> np.ndarray:
        """Returns which pixels belong to each cell, [R L, R h, L w]."""
        return cells_of(self.shape, self.images.shape[1:3])


def cells_of(shape: tuple[int, int], sides: tuple[int, ...]) -> np.ndarray:
    """Returns which pixels of a mosaic of these sides belong to each cell, in reading order, [R L, *sides]."""
    count = math.prod(shape)
    each = [side // number for side, number in zip(sides, shape, strict=True)]
    return np.kron(np.eye(count).reshape(count, *shape), np.ones(each)).astype(bool)


def tile(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the mosaics [N, R h, L w, C] of images [N, R L, h, w, C] in reading order."""
    (rows, columns), (count, _, height, width, channels) = shape, images.shape
    tiles = images.reshape(count, rows, columns, height, width, channels)
    return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows * height, columns * width, channels)


def make_mosaics(
    images: np.ndarray,
    labels: np.ndarray,
    count: int,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] = QUADRANTS,
    probabilities: np.ndarray | None = None,
    least: float = 0.0,
) -> Mosaics:
    """Returns `count` mosaics of images of different classes, with every image used at most once.

    With probabilities [images, classes] of a network, only images whose own class has at least the probability `least`
    are used, and `members` counts these. The next images come from the classes with most images left, so that no class
    remains at the end.
    """
    if probabilities is not None:
        sure = probabilities[np.arange(len(labels)), labels] >= least
        images, labels = images[sure], labels[sure]
    cells = math.prod(shape)
    left = {label: list(rng.permutation(np.flatnonzero(labels == label))) for label in np.unique(labels)}
    members = np.empty((count, cells), int)
    for number in range(count):
        fullest = sorted(left, key=lambda label: (-len(left[label]), rng.random()))[:cells]
        if len(fullest) < cells or not left[fullest[-1]]:
            raise ValueError(
                f"`images` must suffice for {count} mosaics of {cells} classes, got {len(images)} images, which suffice for "
                f"{number}: pass more images or a smaller `count`."
            )
        members[number] = rng.permutation([left[label].pop() for label in fullest])
    return Mosaics(tile(images[members], shape), labels[members], members, shape)


def points_into(heat: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Returns whether the strongest pixel of each map is in its region, [N]; of several strongest pixels, whether all are.

    A constant map, such as one of zeros, points nowhere.
    """
    strongest = heat == heat.max(axis=(1, 2), keepdims=True)
    return ~(strongest & ~regions).any(axis=(1, 2))


def mass_within(heat: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Returns the share of each map's positive mass in its region, [N]; 0 for a map without positive mass."""
    positive = np.maximum(heat, 0).astype(np.float64)
    total = positive.sum(axis=(1, 2))
    return (positive * regions).sum(axis=(1, 2)) / np.where(total > 0, total, 1)


def wilson(successes: int, trials: int) -> Interval:
    """Returns a share with its score interval, which is valid for few trials and for shares near 0 and 1 too.

    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
    """
    share = successes / trials
    center = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return Interval(share, max(0.0, min(share, center - half)), min(1.0, max(share, center + half)))


def mean_interval(values: np.ndarray) -> Interval:
    """Returns a mean with its normal interval."""
    half = _Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half)
