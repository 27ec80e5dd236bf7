"""SLIC in the compiled program, compared with scikit-image on the host: quality and speed.

python -m experiments.superpixels --out out/superpixels
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation
from skimage import data
from skimage.segmentation import felzenszwalb
from skimage.segmentation import slic as slic_of_scikit_image
from skimage.transform import resize

import xaijax as xai
from experiments._report import Report

_TOLERANCE = 2  # pixels, as in Neubert & Protzel (2012)


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Returns which pixels [H, W] have a right or lower neighbor in another segment."""
    edges = np.zeros(labels.shape, bool)
    edges[:-1] |= labels[:-1] != labels[1:]
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edges


def boundary_recall(labels: np.ndarray, reference: np.ndarray) -> float:
    """Returns the share of the reference's boundary within 2 rows and columns of a superpixel's boundary.

    Neubert & Protzel (2012), Superpixel benchmark and comparison, section 2.
    """
    truth = boundaries(reference)
    near = binary_dilation(boundaries(labels), np.ones((2 * _TOLERANCE + 1,) * 2))
    return float((truth & near).sum() / truth.sum())


def undersegmentation(labels: np.ndarray, reference: np.ndarray) -> float:
    """Returns 1/N sum of min(|P and S|, |P without S|) over intersecting superpixels P and reference segments S.

    Neubert & Protzel (2012), equation 3: the area of superpixels that crosses the reference's borders.
    """
    meet = np.zeros((labels.max() + 1, reference.max() + 1))
    np.add.at(meet, (labels.ravel(), reference.ravel()), 1)
    return float(np.minimum(meet, meet.sum(axis=1, keepdims=True) - meet).sum() / labels.size)


def compactness(labels: np.ndarray) -> float:
    """Returns sum_P |P|/N · 4 pi |P| / (perimeter of P)²: 1 for discs, pi/4 for squares.

    Schick, Fischer & Stiefelhagen (2012), Measuring and evaluating the compactness of superpixels, equation 2.
    """
    areas = np.bincount(labels.ravel())
    padded = np.pad(labels, 1, constant_values=-1)
    perimeters = np.zeros(len(areas))
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbors = padded[down : down + labels.shape[0], right : right + labels.shape[1]]
        perimeters += np.bincount(labels[neighbors != labels], minlength=len(areas))
    return float((areas / labels.size * 4 * np.pi * areas / perimeters**2).sum())


MEASURES = {
    "boundary recall": boundary_recall,
    "undersegmentation error": undersegmentation,
    "compactness": lambda labels, _: compactness(labels),
}


def photographs() -> dict[str, np.ndarray]:
    """Returns the four photographs that scikit-image contains, [H, W, 3] bytes."""
    return {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")}


def squares(count: int, side: int = 224, seed: int = 0) -> np.ndarray:
    """Returns `count` random squares of each photograph, resized to one size, [4 count, side, side, 3] bytes."""
    generator = np.random.default_rng(seed)
    cut = []
    for photograph in photographs().values():
        for _ in range(count):
            height, width = photograph.shape[:2]
            size = generator.integers(min(height, width) * 3 // 4, min(height, width) + 1)
            top, left = generator.integers(height - size + 1), generator.integers(width - size + 1)
            square = photograph[top : top + size, left : left + size]
            cut.append(np.round(255 * np.asarray(resize(square, (side, side), anti_aliasing=True))).astype(np.uint8))
    return np.stack(cut)


def reference(image: np.ndarray) -> np.ndarray:
    """Returns the regions of Felzenszwalb & Huttenlocher as the reference, since there are no outlines drawn by people.

    They follow another principle than SLIC and have any size and shape. Regions below 0.1 % of the image are too small to
    be objects.
    """
    return felzenszwalb(image, scale=300, sigma=0.8, min_size=image.shape[0] * image.shape[1] // 1000)


_NAMES = ("xaijax", "scikit-image")
_SHOWN = 100


def ours(images: np.ndarray, num_segments: int) -> np.ndarray:
    return np.asarray(jax.block_until_ready(xai.segment.slic(images, num_segments)))


def theirs(images: np.ndarray, num_segments: int) -> np.ndarray:
    return np.stack([slic_of_scikit_image(image, num_segments, start_label=0) for image in images])


def measured(labels: np.ndarray, truths: list[np.ndarray]) -> dict[str, float]:
    """Returns the mean of each measure over the images, and the mean number of segments."""
    pairs = list(zip(labels, truths, strict=True))
    means = {name: float(np.mean([of(*pair) for pair in pairs])) for name, of in MEASURES.items()}
    return means | {"segments": float(np.mean([each.max() + 1 for each in labels]))}


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Returns the seconds of the first call, compiling included, and the median of three more."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken[0], float(np.median(taken[1:]))


def compare(report: Report, images: np.ndarray, counts: list[int]) -> None:
    """Reports the measures of both packages, and their times."""
    truths = [reference(image) for image in images]
    report.say(f"{len(images)} squares of {images.shape[1]} x {images.shape[2]} from scikit-image's photographs")
    report.say(f"{'segments':<10}{'measure':<26}" + "".join(f"{name:>14}" for name in _NAMES) + f"{'ratio':>8}")
    for count in counts:
        report.step(f"{count} segments")
        of_both = {
            name: measured(slic(images, count), truths) for name, slic in zip(_NAMES, (ours, theirs), strict=True)
        }
        report.numbers[f"{count} segments"] = of_both
        for measure in of_both["xaijax"]:
            values = [of_both[name][measure] for name in _NAMES]
            report.say(
                f"{count:<10}{measure:<26}" + "".join(f"{v:>14.3f}" for v in values) + f"{values[0] / values[1]:>8.3f}"
            )
    report.step("timing")
    jax.clear_caches()  # so that the first call compiles
    timed = {
        name: seconds(lambda slic=slic: slic(images, _SHOWN)) for name, slic in zip(_NAMES, (ours, theirs), strict=True)
    }
    for name, (first, later) in timed.items():
        report.say(f"{name}: {later:.2f} s for the {len(images)} squares ({first:.2f} s the first time)")
    report.numbers["seconds"] = {name: {"first call": first, "later": later} for name, (first, later) in timed.items()}


def draw(side: int, num_segments: int) -> Figure:
    """Draws the central square of each photograph with the outlines by both packages."""
    images = []
    for photograph in photographs().values():
        height, width = photograph.shape[:2]
        size = min(height, width)
        top, left = (height - size) // 2, (width - size) // 2
        square = photograph[top : top + size, left : left + size]
        images.append(np.asarray(resize(square, (side, side), anti_aliasing=True)))
    pictures = np.stack(images)
    figure, axes = plt.subplots(2, len(pictures), figsize=(12, 6.4), layout="constrained")
    for row, name, slic in zip(axes, _NAMES, (ours, theirs), strict=True):
        for ax, picture, labels in zip(row, pictures, slic(pictures, num_segments), strict=True):
            xai.plot.borders(picture[None], labels, ax=ax, title="")
            ax.set_xlabel(f"{labels.max() + 1} superpixels")
        row[0].set_ylabel(name, fontsize=13)
    figure.suptitle(f"SLIC superpixels, {num_segments} requested: in the compiled program, and on the host")
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Superpixels compared with those of scikit-image.")
    parser.add_argument("--out", type=Path, default=Path("out/superpixels"), help="the folder for the results")
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 100, 200], help="numbers of requested segments")
    parser.add_argument("--views", type=int, default=8, help="squares of each of the four photographs")
    parser.add_argument("--side", type=int, default=224, help="side of the squares in pixels")
    options = parser.parse_args(arguments)
    with Report(options.out, total=len(options.counts) + 2) as report:
        compare(report, squares(options.views, options.side), options.counts)
        report.step("drawing")
        report.figure(
            "superpixels",
            draw(options.side, _SHOWN),
            "superpixels of xaijax and of scikit-image on the same photographs",
        )
    report.close()


if __name__ == "__main__":
    main()
