"""What LIME does, in two dimensions: a curved boundary, an instance, samples around it, and the line fitted to them.

Ribeiro, Singh and Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, figure 3 and equation 1,

  xi(x) = argmin_g  sum_z pi_x(z) (f(z) - g(z))² + Omega(g),        pi_x(z) = exp(-D(x, z)² / sigma²),

drawn from real fits to a small Flax network: on the left with the paper's samples, drawn widely and weighted, on the
right with samples drawn where the weight is, each with weight one, which is the library's default. The dashed line is
where the surrogate says one half; the fainter ones are those of other draws.

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
from experiments._train import cross_entropy, train
from xaijax._core.blocks import example_keys
from xaijax.lime import _rows

SAMPLINGS = {"independent": "drawn widely, weighted as in the paper", "weighted": "drawn where the weight is"}
INSTANCE = (0.5, 0.7)
_WIDTH = 0.35  # of the kernel, in standard deviations: the boundary goes up and down within three of them
_LIMIT = 3.0  # of the square that is shown


class Network(nn.Module):
    """Points [N, 2] to two logits."""

    @nn.compact
    def __call__(self, x: Any) -> jax.Array:
        for _ in range(2):
            x = nn.tanh(nn.Dense(24)(x))
        return nn.Dense(2)(x)


def make_points(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [count, 2] all over a square, and on which side of a wave they lie, with labels that are unsure near it."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 3, (count, 2)).astype(np.float32)
    above = points[:, 1] - 1.5 * np.sin(1.4 * points[:, 0])
    return points, (above + 0.3 * rng.standard_normal(count) > 0).astype(np.int32)


def trained(points: np.ndarray, labels: np.ndarray, *, epochs: int, seed: int) -> Any:
    module = Network()
    variables = module.init(jax.random.key(seed), jnp.asarray(points[:1]))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits: Any = module.apply(variables, batch["x"])
        return cross_entropy(logits, batch["y"]), state

    data = {"x": points, "y": labels}
    variables, _ = train(loss, variables, (), data, epochs=epochs, batch_size=50, rate=1e-2, seed=seed)
    return xai.linen(module, variables)


def neighborhood(
    statistics: xai.lime.Statistics, sampling: str, key: jax.Array, num_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows [S, 2] that `xai.lime.tabular` draws for its first example, and their weights [S]."""
    layout = _rows.row_layout(sampling, num_samples - 1)
    draw_key, _ = jax.random.split(example_keys(key, jnp.arange(1))[0])
    samples, rows = _rows.draw_rows(sampling, draw_key, jnp.asarray(INSTANCE), statistics, _WIDTH, "row", layout)
    return np.asarray(rows), np.asarray(samples.weights)


def line_by_hand(rows: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes and the value at the instance [3], by least squares on what is shown."""
    columns = np.concatenate([rows - np.array(INSTANCE), np.ones((len(rows), 1))], axis=1).astype(np.float64)
    roots = np.sqrt(weights.astype(np.float64))
    return np.linalg.lstsq(roots[:, None] * columns, roots * values, rcond=None)[0]


def probability(model: Any) -> Any:
    """That of class 1, of rows [n, 2]."""
    return lambda rows: jax.nn.softmax(model(jnp.asarray(rows)))[:, 1]


def draw(ax: Axes, model: Any, fits: xai.Surrogate, rows: np.ndarray, weights: np.ndarray, title: str) -> None:
    """The network, the samples with areas that are their shares of the weight, and the lines of all fits."""
    grid = np.linspace(-_LIMIT, _LIMIT, 121, dtype=np.float32)
    surface = xai.metrics.partial_dependence(
        probability(model), np.array([INSTANCE], np.float32), (0, 1), grids=(grid, grid)
    )
    xai.plot.neighborhood(
        rows, probability(model)(rows), instance=INSTANCE, weights=weights, surrogate=fits, repeats=True,
        surface=surface, legend=False, ax=ax, title=title,
    )  # fmt: skip
    ax.set_aspect("equal")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")


def caption(sampling: str, fits: xai.Surrogate, num_samples: int) -> str:
    found, slopes = spread(fits.r_squared), np.asarray(fits.slopes)
    angles = np.degrees(np.unwrap(np.arctan2(slopes[:, 1], slopes[:, 0])))
    assert fits.effective_samples is not None
    return (
        f"{num_samples} samples {SAMPLINGS[sampling]}: effectively {float(fits.effective_samples[0]):.0f}\n"
        f"the line says {float(fits.prediction[0]):.2f}; local R² {found['first']:.2f};\n"
        f"over {len(slopes)} draws R² ± {found['sd']:.2f}, direction ± {angles.std(ddof=1):.1f}°"
    )


def spread(found: Any) -> dict[str, float]:
    found = np.asarray(found, np.float64)
    return {"first": float(found[0]), "mean": float(found.mean()), "sd": float(found.std(ddof=1))}


def legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    handles.append(Line2D([], [], color="black", alpha=0.4, lw=0.9, ls="--"))
    labels.append("and of other draws")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="LIME's samples and line in two dimensions, from a real fit.")
    parser.add_argument("--out", type=Path, default=Path("out/lime_figure"), help="the folder for the figure")
    parser.add_argument("--samples", type=int, default=200, help="for each fit")
    parser.add_argument("--draws", type=int, default=40, help="how many fits, of samples of their own")
    parser.add_argument("--epochs", type=int, default=30, help="of training")
    parser.add_argument("--seed", type=int, default=0, help="of the points, the training and the samples")
    options = parser.parse_args(arguments)
    if options.draws < 2:
        parser.error("--draws must be at least 2, to say what another draw changes")

    with Report(options.out, total=3) as report:
        report.step("training the network")
        points, labels = make_points(1000, seed=options.seed)
        model = trained(points, labels, epochs=options.epochs, seed=options.seed)
        accuracy = float((np.asarray(model(jnp.asarray(points))).argmax(axis=1) == labels).mean())
        report.numbers["training accuracy"] = accuracy
        statistics, key = xai.lime.statistics(points), jax.random.key(options.seed + 1)
        x = jnp.tile(jnp.asarray(INSTANCE), (options.draws, 1))  # the same instance, with samples of each id's own
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
        said = float(probability(model)(np.array([INSTANCE], np.float32))[0])
        figure.suptitle(f"LIME around one instance: the network says class 1 with probability {said:.2f}", fontsize=13)
        report.figure("lime", figure, "samples around an instance, and the line fitted to them")
    report.close()


def record(
    report: Report, sampling: str, model: Any, fits: xai.Surrogate, rows: np.ndarray, weights: np.ndarray
) -> None:
    """The numbers of the figure, and how far the fit to what is shown is from the library's."""
    values = np.asarray(probability(model)(rows), np.float64)
    *slopes, prediction = line_by_hand(rows, weights, values)
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
    found = report.numbers[sampling]["local R², over the draws"]
    report.say(f"{sampling}: local R² {found['mean']:.3f} ± {found['sd']:.3f} over the draws, gap by hand {gap:.1e}")


if __name__ == "__main__":
    main()
