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
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._efficientnet import class_names, load_efficientnet, prepare, read_pictures, to_unit
from experiments._pointing_game import mass_within
from experiments._report import Report

SIDE = 192  # pixels: both halves are three columns of the last layer
SHOWN = ("cat", "espresso", "moped", "palace", "daisy")
PAIR = {"cat": 282, "espresso": 967}  # the left and the right half, with their classes in ImageNet


def mosaic() -> np.ndarray:
    """Returns the picture of two photographs [SIDE, SIDE, 3], side by side."""
    pictures = read_pictures()
    return np.concatenate([prepare(pictures[name], SIDE, SIDE // 2) for name in PAIR], axis=1)


def halves() -> np.ndarray:
    """Returns which pixels belong to each of the pair, [2, SIDE, SIDE]."""
    left = np.arange(SIDE) < SIDE // 2
    return np.broadcast_to(np.stack([left, ~left])[:, None], (2, SIDE, SIDE))


def explanations(
    network: Any, x: np.ndarray, target: np.ndarray, key: Any, *, num_samples: int, num_permutations: int
) -> dict[str, xai.Attribution]:
    """Explains the target of each picture [N, SIDE, SIDE, 3] by the four methods."""
    games = xai.game(network, x, xai.mask.grid(6), target=target)
    return {
        "CAM": xai.cam.cam(network, x, target=target, head="head", upsample=True),
        "Grad-CAM": xai.cam.grad_cam(network, x, target=target, upsample=True),
        "LIME": xai.lime.image(network, x, xai.mask.superpixels(40), key=key, target=target, num_samples=num_samples),
        "SHAP": xai.shap.permutation(games, key=key, num_permutations=num_permutations),
    }


def heat(attribution: xai.Attribution) -> np.ndarray:
    """Returns the maps of an attribution on the pictures, [N, SIDE, SIDE]."""
    return np.asarray(attribution.values if attribution.values.ndim == 3 else attribution.on_input())


def explain(report: Report, key: Any, *, num_samples: int = 200, num_permutations: int = 2) -> None:
    """Explains the photographs and the pair, and reports the share of each map's mass in its own half."""
    report.step("loading EfficientNet-Lite0")
    network, names = load_efficientnet(), class_names()
    pictures = read_pictures()
    photographs = [prepare(pictures[name], SIDE, SIDE) for name in SHOWN]
    x = np.stack([*photographs, *[mosaic()] * len(PAIR)])
    logits = np.asarray(xai.fast(network)(x))
    target = np.array([*logits[: len(SHOWN)].argmax(axis=1), *PAIR.values()])

    report.step("explaining photographs")
    attributions = explanations(network, x, target, key, num_samples=num_samples, num_permutations=num_permutations)
    for name, attribution in attributions.items():
        shares = mass_within(heat(attribution)[len(SHOWN) :], halves())
        for half, share in zip(PAIR, shares, strict=True):
            report.numbers[f"photographs: {name}, mass of the {half} in its half"] = float(share)
        report.say(f"photographs: {name} has {shares[0]:.0%} and {shares[1]:.0%} of its mass in the right half")
        report.keep(f"photographs_{name.lower().replace('-', '_')}", attribution)
    report.numbers["photographs: classes"] = [names[index] for index in target]
    figure = draw(x, [names[index] for index in target], attributions)
    report.figure("photographs", figure, "five photographs and a pair, explained by four methods")


def draw(x: np.ndarray, titles: list[str], attributions: dict[str, xai.Attribution]) -> Figure:
    """Draws a row for each picture: the picture, and what speaks for its class by each method."""
    figure, grid = plt.subplots(len(x), 1 + len(attributions), figsize=(13.5, 2.45 * len(x)), layout="constrained")
    for row, (picture, title) in enumerate(zip(to_unit(x), titles, strict=True)):
        grid[row, 0].imshow(picture)
        grid[row, 0].set_axis_off()
        grid[row, 0].set_title(title, fontsize=10)
        for column, (name, attribution) in enumerate(attributions.items(), start=1):
            xai.plot.image(attribution, to_unit(x), example=row, ax=grid[row, column], title=name if row == 0 else "")
    figure.suptitle("What speaks for the class: color is evidence. The last two rows: one picture, two classes")
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Real photographs and an ImageNet network, by four methods.")
    parser.add_argument("--out", type=Path, default=Path("out/photographs"), help="the folder for figures and numbers")
    parser.add_argument("--samples", type=int, default=200, help="changed pictures of LIME")
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
