"""Which map points where it should? Every activation map of the library on images whose answer is known.

Three measures, explained for the true class of test images that the tour's digit network has not seen:
the pointing game (Zhang et al. 2018): is the map's strongest place within the box of the digit? Chance is the box's
share of the image. It asks for the object, not for the class, and bright digits are easy to find: the picture itself,
which explains nothing, always does it.
The grid pointing game (Böhle et al. 2021, arXiv:2104.00032): four images of four classes, each rightly classified with
confidence, side by side, and a map for each of the four. Is its strongest place in the cell of its own class (chance
1/4), and what share of its positive mass? A map that does not depend on the class is right in one of the four.

125 mosaics of 500 different images give 500 maps, one for each cell. Shares have Wilson intervals and means normal ones,
as if all maps were independent, which the four of one mosaic are only nearly. Where a network ends in global average
pooling and a linear layer, CAM, Grad-CAM, HiResCAM, XGrad-CAM and Shapley-CAM are the same map of its last layer up to
a factor (and ReLU), as are LayerCAM and the element-wise map: so maps are also made one layer earlier.

python -m experiments.pointing --out out/pointing
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table

from experiments._digits import DIGIT, Scenes, load_scenes, train_digit_net
from experiments._maps import METHODS, Method
from experiments._mosaics import CELLS, Interval, Mosaics, make_mosaics, mass_within, mean_interval, points_into, wilson
from experiments._pointing_figures import draw_gallery, draw_intervals
from experiments._report import Report

LEAST_PROBABILITY = 0.9  # of the true class, for an image to be part of a mosaic
EARLIER_LAYER = "blocks/2"
_GALLERY_MAP = 1  # the upper right cell of the first mosaic


@dataclasses.dataclass(frozen=True)
class Score:
    """How one map did; `example` is its map of the gallery's mosaic, and seconds include compiling."""

    title: str
    kind: str
    layer: str | None
    maps: int
    box: Interval
    grid: Interval
    mass: Interval
    seconds: float
    example: np.ndarray

    def numbers(self) -> dict[str, Any]:
        kept = {"kind": self.kind, "maps": self.maps, "seconds": round(self.seconds, 1)}
        intervals = {"pointing game": self.box, "grid pointing game": self.grid, "mass in its cell": self.mass}
        return kept | {name: interval._asdict() for name, interval in intervals.items()}


def measure(method: Method, layer: str | None, model: Any, scenes: Scenes, mosaics: Mosaics, key: Any) -> Score:
    """Plays all three games with one map."""
    start = time.perf_counter()
    count = max(1, round(method.share * len(mosaics.images)))
    maps = count * CELLS
    heat = method.heat(model, scenes.images[:maps], scenes.labels[:maps, None], key, layer)
    box = wilson(int(points_into(heat, scenes.boxes()[:maps]).sum()), maps)

    heat = method.heat(model, mosaics.images[:count], mosaics.labels[:count], key, layer)
    cells = np.tile(mosaics.cells(), (count, 1, 1))
    grid = wilson(int(points_into(heat, cells).sum()), maps)
    mass = mean_interval(mass_within(heat, cells))
    seconds = time.perf_counter() - start
    return Score(method.title, method.kind, layer, maps, box, grid, mass, seconds, heat[_GALLERY_MAP])


def choose(model: Any, scenes: Scenes, count: int, rng: np.random.Generator) -> tuple[float, Mosaics]:
    """The network's accuracy, and mosaics of images that it classifies rightly and with confidence."""
    probabilities = np.asarray(jax.jit(lambda model, x: jax.nn.softmax(model(x)))(model, scenes.images))
    accuracy = float((probabilities.argmax(axis=1) == scenes.labels).mean())
    sure = np.flatnonzero(probabilities[np.arange(len(scenes.labels)), scenes.labels] >= LEAST_PROBABILITY)
    return accuracy, make_mosaics(scenes.images[sure], scenes.labels[sure], count, rng)


def tabulate(scores: list[Score], title: str) -> Table:
    """Estimates and intervals in percent, narrow enough for eighty columns."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)  # rules would not fit
    for name in ("map", "maps", "in the box", "own cell", "mass there", "s"):
        table.add_column(name, justify="left" if name == "map" else "right", no_wrap=True)
    for score in scores:
        shares = (f"{100 * a:.0f} ({100 * b:.0f}-{100 * c:.0f})" for a, b, c in (score.box, score.grid, score.mass))
        table.add_row(score.title, str(score.maps), *shares, f"{score.seconds:.0f}")
    return table


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Every activation map on images whose answer is known.")
    parser.add_argument("--out", type=Path, default=Path("out/pointing"), help="the folder for figures and numbers")
    parser.add_argument("--images", type=int, default=500, help="how many images and maps of mosaics, at most 500")
    parser.add_argument("--full", action="store_true", help="as many images for the expensive maps, too (half an hour)")
    parser.add_argument("--epochs", type=int, default=6, help="of training")
    parser.add_argument("--maps", nargs="*", help="the titles of the maps to try; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the data, the training and the sampling")
    options = parser.parse_args(arguments)
    methods = [method for method in METHODS if not options.maps or method.title in options.maps]
    if options.full:
        methods = [dataclasses.replace(method, share=1.0) for method in methods]
    tasks = [(method, None) for method in methods] + [(each, EARLIER_LAYER) for each in methods if each.earlier]

    start, key = time.perf_counter(), jax.random.key(options.seed)
    with Report(options.out, total=len(tasks) + 1) as report:
        report.step("training the digit network")
        training, test = load_scenes(train_copies=3, test_copies=2, seed=options.seed)
        model = train_digit_net(training, options.seed, epochs=options.epochs)
        accuracy, mosaics = choose(model, test, options.images // CELLS, np.random.default_rng(options.seed))
        report.say(f"{len(test.labels)} unseen scenes, test accuracy {accuracy:.1%}; {len(mosaics.images)} mosaics")
        scores = []
        for method, layer in tasks:
            report.step(method.title)
            scores.append(measure(method, layer, model, test, mosaics, key))

        for layer, title in {None: "last layer", EARLIER_LAYER: EARLIER_LAYER}.items():
            part = [score for score in scores if score.layer == layer]
            report.console.print(tabulate(part, f"Where the maps point: {title}, percent (95 % interval)"))
        chance = DIGIT**2 / np.prod(test.images.shape[1:3])
        report.numbers |= {"test accuracy": accuracy, "chance of the box": float(chance), "chance of a cell": 1 / CELLS}
        report.numbers |= {f"{score.title}, {score.layer or 'last layer'}": score.numbers() for score in scores}
        figure = draw_intervals(scores, float(chance), 1 / CELLS)
        report.figure("pointing", figure, "how often each map points into the digit's box and into its own cell")
        figure = draw_gallery([each for each in scores if each.layer is None], mosaics, _GALLERY_MAP)
        report.figure("pointing_maps", figure, "one mosaic as every map sees it")
        report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
