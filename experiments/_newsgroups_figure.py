"""The figure of `newsgroups`: one post in the words of two classifiers, and the finding over many posts."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import xaijax as xai
from experiments._newsgroups import CLASSES

_COLOURS = ("#7b3f9d", "#3d8b5f")  # neither of the colours of the bars above
_TOP = 10
SHOWN = "the ten heaviest words"


def draw(
    examples: dict[str, xai.lime.Words],
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
    left, right = below.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.35]})
    _draw_shares(left, on_headers, by_count)
    _draw_accuracies(right, accuracies)
    figure.suptitle(f"Two classifiers of posts, explained by LIME — {corpus}", fontsize=13)
    return figure


def _draw_words(ax: Axes, name: str, words: xai.lime.Words, header: set[str]) -> None:
    last = len(words.words) - 1
    one, pairs = words.of(last), words.as_list(last)
    share = sum(abs(weight) for word, weight in pairs if word in header) / sum(abs(weight) for _, weight in pairs)
    said = f"{CLASSES[1]}, wrongly" if one.output[0] > 0 else CLASSES[0]
    title = (
        f"{name}: says {said}, log odds {float(one.output[0]):+.1f}\n"
        f"{share:.0%} of the mass on header words, local R² {float(one.r_squared[0]):.3f}"
    )
    xai.plot.bars(one, names=words.words[last], top=_TOP, ax=ax, title=title)
    for label in ax.get_yticklabels():
        if label.get_text() in header:
            label.set_fontweight("bold")
            label.set_bbox({"boxstyle": "round,pad=0.12", "facecolor": "#f3e3a1", "edgecolor": "none"})
    ax.set_xlabel(f"what a word adds to the log odds of {CLASSES[1]}", fontsize=9)


def mean_and_error(found: np.ndarray) -> dict[str, float]:
    """Over posts, with the standard error of the mean."""
    error = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else float("nan")
    return {"mean": float(found.mean()), "se": error, "posts": len(found)}


def _draw_shares(ax: Axes, on_headers: dict[str, dict[str, np.ndarray]], by_count: float) -> None:
    """A dot for each post, the mean over posts with 1.96 standard errors."""
    kinds = list(next(iter(on_headers.values())))
    rng = np.random.default_rng(0)
    for place, (colour, of_kind) in enumerate(zip(_COLOURS, on_headers.values(), strict=True)):
        for number, found in enumerate(of_kind.values()):
            across = number + 0.4 * (place - 0.5)
            beside = across + rng.uniform(-0.13, 0.13, len(found))
            ax.plot(beside, found, "o", ms=3, color=colour, alpha=0.35, mec="none")
            of_posts = mean_and_error(found)
            ax.hlines(of_posts["mean"], across - 0.17, across + 0.17, color=colour, lw=2.5)
            ax.errorbar(across, of_posts["mean"], 1.96 * of_posts["se"], color=colour, lw=1.5, capsize=4)
            label = f"{of_posts['mean']:.1%} ± {of_posts['se']:.1%}"
            ax.text(across, 0.985, label, transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize=8.5, color=colour)  # fmt: skip
    ax.axhline(by_count, color="black", lw=1, ls=(0, (4, 3)), label=f"their share of a post's words: {by_count:.1%}")
    ax.set_xticks(range(len(kinds)), [f"of {kind}" for kind in kinds], fontsize=9)
    most = max(found.max() for of_kind in on_headers.values() for found in of_kind.values())
    ax.set_ylim(0, max(1.25 * most, 0.1))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="y", labelsize=8)
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, 0.94))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("Explanations' mass on header words (dots: posts; mean ± standard error)", fontsize=10)


def _draw_accuracies(ax: Axes, accuracies: dict[str, dict[str, np.ndarray]]) -> None:
    """A bar for the mean, from what a coin gets, a dot for each seed."""
    tests = list(next(iter(accuracies.values())))
    for place, (colour, (name, of_test)) in enumerate(zip(_COLOURS, accuracies.items(), strict=True)):
        for number, found in enumerate(of_test.values()):
            across = number + 0.4 * (place - 0.5)
            bar: Any = {"width": 0.36, "color": colour, "alpha": 0.35, "label": name if number == 0 else None}
            ax.bar(across, found.mean() - 0.5, bottom=0.5, **bar)
            beside = across + 0.04 * (np.arange(len(found)) - (len(found) - 1) / 2)
            ax.plot(beside, found, "o", ms=4, color=colour, mec="white", mew=0.6)
            ax.annotate(f"{found.mean():.1%}", (across, max(found.max(), 0.5)), (0, 5), textcoords="offset points", ha="center", fontsize=8.5)  # fmt: skip
    ax.axhline(0.5, color="black", lw=1)
    ax.set_xticks(range(len(tests)), tests, fontsize=9)
    least = min(0.5, min(float(found.min()) for of_test in accuracies.values() for found in of_test.values()))
    ax.set_ylim(least - 0.04, 1.1)
    ticks = [tick / 10 for tick in range(11) if tick / 10 >= least - 0.04]
    ax.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks], fontsize=8)
    ax.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.tick_params(axis="x", length=0)
    ax.set_title("What it costs: test accuracy, from 50% up (dots: trainings)", fontsize=10)
