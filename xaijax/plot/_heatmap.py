"""Rows by players: every value as a color."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._axes import (
    SIGNED,
    Rows,
    all_rows,
    caption,
    chosen_rows,
    lines_of_players,
    new_axes,
    titled,
    without_frame,
)
from xaijax.plot._names import counted, others_label, player_names, shown_and_others

_MOST_DOTS = 400  # across the picture of a new figure
_PERCENTILE = 99  # of |value|, where the colors end: a few extremes leave the others apart
_ABOVE = 2.2  # lines that the outputs are high
_BESIDE, _GAP = 0.09, 0.012  # of the picture's width, for the sizes; of the axes, between the parts
# One second on one core: the optimal order costs N³, linkage N² (one second for 4000 rows) and its memory.
_MOST_ORDERED, _MOST_COMPARED = 1000, 10_000
_ORDERS = ["output", "similarity", "given"]


def heatmap(
    attribution: Attribution,
    *,
    names: Sequence[str] | None = None,
    top: int = 10,
    order: Sequence[int | str] | None = None,
    sort: str = "output",
    rows: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws all values as colors: a column for each row of the table, a line for each player, the strongest first.

    Above lies the model's output for each of them, dotted the base value; on the right the mean |value| of each player.
    Colors are symmetric about zero and end at the 99th percentile of |value|, as the label of the color bar says, with
    the largest |value| beside it.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example alone.
      names: M names of the players.
      top: how many players have a line of their own; the values of the others are summed in each row. Default 10.
      order: players, by number or name, from the top down. Default: by their mean size.
      sort: which rows lie beside each other: "output", from the least output to the largest; "similarity", those whose
        values are similar (average linkage, up to 1000 rows with the optimal order of leaves; of 10,000 rows at most);
        "given", as they come. Default "output".
      rows: the rows to draw, by number or as booleans [N]; order and colors are still those of all rows. Default: all.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes with the picture, whose children are the axes above and on the right.

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
    found = all_rows(attribution, output=output, output_names=output_names)
    labels = player_names(names, found.values.shape[1], num_examples=len(found.values))
    drawn = chosen_rows(rows, len(found.values))
    drawn = drawn[_sorted(check.one_of("sort", sort, _ORDERS), found.values[drawn], found.output[drawn])]
    shown, others = shown_and_others(np.abs(found.values).mean(axis=0), top, order, names)
    labels, lines = [labels[player] for player in shown], found.values[:, shown]
    if len(others):
        labels.append(others_label(len(others)))
        lines = np.column_stack([lines, found.values[:, others].sum(axis=1)])
    sizes = np.abs(lines)
    most = float(np.percentile(sizes, _PERCENTILE)) or float(sizes.max())

    ax = new_axes(ax, (7.4, 2.4 + 0.3 * len(labels)))
    # Where there are more rows than dots, neighbors are averaged; elsewhere no color is anything but a value's.
    smoothing = "antialiased" if len(drawn) > _MOST_DOTS else "nearest"
    picture = ax.imshow(
        lines[drawn].T, cmap=SIGNED, vmin=-(most or 1), vmax=most or 1, aspect="auto", interpolation=smoothing,
        interpolation_stage="data",
    )  # fmt: skip
    lines_of_players(ax, labels)
    # The pictures above and beside lie within these axes, so that every layout keeps room for them.
    count, above = len(drawn), min(_ABOVE, len(labels))
    ax.set_xlim(-0.5, count - 0.5 + _BESIDE * count)
    ax.set_ylim(len(labels) - 0.5, -0.5 - above)
    ticks = MaxNLocator(8, integer=True).tick_values(0, max(count - 1, 1))
    ax.set_xticks([tick for tick in ticks if 0 <= tick < count])
    ax.spines["bottom"].set_bounds(-0.5, count - 0.5)
    ax.set_xlabel({"output": "rows, by output", "similarity": "rows, by similarity", "given": "rows"}[sort], fontsize=9)
    share = 1 / (1 + _BESIDE), len(labels) / (len(labels) + above)  # of the axes, for the picture itself
    _draw_outputs(ax.inset_axes((0, share[1] + _GAP, share[0], 1 - share[1] - _GAP)), found, drawn)
    _draw_sizes(ax.inset_axes((share[0] + _GAP, 0, 1 - share[0] - _GAP, share[1])), sizes[drawn].mean(axis=0))
    beyond = bool(sizes.max() > most)
    bar = ax.figure.colorbar(picture, ax=ax, fraction=0.03, pad=0.02, extend="both" if beyond else "neither")
    end = f"colors end at ±{most:.3g}, the {_PERCENTILE}th percentile\nof |value|; the largest is {sizes.max():.3g}"
    bar.set_label(end if beyond else f"value, up to ±{most:.3g}" if most else "all values are 0", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    titled(ax, title, caption(attribution.method, found.of, counted(len(drawn))))
    return ax


def _sorted(sort: str, values: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """The order of the rows [N]."""
    if sort == "output":
        return np.argsort(outputs, kind="stable")
    if sort == "given" or len(values) < 3:
        return np.arange(len(values))
    if len(values) > _MOST_COMPARED:
        raise ValueError(
            f"sort='similarity' compares all pairs of rows, of {_MOST_COMPARED} at most, but there are {len(values)}: choose "
            "some with rows=, or sort by 'output'."
        )
    from scipy.cluster.hierarchy import leaves_list, linkage  # half a second to import, for those who draw

    return leaves_list(linkage(values, "average", optimal_ordering=len(values) <= _MOST_ORDERED))


def _draw_outputs(ax: Axes, found: Rows, drawn: np.ndarray) -> None:
    """The output of each row above its column, on the scale of all rows."""
    places, numbers = range(len(drawn)), [found.output]
    ax.plot(places, found.output[drawn], color="0.1", linewidth=1.2, marker="." if len(drawn) == 1 else None)
    if found.base_value is not None:
        numbers.append(found.base_value)
        ax.plot(places, found.base_value[drawn], color="0.5", linewidth=0.9, linestyle=":")
    least, most = np.min(numbers), np.max(numbers)
    margin = 0.08 * (most - least) or 0.5
    ax.set_ylim(least - margin, most + margin)
    ax.set_xlim(-0.5, len(drawn) - 0.5)
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.tick_params(axis="y", labelsize=7)
    ax.set_ylabel("output", fontsize=8, rotation=0, ha="right", va="center")
    without_frame(ax, ("top", "right", "bottom"))


def _draw_sizes(ax: Axes, sizes: np.ndarray) -> None:
    """The mean |value| of each player beside its line."""
    ax.barh(range(len(sizes)), sizes, color="0.35", height=0.7)
    ax.set_ylim(len(sizes) - 0.5, -0.5)
    ax.set_xlim(0, (sizes.max() or 1) * 1.05)
    ax.set_axis_off()
