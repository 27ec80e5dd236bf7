"""Rows by players: every value as a color."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import counted, number
from xaijax.plot._parts.axes import (
    caption,
    draws,
    height_of_lines,
    label_values,
    lines_of_players,
    new_axes,
    titled,
    without_frame,
)
from xaijax.plot._parts.colors import SIGNED
from xaijax.plot._parts.players import others_label, shown_and_others
from xaijax.plot._parts.rows import UNUSED, Rows, rows_of

_MOST_DOTS = 400  # across the image of a new figure
_PERCENTILE = 99  # of |value|, where the colors end, so that a few extremes do not hide the rest
_ABOVE = 2.2  # the height of the outputs, in lines
_RIGHT, _GAP = 0.09, 0.012  # the width of the sizes, as a share of the image; the gap between the parts
# About one second each: the optimal order of leaves costs N³, linkage N² in time and memory.
_MOST_ORDERED, _MOST_COMPARED = 1000, 10_000
_ORDERS = ["output", "similarity", "given"]


@draws
def heatmap(
    attribution: Attribution,
    *,
    names: NamesLike = None,
    top: int = 10,
    order: Sequence[int | str] | None = None,
    sort: str = "output",
    rows: ArrayOrSequence | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws all values as colors: a column for each row of the data, a line for each player, the strongest first.

    The axes above show the output of each row, and its base value as a dotted line; those on the right the mean |value| of
    each player. Colors are symmetric about zero and end at the 99th percentile of |value|. The label of the color bar
    states this limit and the largest |value|.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example.
      names: M names of the players. Default: the attribution's own.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      order: players, by index or name, from the top down. Default: by mean |value|.
      sort: the order of the rows: "output", from the smallest output to the largest; "similarity", rows with similar
        values next to each other (average linkage of at most 10,000 rows, with the optimal order of leaves for at most
        1000); "given", unchanged. Default "output".
      rows: the rows to draw, as indices or booleans [N]; order and colors are still those of all rows. Default: all.
      output: the output, by index or name, where all K are explained; or the class whose rows are drawn, where rows
        explain different classes.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method and the number of rows.

    Returns:
      The axes of the image, whose children are the axes above and on the right.

    Raises:
      TypeError, ValueError: if the names do not fit the values, or an argument is out of range.

    References:
      Bar-Joseph, Gifford & Jaakkola (2001), Fast optimal leaf ordering for hierarchical clustering.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    >>> ax = xai.plot.heatmap(xai.Attribution(values, values.sum(axis=1)), names=["age", "income"])
    >>> ax.images[0].get_array().tolist()
    [[-2.0, 3.0], [1.0, 0.5]]
    """
    table = rows_of(attribution, names=names, inputs=UNUSED, rows=rows, output=output, output_names=output_names)
    sort = check.one_of("sort", sort, _ORDERS)
    drawn = table.drawn[_sorted(sort, table.values[table.drawn], table.output[table.drawn])]
    shown, others = shown_and_others(np.abs(table.values).mean(axis=0), top, order, table.names)
    labels, lines = [table.labels[player] for player in shown], table.values[:, shown]
    if len(others):
        labels.append(others_label(len(others)))
        lines = np.column_stack([lines, table.values[:, others].sum(axis=1)])
    sizes = np.abs(lines)
    most = float(np.percentile(sizes, _PERCENTILE)) or float(sizes.max())

    ax = new_axes(ax, (7.4, 2.4 + height_of_lines(len(labels), 0.3)))
    # Neighbors are averaged where there are more rows than dots; elsewhere every color is that of one value.
    smoothing = "antialiased" if len(drawn) > _MOST_DOTS else "nearest"
    colors = ax.imshow(
        lines[drawn].T, cmap=SIGNED, vmin=-(most or 1), vmax=most or 1, aspect="auto", interpolation=smoothing,
        interpolation_stage="data",
    )  # fmt: skip
    lines_of_players(ax, labels)
    # The axes above and on the right lie within these axes, so that every layout keeps room for them.
    count, above = len(drawn), min(_ABOVE, len(labels))
    ax.set_xlim(-0.5, count - 0.5 + _RIGHT * count)
    ax.set_ylim(len(labels) - 0.5, -0.5 - above)
    ticks = MaxNLocator(8, integer=True).tick_values(0, max(count - 1, 1))
    ax.set_xticks([tick for tick in ticks if 0 <= tick < count])
    ax.spines["bottom"].set_bounds(-0.5, count - 0.5)
    sorted_by = {"output": "rows, by output", "similarity": "rows, by similarity", "given": "rows"}[sort]
    label_values(ax, sorted_by, table.note)
    share = 1 / (1 + _RIGHT), len(labels) / (len(labels) + above)  # of the axes, for the image itself
    gap = min(_GAP, 0.1 * (1 - share[1]))  # among very many lines
    _draw_outputs(ax.inset_axes((0, share[1] + gap, share[0], 1 - share[1] - gap)), table, drawn)
    _draw_sizes(ax.inset_axes((share[0] + _GAP, 0, 1 - share[0] - _GAP, share[1])), sizes[drawn].mean(axis=0))
    beyond = bool(sizes.max() > most)
    bar = ax.figure.colorbar(colors, ax=ax, fraction=0.03, pad=0.02, extend="both" if beyond else "neither")
    most_of_all = number(float(sizes.max()), digits=3)
    end = f"colors end at ±{most:.3g}, the {_PERCENTILE}th percentile\nof |value|; the largest is {most_of_all}"
    bar.set_label(end if beyond else f"value, up to ±{most:.3g}" if most else "all values are 0", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    titled(ax, title, caption(attribution.method, table.of, counted(len(drawn))))
    return ax


def _sorted(sort: str, values: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Returns the order of the rows [N]."""
    if sort == "output":
        return np.argsort(outputs, kind="stable")
    if sort == "given" or len(values) < 3:
        return np.arange(len(values))
    if len(values) > _MOST_COMPARED:
        raise ValueError(
            f"`sort` must not be 'similarity' for more than {_MOST_COMPARED} rows, of which it compares all pairs, got "
            f"{len(values)} rows: choose some with rows=, or sort by 'output'."
        )
    from scipy.cluster.hierarchy import leaves_list, linkage  # imported on first use: it takes half a second

    return leaves_list(linkage(values, "average", optimal_ordering=len(values) <= _MOST_ORDERED))


def _draw_outputs(ax: Axes, table: Rows, drawn: np.ndarray) -> None:
    """Draws the output of each row above its column, on the scale of all rows."""
    across, numbers = range(len(drawn)), [table.output]
    ax.plot(across, table.output[drawn], color="0.1", linewidth=1.2, marker="." if len(drawn) == 1 else None)
    if table.base_value is not None:
        numbers.append(table.base_value)
        ax.plot(across, table.base_value[drawn], color="0.5", linewidth=0.9, linestyle=":")
    least, most = np.min(numbers), np.max(numbers)
    margin = 0.08 * (most - least) or 0.5
    ax.set_ylim(least - margin, most + margin)
    ax.set_xlim(-0.5, len(drawn) - 0.5)
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.tick_params(axis="y", labelsize=7)
    ax.set_ylabel("output", fontsize=8, rotation=0, ha="right", va="center")
    without_frame(ax, ("top", "right", "bottom"))


def _draw_sizes(ax: Axes, sizes: np.ndarray) -> None:
    """Draws the mean |value| of each player next to its line."""
    ax.barh(range(len(sizes)), sizes, color="0.35", height=0.7)
    ax.set_ylim(len(sizes) - 0.5, -0.5)
    ax.set_xlim(0, (sizes.max() or 1) * 1.05)
    ax.set_axis_off()
