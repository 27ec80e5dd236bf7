"""All rows at once: a dot for every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import (
    GRAY,
    LOW_TO_HIGH,
    all_rows,
    caption,
    chosen_rows,
    lines_of_players,
    new_axes,
    titled,
)
from xaijax.plot._inputs import PERCENTILES, colors_of, columns_of
from xaijax.plot._names import counted, others_label, player_names, shown_and_others

_BINS = 100  # along the axis: dots nearer than a hundredth of it would hide each other
_STEP, _HALF_LINE = 0.09, 0.42  # between dots of one bin, and the furthest that a dot is from its line


def beeswarm(
    attribution: Attribution,
    *,
    names: Sequence[str] | None = None,
    inputs: Any = None,
    top: int = 10,
    order: Sequence[int | str] | None = None,
    rows: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws every value of every row as a dot, one line for each player, the largest mean |value| first.

    Dots that would lie on each other are stacked about the line, so that its width shows how many there are.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example alone.
      names: M names of the players.
      inputs: [N, M] the inputs, one number or word for each value. The dots take their colors: blue for an input's 5th
        percentile and below, red for its 95th and above. Where a player's inputs are words, its dots are gray, since
        words are neither low nor high. Default: all dots are gray.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      order: players, by number or name, from the top down. Default: by their mean size.
      rows: the rows to draw, by number or as booleans [N]; order, colors and limits are still those of all rows, so
        that pictures of several groups can be compared (`xai.plot.cohorts`). Default: all.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes: lines from the top down, a collection of dots for each.

    Raises:
      TypeError, ValueError: if the names or inputs do not fit the values, or an argument is out of range.

    References:
      Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees, figure 4.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    >>> ax = xai.plot.beeswarm(xai.Attribution(values, values.sum(axis=1)), names=["age", "income"], inputs=values)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['income', 'age']
    """
    values, _, _, _, of = all_rows(attribution, output=output, output_names=output_names)
    count = values.shape[1]
    labels = player_names(names, count, num_examples=len(values))
    columns = None if inputs is None else columns_of(inputs, values.shape)
    drawn = chosen_rows(rows, len(values))
    shown, others = shown_and_others(np.abs(values).mean(axis=0), top, order, names)
    lines = [values[:, player] for player in shown]
    labels = [labels[player] for player in shown]
    if len(others):
        lines.append(values[:, others].sum(axis=1))
        labels.append(others_label(len(others)))

    ax = new_axes(ax, (7.0, max(2.2, 1.2 + 0.36 * len(lines))))
    least, most = min(0.0, *(line.min() for line in lines)), max(0.0, *(line.max() for line in lines))
    span = most - least if most > least else 1.0
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for place, line in enumerate(lines):
        line = line[drawn]
        heights = place + dots_beside(np.floor((line - least) / span * _BINS), _STEP, _HALF_LINE)
        column = columns[shown[place]] if columns is not None and place < len(shown) else None
        if column is None or column.words is not None:
            colors: Any = {"color": GRAY}
        else:
            colors = {"c": column.numbers[drawn], "cmap": LOW_TO_HIGH, "norm": colors_of(column)}
        ax.scatter(line, heights, s=9, linewidths=0, zorder=2, **colors)
    if columns is not None and any(columns[player].words is None for player in shown):
        low_to_high_bar(ax)
    ax.set_xlim(least - 0.05 * span, most + 0.05 * span)
    lines_of_players(ax, labels)
    ax.set_xlabel("value: what the player adds to the output", fontsize=9)
    titled(ax, title, caption(attribution.method, of, counted(len(drawn))))
    return ax


def low_to_high_bar(ax: Axes) -> None:
    """A color bar for the inputs of all players, each from low to high."""
    low, high = PERCENTILES
    bar = ax.figure.colorbar(ScalarMappable(cmap=LOW_TO_HIGH), ax=ax, fraction=0.03, pad=0.02, ticks=[0, 1])
    bar.ax.set_yticklabels(["low", "high"], fontsize=8)
    bar.ax.tick_params(length=0)
    bar.set_label(f"the input's value,\n{low}th to {high}th percentile", fontsize=7, labelpad=-8)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def dots_beside(bins: np.ndarray, step: float, half: float) -> np.ndarray:
    """How far from the line each dot is, [N]: those of one bin alternate about it, in the order of the rows.

    step: between dots of one bin; half: the furthest that a dot is from its line.
    """
    layers = np.zeros(len(bins))
    for each in np.unique(bins):
        members = np.flatnonzero(bins == each)
        steps = np.arange(1, len(members) + 1) // 2  # 0, 1, 1, 2, 2: above and below in turn
        layers[members] = np.where(np.arange(len(members)) % 2, steps, -steps)
    return layers * min(step, half / max(np.abs(layers).max(initial=0), 1))
