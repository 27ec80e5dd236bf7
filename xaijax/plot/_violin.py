"""All rows at once, as many as there are: for every player the density of its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.path import Path

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
from xaijax.plot._beeswarm import low_to_high_bar
from xaijax.plot._inputs import Column, colors_of, columns_of
from xaijax.plot._names import counted, others_label, player_names, shown_and_others

_STEPS = 200  # along a violin: finer than the eye
_HALF_WIDTH = 0.4
_NARROWEST = 0.004  # of the axis: the bandwidth for values that are nearly all the same


def violin(
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
    """Draws how the values of each player are distributed over the rows, the largest mean |value| first.

    For thousands of rows, whose dots in `xai.plot.beeswarm` would lie on each other. Each violin is the density of the
    values by a Gaussian kernel (Silverman 1986, equation 3.31), cut at the least and the largest value and as wide as its
    line allows, so that widths of different players cannot be compared. The black line reaches from the lower to the
    upper quartile, the white dot is the median. One row, or values that are all the same, are a dot.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example alone.
      names: M names of the players.
      inputs: [N, M] the inputs, one number or word for each value. The color at a value is that of the mean input of the
        rows near it (weighted by the same kernel), between the input's 5th and 95th percentiles; gray for words.
        Default: all violins are gray.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      order: players, by number or name, from the top down. Default: by their mean size.
      rows: the rows to draw, by number or as booleans [N]; order, colors and limits are still those of all rows.
        Default: all.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes: lines from the top down, a polygon for each, and over it a picture of its colors.

    Raises:
      TypeError, ValueError: if the names or inputs do not fit the values, or an argument is out of range.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])
    >>> ax = xai.plot.violin(xai.Attribution(values, values.sum(axis=1)), names=["age", "income"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['income', 'age']
    """
    values, _, _, _, of = all_rows(attribution, output=output, output_names=output_names)
    labels = player_names(names, values.shape[1], num_examples=len(values))
    columns = None if inputs is None else columns_of(inputs, values.shape)
    drawn = chosen_rows(rows, len(values))
    shown, others = shown_and_others(np.abs(values).mean(axis=0), top, order, names)
    lines = [values[:, player] for player in shown]
    labels = [labels[player] for player in shown]
    if len(others):
        lines.append(values[:, others].sum(axis=1))
        labels.append(others_label(len(others)))

    ax = new_axes(ax, (7.0, max(2.2, 1.2 + 0.4 * len(lines))))
    least, most = min(0.0, *(line.min() for line in lines)), max(0.0, *(line.max() for line in lines))
    span = most - least if most > least else 1.0
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for place, line in enumerate(lines):
        column = columns[shown[place]] if columns is not None and place < len(shown) else None
        _draw(ax, place, line[drawn], drawn, column, _NARROWEST * span)
    if columns is not None and any(columns[player].words is None for player in shown):
        low_to_high_bar(ax)
    ax.set_xlim(least - 0.05 * span, most + 0.05 * span)
    lines_of_players(ax, labels)
    ax.set_xlabel("value: what the player adds to the output", fontsize=9)
    titled(ax, title, caption(attribution.method, of, counted(len(drawn))))
    return ax


def _draw(ax: Axes, place: int, line: np.ndarray, rows: np.ndarray, column: Column | None, narrowest: float) -> None:
    """One player's violin: a polygon as high as the density, and over it a picture of one line with the colors."""
    lower, median, upper = np.percentile(line, [25, 50, 75])
    if np.ptp(line) > 0:
        edges = np.linspace(line.min(), line.max(), _STEPS)
        width = bandwidth(line, narrowest)
        density = np.array([kernel(edge, line, width).sum() for edge in edges])
        halves = _HALF_WIDTH * density / density.max()
        corners = [*zip(edges, place - halves, strict=True), *zip(edges[::-1], place + halves[::-1], strict=True)]
        ax.add_collection(PolyCollection([corners], facecolors=GRAY, edgecolors="none", zorder=2))
        if column is not None and column.words is None:
            near = np.array([kernel(edge, line, width) @ column.numbers[rows] for edge in edges]) / density
            picture = ax.imshow(
                colors_of(column)(near)[None],
                cmap=LOW_TO_HIGH,
                vmin=0,
                vmax=1,
                extent=(edges[0], edges[-1], place + _HALF_WIDTH, place - _HALF_WIDTH),
                aspect="auto",
                interpolation="bilinear",
                zorder=2.5,
            )
            picture.set_clip_path(Path(np.array(corners)), ax.transData)
    ax.plot([lower, upper], [place, place], color="0.1", linewidth=2.4, solid_capstyle="butt", zorder=3)
    ax.plot(
        [median], [place], marker="o", markersize=4, color="white", markeredgecolor="0.1", markeredgewidth=0.8, zorder=4
    )


def bandwidth(values: np.ndarray, narrowest: float) -> float:
    """Silverman's: 0.9 min(deviation, interquartile range / 1.34) N^(-1/5)."""
    lower, upper = np.percentile(values, [25, 75])
    spread = min(values.std(), (upper - lower) / 1.34) or values.std()  # where more than half are the same
    return max(0.9 * spread * len(values) ** -0.2, narrowest)


def kernel(at: float, values: np.ndarray, width: float) -> np.ndarray:
    """The weight [N] that each value has at a place; one place at a time, for tables of any length."""
    return np.exp(-(((at - values) / width) ** 2) / 2)
