"""All rows at once: a dot for every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from xaijax import _check
from xaijax._attribution import Attribution
from xaijax.plot._axes import (
    LOW_TO_HIGH,
    PERCENTILES,
    all_rows,
    inputs_of_all,
    new_axes,
    percentile_limits,
    player_names,
    strongest,
)

_GREY = "#8c8c8c"
_BINS = 100  # along the axis: dots nearer than a hundredth of it would hide each other
_STEP, _HALF_LINE = 0.09, 0.42  # between dots of one bin, and the furthest that a dot is from its line


def beeswarm(
    attribution: Attribution,
    *,
    names: Sequence[str] | None = None,
    inputs: Any = None,
    top: int = 10,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws every value of every row as a dot, one line for each player, the largest mean |value| first.

    Dots that would lie on each other are stacked about the line, so that its width shows how many there are.

    Args:
      attribution: values [N, M].
      names: M names of the players.
      inputs: [N, M] the inputs, one number for each value. The dots take their colours: blue for an input's 5th
        percentile and below, red for its 95th and above. Default: all dots are grey.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes: lines from the top down, a collection of dots for each.

    Raises:
      TypeError, ValueError: if the names or inputs do not fit the values, or an argument is out of range.

    References:
      Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees, figure 4.
    """
    values, _ = all_rows(attribution)
    labels = player_names(names, values.shape[1])
    given = None if inputs is None else inputs_of_all(inputs, values.shape)
    shown, others = strongest(np.abs(values).mean(axis=0), _check.positive_int("top", top))
    lines = [values[:, player] for player in shown]
    labels = [labels[player] for player in shown]
    if len(others):
        lines.append(values[:, others].sum(axis=1))
        labels.append(f"{len(others)} others")

    ax = new_axes(ax, (7.0, 1.2 + 0.36 * len(lines)))
    least, most = min(0.0, *(line.min() for line in lines)), max(0.0, *(line.max() for line in lines))
    span = most - least if most > least else 1.0
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for place, line in enumerate(lines):
        heights = place + _stacked(np.floor((line - least) / span * _BINS))
        if given is None or place >= len(shown):
            colours: Any = {"color": _GREY}
        else:
            column = given[:, shown[place]]
            colours = {"c": column, "cmap": LOW_TO_HIGH, "norm": percentile_limits(column)}
        ax.scatter(line, heights, s=9, linewidths=0, zorder=2, **colours)
    if given is not None:
        low, high = PERCENTILES
        bar = ax.figure.colorbar(ScalarMappable(cmap=LOW_TO_HIGH), ax=ax, fraction=0.03, pad=0.02, ticks=[0, 1])
        bar.ax.set_yticklabels(["low", "high"], fontsize=8)
        bar.ax.tick_params(length=0)
        bar.set_label(f"the input's value,\n{low}th to {high}th percentile", fontsize=7, labelpad=-8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    ax.set_xlim(least - 0.05 * span, most + 0.05 * span)
    ax.set_yticks(range(len(lines)), labels, fontsize=8)
    ax.set_ylim(len(lines) - 0.5, -0.5)
    ax.set_xlabel("value: what the player adds to the output", fontsize=9)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    caption = f"{attribution.method}: {len(values)} {'row' if len(values) == 1 else 'rows'}"
    ax.set_title(caption if title is None else title, fontsize=10)
    return ax


def _stacked(bins: np.ndarray) -> np.ndarray:
    """How far from the line each dot is, [N]: those of one bin alternate about it, in the order of the rows."""
    layers = np.zeros(len(bins))
    for each in np.unique(bins):
        members = np.flatnonzero(bins == each)
        steps = np.arange(1, len(members) + 1) // 2  # 0, 1, 1, 2, 2: above and below in turn
        layers[members] = np.where(np.arange(len(members)) % 2, steps, -steps)
    return layers * min(_STEP, _HALF_LINE / max(np.abs(layers).max(), 1))
