"""The tour's first room: what a network sees in images with a digit somewhere (CAM, Grad-CAM, LIME, SHAP)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import xaijax as xai
from experiments._digits import DIGIT, Scenes, load_scenes, train_digit_net
from experiments._report import Report

LEAST_ACCURACY = 0.95
_SHOWN = 5


def visit(report: Report, key: Any, seed: int) -> None:
    report.step("training the digit network")
    training, test = load_scenes(train_copies=3, seed=seed)
    model = train_digit_net(training, seed)
    predicted = np.asarray(jax.jit(lambda model, x: model(x).argmax(axis=1))(model, test.images))
    accuracy = float((predicted == test.labels).mean())
    report.numbers["digits: test accuracy"] = accuracy
    report.say(f"digits: {len(test.labels)} unseen digits, test accuracy {accuracy:.1%}")
    if accuracy < LEAST_ACCURACY:
        raise RuntimeError(f"the digit network reached {accuracy:.1%} on test images, less than {LEAST_ACCURACY:.0%}")

    report.step("explaining digits")
    maps = {
        "CAM": xai.cam.cam(model, test.images, head="head", upsample=True),
        "Grad-CAM": xai.cam.grad_cam(model, test.images, upsample=True),
        "Grad-CAM, an earlier layer": xai.cam.grad_cam(model, test.images, layer="blocks/2", upsample=True),
    }
    _localize(report, maps, test)

    shown = _one_of_each(test.labels, predicted)[:_SHOWN]
    images = test.images[shown]
    report.step("LIME and SHAP on digits")
    lime = xai.lime.image(model, images, xai.mask.superpixels(40), key=key)
    games = xai.game(model, images, xai.mask.grid(8))
    shap = xai.shap.permutation(games, num_permutations=16, key=key)
    report.numbers["digits: LIME local R², mean"] = float(lime.r_squared.mean())
    report.numbers["digits: SHAP largest standard error"] = float(jnp.max(jnp.asarray(shap.std_errors)))
    report.figure("digits", _draw(images, test, shown, maps, lime, shap), "where the network finds the digit")
    common = {"images": images, "output": "the logit of the digit"}
    report.section(maps["Grad-CAM"][shown], title="Where the network finds the digit", **common)
    report.section(lime, title="Which superpixels speak for it", options={"regions": 40}, key=key, **common)
    report.section(shap, title="What each cell of a grid adds", options={"num_permutations": 16}, key=key, **common)
    for name, attribution in {**maps, "LIME": lime, "SHAP": shap}.items():
        report.keep(f"digits_{name.lower().replace(' ', '_').replace(',', '')}", attribution)


def _localize(report: Report, maps: dict[str, xai.Attribution], test: Scenes) -> None:
    """The pointing game (is the strongest place in the digit's box?) and the share of the map's mass in the box."""
    boxes = test.boxes().reshape(len(test.labels), -1)
    chance = float(boxes.mean())
    report.numbers["digits: share of the box, chance of pointing into it"] = chance
    for name, attribution in maps.items():
        heat = np.maximum(np.asarray(attribution.values).reshape(len(boxes), -1), 0)
        points = boxes[np.arange(len(boxes)), heat.argmax(axis=1)]
        mass = (heat * boxes).sum(axis=1) / np.maximum(heat.sum(axis=1), 1e-12)
        report.numbers[f"digits: {name}, pointing game"] = float(points.mean())
        report.numbers[f"digits: {name}, mass in the box"] = float(mass.mean())
        report.say(
            f"digits: {name} points into the box {points.mean():.1%} of the time, with {mass.mean():.0%} of its mass "
            f"(chance {chance:.0%})"
        )


def _one_of_each(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The first correctly classified example of every other class."""
    return np.array([np.flatnonzero((labels == digit) & (predicted == digit))[0] for digit in (3, 5, 2, 8, 7)])


def _draw(
    images: np.ndarray,
    test: Scenes,
    shown: np.ndarray,
    maps: dict[str, xai.Attribution],
    lime: xai.Surrogate,
    shap: xai.Attribution,
) -> Figure:
    columns = {name: jax.tree.map(lambda leaf: leaf[jnp.asarray(shown)], maps[name]) for name in ("CAM", "Grad-CAM")}
    columns |= {"LIME, superpixels": lime, "SHAP, 8 x 8 grid": shap}
    figure, grid = plt.subplots(len(shown), 5, figsize=(13.5, 2.45 * len(shown)), layout="constrained")
    for row, place in enumerate(shown):
        grid[row, 0].imshow(images[row, ..., 0], cmap="gray", vmin=0, vmax=1)
        grid[row, 0].set_axis_off()
        grid[row, 0].set_title(f"a {test.labels[place]}, rightly named", fontsize=10)
        for column, (name, attribution) in enumerate(columns.items(), start=1):
            xai.plot.image(attribution, images, example=row, ax=grid[row, column], title=name if row == 0 else "")
        for ax in grid[row]:
            top, left = test.corners[place]
            ax.add_patch(Rectangle((left - 0.5, top - 0.5), DIGIT, DIGIT, fill=False, edgecolor="#4fd0d0", lw=1.2))
    figure.suptitle("What speaks for the class: color is evidence, the frame is where the digit truly is", fontsize=12)
    return figure
