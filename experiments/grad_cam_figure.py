"""How a Grad-CAM heat map is computed, step by step, for a network that CAM cannot explain.

Selvaraju et al. (2017), Grad-CAM: Visual explanations from deep networks via gradient-based localization,
arXiv:1610.02391, equations 1 and 2,

  alpha_k = 1/Z sum_ij dy_c / dA_ij^k,        L = ReLU(sum_k alpha_k A^k),

for a network with a convolution and a hidden layer after these channel maps, so that no weight of the head belongs to one
channel. The gradients measure the effect of a channel near this image. Every step is computed here without the library,
and the result is compared with xai.cam.grad_cam.

python -m experiments.grad_cam_figure --out out/grad_cam_figure
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._networks import HiddenDigitNet
from experiments._report import Report
from experiments._training import first_correct, trained_digit_net

LAYER = "blocks/3"  # the layer whose output the features are
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Steps:
    """activations, gradients: [h, w, C]; weights: [C] the mean gradient of each channel."""

    activations: np.ndarray
    gradients: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        return self.gradients.mean(axis=(0, 1))

    @property
    def weighted(self) -> np.ndarray:
        return self.activations * self.weights

    @property
    def total(self) -> np.ndarray:
        return self.weighted.sum(axis=-1)


def compute(model: HiddenDigitNet, image: Any, label: int) -> Steps:
    """Returns every step, computed without the library: the features, and the gradient of the logit at them."""
    activations = model.features(image[None])
    gradients = jax.grad(lambda maps: model.classify(maps)[0, label])(activations)
    return Steps(np.asarray(activations[0]), np.asarray(gradients[0]))


def draw(attribution: xai.Attribution, image: Any, steps: Steps, label: int) -> Figure:
    """Draws activations, gradients and their products for five channels, then the sums and the heat map."""
    shown = np.argsort(-np.abs(steps.weighted).sum(axis=(0, 1)))[:_SHOWN]
    figure = plt.figure(figsize=(12.4, 10.4), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.75, 1.2])
    above, below = parts
    figure.get_layout_engine().set(w_pad=0.1)  # pyright: ignore
    grid = above.subplots(3, _SHOWN)
    rows = {
        "activations  $A^k$": (steps.activations, None),
        "gradients  $\\partial y_c / \\partial A^k$": (steps.gradients, True),
        "weighted  $\\alpha_k\\,A^k$": (steps.weighted, True),
    }
    for axes, (name, (values, signed)) in zip(grid, rows.items(), strict=True):
        channels = xai.Attribution(jnp.asarray(values[..., shown]).transpose(2, 0, 1), jnp.ones(_SHOWN))
        xai.plot.image_grid(channels, titles=[""] * _SHOWN, signed=signed, axes=axes)
        axes[0].set_ylabel(name, fontsize=12)
    for column, channel in enumerate(shown):
        grid[0, column].set_title(f"channel {channel}", fontsize=11)
        grid[1, column].set_xlabel(f"mean = $\\alpha_{{{channel}}}$ = {steps.weights[channel]:+.4f}", fontsize=11)

    axes = below.subplots(1, 4)
    drawn = axes[0].imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    below.colorbar(drawn, ax=axes[0], fraction=0.046, pad=0.03)  # so that all four panels have the same size
    axes[0].set_title(f"the image; logit of the {label}: {float(attribution.output[0]):.2f}", fontsize=11)
    axes[0].set_xticks([])
    axes[0].set_yticks([])
    for ax, values, signed, title in (
        (axes[1], steps.total, True, f"sum over all {len(steps.weights)} channels"),
        (axes[2], np.maximum(steps.total, 0), False, "ReLU: what speaks for the class"),
    ):
        xai.plot.image(xai.Attribution(jnp.asarray(values)[None], attribution.output), signed=signed, ax=ax, title="")
        ax.set_title(title, fontsize=11)
    xai.plot.image(attribution, image[None], ax=axes[3], title="")
    axes[3].set_title("over the image, by xai.cam.grad_cam", fontsize=11)
    figure.suptitle(
        "Grad-CAM:  $L = \\mathrm{ReLU}\\,(\\Sigma_k\\,\\alpha_k\\,A^k)$,  where $\\alpha_k$ is the mean gradient of channel $k$",
        fontsize=14,
    )
    return figure


def cam_refuses(model: HiddenDigitNet, image: Any) -> bool:
    """Returns whether CAM refuses this network, which has no linear head over the channel maps."""
    try:
        xai.cam.cam(model, image[None])
    except ValueError:
        return True
    return False


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How a Grad-CAM heat map is computed, with the numbers of one image.")
    parser.add_argument("--out", type=Path, default=Path("out/grad_cam_figure"), help="the folder for the figure")
    parser.add_argument("--digit", type=int, default=5, help="the explained class")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data and the training")
    options = parser.parse_args(arguments)

    with Report(options.out, total=2) as report:
        report.step("training the digit network")
        model, test, accuracy = trained_digit_net(HiddenDigitNet, epochs=options.epochs, seed=options.seed)
        report.step("explaining")
        image = test.images[first_correct(model, test, options.digit)]
        steps = compute(model, image, options.digit)
        attribution = xai.cam.grad_cam(model, image[None], layer=LAYER, target=options.digit)
        gap = float(np.abs(np.maximum(steps.total, 0) - np.asarray(attribution.values[0])).max())
        report.figure("grad_cam", draw(attribution, image, steps, options.digit), "from activations to the heat map")
        report.keep("grad_cam", attribution)
    report.numbers = {
        "test accuracy": accuracy,
        "class": options.digit,
        "logit": float(attribution.output[0]),
        "largest value of the map": float(attribution.values.max()),
        "largest gap between the map by hand and xai.cam.grad_cam": gap,
        "xai.cam.cam refuses this network": cam_refuses(model, image),
    }
    report.say(f"the map computed step by step and that of xai.cam.grad_cam differ by at most {gap:.1e}")
    report.close()


if __name__ == "__main__":
    main()
