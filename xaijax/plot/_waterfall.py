"""From the base value to the output, one player at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax import _check
from xaijax._attribution import Attribution
from xaijax.plot._axes import (
    NEGATIVE,
    POSITIVE,
    names_with_inputs,
    new_axes,
    number,
    one_row,
    player_names,
    strongest,
)

_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}  # numbers stay legible over lines


def waterfall(
    attribution: Attribution,
    *,
    example: int = 0,
    names: Sequence[str] | None = None,
    inputs: Any = None,
    top: int = 10,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws how the players lead from the base value to the output, the strongest first.

    Args:
      attribution: Shapley values [N, M], or [M] of one game.
      example: which row to draw.
      names: M names of the players.
      inputs: [N, M] or [M] the inputs, shown beside the names.
      top: how many players have a bar of their own; the others are summed. Default 10.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.

    Returns:
      The axes: bars from the top down, with whiskers of 1.96 standard errors where there are any.

    Raises:
      TypeError, ValueError: if the attribution has no base value, or names or inputs do not fit its players.
    """
    row = one_row(attribution, example)
    if row.base_value is None:
        raise ValueError("attribution has no base value to start from: draw it with xai.plot.bars.")
    top = _check.positive_int("top", top)
    labels = names_with_inputs(player_names(names, len(row.values)), inputs, example)

    shown, others = strongest(row.values, top)
    values = [*row.values[shown], *([row.values[others].sum()] if len(others) else [])]
    errors = [*row.std_errors[shown], *([0.0] if len(others) else [])]
    labels = [labels[place] for place in shown] + ([f"{len(others)} others"] if len(others) else [])

    ax = new_axes(ax, (6.4, 0.8 + 0.36 * len(values)))
    starts = row.base_value + np.concatenate([[0], np.cumsum(values)[:-1]])
    places = np.arange(len(values))
    colours = [POSITIVE if value >= 0 else NEGATIVE for value in values]
    ax.barh(places, values, left=starts, color=colours, height=0.62, zorder=2)
    if np.any(errors):
        ends = starts + values
        ax.errorbar(ends, places, xerr=1.96 * np.asarray(errors), fmt="none", ecolor="0.25", elinewidth=1, zorder=3)
    for place in places[:-1]:
        ax.plot([starts[place + 1]] * 2, [place - 0.31, place + 1.31], color="0.6", linewidth=0.8, zorder=1)

    # Room for the numbers on both sides, so that none leaves the axes.
    ends = np.concatenate([starts, starts + values, [row.base_value, row.output]])
    span = max(ends.max() - ends.min(), 1e-12)
    margin = 1.96 * max(errors, default=0.0) + 0.16 * span
    ax.set_xlim(ends.min() - margin, ends.max() + margin)
    for place, (start, value, error) in enumerate(zip(starts, values, errors, strict=True)):
        right = max(start, start + value + 1.96 * error, start + value)
        ax.text(right + 0.015 * span, place, number(value), va="center", ha="left", fontsize=8, bbox=_PAPER)
    ax.axvline(row.base_value, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    ax.axvline(row.output, color="0.2", linewidth=0.8, linestyle="--", zorder=0)
    ax.set_yticks(places, labels, fontsize=8)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.tick_params(axis="x", labelsize=8)
    ax.set_xlabel(f"base value {row.base_value:.4g}  →  output {row.output:.4g}", fontsize=9)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_title(attribution.method if title is None else title, fontsize=10)
    return ax
