"""LIME in two dimensions: a curved boundary, an instance, samples around it, and the line fitted to them.

Ribeiro, Singh and Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, figure 3 and equation 1,

  xi(x) = argmin_g  sum_z pi_x(z) (f(z) - g(z))² + Omega(g),        pi_x(z) = exp(-D(x, z)² / sigma²),

drawn from fits to a small Flax network. Left: the paper's samples, drawn widely and weighted. Right: samples drawn in
proportion to the weight, each with weight one, which is the library's default. On the dashed line the surrogate equals one
half. The fainter lines are those of other draws.

python -m experiments.lime_figure --out out/lime_figure
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import xaijax as xai
from experiments._report import Report
from experiments._training import accuracy_of, train_classifier
from xaijax._core.blocks import example_keys
from xaijax.lime import _rows

SAMPLINGS = {"independent": "drawn widely, weighted as in the paper", "weighted": "drawn in proportion to the weight"}
INSTANCE = (0.5, 0.7)
_WIDTH = 0.35  # of the kernel, in standard deviations: the boundary rises and falls within three of them
_LIMIT = 3.0  # of the square in the figure


class Network(nn.Module):
    """Points [N, 2] to two logits."""

    @nn.compact
    def __call__(self, x: Any) -> jax.Array:
        for _ in range(2):
            x = nn.tanh(nn.Dense(24)(x))
        return nn.Dense(2)(x)


def make_points(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points [count, 2] in a square and noisy labels: the side of a wave on which they lie."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 3, (count, 2)).astype(np.float32)
    above = points[:, 1] - 1.5 * np.sin(1.4 * points[:, 0])
    return points, (above + 0.3 * rng.standard_normal(count) > 0).astype(np.int32)


def neighborhood(
    statistics: xai.lime.Statistics, sampling: str, key: jax.Array, num_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows [S, 2] that `xai.lime.tabular` draws for its first example, and their weights [S]."""
    layout = _rows.row_layout(sampling, num_samples - 1)
    draw_key, _ = jax.random.split(example_keys(key, jnp.arange(1))[0])
    samples, rows = _rows.draw_rows(sampling, draw_key, jnp.asarray(INSTANCE), statistics, _WIDTH, "row", layout)
    return np.asarray(rows), np.asarray(samples.weights)


def fitted_line(rows: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the slopes and the value at the instance [3], by weighted least squares on the rows of the figure."""
    columns = np.concatenate([rows - np.array(INSTANCE), np.ones((len(rows), 1))], axis=1).astype(np.float64)
    roots = np.sqrt(weights.astype(np.float64))
    return np.linalg.lstsq(roots[:, None] * columns, roots * values, rcond=None)[0]


def probability(model: Any) -> Any:
    """Returns the function of rows [n, 2] to the probability of class 1."""
    return lambda rows: jax.nn.softmax(model(jnp.asarray(rows)))[:, 1]


def draw(ax: Axes, model: Any, fits: xai.Surrogate, rows: np.ndarray, weights: np.ndarray, title: str) -> None:
    """Draws the network's output, the samples with their weight as area, and the lines of all fits."""
    grid = np.linspace(-_LIMIT, _LIMIT, 121, dtype=np.float32)
    instance = np.array([INSTANCE], np.float32)
    surface = xai.metrics.partial_dependence(probability(model), instance, (0, 1), grids=(grid, grid))
    xai.plot.neighborhood(
        rows, probability(model)(rows), instance=INSTANCE, weights=weights, surrogate=fits, repeats=True,
        surface=surface, legend=False, ax=ax, title=title,
    )  # fmt: skip
    ax.set_aspect("equal")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")


def caption(sampling: str, fits: xai.Surrogate, num_samples: int) -> str:
    """Returns the title of a panel: what was drawn, the first fit, and how much the fits differ."""
    scores, slopes = spread(fits.r_squared), np.asarray(fits.slopes)
    angles = np.degrees(np.unwrap(np.arctan2(slopes[:, 1], slopes[:, 0])))
    assert fits.effective_samples is not None
    return (
        f"{num_samples} samples {SAMPLINGS[sampling]}: effectively {float(fits.effective_samples[0]):.0f}\n"
        f"the line predicts {float(fits.prediction[0]):.2f}; local R² {scores['first']:.2f};\n"
        f"over {len(slopes)} draws R² ± {scores['sd']:.2f}, direction ± {angles.std(ddof=1):.1f}°"
    )


def spread(numbers: Any) -> dict[str, float]:
    """Returns the first of several numbers, their mean and their standard deviation."""
    numbers = np.asarray(numbers, np.float64)
    return {"first": float(numbers[0]), "mean": float(numbers.mean()), "sd": float(numbers.std(ddof=1))}


def legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    handles.append(Line2D([], [], color="black", alpha=0.4, lw=0.9, ls="--"))
    labels.append("surrogates of other draws")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="LIME's samples and line in two dimensions, from a real fit.")
    parser.add_argument("--out", type=Path, default=Path("out/lime_figure"), help="the folder for the figure")
    parser.add_argument("--samples", type=int, default=200, help="for each fit")
    parser.add_argument("--draws", type=int, default=40, help="number of fits, each with its own samples")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the points, the training and the samples")
    options = parser.parse_args(arguments)
    if options.draws < 2:
        parser.error(f"--draws must be at least 2, got {options.draws}: a single draw has no spread")

    with Report(options.out, total=3) as report:
        report.step("training the network")
        points, labels = make_points(1000, seed=options.seed)
        training: dict[str, Any] = {"epochs": options.epochs, "batch_size": 50, "rate": 1e-2}
        key = jax.random.key(options.seed)
        model = train_classifier(Network(), points, labels, key, options.seed, **training)
        report.numbers["training accuracy"] = accuracy_of(model(jnp.asarray(points)), labels)
        statistics, key = xai.lime.statistics(points), jax.random.key(options.seed + 1)
        x = jnp.tile(jnp.asarray(INSTANCE), (options.draws, 1))  # one instance, whose samples differ from id to id
        figure, axes = plt.subplots(1, 2, figsize=(11.4, 6.3), layout="constrained")
        for ax, sampling in zip(axes, SAMPLINGS, strict=True):
            report.step(f"explaining, {sampling}")
            fits = xai.lime.tabular(
                model, x, statistics, key=key, target=xai.target.probability(1),
                sampling=sampling, num_samples=options.samples, kernel_width=_WIDTH,
            )  # fmt: skip
            rows, weights = neighborhood(statistics, sampling, key, options.samples)
            draw(ax, model, fits, rows, weights, caption(sampling, fits, options.samples))
            report.keep(f"lime_{sampling}", fits)
            record(report, sampling, model, fits, rows, weights)
        legend(figure, axes[0])
        predicted = float(probability(model)(np.array([INSTANCE], np.float32))[0])
        figure.suptitle(
            f"LIME around one instance: the network predicts class 1 with probability {predicted:.2f}", fontsize=13
        )
        report.figure("lime", figure, "samples around an instance, and the line fitted to them")
    report.close()


def record(
    report: Report, sampling: str, model: Any, fits: xai.Surrogate, rows: np.ndarray, weights: np.ndarray
) -> None:
    """Reports the numbers of the figure, and the largest difference between a fit to its rows and the library's fit."""
    values = np.asarray(probability(model)(rows), np.float64)
    *slopes, prediction = fitted_line(rows, weights, values)
    gap = max(np.abs(np.array(slopes) - np.asarray(fits.slopes)[0]).max(), abs(prediction - float(fits.prediction[0])))
    assert fits.std_errors is not None
    assert fits.effective_samples is not None
    report.numbers[sampling] = {
        "local R², over the draws": spread(fits.r_squared),
        "values": np.asarray(fits.values[0]).tolist(),
        "std_errors": np.asarray(fits.std_errors[0]).tolist(),
        "values, standard deviation over the draws": np.asarray(fits.values).std(axis=0, ddof=1).tolist(),
        "effective samples": float(fits.effective_samples[0]),
        "largest gap between the line fitted by hand and xai.lime.tabular": float(gap),
    }
    scores = report.numbers[sampling]["local R², over the draws"]
    report.say(
        f"{sampling}: local R² {scores['mean']:.3f} ± {scores['sd']:.3f} over the draws, gap of the fits {gap:.1e}"
    )


if __name__ == "__main__":
    main()
