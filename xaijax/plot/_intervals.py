"""Methods beside each other: what was measured of each, with its interval and a line for chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from xaijax.plot._axes import lines_of_players, new_axes, titled
from xaijax.plot._beeswarm import dots_beside
from xaijax.plot._fonts import label_style
from xaijax.plot._measured import Measured, measured, names_of, notes_of, palette_of
from xaijax.plot._series import MARKERS

_LINE = 0.72  # of the height of a row: what its marks share
_DOT_BINS, _DOT_STEP = 70, 0.05  # along the axis: dots nearer to each other are drawn beside each other
_DASHED = (0, (4, 3))


def intervals(
    values: Any,
    low: Any = None,
    high: Any = None,
    *,
    names: Sequence[str],
    groups: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    points: Any = None,
    notes: Any = None,
    reference: float | None = None,
    reference_name: str = "reference",
    percent: bool = False,
    log: bool = False,
    colors: Sequence[Any] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a row for each name: marks at what was measured, on lines that are the intervals.

    Why: a table of methods hides which differences are noise; intervals that lie apart show which are not. Several
    measures are drawn on axes beside each other (`plt.subplots(1, 3, sharey=True)`), one call for each.

    Args:
      values: [M] or [M, G] a number for each name, and for each group where there are groups; NaN where there is none.
      low, high: the ends of their intervals, of the same shape; NaN where there is none. Default: no intervals.
      names: M names of the rows, from the top down.
      groups: G names: the marks of a row, one below the other, each with a color and a shape of its own.
      kinds: the kind of each row, M words: it has the color, and groups are told apart by their marks, of which only the
        first is filled.
      points: [M, n] or [M, G, n] what the numbers were made from, as small dots below them: seeds, or inputs. NaN where
        there is none.
      notes: texts for each value, in the same shape, written in a column behind the axes.
      reference: a number that all are held against, a dashed line: chance, say.
      reference_name: what the legend calls it. Default "reference".
      percent: whether values are shares that are written in percent. Default False.
      log: whether the axis is logarithmic; all values must then be above 0. An interval that reaches to 0 or below goes on
        to the edge. Default False.
      colors: of each group, or of each kind in the order in which kinds appear. Default: colors that all kinds of color
        vision tell apart.
      legend: whether groups, kinds and the reference are named below. Default True. Their handles are the axes' own,
        `ax.get_legend_handles_labels()`, for one legend of several axes.
      ax: axes to draw on. Default: those of a new figure.
      title: default, none.

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if shapes do not fit, numbers are infinite, or a value lies outside its interval.

    >>> import xaijax as xai
    >>> ax = xai.plot.intervals(
    ...     [0.97, 0.65], [0.95, 0.61], [0.98, 0.69], names=["LayerCAM", "Grad-CAM++"], reference=0.25,
    ...     reference_name="chance", percent=True,
    ... )
    >>> [label.get_text() for label in ax.get_yticklabels()], ax.get_legend_handles_labels()[1]
    (['LayerCAM', 'Grad-CAM++'], ['chance'])
    """
    labels, group_names = names_of("names", names), [""] if groups is None else names_of("groups", groups)
    shape, grouped = (len(labels), len(group_names)), groups is not None
    found = measured(values, low, high, points, shape, grouped=grouped)
    written = notes_of(notes, shape, grouped=grouped)
    of_row = None if kinds is None else names_of("kinds", kinds, len(labels))
    kind_names = list(dict.fromkeys(of_row or []))
    palette = palette_of(colors, len(kind_names or group_names), "kind" if kind_names else "group")
    colors = [palette if of_row is None else [palette[kind_names.index(kind)]] * shape[1] for kind in of_row or labels]
    if log:
        _check_above_zero(found, reference)

    height = max(0.3, 0.17 * shape[1] + 0.08)  # inches
    ax = new_axes(ax, (6.6, 1.0 + height * shape[0]))
    if log:
        ax.set_xscale("log", nonpositive="clip")  # what reaches to 0 is drawn to the edge
        ax.xaxis.minorticks_off()
    places = _places(np.isfinite(found.values))
    if reference is not None:
        ax.axvline(reference, color="black", lw=1, ls=_DASHED, zorder=0)
    _draw_points(ax, found, places, colors, log=log)
    _draw_intervals(ax, found, places, colors, hollow=bool(kind_names))
    if written is not None:
        _write(ax, written, found.values, places, colors if grouped and not kind_names else None)
    _name_marks(ax, group_names if grouped else [], kind_names, palette)
    if reference is not None:
        ax.plot([], [], color="black", lw=1, ls=_DASHED, label=reference_name)

    ax.margins(x=0.04)
    ax.autoscale_view(scaley=False)
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    lines_of_players(ax, labels)
    ax.grid(axis="y", color="0.93")
    ax.set_axisbelow(True)
    shown = ax.get_legend_handles_labels()[1]
    if legend and shown:
        box = ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4, ncols=min(4, len(shown)), fontsize=8, frameon=False
        )  # fmt: skip
        for text in box.get_texts():
            text.set(**label_style(shown))
    titled(ax, title, "")
    return ax


def _check_above_zero(found: Measured, reference: float | None) -> None:
    for name, numbers in (("values", found.values), ("points", found.points), ("reference", reference)):
        if numbers is not None and (np.asarray(numbers) <= 0).any():
            raise ValueError(f"{name} must be above 0 on a logarithmic axis: leave log out, or draw logarithms.")


def _places(there: np.ndarray) -> np.ndarray:
    """The heights [M, G] of the marks that are there: those of a row about its middle, the first group above."""
    groups = there.shape[1]
    rank, last = np.cumsum(there, axis=1) - 1, there.sum(axis=1, keepdims=True) - 1
    return np.arange(len(there))[:, None] + _LINE / groups * (rank - last / 2)


def _draw_points(ax: Axes, found: Measured, places: np.ndarray, colors: list[list[Any]], *, log: bool) -> None:
    """Small dots below their mark, those that would lie on each other beside each other."""
    if found.points is None or np.isnan(found.points).all():
        return
    along = np.log(found.points) if log else found.points
    bins = np.floor((along - np.nanmin(along)) / (np.nanmax(along) - np.nanmin(along) or 1) * _DOT_BINS)
    below, half = (share * _LINE / places.shape[1] for share in (0.3, 0.26))
    for row, group in np.argwhere(np.isfinite(found.values)):
        there = np.isfinite(along[row, group])
        down = places[row, group] + below + dots_beside(bins[row, group, there], _DOT_STEP, half)
        style: Any = {"color": colors[row][group], "alpha": 0.45, "mec": "none", "zorder": 1}
        ax.plot(found.points[row, group, there], down, "o", ms=3, **style)


def _draw_intervals(ax: Axes, found: Measured, places: np.ndarray, colors: list[list[Any]], *, hollow: bool) -> None:
    """For each value a mark, and the line of its interval."""
    for row, group in np.argwhere(np.isfinite(found.values)):
        color, down = colors[row][group], places[row, group]
        if np.isfinite(found.low[row, group]):
            width = 1.3 if hollow and group > 0 else 2.0
            ax.hlines(down, found.low[row, group], found.high[row, group], color=color, lw=width, zorder=2)
        ax.plot(found.values[row, group], down, ls="", zorder=3, **_mark(group, color, hollow))


def _mark(group: int, color: Any, hollow: bool) -> dict[str, Any]:
    """Where kinds have the colors, groups are told apart by filled and hollow marks."""
    if hollow and group > 0:
        return {"marker": MARKERS[(group - 1) % len(MARKERS)], "ms": 4.5, "mfc": "white", "mec": color, "mew": 1.2}
    return {"marker": MARKERS[group % len(MARKERS)], "ms": 6, "mfc": color, "mec": color, "mew": 0}


def _write(ax: Axes, notes: np.ndarray, values: np.ndarray, places: np.ndarray, colors: Any) -> None:
    """In a column behind the axes, each at the height of its mark, in the color of its group."""
    style = label_style([str(note) for note in notes.ravel()])
    for row, group in np.argwhere(np.isfinite(values)):
        color = "0.25" if colors is None else colors[row][group]
        ax.text(
            1.015, float(places[row, group]), str(notes[row, group]), transform=ax.get_yaxis_transform(),
            va="center", ha="left", fontsize=7.5, color=color, **style,
        )  # fmt: skip


def _name_marks(ax: Axes, groups: list[str], kinds: list[str], palette: list[Any]) -> None:
    """Handles of a legend: the colors of the kinds, and the marks of the groups."""
    for kind, color in zip(kinds, palette, strict=False):
        ax.plot([], [], ls="", label=kind, **_mark(0, color, False))
    for number, group in enumerate(groups):
        ax.plot([], [], ls="", label=group, **_mark(number, "black" if kinds else palette[number], bool(kinds)))
