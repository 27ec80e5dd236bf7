"""All rows at once: a dot for every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import counted
from xaijax.plot._parts.axes import caption, draws, height_of_lines, label_values, lines_of_players, new_axes, titled
from xaijax.plot._parts.colors import GRAY, LOW_TO_HIGH
from xaijax.plot._parts.inputs import PERCENTILES, Column, colors_of
from xaijax.plot._parts.players import others_label, shown_and_others
from xaijax.plot._parts.rows import Rows, rows_of, unit_of

_BINS = 100  # along the axis: dots closer than a hundredth of it would hide each other
_STEP, _HALF_LINE = 0.09, 0.42  # between dots of one bin, and the largest distance of a dot from its line


@draws
def beeswarm(
    attribution: Attribution,
    *,
    names: NamesLike = None,
    inputs: ArrayOrSequence | None = None,
    top: int = 10,
    order: Sequence[int | str] | None = None,
    rows: ArrayOrSequence | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws every value of every row as a dot, one line for each player, the largest mean |value| first.

    Dots that would hide each other are stacked, so that the width of a line shows how many there are.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example.
      names: M names of the players. Default: the attribution's own.
      inputs: [N, M] the inputs, one number or word for each value. They color the dots, from blue at an input's 5th
        percentile to red at its 95th. Words and missing inputs (NaN or None) are gray. Default: the attribution's own;
        where it has none, all dots are gray.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      order: players, by index or name, from the top down. Default: by mean |value|.
      rows: the rows to draw, as indices or booleans [N]; order, colors and limits are still those of all rows, so that
        plots of several groups can be compared (`xai.plot.cohorts`). Default: all.
      output: the output, by index or name, where all K are explained; or the class whose rows are drawn, where rows
        explain different classes.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method and the number of rows.

    Returns:
      The axes, with lines from the top down and a collection of dots for each.

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
    table = rows_of(attribution, names=names, inputs=inputs, rows=rows, output=output, output_names=output_names)
    lines, labels, columns = lines_of_values(table, top, order)

    ax = new_axes(ax, (7.0, max(2.2, 1.2 + height_of_lines(len(lines), 0.36))))
    least, most = min(0.0, *(line.min() for line in lines)), max(0.0, *(line.max() for line in lines))
    span = most - least if most > least else 1.0
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for height, (line, column) in enumerate(zip(lines, columns, strict=True)):
        line = line[table.drawn]
        heights = height + dots_apart(np.floor((line - least) / span * _BINS), _STEP, _HALF_LINE)
        ax.scatter(line, heights, s=9, linewidths=0, zorder=2, **_colors(column, table.drawn))
    low_to_high_bar(ax, columns, table.drawn)
    ax.set_xlim(least - 0.05 * span, most + 0.05 * span)
    lines_of_players(ax, labels)
    label_values(ax, unit_of(attribution), table.note)
    titled(ax, title, caption(attribution.method, table.of, counted(len(table.drawn))))
    return ax


def lines_of_values(
    table: Rows, top: int, order: Sequence[int | str] | None
) -> tuple[list[np.ndarray], list[str], list[Column | None]]:
    """Returns the values [N], the label and the inputs of each line; the last line sums the players not shown."""
    shown, others = shown_and_others(np.abs(table.values).mean(axis=0), top, order, table.names)
    lines = [table.values[:, player] for player in shown]
    labels = [table.labels[player] for player in shown]
    columns: list[Column | None] = [None if table.columns is None else table.columns[player] for player in shown]
    if len(others):
        return [*lines, table.values[:, others].sum(axis=1)], [*labels, others_label(len(others))], [*columns, None]
    return lines, labels, columns


def _colors(column: Column | None, drawn: np.ndarray) -> dict[str, Any]:
    if column is None or column.words is not None:
        return {"color": GRAY}
    numbers = np.ma.masked_invalid(column.numbers[drawn])
    colors = LOW_TO_HIGH.with_extremes(bad=GRAY)
    return {"c": numbers, "cmap": colors, "norm": colors_of(column), "plotnonfinite": True}


def low_to_high_bar(ax: Axes, columns: Sequence[Column | None], drawn: np.ndarray) -> None:
    """Draws a color bar for the inputs of all players, each from low to high, where some are numbers."""
    numeric = [column for column in columns if column is not None and column.words is None]
    if not numeric:
        return
    low, high = PERCENTILES
    bar = ax.figure.colorbar(ScalarMappable(cmap=LOW_TO_HIGH), ax=ax, fraction=0.03, pad=0.02, ticks=[0, 1])
    bar.ax.set_yticklabels(["low", "high"], fontsize=8)
    bar.ax.tick_params(length=0)
    missing = "; gray: missing" if any(column.missing[drawn].any() for column in numeric) else ""
    bar.set_label(f"the input's value,\n{low}th to {high}th percentile{missing}", fontsize=7, labelpad=-8)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def dots_apart(bins: np.ndarray, step: float, half: float) -> np.ndarray:
    """Returns how far each dot [N] is from its line: dots of one bin alternate about it, in the order of the rows.

    step: between dots of one bin; half: the largest distance of a dot from its line.
    """
    layers = np.zeros(len(bins))
    for each in np.unique(bins):
        members = np.flatnonzero(bins == each)
        steps = np.arange(1, len(members) + 1) // 2  # 0, 1, 1, 2, 2: above and below in turn
        layers[members] = np.where(np.arange(len(members)) % 2, steps, -steps)
    return layers * min(step, half / max(np.abs(layers).max(initial=0), 1))
