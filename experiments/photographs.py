"""Real photographs and an ImageNet network, explained by CAM, Grad-CAM, LIME and SHAP.

EfficientNet-Lite0 sees five photographs with one object each, and one picture made of two of them, a cat beside an
espresso. In that picture the right answer is known: the explanation of each class belongs into its own half. The study
reports the share of the positive mass of each map there; chance is one half.

python -m experiments.photographs --out out/photographs
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import xaijax as xai
from experiments._efficientnet import PHOTOGRAPHS, class_names, load_efficientnet, prepare, read_pictures, to_unit
from experiments._pointing_game import HALVES, cells_of, mass_within, tile
from experiments._report import Report

SIDE = 192  # pixels: both halves are three columns of the last layer, and two of the grid's cells
SHOWN = ("cat", "espresso", "moped", "palace", "daisy")
PAIR = {name: PHOTOGRAPHS[name] for name in ("cat", "espresso")}  # the left and the right half, with their classes
REGIONS, CELLS = xai.mask.superpixels(20, sigma=1), xai.mask.grid(4)  # of LIME, and of SHAP
_CENTER = 0.4  # of both objects, as a share of the photograph's width


def mosaic(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the picture of two of the photographs [SIDE, SIDE, 3], side by side."""
    parts = [prepare(pictures[name], SIDE, SIDE // 2, center=_CENTER) for name in PAIR]
    return tile(np.stack(parts)[None], HALVES)[0]


def halves() -> np.ndarray:
    """Returns which pixels belong to each of the pair, [2, SIDE, SIDE]."""
    return cells_of(HALVES, (SIDE, SIDE))


def explanations(
    network: Any, x: np.ndarray, target: np.ndarray, key: Any, *, num_samples: int, num_permutations: int
) -> dict[str, xai.Attribution]:
    """Explains the target of each picture [N, SIDE, SIDE, 3] by the four methods."""
    games = xai.game(network, x, CELLS, target=target)
    return {
        "CAM": xai.cam.cam(network, x, target=target, head="head", upsample=True),
        "Grad-CAM": xai.cam.grad_cam(network, x, target=target, upsample=True),
        "LIME": xai.lime.image(network, x, REGIONS, key=key, target=target, num_samples=num_samples),
        "SHAP": xai.shap.permutation(games, key=key, num_permutations=num_permutations),
    }


def heat(attribution: xai.Attribution) -> np.ndarray:
    """Returns the maps of an attribution on the pictures, [N, SIDE, SIDE]."""
    return np.asarray(attribution.values if attribution.values.ndim == 3 else attribution.on_input())


def explain(report: Report, key: Any, *, num_samples: int = 80, num_permutations: int = 2) -> None:
    """Explains the photographs and the pair, and reports the share of each map's mass in its own half."""
    report.step("loading EfficientNet-Lite0")
    network, names = load_efficientnet(), class_names()
    pictures = read_pictures()
    photographs = [prepare(pictures[name], SIDE, SIDE) for name in SHOWN]
    x = np.stack([*photographs, *[mosaic(pictures)] * len(PAIR)])
    probabilities = np.asarray(jax.nn.softmax(xai.fast(network)(x)))
    target = np.array([*probabilities[: len(SHOWN)].argmax(axis=1), *PAIR.values()])
    classes, likely = [names[index] for index in target], probabilities[np.arange(len(x)), target]
    report.numbers["photographs: classes"] = classes
    report.numbers["photographs: probabilities"] = [round(float(probability), 3) for probability in likely]
    report.say("photographs: " + ", ".join(f"{name} {share:.0%}" for name, share in zip(classes, likely, strict=True)))

    report.step("explaining photographs")
    attributions = explanations(network, x, target, key, num_samples=num_samples, num_permutations=num_permutations)
    shares = {name: mass_within(heat(each)[len(SHOWN) :], halves()) for name, each in attributions.items()}
    for name, attribution in attributions.items():
        for half, share in zip(PAIR, shares[name], strict=True):
            report.numbers[f"photographs: {name}, mass of the {half} in its half"] = float(share)
        cat, espresso = shares[name]
        report.say(f"photographs: {name} has {cat:.0%} and {espresso:.0%} of its mass in the right half")
        report.keep(f"photographs_{name.lower().replace('-', '_')}", attribution)
    titles = [f"{name}\n{share:.0%}" for name, share in zip(classes, likely, strict=True)]
    figure = draw(x, titles, attributions, shares)
    report.figure("photographs", figure, "five photographs and a pair, explained by four methods")
    common = {"images": to_unit(x), "output": "the logit of the class", "examples": [0, *range(len(SHOWN), len(x))]}
    report.section(attributions["Grad-CAM"], title="Where a network sees a cat and an espresso", **common)
    options = {"regions": 20, "num_samples": num_samples}
    report.section(attributions["LIME"], title="Which superpixels speak for them", options=options, key=key, **common)


def draw(
    x: np.ndarray, titles: list[str], attributions: dict[str, xai.Attribution], shares: dict[str, np.ndarray]
) -> Figure:
    """Draws a column for each picture: the picture, and what speaks for its class by each method.

    The maps' units differ, so that each is drawn as a share of its largest value. The frames are the halves of the pair.
    """
    figure, grid = plt.subplots(1 + len(attributions), len(x), figsize=(1.5 * len(x) + 0.5, 8.2), layout="constrained")
    relative = {}
    for name, attribution in attributions.items():
        maps = heat(attribution)
        largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
        relative[name] = xai.Attribution(jnp.asarray(maps / np.where(largest > 0, largest, 1)), attribution.output)
    xai.plot.compare(relative, to_unit(x), examples=range(len(x)), signed=True, axes=grid.T)
    figure.axes[-1].set_ylabel("share of each map's largest value", fontsize=10)
    for ax, picture, title in zip(grid[0], to_unit(x), titles, strict=True):
        ax.imshow(picture)
        ax.set_title(title, fontsize=11)
    for line, name in zip(grid[1:], attributions, strict=True):
        for ax in line:
            ax.set_title("")
        line[0].text(-0.08, 0.5, name, transform=line[0].transAxes, fontsize=12, rotation=90, ha="right", va="center")
        for number, ax in enumerate(line[len(SHOWN) :]):
            ax.set_title(f"{shares[name][number]:.0%} in its half", fontsize=9, pad=3)
    for line in grid:
        for number, ax in enumerate(line[len(SHOWN) :]):
            corner = (number * SIDE / 2 - 0.5, -0.5)
            ax.add_patch(Rectangle(corner, SIDE / 2, SIDE, fill=False, edgecolor="#4fd0d0", lw=1.6, clip_on=False))
    figure.suptitle(
        "Why does EfficientNet-Lite0 see this? Red speaks for the class, blue against it.\n"
        "The last two columns are one picture: each class must light up its own half.",
        fontsize=12,
    )
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Real photographs and an ImageNet network, by four methods.")
    parser.add_argument("--out", type=Path, default=Path("out/photographs"), help="the folder for figures and numbers")
    parser.add_argument("--samples", type=int, default=80, help="changed pictures of LIME")
    parser.add_argument("--permutations", type=int, default=2, help="orders of the cells for SHAP, both ways each")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    with Report(options.out, total=2) as report:
        key = jax.random.key(options.seed)
        explain(report, key, num_samples=options.samples, num_permutations=options.permutations)
        report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
