"""The localization of every activation map of the library, on images where the position of the evidence is known.

Three measures for the true class of test images that the tour's digit network has not seen:
- The pointing game (Zhang et al. 2018): is the strongest pixel of the map in the box of the digit? Chance is the box's
  share of the image. This measures the object, not the class, and bright digits are easy to detect: the image itself,
  which explains nothing, always succeeds.
- The grid pointing game (Böhle et al. 2021, arXiv:2104.00032): four images of four classes, each classified correctly
  and with confidence, form one mosaic with a map for each class. Is the strongest pixel of a map in the cell of its own
  class (chance 1/4)? A map that does not depend on the class is right in one cell of four.
- The share of the positive mass of these maps in the cell of their own class.

125 mosaics of 500 different images give 500 maps, one for each cell. Shares have Wilson intervals and means have normal
intervals. Both treat all maps as independent, which is an approximation for the four maps of one mosaic. If a network
ends in global average pooling and a linear layer, CAM, Grad-CAM, HiResCAM, XGrad-CAM and Shapley-CAM are the same map of
its last layer up to a factor (and ReLU), as are LayerCAM and the element-wise map. Therefore maps are computed one layer
earlier as well.

python -m experiments.pointing --out out/pointing
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.table import Table

import xaijax as xai
from experiments._activation_maps import CLASSLESS, EVALUATED, GRADIENT, METHODS, PIXELS, Method
from experiments._digits import DIGIT, Scenes, load_scenes
from experiments._pointing_game import (
    QUADRANTS,
    Interval,
    Mosaics,
    make_mosaics,
    mass_within,
    mean_interval,
    points_into,
    wilson,
)
from experiments._report import Report
from experiments._training import accuracy_of, train_digit_net

CELLS = math.prod(QUADRANTS)
LEAST_PROBABILITY = 0.9  # of the true class, for an image to be part of a mosaic
EARLIER_LAYER = "blocks/2"
_DRAWN_MAP = 1  # the upper right cell of the first mosaic


@dataclasses.dataclass(frozen=True)
class Score:
    """The scores of one map; `example` is its map of the drawn mosaic; `seconds` includes compiling.

    box: the pointing game; None where the images have no boxes. grid, mass: of the mosaics.
    """

    title: str
    source: str
    layer: str | None
    maps: int
    box: Interval | None
    grid: Interval
    mass: Interval
    seconds: float
    example: np.ndarray

    def numbers(self) -> dict[str, Any]:
        counts = {"source": self.source, "maps": self.maps, "seconds": round(self.seconds, 1)}
        intervals = {"pointing game": self.box, "grid pointing game": self.grid, "mass in its cell": self.mass}
        return counts | {name: interval._asdict() for name, interval in intervals.items() if interval is not None}


def measure(
    method: Method, layer: str | None, model: Any, mosaics: Mosaics, key: Any, scenes: Scenes | None = None
) -> Score:
    """Computes the measures of one map on mosaics, and the pointing game on scenes."""
    start = time.perf_counter()
    cells = mosaics.cells()
    count = max(1, round(method.share * len(mosaics.images)))
    maps, box = count * len(cells), None
    if scenes is not None:
        heat = method.heat(model, scenes.images[:maps], scenes.labels[:maps, None], key, layer)
        box = wilson(int(points_into(heat, scenes.boxes()[:maps]).sum()), maps)

    heat = method.heat(model, mosaics.images[:count], mosaics.labels[:count], key, layer)
    own = np.tile(cells, (count, 1, 1))
    grid = wilson(int(points_into(heat, own).sum()), maps)
    mass = mean_interval(mass_within(heat, own))
    seconds = time.perf_counter() - start
    return Score(method.title, method.source, layer, maps, box, grid, mass, seconds, heat[_DRAWN_MAP])


def choose(model: Any, scenes: Scenes, count: int, rng: np.random.Generator) -> tuple[float, Mosaics]:
    """Returns the network's accuracy, and mosaics of images that it classifies correctly and with confidence."""
    probabilities = np.asarray(jax.jit(lambda model, x: jax.nn.softmax(model(x)))(model, scenes.images))
    options: dict[str, Any] = {"probabilities": probabilities, "least": LEAST_PROBABILITY}
    return accuracy_of(probabilities, scenes.labels), make_mosaics(scenes.images, scenes.labels, count, rng, **options)


def tabulate(scores: list[Score], title: str) -> Table:
    """Returns estimates and intervals in percent, in at most eighty columns."""
    # Eighty columns leave no space for rules.
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    in_box = ("in the box",) if any(score.box is not None for score in scores) else ()
    for name in ("map", "maps", *in_box, "own cell", "mass in cell", "s"):
        table.add_column(name, justify="left" if name == "map" else "right", no_wrap=True)
    for score in scores:
        intervals = [interval for interval in (score.box, score.grid, score.mass) if interval is not None]
        shares = (f"{100 * a:.0f} ({100 * b:.0f}-{100 * c:.0f})" for a, b, c in intervals)
        table.add_row(score.title, str(score.maps), *shares, f"{score.seconds:.0f}")
    return table


COLORS = {GRADIENT: "#2b6ca3", EVALUATED: "#c44e2b", PIXELS: "#3a8f5c", CLASSLESS: "#7a7a7a"}
_COLUMNS = 5
_NONE = Interval(np.nan, np.nan, np.nan)


def draw_intervals(scores: Sequence[Score], chance_box: float | None, chance_cell: float) -> Figure:
    """Draws a row for each map: filled dots for the last layer, hollow dots for an earlier layer, dashed lines for chance.

    chance_box: of the pointing game; None where it was not played, and has no panel.
    """
    last = sorted((score for score in scores if score.layer is None), key=lambda score: -score.grid.value)
    earlier = {score.title: score for score in scores if score.layer is not None}
    sources = [score.source for score in last]
    cells = {2: "two", 4: "four"}[round(1 / chance_cell)]
    panels = {} if chance_box is None else {"strongest pixel in the digit's box": ("box", chance_box)}
    panels |= {
        f"strongest pixel in its own cell of {cells}": ("grid", chance_cell),
        f"positive mass in its own cell of {cells}": ("mass", chance_cell),
    }
    size = (1.5 + 3.5 * len(panels), 1.6 + 0.3 * len(last))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, layout="constrained")
    for ax, (title, (measure, chance)) in zip(axes, panels.items(), strict=True):
        shown = [[getattr(score, measure)] for score in last]
        if earlier:
            shown = [
                [*row, getattr(earlier.get(score.title), measure, _NONE)]
                for row, score in zip(shown, last, strict=True)
            ]
        xai.plot.intervals(
            *np.moveaxis(np.array(shown), -1, 0), names=[score.title for score in last], categories=sources,
            groups=["last layer", "one layer earlier"] if earlier else ["last layer"], colors=[COLORS[source] for source in dict.fromkeys(sources)],
            reference=chance, reference_name="chance", percent=True, legend=False, ax=ax, title=title,
        )  # fmt: skip
        ax.set_xlim(-0.02, 1.02)
    fewer = " (wider for expensive maps, which explain fewer images)" if len({score.maps for score in last}) > 1 else ""
    figure.suptitle(f"Localization of the maps, with 95 % intervals{fewer}", fontsize=12)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure


def draw_mosaic(scores: Sequence[Score], mosaics: Mosaics, number: int) -> Figure:
    """Draws the map of one cell's class by every method, as a share of its largest value, since their units differ."""
    mosaic, cell = divmod(number, len(mosaics.cells()))
    label, image = mosaics.labels[mosaic, cell], mosaics.images[mosaic]
    rows = -(-(len(scores) + 1) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(2 * _COLUMNS + 0.8, 2.2 * rows), layout="constrained")
    panels = list(np.ravel(grid))
    for ax in panels[len(scores) + 1 :]:
        ax.set_axis_off()
    shares = {score.title: score.example / (score.example.max() or 1) for score in scores}
    maps = {title: xai.Attribution(jnp.asarray(share)[None], jnp.ones(1)) for title, share in shares.items()}
    panels = panels[: len(scores) + 1]
    xai.plot.compare(maps, image[None], labels=[f"evidence for the {label}"], alpha=0.85, axes=panels)
    rows_of_cell, columns_of_cell = np.nonzero(mosaics.cells()[cell])
    corner = (columns_of_cell.min() - 0.5, rows_of_cell.min() - 0.5)
    width, height = (float(np.ptp(positions)) + 1 for positions in (columns_of_cell, rows_of_cell))
    for ax in panels:
        ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#4fd0d0", lw=1.5, zorder=3, clip_on=False))
    for ax, score in zip(panels[1:], scores, strict=True):
        ax.title.set_color(COLORS[score.source])
    figure.suptitle(
        f"What speaks for the {label}, whose cell is framed. Each map as a share of its largest value",
        fontsize=12,
    )
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="The localization of every activation map on images whose evidence has a known position."
    )
    parser.add_argument("--out", type=Path, default=Path("out/pointing"), help="the folder for figures and numbers")
    parser.add_argument("--images", type=int, default=500, help="number of images and of maps of mosaics, at most 500")
    parser.add_argument(
        "--full", action="store_true", help="explain as many images by the expensive maps too (half an hour)"
    )
    parser.add_argument("--epochs", type=int, default=6, help="epochs of training")
    parser.add_argument("--maps", nargs="*", help="titles of the maps to measure; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data, the training and the sampling")
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
            scores.append(measure(method, layer, model, mosaics, key, test))

        for layer, title in {None: "last layer", EARLIER_LAYER: EARLIER_LAYER}.items():
            part = [score for score in scores if score.layer == layer]
            report.console.print(tabulate(part, f"Localization of the maps: {title}, percent (95 % interval)"))
        chance = DIGIT**2 / np.prod(test.images.shape[1:3])
        report.numbers |= {"test accuracy": accuracy, "chance of the box": float(chance), "chance of a cell": 1 / CELLS}
        report.numbers |= {f"{score.title}, {score.layer or 'last layer'}": score.numbers() for score in scores}
        figure = draw_intervals(scores, float(chance), 1 / CELLS)
        report.figure("pointing", figure, "how often each map points into the digit's box and into its own cell")
        figure = draw_mosaic([each for each in scores if each.layer is None], mosaics, _DRAWN_MAP)
        report.figure("pointing_maps", figure, "the maps of one mosaic by every method")
        report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
