"""The localization of the methods on mosaics of photographs, and insertion and deletion beside those of the digits.

Crops of six photographs, each with an object of another ImageNet class, form mosaics of two halves or of four quadrants
(the grid pointing game: Böhle et al. 2021, arXiv:2104.00032), as the digits do in `experiments.pointing`. EfficientNet-Lite0
gives the class of each crop, one of a thousand, a probability of at least a tenth. For the class of each cell: is the
strongest pixel of the map in this cell, and which share of the map's positive mass? The image itself and Eigen-CAM do not
depend on the class, and are right by chance.

Insertion and deletion (Petsiuk et al. 2018): the probability of the class as the 16 cells of a grid come or go, those with
the largest values first, for crops of the photographs and for digits. A random order is the control.

python -m experiments.photograph_mosaics --out out/photograph_mosaics
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._activation_maps import EVALUATED, METHODS, Method
from experiments._efficientnet import PHOTOGRAPHS, class_names, load_efficientnet, prepare, read_pictures, to_unit
from experiments._networks import DigitNet
from experiments._pointing_game import HALVES, QUADRANTS, make_mosaics, mean_interval
from experiments._report import Report
from experiments._training import trained_digit_net
from experiments.photographs import CELLS, REGIONS, SIDE, explanations
from experiments.pointing import Score, draw_intervals, draw_mosaic, measure, tabulate

LEAST_PROBABILITY = 0.1  # of its own class of 1000, for a crop to be part of a mosaic
SHAPES = {"halves": HALVES, "quadrants": QUADRANTS}
SIDES = {"halves": SIDE, "quadrants": 256}  # pixels of a mosaic: the network needs quadrants of 128 pixels
MAPS = ("CAM", "Grad-CAM", "Grad-CAM++", "LayerCAM", "Eigen-CAM", "the image (control)")
Curves = dict[str, dict[str, xai.metrics.Curve]]  # of each order, of each method


def methods(num_samples: int, num_permutations: int) -> list[Method]:
    """Returns the maps of the photographs, and LIME and SHAP, which evaluate changed pictures."""

    def lime(model: Any, x: Any, target: Any, key: Any, _: str | None) -> Any:
        return xai.lime.image(model, x, REGIONS, key=key, target=target, num_samples=num_samples).on_input()

    def shap(model: Any, x: Any, target: Any, key: Any, _: str | None) -> Any:
        games = xai.game(model, x, CELLS, target=target)
        return xai.shap.permutation(games, key=key, num_permutations=num_permutations).on_input()

    maps = [method for method in METHODS if method.title in MAPS]
    return [*maps, Method("LIME", lime, EVALUATED), Method("SHAP", shap, EVALUATED)]


def draw_crops(count: int, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns `count` crops of every photograph [n, height, width, 3], some of them mirrored, and their classes [n]."""
    crops, labels = [], []
    for name, picture in read_pictures().items():
        for _ in range(count):
            scale = rng.uniform(1, 1.25)
            larger = prepare(picture, round(scale * height), round(scale * width))
            top, left = (
                int(rng.integers(0, size - side + 1))
                for size, side in zip(larger.shape[:2], (height, width), strict=True)
            )
            crop = larger[top : top + height, left : left + width]
            crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
            labels.append(PHOTOGRAPHS[name])
    return np.stack(crops), np.array(labels)


def curves(
    model: Any, x: np.ndarray, target: np.ndarray, key: Any, *, num_samples: int, num_permutations: int
) -> Curves:
    """Returns the insertion and deletion curves of the four methods and of a random order."""
    options = {"num_samples": num_samples, "num_permutations": num_permutations}
    attributions = explanations(model, x, target, key, **options)
    games = xai.game(model, x, CELLS, target=xai.target.probability(target))
    random = jax.random.uniform(jax.random.fold_in(key, 1), (len(x), games.num_players))
    attributions["random order"] = xai.Attribution(random, jnp.zeros(len(x)))
    orders = {"deletion": xai.metrics.deletion, "insertion": xai.metrics.insertion}
    return {order: {name: run(games, each) for name, each in attributions.items()} for order, run in orders.items()}


def draw_curves(of_subjects: dict[str, Curves]) -> Figure:
    """Draws a row for each subject: its deletion and its insertion curves."""
    figure, grid = plt.subplots(
        len(of_subjects), 2, figsize=(11, 4.2 * len(of_subjects)), layout="constrained", squeeze=False
    )
    for row, (subject, of_orders) in zip(grid, of_subjects.items(), strict=True):
        for ax, (order, of_methods) in zip(row, of_orders.items(), strict=True):
            xai.plot.curves(of_methods, ax=ax, title=f"{subject}: {order}")
            ax.set_ylabel("probability of the class", fontsize=9)
    return figure


def localize(report: Report, network: Any, shape: str, chosen: list[Method], key: Any, maps: int, seed: int) -> None:
    """Scores the methods on mosaics of one shape, and draws the intervals and the maps of one mosaic."""
    rows, columns = SHAPES[shape]
    cells = rows * columns
    rng = np.random.default_rng(seed)
    count = max(2, maps // cells)
    crops, labels = draw_crops(maps, SIDES[shape] // rows, SIDES[shape] // columns, rng)
    probabilities = np.asarray(jax.nn.softmax(xai.fast(network)(crops)))
    mosaics = make_mosaics(
        crops, labels, count, rng, shape=SHAPES[shape], probabilities=probabilities, least=LEAST_PROBABILITY
    )
    scores: list[Score] = []
    for method in chosen:
        report.step(f"{shape}: {method.title}")
        scores.append(measure(method, None, network, mosaics, key))
    report.console.print(tabulate(scores, f"Mosaics of {shape}: percent (95 % interval)"))
    report.numbers[f"{shape}: chance"] = 1 / cells
    report.numbers |= {f"{shape}: {score.title}": score.numbers() for score in scores}
    figure = draw_intervals(scores, None, 1 / cells)
    report.figure(
        f"photograph_{shape}",
        figure,
        f"how often each map of a photograph's class points into its own of {cells} cells",
    )
    names = np.array(class_names())
    shown = dataclasses.replace(mosaics, images=to_unit(mosaics.images), labels=names[mosaics.labels])
    report.figure(f"photograph_{shape}_maps", draw_mosaic(scores, shown, 1), "the maps of one mosaic by every method")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The localization of the methods on mosaics of photographs.")
    parser.add_argument(
        "--out", type=Path, default=Path("out/photograph_mosaics"), help="the folder for figures and numbers"
    )
    parser.add_argument("--maps", type=int, default=24, help="maps of each method, and half as many curves")
    parser.add_argument("--methods", nargs="*", help="titles of the methods to localize; default: all")
    parser.add_argument("--samples", type=int, default=80, help="changed pictures of LIME")
    parser.add_argument("--permutations", type=int, default=1, help="orders of the cells for SHAP, both ways each")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of training of the digit network")
    parser.add_argument("--seed", type=int, default=0, help="seed of the crops, the training and the sampling")
    options = parser.parse_args(arguments)
    sampled = {"num_samples": options.samples, "num_permutations": options.permutations}
    chosen = [each for each in methods(**sampled) if not options.methods or each.title in options.methods]

    start, key = time.perf_counter(), jax.random.key(options.seed)
    with Report(options.out, total=len(SHAPES) * len(chosen) + 3) as report:
        report.step("loading EfficientNet-Lite0")
        network = load_efficientnet()
        for shape in SHAPES:
            localize(report, network, shape, chosen, key, options.maps, options.seed)

        count = max(2, options.maps // 2)
        report.step("curves of photographs")
        crops, labels = draw_crops(math.ceil(count / len(PHOTOGRAPHS)), SIDE, SIDE, np.random.default_rng(options.seed))
        of_subjects = {"photographs": curves(network, crops[:count], labels[:count], key, **sampled)}
        report.step("curves of digits")
        digit_net, scenes, _ = trained_digit_net(DigitNet, epochs=options.epochs, seed=options.seed)
        of_subjects["digits"] = curves(digit_net, scenes.images[:count], scenes.labels[:count], key, **sampled)
        for subject, of_orders in of_subjects.items():
            for order, of_methods in of_orders.items():
                for name, curve in of_methods.items():
                    area = mean_interval(np.asarray(curve.values))
                    report.numbers[f"{subject}: {order}, area of {name}"] = area._asdict()
        report.figure(
            "photograph_curves",
            draw_curves(of_subjects),
            "the probability of the class as cells are deleted and inserted",
        )
        report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
