"""All rows at once: the density of each player's values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.path import Path

from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import counted
from xaijax.plot._beeswarm import lines_of_values, low_to_high_bar
from xaijax.plot._parts.axes import caption, draws, height_of_lines, label_values, lines_of_players, new_axes, titled
from xaijax.plot._parts.colors import GRAY, LOW_TO_HIGH
from xaijax.plot._parts.inputs import Column, colors_of
from xaijax.plot._parts.rows import rows_of, unit_of

_STEPS = 200  # along a violin: finer than the eye
_HALF_WIDTH = 0.4
_NARROWEST = 0.004  # of the axis: the bandwidth for values that are nearly all the same


@draws
def violin(
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
    """Draws how the values of each player are distributed over the rows, the largest mean |value| first.

    Why: for thousands of rows, whose dots in `xai.plot.beeswarm` would hide each other. Each violin is the density of the
    values by a Gaussian kernel (Silverman 1986, equation 3.31), cut at the smallest and the largest value. It is as wide
    as its line allows, so that the widths of different players cannot be compared. The black line spans the quartiles;
    the white dot is the median. One row, or values that are all equal, are a dot.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example.
      names: M names of the players. Default: the attribution's own.
      inputs: [N, M] the inputs, one number or word for each value. The color at a value is that of the mean input of the
        rows close to it, weighted by the same kernel, between the input's 5th and 95th percentiles. Missing inputs do not
        count; words are gray. Default: the attribution's own; where it has none, all violins are gray.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      order: players, by index or name, from the top down. Default: by mean |value|.
      rows: the rows to draw, as indices or booleans [N]; order, colors and limits are still those of all rows.
        Default: all.
      output: the output, by index or name, where all K are explained; or the class whose rows are drawn, where rows
        explain different classes.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method and the number of rows.

    Returns:
      The axes, with lines from the top down, a polygon for each, and over it an image of its colors.

    Raises:
      TypeError, ValueError: if the names or inputs do not fit the values, or an argument is out of range.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])
    >>> ax = xai.plot.violin(xai.Attribution(values, values.sum(axis=1)), names=["age", "income"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['income', 'age']
    """
    table = rows_of(attribution, names=names, inputs=inputs, rows=rows, output=output, output_names=output_names)
    lines, labels, columns = lines_of_values(table, top, order)

    ax = new_axes(ax, (7.0, max(2.2, 1.2 + height_of_lines(len(lines), 0.4))))
    least, most = min(0.0, *(line.min() for line in lines)), max(0.0, *(line.max() for line in lines))
    span = most - least if most > least else 1.0
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for height, (line, column) in enumerate(zip(lines, columns, strict=True)):
        _draw(ax, height, line[table.drawn], table.drawn, column, _NARROWEST * span)
    low_to_high_bar(ax, columns, table.drawn)
    ax.set_xlim(least - 0.05 * span, most + 0.05 * span)
    lines_of_players(ax, labels)
    label_values(ax, unit_of(attribution), table.note)
    titled(ax, title, caption(attribution.method, table.of, counted(len(table.drawn))))
    return ax


def _draw(ax: Axes, height: int, line: np.ndarray, rows: np.ndarray, column: Column | None, narrowest: float) -> None:
    """Draws one player's violin: a polygon as wide as the density, and over it an image of one line with the colors."""
    lower, median, upper = np.percentile(line, [25, 50, 75])
    if np.ptp(line) > 0:
        edges = np.linspace(line.min(), line.max(), _STEPS)
        width = bandwidth(line, narrowest)
        density = np.array([kernel(edge, line, width).sum() for edge in edges])
        halves = _HALF_WIDTH * density / density.max()
        corners = [*zip(edges, height - halves, strict=True), *zip(edges[::-1], height + halves[::-1], strict=True)]
        ax.add_collection(PolyCollection([corners], facecolors=GRAY, edgecolors="none", zorder=2))
        if column is not None and column.words is None and not column.missing[rows].all():
            known = ~column.missing[rows]
            weights = np.array([kernel(edge, line[known], width) for edge in edges])
            near = weights @ column.numbers[rows][known] / np.maximum(weights.sum(axis=1), 1e-300)
            colors = ax.imshow(
                colors_of(column)(near)[None],
                cmap=LOW_TO_HIGH,
                vmin=0,
                vmax=1,
                extent=(edges[0], edges[-1], height + _HALF_WIDTH, height - _HALF_WIDTH),
                aspect="auto",
                interpolation="bilinear",
                zorder=2.5,
            )
            colors.set_clip_path(Path(np.array(corners)), ax.transData)
    ax.plot([lower, upper], [height, height], color="0.1", linewidth=2.4, solid_capstyle="butt", zorder=3)
    ax.plot(
        [median],
        [height],
        marker="o",
        markersize=4,
        color="white",
        markeredgecolor="0.1",
        markeredgewidth=0.8,
        zorder=4,
    )


def bandwidth(values: np.ndarray, narrowest: float) -> float:
    """Returns Silverman's bandwidth, 0.9 min(deviation, interquartile range / 1.34) N^(-1/5)."""
    lower, upper = np.percentile(values, [25, 75])
    spread = min(values.std(), (upper - lower) / 1.34) or values.std()  # where more than half are equal
    return max(0.9 * spread * len(values) ** -0.2, narrowest)


def kernel(at: float, values: np.ndarray, width: float) -> np.ndarray:
    """Returns the weight of each value [N] at a point; one point at a time, for tables of any length."""
    return np.exp(-(((at - values) / width) ** 2) / 2)
