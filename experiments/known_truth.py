"""Do gradients and propagation recover what is known to be true? All gradient methods and class activation maps in one table.

On unseen images of the tour's digit network, for its top class:
- Conservation: how far the values' sum is from the output minus the base value, as a share of the sum of their sizes, for
  methods that promise this sum. Biases and the shifts of batch normalization keep some relevance for themselves.
- Agreement with exact Shapley values: the image is cut into a grid of 3 x 3 cells, each of which is present or black. All 512
  coalitions are evaluated. The correlation of their Shapley values with the sums of a map over the cells, for each image.
- Localization in mosaics of four images of four classes (Böhle et al. 2021, see `pointing`): the share of the positive mass
  of a class's map in the cell of this class, where chance is 1/4.

Means have normal 95 % intervals, which treat the four maps of a mosaic as independent.

python -m experiments.known_truth --out out/known_truth
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import xaijax as xai
from experiments._pointing_game import Interval, Mosaics, mass_within, mean_interval
from experiments._report import Report
from experiments._training import train_digit_net
from experiments.pointing import choose, load_scenes

GRADIENTS, PATHS, RULES, REMOVAL, MAPS = "one gradient", "paths", "rules", "removed parts", "activation maps"
COLORS = {GRADIENTS: "#2b6ca3", PATHS: "#3a8f5c", RULES: "#c44e2b", REMOVAL: "#7a7a7a", MAPS: "#8a5aa8"}
GRID = (3, 3)
_ROWS = 100  # images explained in one call

Explain = Callable[..., xai.Attribution]  # (model, x, target=) -> values [N, H, W] or [N, H, W, C]


@dataclasses.dataclass(frozen=True)
class Method:
    """title: its name. source: what it is computed from. explain: (model, x, target=) -> an attribution of the pixels."""

    title: str
    source: str
    explain: Explain

    def maps(self, model: Any, x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the values summed over the channels, [N, H, W], and the gaps of their sums [N] where these are promised."""
        values, gaps = [], []
        for start in range(0, len(x), _ROWS):
            rows = slice(start, start + _ROWS)
            attribution = self.explain(model, x[rows], target=target[rows])
            values.append(np.asarray(attribution.values).reshape(*attribution.values.shape[:3], -1).sum(axis=-1))
            if attribution.completeness_gap is not None:
                sizes = np.abs(attribution.values).reshape(len(attribution), -1).sum(axis=1)
                gaps.append(np.abs(attribution.completeness_gap) / np.where(sizes > 0, sizes, 1))
        return np.concatenate(values), np.concatenate(gaps) if gaps else None


def methods(key: Any) -> list[Method]:
    """Returns all gradient methods and maps; the sampled ones draw with the key."""
    g, cam = xai.gradient, xai.cam
    smooth = g.smooth(g.saliency, num_samples=20)

    def at_input(explain: Explain, **options: Any) -> Explain:
        return lambda model, x, target: explain(model, x, target=target, upsample=True, **options)

    def with_options(explain: Explain, **options: Any) -> Explain:
        return lambda model, x, target: explain(model, x, target=target, **options)

    return [
        Method("saliency", GRADIENTS, g.saliency),
        Method("SmoothGrad", GRADIENTS, with_options(smooth, key=key)),
        Method("input x gradient", GRADIENTS, g.input_x_gradient),
        Method("integrated gradients", PATHS, g.integrated_gradients),
        Method("guided integrated gradients", PATHS, with_options(g.guided_integrated_gradients, num_steps=50)),
        Method("blur integrated gradients", PATHS, with_options(g.blur_integrated_gradients, max_sigma=10.0)),
        Method("guided backpropagation", RULES, g.guided_backpropagation),
        Method("deconvolution", RULES, g.deconvolution),
        Method("DeepLIFT, rescale", RULES, g.deep_lift),
        Method("DeepLIFT, reveal-cancel", RULES, with_options(g.deep_lift, rule="reveal_cancel")),
        Method("LRP, epsilon", RULES, with_options(g.propagate, composite=g.composites.epsilon())),
        Method("LRP, epsilon-plus", RULES, with_options(g.propagate, composite=g.composites.epsilon_plus())),
        Method("LRP, alpha1-beta0", RULES, with_options(g.propagate, composite=g.composites.alpha1_beta0())),
        Method("occlusion", REMOVAL, with_options(g.occlusion, window=8, stride=4)),
        Method("Grad-CAM", MAPS, at_input(cam.grad_cam)),
        Method("HiResCAM, earlier layer", MAPS, at_input(cam.hires_cam, layer="blocks/2", relu=False)),
        Method("LayerCAM, earlier layer", MAPS, at_input(cam.layer_cam, layer="blocks/2")),
        Method("Grad-CAM++", MAPS, at_input(cam.grad_cam_plus_plus)),
        Method("Eigen-CAM", MAPS, at_input(cam.eigen_cam)),
        Method("FullGrad", MAPS, cam.full_grad),
        Method("Guided Grad-CAM", MAPS, cam.guided_grad_cam),
    ]


@dataclasses.dataclass(frozen=True)
class Score:
    """gap: None for methods that promise no sum. agreement: correlations. mass: shares in the cell of the class."""

    title: str
    source: str
    gap: Interval | None
    agreement: Interval
    mass: Interval
    seconds: float

    def numbers(self) -> dict[str, Any]:
        intervals = {"gap": self.gap, "agreement": self.agreement, "mass in its cell": self.mass}
        return {"source": self.source, "seconds": round(self.seconds, 1)} | {
            name: interval._asdict() for name, interval in intervals.items() if interval is not None
        }


def shapley_of_cells(model: Any, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the exact Shapley values [N, M] of the cells of a grid, against black."""
    games = xai.game(model, x, xai.mask.grid(GRID, fill=0.0), target=target)
    return np.asarray(xai.shap.exact(games).values)


def sums_of_cells(maps: np.ndarray) -> np.ndarray:
    """Returns the sums [N, M] of maps [N, H, W] over the cells of the same grid."""
    games = xai.game(_sum, maps[..., None].astype(np.float32), xai.mask.grid(GRID, fill=0.0))
    return np.asarray(xai.shap.exact(games).values)  # of a sum: the sums of the cells


def _sum(images: jax.Array) -> jax.Array:
    return images.sum(axis=(1, 2, 3))


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the correlation of each row [N]; 0 for rows that do not vary."""
    first, second = (part - part.mean(axis=1, keepdims=True) for part in (first, second))
    sizes = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return (first * second).sum(axis=1) / np.where(sizes > 0, sizes, 1)


def measure(method: Method, model: Any, x: np.ndarray, shapley: np.ndarray, mosaics: Mosaics) -> Score:
    """Computes the three measures of a method: on images x with their Shapley values, and on mosaics."""
    start = time.perf_counter()
    top = np.asarray(model(x)).argmax(axis=1)
    maps, gaps = method.maps(model, x, top)
    agreement = mean_interval(correlations(sums_of_cells(maps), shapley))
    count = mosaics.labels.shape[1]
    heat, _ = method.maps(model, np.repeat(mosaics.images, count, axis=0), mosaics.labels.reshape(-1))
    mass = mean_interval(mass_within(heat, np.tile(mosaics.cells(), (len(mosaics.images), 1, 1))))
    gap = None if gaps is None else mean_interval(gaps)
    return Score(method.title, method.source, gap, agreement, mass, time.perf_counter() - start)


def tabulate(scores: list[Score]) -> Table:
    table = Table(title="Known truth: means (95 % intervals)", title_justify="left", box=None, pad_edge=False)
    for name in ("method", "gap", "with Shapley values", "mass in cell, %", "s"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for score in scores:
        gap = "-" if score.gap is None else f"{score.gap.value:.1e}"
        agreement, mass = score.agreement, score.mass
        table.add_row(
            score.title,
            gap,
            f"{agreement.value:.2f} ({agreement.low:.2f} to {agreement.high:.2f})",
            f"{100 * mass.value:.0f} ({100 * mass.low:.0f}-{100 * mass.high:.0f})",
            f"{score.seconds:.0f}",
        )
    return table


def draw(scores: list[Score]) -> Figure:
    """Draws the agreement and the localization of each method, the best agreement first."""
    ordered = sorted(scores, key=lambda score: -score.agreement.value)
    sources = [score.source for score in ordered]
    panels: Mapping[str, tuple[str, float | None]] = {
        "correlation with exact Shapley values": ("agreement", None),
        "positive mass in its own cell of four": ("mass", 0.25),
    }
    figure, axes = plt.subplots(1, 2, figsize=(10, 1.6 + 0.3 * len(ordered)), sharey=True, layout="constrained")
    for ax, (title, (name, chance)) in zip(axes, panels.items(), strict=True):
        shown = np.array([getattr(score, name) for score in ordered])
        options = {} if chance is None else {"reference": chance, "reference_name": "chance"}
        xai.plot.intervals(
            *np.moveaxis(shown, -1, 0), names=[score.title for score in ordered], categories=sources,
            colors=[COLORS[source] for source in dict.fromkeys(sources)], legend=False, ax=ax, title=title, **options,
        )  # fmt: skip
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Do gradients and propagation recover what is known to be true?")
    parser.add_argument("--out", type=Path, default=Path("out/known_truth"), help="the folder for figures and numbers")
    parser.add_argument("--images", type=int, default=100, help="number of images, and of maps of mosaics, at most 500")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of training")
    parser.add_argument("--methods", nargs="*", help="titles of the methods to measure; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data, the training and the sampling")
    options = parser.parse_args(arguments)
    every = methods(jax.random.key(options.seed))
    chosen = [method for method in every if not options.methods or method.title in options.methods]
    with Report(options.out, total=len(chosen) + 1) as report:
        report.step("training the digit network")
        training, test = load_scenes(train_copies=3, test_copies=2, seed=options.seed)
        model = train_digit_net(training, options.seed, epochs=options.epochs)
        accuracy, mosaics = choose(model, test, options.images // 4, np.random.default_rng(options.seed))
        x = test.images[: options.images]
        shapley = shapley_of_cells(model, x, np.asarray(model(jnp.asarray(x))).argmax(axis=1))
        scores = []
        for method in chosen:
            report.step(method.title)
            scores.append(measure(method, model, x, shapley, mosaics))
        report.console.print(tabulate(scores))
        report.numbers |= {"test accuracy": accuracy} | {score.title: score.numbers() for score in scores}
        report.figure(
            "known_truth", draw(scores), "agreement with exact Shapley values, and localization, of each method"
        )
    report.close()


if __name__ == "__main__":
    main()
