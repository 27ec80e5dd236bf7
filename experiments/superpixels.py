"""SLIC inside the compiled program beside scikit-image's on the host: how good, how alike, how fast.

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
from skimage.segmentation import slic as slic_of_scikit_image
from skimage.transform import resize

import xaijax as xai
from experiments._report import Report
from experiments._segmentation import MEASURES, photographs, reference, squares

_NAMES = ("xaijax", "scikit-image")
_SHOWN = 100


def ours(images: np.ndarray, num_segments: int) -> np.ndarray:
    return np.asarray(jax.block_until_ready(xai.segment.slic(images, num_segments)))


def theirs(images: np.ndarray, num_segments: int) -> np.ndarray:
    return np.stack([slic_of_scikit_image(image, num_segments, start_label=0) for image in images])


def measured(labels: np.ndarray, truths: list[np.ndarray]) -> dict[str, float]:
    """The mean of each measure over the pictures, and how many segments they got."""
    pairs = list(zip(labels, truths, strict=True))
    means = {name: float(np.mean([of(one, truth) for one, truth in pairs])) for name, of in MEASURES.items()}
    return means | {"segments": float(np.mean([one.max() + 1 for one in labels]))}


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Of the first call, with what it compiles, and the median of three more."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken[0], float(np.median(taken[1:]))


def compare(report: Report, images: np.ndarray, counts: list[int]) -> None:
    truths = [reference(image) for image in images]
    report.say(
        f"{len(images)} pictures of {images.shape[1]} x {images.shape[2]}, cut out of scikit-image's photographs"
    )
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
    report.step("how long it takes")
    jax.clear_caches()  # so that the first call is a first call
    timed = {
        name: seconds(lambda slic=slic: slic(images, _SHOWN)) for name, slic in zip(_NAMES, (ours, theirs), strict=True)
    }
    for name, (first, later) in timed.items():
        report.say(f"{name}: {later:.2f} s for the {len(images)} pictures ({first:.2f} s the first time)")
    report.numbers["seconds"] = {name: {"first call": first, "later": later} for name, (first, later) in timed.items()}


def draw(side: int, num_segments: int) -> Figure:
    """Each photograph, its middle square, with the outlines of both."""
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
    figure.suptitle(f"SLIC superpixels, {num_segments} asked for: within the compiled program, and on the host")
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Superpixels beside those of scikit-image.")
    parser.add_argument("--out", type=Path, default=Path("out/superpixels"), help="the folder for the results")
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 100, 200], help="how many segments are asked for")
    parser.add_argument("--views", type=int, default=8, help="squares cut out of each of the four photographs")
    parser.add_argument("--side", type=int, default=224, help="of the squares, in places")
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
