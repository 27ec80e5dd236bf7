"""How good superpixels are: three measures of the literature, against a reference segmentation."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation
from skimage import data
from skimage.segmentation import felzenszwalb
from skimage.transform import resize

_TOLERANCE = 2  # places, as in Neubert & Protzel (2012)


def boundaries(labels: np.ndarray) -> np.ndarray:
    """[H, W] which places have a neighbor, right or below, of another segment."""
    edges = np.zeros(labels.shape, bool)
    edges[:-1] |= labels[:-1] != labels[1:]
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edges


def boundary_recall(labels: np.ndarray, reference: np.ndarray) -> float:
    """The share of the reference's boundary with one of the superpixels at most 2 rows and columns away.

    Neubert & Protzel (2012), Superpixel benchmark and comparison, section 2.
    """
    truth = boundaries(reference)
    near = binary_dilation(boundaries(labels), np.ones((2 * _TOLERANCE + 1,) * 2))
    return float((truth & near).sum() / truth.sum())


def undersegmentation(labels: np.ndarray, reference: np.ndarray) -> float:
    """1/N sum over superpixels P and reference segments S that meet: the smaller of |P and S| and |P without S|.

    Neubert & Protzel (2012), equation 3: what of the superpixels leaks over the reference's borders.
    """
    meet = np.zeros((labels.max() + 1, reference.max() + 1))
    np.add.at(meet, (labels.ravel(), reference.ravel()), 1)
    return float(np.minimum(meet, meet.sum(axis=1, keepdims=True) - meet).sum() / labels.size)


def compactness(labels: np.ndarray) -> float:
    """sum_P |P|/N · 4 pi |P| / (perimeter of P)²: 1 for discs, pi/4 for squares.

    Schick, Fischer & Stiefelhagen (2012), Measuring and evaluating the compactness of superpixels, equation 2.
    """
    areas = np.bincount(labels.ravel())
    padded = np.pad(labels, 1, constant_values=-1)
    perimeters = np.zeros(len(areas))
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = padded[down : down + labels.shape[0], right : right + labels.shape[1]]
        perimeters += np.bincount(labels[beside != labels], minlength=len(areas))
    return float((areas / labels.size * 4 * np.pi * areas / perimeters**2).sum())


MEASURES = {
    "boundary recall": boundary_recall,
    "undersegmentation error": undersegmentation,
    "compactness": lambda labels, _: compactness(labels),
}


def photographs() -> dict[str, np.ndarray]:
    """scikit-image's four that it brings along, [H, W, 3] bytes."""
    return {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")}


def squares(count: int, side: int = 224, seed: int = 0) -> np.ndarray:
    """[4 count, side, side, 3] bytes: `count` squares out of each photograph, of any place and size, in one size."""
    generator = np.random.default_rng(seed)
    found = []
    for photograph in photographs().values():
        for _ in range(count):
            height, width = photograph.shape[:2]
            size = generator.integers(min(height, width) * 3 // 4, min(height, width) + 1)
            top, left = generator.integers(height - size + 1), generator.integers(width - size + 1)
            square = photograph[top : top + size, left : left + size]
            found.append(np.round(255 * np.asarray(resize(square, (side, side), anti_aliasing=True))).astype(np.uint8))
    return np.stack(found)


def reference(image: np.ndarray) -> np.ndarray:
    """What stands in for the truth, as nobody drew these photographs' outlines: the regions of Felzenszwalb & Huttenlocher.

    They are made by another principle than SLIC, and of any size and form. Pieces below 0.1 % of the picture are no
    things to find.
    """
    return felzenszwalb(image, scale=300, sigma=0.8, min_size=image.shape[0] * image.shape[1] // 1000)
