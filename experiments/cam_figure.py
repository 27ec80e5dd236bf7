"""How a class activation map is computed: the weights of the linear head, projected back on the channel maps.

Zhou et al. (2016), Learning deep features for discriminative localization, arXiv:1512.04150, figure 2 and equation 2,

  M_c(x, y) = sum_k w_k^c f_k(x, y),        mean over x, y of M_c + b_c = the logit of class c,

with the numbers of one image: the channels with the largest contributions and their weights, the sum of the others, the
map, and the map over the image. A second figure shows the map of an image of every class. Over all test images it is
measured how often the strongest pixel is in the frame of the digit, which the network was not trained on.

python -m experiments.cam_figure --out out/cam_figure
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

import xaijax as xai
from experiments._digits import Scenes
from experiments._networks import PooledDigitNet
from experiments._pointing_game import mass_within, points_into
from experiments._report import Report
from experiments._training import first_correct, trained_digit_net

_SHOWN = 5
_SIGN = 0.28  # the width of an operator between two maps, in widths of a map


def decompose(model: PooledDigitNet, image: Any, label: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns channel maps f [h, w, C], the class's weights w [C] and its bias, from the model itself."""
    maps = np.asarray(model.features(image[None])[0])
    head: Any = model.head
    return maps, np.asarray(head.kernel[...])[:, label], float(head.bias[...][label])


def draw(attribution: xai.Attribution, image: Any, maps: np.ndarray, weights: np.ndarray, bias: float) -> Figure:
    """Draws the weighted channel maps and their sum above, and the map over the image and the logit below."""
    label, class_map = int(np.asarray(attribution.target)[0]), np.asarray(attribution.values[0])
    contributions = weights * maps.mean(axis=(0, 1))
    order = np.argsort(-np.abs(contributions))
    shown, others = order[:_SHOWN], order[_SHOWN:]

    figure = plt.figure(figsize=(13.8, 6.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    above, below = parts
    figure.get_layout_engine().set(w_pad=0.1)  # pyright: ignore
    widths = [1.0, _SIGN] * (_SHOWN + 1) + [1.0]
    grid = above.subplots(1, len(widths), gridspec_kw={"width_ratios": widths})
    channels = xai.Attribution(jnp.asarray(maps[..., shown]).transpose(2, 0, 1), jnp.ones(_SHOWN), method="$f_k$")
    titles = [f"${weights[channel]:.2f} \\times f_{{{channel}}}$" for channel in shown]
    xai.plot.image_grid(channels, titles=titles, axes=grid[0 : 2 * _SHOWN : 2], bar="bottom")
    sums = np.stack([np.tensordot(maps[..., others], weights[others], 1), class_map])
    titles = [f"{len(others)} more $w_k\\,f_k$", f"$M_{label} = \\Sigma_k\\,w_k\\,f_k$"]
    evidence = xai.Attribution(jnp.asarray(sums), jnp.ones(2), method="evidence")
    xai.plot.image_grid(evidence, titles=titles, axes=[grid[2 * _SHOWN], grid[-1]], signed=True, bar="bottom")
    added = [f"adds {contributions[channel]:+.2f}" for channel in shown]
    added += [f"add {contributions[others].sum():+.2f}", f"mean {class_map.mean():+.2f}"]
    for ax, text in zip(grid[::2], added, strict=True):
        ax.set_xlabel(text, fontsize=10)
    for number, ax in enumerate(grid[1::2]):
        _operator(ax, grid[2 * number], "=" if number == _SHOWN else "+")
    return _draw_below(below, figure, attribution, image, contributions, bias)


def _draw_below(
    below: Any, figure: Figure, attribution: xai.Attribution, image: Any, contributions: np.ndarray, bias: float
) -> Figure:
    """Draws the map over the image, and a waterfall of the contributions from the bias to the logit."""
    label, logit = int(np.asarray(attribution.target)[0]), float(attribution.output[0])
    mean = float(attribution.values[0].mean())
    axes = below.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1.15, 2]})
    axes[0].imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    axes[0].set_xticks([])
    axes[0].set_yticks([])
    axes[0].set_title("the image", fontsize=11)
    overlay = jnp.maximum(attribution.values, 0)
    xai.plot.image(
        xai.Attribution(values=overlay, output=attribution.output, method="CAM"), image[None],
        ax=axes[1], title=f"where the network sees a {label}",
    )  # fmt: skip
    parts = xai.Attribution(
        values=jnp.asarray(contributions)[None],
        output=attribution.output,
        base_value=jnp.array([bias]),
        method="CAM",
        efficient=True,
    )
    names = [f"channel {channel}: mean of w·f" for channel in range(len(contributions))]
    xai.plot.waterfall(parts, names=names, top=_SHOWN, ax=axes[2], title="from the bias to the logit")
    equation = f"mean of $M_{label}$ + $b_{label}$ = {mean:.3f} {'+' if bias >= 0 else '−'} {abs(bias):.3f} = {mean + bias:.3f}"
    figure.suptitle(
        f"Class activation map of the {label}:  {equation},  and the network's logit is {logit:.3f}", fontsize=13
    )
    return figure


def localize(model: PooledDigitNet, scenes: Scenes) -> tuple[xai.Attribution, dict[str, Any]]:
    """Returns the maps of the true classes of all images, and how much of them is in the digits' boxes."""
    maps = xai.cam.cam(model, scenes.images, target=scenes.labels, relu=True, upsample=True)
    heat, boxes = np.asarray(maps.values), scenes.boxes()
    return maps, {
        "images": len(heat),
        "chance": float(boxes.mean()),
        "strongest pixel in the digit's box": float(points_into(heat, boxes).mean()),
        "share of the map in the digit's box": float(mass_within(heat, boxes).mean()),
    }


def draw_localization(maps: xai.Attribution, model: PooledDigitNet, scenes: Scenes, scores: dict[str, Any]) -> Figure:
    """Draws the first correctly classified image of each class, on one scale, with the true frame of the digit."""
    probabilities = np.asarray(jax.nn.softmax(model(jnp.asarray(scenes.images))))
    correct = probabilities.argmax(axis=1) == scenes.labels
    rows_of_digits = [np.flatnonzero(scenes.labels == digit) for digit in range(10)]
    shown = np.array([rows[np.argmax(correct[rows])] for rows in rows_of_digits])
    labels = scenes.labels[shown]
    titles = [f"{label}: {chance:.0%}" for label, chance in zip(labels, probabilities[shown, labels], strict=True)]
    axes = xai.plot.image_grid(
        maps[shown], scenes.images[shown], labels=labels.tolist(),
        output_names=[str(digit) for digit in range(10)], titles=titles, columns=5,
    )  # fmt: skip
    for ax, index in zip(axes, shown, strict=True):
        scenes.draw_frame(ax, index, width=1.4)
    figure: Any = axes[0].figure
    inside, chance = scores["strongest pixel in the digit's box"], scores["chance"]
    figure.suptitle(
        f"Where the evidence is: the strongest pixel of the map is in the frame of the digit in {inside:.1%}\n"
        f"of {scores['images']} unseen images (chance {chance:.0%})",
        fontsize=11,
    )
    return figure


def _operator(ax: Axes, neighbor: Axes, sign: str) -> None:
    """Writes an operator between two maps at the height of their middle, which the color bars below move up."""
    ax.set_axis_off()
    position = blended_transform_factory(ax.transAxes, neighbor.transAxes)
    ax.text(0.5, 0.5, sign, transform=position, ha="center", va="center", fontsize=20)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="How a class activation map is computed, with the numbers of one image."
    )
    parser.add_argument("--out", type=Path, default=Path("out/cam_figure"), help="the folder for the figure")
    parser.add_argument("--digit", type=int, default=3, help="the explained class")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data and the training")
    options = parser.parse_args(arguments)

    with Report(options.out, total=3) as report:
        report.step("training the digit network")
        model, test, accuracy = trained_digit_net(PooledDigitNet, epochs=options.epochs, seed=options.seed)
        report.step("explaining")
        image = test.images[first_correct(model, test, options.digit)]
        attribution = xai.cam.cam(model, image[None], target=options.digit)
        maps, weights, bias = decompose(model, image, options.digit)
        by_hand = np.tensordot(maps, weights, axes=1)
        gap = float(np.abs(by_hand - np.asarray(attribution.values[0])).max())
        report.figure("cam", draw(attribution, image, maps, weights, bias), "the head's weights on the channel maps")
        report.keep("cam", attribution)
        report.step("localizing all digits")
        maps, scores = localize(model, test)
        report.figure(
            "cam_looks", draw_localization(maps, model, test, scores), "the evidence in an image of every class"
        )
    report.numbers = {
        "test accuracy": accuracy,
        "class": options.digit,
        "mean of the map": float(by_hand.mean()),
        "bias": bias,
        "logit": float(model(image[None])[0, options.digit]),
        "largest gap between the map by hand and xai.cam.cam": gap,
        "over all test images": scores,
    }
    total = report.numbers["mean of the map"] + bias
    report.say(f"mean of the map {by_hand.mean():.4f} + bias {bias:.4f} = {total:.4f}")
    report.say(f"the network's logit:                        {report.numbers['logit']:.4f}")
    report.close()


if __name__ == "__main__":
    main()
