"""The figure of `newsgroups`: one post in the words of two classifiers, and the finding over many posts."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xaijax as xai
from experiments._newsgroups import CLASSES

_COLORS = ("#7b3f9d", "#3d8b5f")  # neither of the colors of the bars above
_TOP = 10
SHOWN = "the ten heaviest words"


def draw(
    examples: dict[str, xai.Surrogate],
    header: set[str],
    accuracies: dict[str, dict[str, np.ndarray]],
    on_headers: dict[str, dict[str, np.ndarray]],
    by_count: float,
    corpus: str,
) -> Figure:
    """Above the heaviest words of the last post, those of its header alone boxed; below shares of mass, and accuracies."""
    figure = plt.figure(figsize=(12, 8.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # pyright: ignore
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    above, below = parts
    for ax, (name, words) in zip(above.subplots(1, 2), examples.items(), strict=True):
        _draw_words(ax, name, words, header)
    above.suptitle(
        f"One test post of atheism: red words speak for {CLASSES[1]}, blue for {CLASSES[0]}; boxed: in the header alone",
        fontsize=11,
    )
    left, right = below.subplots(1, 2, gridspec_kw={"width_ratios": [1.1, 1]})
    _draw_shares(left, on_headers, by_count)
    _draw_accuracies(right, accuracies)
    below.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.suptitle(f"Two classifiers of posts, explained by LIME — {corpus}", fontsize=13)
    return figure


def _draw_words(ax: Axes, name: str, words: xai.Surrogate, header: set[str]) -> None:
    last = words[-1:]
    pairs = word_weights(words, len(words) - 1)
    share = sum(abs(weight) for word, weight in pairs if word in header) / sum(abs(weight) for _, weight in pairs)
    said = f"{CLASSES[1]}, wrongly" if last.output[0] > 0 else CLASSES[0]
    title = (
        f"{name}: says {said}, log odds {float(last.output[0]):+.1f}\n"
        f"{share:.0%} of the mass on header words, local R² {float(last.r_squared[0]):.3f}"
    )
    xai.plot.bars(last, names=words.player_names(len(words) - 1), top=_TOP, ax=ax, title=title)
    for label in ax.get_yticklabels():
        if label.get_text() in header:
            label.set_fontweight("bold")
            label.set_bbox({"boxstyle": "round,pad=0.12", "facecolor": "#f3e3a1", "edgecolor": "none"})
    ax.set_xlabel(f"what a word adds to the log odds of {CLASSES[1]}", fontsize=9)


def word_weights(attribution: xai.Surrogate, row: int) -> list[tuple[str, float]]:
    """The words of one text with their weights, the heaviest first."""
    pairs = zip(attribution.player_names(row), np.asarray(attribution.values[row]).tolist(), strict=True)
    return sorted((pair for pair in pairs if pair[0]), key=lambda pair: -abs(pair[1]))


def mean_and_error(found: np.ndarray) -> dict[str, float]:
    """Over posts, with the standard error of the mean."""
    error = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else float("nan")
    return {"mean": float(found.mean()), "se": error, "posts": len(found)}


def _draw_shares(ax: Axes, on_headers: dict[str, dict[str, np.ndarray]], by_count: float) -> None:
    """A small dot for each post, the mean over posts with 1.96 standard errors."""
    kinds = list(next(iter(on_headers.values())))
    points = np.array([[of_kind[kind] for of_kind in on_headers.values()] for kind in kinds])
    of_posts = [[mean_and_error(found) for found in row] for row in points]
    means, errors = (np.array([[one[part] for one in row] for row in of_posts]) for part in ("mean", "se"))
    xai.plot.intervals(
        means, means - 1.96 * errors, means + 1.96 * errors, points=points, names=[f"of {kind}" for kind in kinds],
        notes=[[f"{one['mean']:.1%} ± {one['se']:.1%}" for one in row] for row in of_posts],
        groups=list(on_headers), colors=_COLORS, reference=by_count, percent=True, legend=False, ax=ax,
        reference_name=f"their share of a post's words: {by_count:.1%}",
        title="Explanations' mass on header words\n(small dots: posts; mean ± standard error)",
    )  # fmt: skip
    ax.set_xlim(-0.02 * points.max(), max(1.04 * points.max(), 0.1))


def _draw_accuracies(ax: Axes, accuracies: dict[str, dict[str, np.ndarray]]) -> None:
    """The mean over the trainings, and a small dot for each of them; a coin gets the reference."""
    tests = list(next(iter(accuracies.values())))
    points = np.array([[of_test[test] for of_test in accuracies.values()] for test in tests])
    means = points.mean(axis=-1)
    xai.plot.intervals(
        means, points=points, names=tests, groups=list(accuracies), colors=_COLORS, reference=0.5, percent=True,
        notes=[[f"{mean:.1%}" for mean in row] for row in means], legend=False, ax=ax,
        title="What it costs: test accuracy\n(small dots: trainings; dashed: a coin)",
    )  # fmt: skip
    ax.set_xlim(min(0.5, float(points.min())) - 0.02, 1.02)
