"""Measurements of several methods, with their intervals and a line for reference."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from matplotlib.typing import ColorType

from xaijax._core import check
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import LONGEST_NAME, printable, shortened
from xaijax.plot._beeswarm import dots_apart
from xaijax.plot._parts.axes import draw_legend, draws, lines_of_players, new_axes, titled
from xaijax.plot._parts.colors import MARKERS, palette_of
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.maps import check_unmasked

_LINE = 0.72  # of the height of a row: the room of its markers
_DOT_BINS, _DOT_STEP = 70, 0.05  # along the axis: dots closer to each other are drawn apart
_DASHED = (0, (4, 3))


@draws
def intervals(
    values: ArrayOrSequence,
    low: ArrayOrSequence | None = None,
    high: ArrayOrSequence | None = None,
    *,
    names: Sequence[str],
    groups: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    points: ArrayOrSequence | None = None,
    notes: NamesLike = None,
    reference: float | None = None,
    reference_name: str = "reference",
    percent: bool = False,
    log: bool = False,
    colors: Sequence[ColorType] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a row for each name: markers at the measured values, on lines that are their intervals.

    Why: a table of methods hides which differences are noise; intervals that do not overlap show which are not. Several
    measures are drawn on axes side by side (`plt.subplots(1, 3, sharey=True)`), with one call for each.

    Args:
      values: [M] or [M, G] a number for each name, and for each group where there are groups; NaN where missing.
      low, high: the ends of their intervals, of the same shape; NaN where missing. Default: no intervals.
      names: M names of the rows, from the top down.
      groups: G names: the markers of a row, one below the other, each with its own color and shape.
      categories: the category of each row, M words, which chooses its color. Groups are then told apart by their markers,
        of which only the first is filled.
      points: [M, n] or [M, G, n] the numbers behind each value, such as those of seeds or inputs, drawn as small dots below
        it; NaN where missing.
      notes: texts for each value, of the same shape, written in a column to the right of the axes.
      reference: a number to compare all values with, such as chance, drawn as a dashed line.
      reference_name: its name in the legend. Default "reference".
      percent: whether values are shares that are written in percent. Default False.
      log: whether the axis is logarithmic; all values must then be above 0. An interval that reaches to 0 or below ends at
        the edge. Default False.
      colors: of each group, or of each category in order of appearance. Default: colors that are distinct for all types of
        color vision.
      legend: whether groups, categories and the reference are named below. Default True. Their handles are the axes' own,
        `ax.get_legend_handles_labels()`, for one legend of several axes.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: none.

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
    labels, group_names = _names_of("names", names), [""] if groups is None else _names_of("groups", groups)
    shape, grouped = (len(labels), len(group_names)), groups is not None
    measured = _measured(values, low, high, points, shape, grouped=grouped)
    texts = _notes_of(notes, shape, grouped=grouped)
    of_row = None if categories is None else _names_of("categories", categories, len(labels))
    category_names = list(dict.fromkeys(of_row or []))
    palette = palette_of(colors, len(category_names or group_names), "category" if category_names else "group")
    row_colors = [
        palette if of_row is None else [palette[category_names.index(category)]] * shape[1]
        for category in of_row or labels
    ]
    if reference is not None:
        reference = check.finite_float("reference", reference)
    if not isinstance(reference_name, str):
        raise TypeError(f"`reference_name` must be a string, got {check.shown(reference_name)}.")
    percent, log, legend = check.flag("percent", percent), check.flag("log", log), check.flag("legend", legend)
    if log:
        _check_above_zero(measured, reference)

    height = max(0.3, 0.17 * shape[1] + 0.08)  # inches
    ax = new_axes(ax, (6.6, 1.0 + height * shape[0]))
    if log:
        ax.set_xscale("log", nonpositive="clip")  # intervals that reach to 0 end at the edge
        ax.xaxis.minorticks_off()
    heights = _heights(np.isfinite(measured.values))
    if reference is not None:
        ax.axvline(reference, color="black", lw=1, ls=_DASHED, zorder=0)
    _draw_points(ax, measured, heights, row_colors, log=log)
    _draw_intervals(ax, measured, heights, row_colors, hollow=bool(category_names))
    if texts is not None:
        _write(ax, texts, measured.values, heights, row_colors if grouped and not category_names else None)
    _name_markers(ax, group_names if grouped else [], category_names, palette)
    if reference is not None:
        ax.plot([], [], color="black", lw=1, ls=_DASHED, label=reference_name)

    ax.margins(x=0.04)
    ax.autoscale_view(scaley=False)
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    lines_of_players(ax, labels)
    ax.grid(axis="y", color="0.93")
    ax.set_axisbelow(True)
    if legend:
        columns = min(4, len(ax.get_legend_handles_labels()[1]) or 1)
        draw_legend(ax, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4, ncols=columns)
    titled(ax, title, "")
    return ax


class _Measured(NamedTuple):
    """values, low, high: [M, G] of M names and G groups, NaN where missing; points: [M, G, n] or None."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    points: np.ndarray | None


def _names_of(argument: str, names: Any, count: int | None = None) -> list[str]:
    """Returns names, broken into two lines where they are long."""
    if not len(read := check.texts(argument, names)):
        raise TypeError(f"`{argument}` must be a sequence of names, at least one, got {check.shown(names)}.")
    if count is not None and len(names) != count:
        raise ValueError(f"`{argument}` must be {count}, one for each name, got {len(names)}.")
    return [_on_two_lines(printable(name)) for name in read]


def _on_two_lines(name: str) -> str:
    lines = textwrap.wrap(name, LONGEST_NAME, break_long_words=False)
    fits = len(lines) <= 2 and all(len(line) <= LONGEST_NAME for line in lines)
    return "\n".join(lines) if fits else shortened(name)


def _measured(values: Any, low: Any, high: Any, points: Any, shape: tuple[int, int], *, grouped: bool) -> _Measured:
    """Reads the numbers, in shape [M, G] also without groups."""
    given = _numbers("values", values, shape, grouped)
    if (low is None) != (high is None):
        raise ValueError("`low` and `high` must be given together, got only one end of the intervals.")
    missing = np.full(shape, np.nan)
    low, high = (
        missing if end is None else _numbers(name, end, shape, grouped) for name, end in (("low", low), ("high", high))
    )
    if (np.isnan(low) != np.isnan(high)).any():
        raise ValueError("`low` and `high` must be NaN for the same values, got only one end of some interval.")
    outside = np.argwhere((given < low) | (given > high))
    if len(outside):
        index = tuple(outside[0])
        raise ValueError(
            f"`low` and `high` must be the ends of the intervals, not their lengths, got {low[index]:.4g} and "
            f"{high[index]:.4g} around the value {given[index]:.4g} of row {index[0]}."
        )
    return _Measured(given, low, high, None if points is None else _numbers("points", points, shape, grouped, more=1))


def _numbers(name: str, given: Any, shape: tuple[int, int], grouped: bool, *, more: int = 0) -> np.ndarray:
    """Reads numbers by NumPy: JAX's 32 bits would put some values outside their own intervals."""
    try:
        array = np.asarray(check_unmasked(name, given), np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {check.shown(given)}.") from error
    expected = shape if grouped else shape[:1]
    if array.shape[: len(expected)] != expected or array.ndim != len(expected) + more:
        letters = ", ".join([*map(str, expected), *["n"] * more])
        each = "name and group" if grouped else "name"
        raise ValueError(f"`{name}` must have shape [{letters}], one for each {each}, got {list(array.shape)}.")
    if np.isinf(array).any():
        raise ValueError(f"`{name}` must be finite, or NaN where missing, got infinity.")
    return array if grouped else array[:, None]


def _notes_of(notes: Any, shape: tuple[int, int], *, grouped: bool) -> np.ndarray | None:
    """Reads texts [M, G]."""
    if notes is None:
        return None
    check.host_array("notes", notes)  # refuses ragged sequences
    texts = np.asarray(notes, object)
    if not all(isinstance(text, str) for text in texts.ravel()):
        raise TypeError(f"`notes` must be texts, got {check.shown(notes)}.")
    expected = shape if grouped else shape[:1]
    if texts.shape != expected:
        raise ValueError(f"`notes` must be texts of the shape of values, {list(expected)}, got {list(texts.shape)}.")
    return texts.reshape(shape)


def _check_above_zero(measured: _Measured, reference: float | None) -> None:
    for name, numbers in (("values", measured.values), ("points", measured.points), ("reference", reference)):
        if numbers is not None and (np.asarray(numbers) <= 0).any():
            raise ValueError(f"`{name}` must be above 0 on a logarithmic axis, got smaller ones: leave log out.")


def _heights(present: np.ndarray) -> np.ndarray:
    """Returns the heights [M, G] of the markers that are present, centered in their row, the first group on top."""
    groups = present.shape[1]
    rank, last = np.cumsum(present, axis=1) - 1, present.sum(axis=1, keepdims=True) - 1
    return np.arange(len(present))[:, None] + _LINE / groups * (rank - last / 2)


def _draw_points(ax: Axes, measured: _Measured, heights: np.ndarray, colors: list[list[Any]], *, log: bool) -> None:
    """Draws small dots below their marker; dots that would hide each other are drawn apart."""
    if measured.points is None or np.isnan(measured.points).all():
        return
    along = np.log(measured.points) if log else measured.points
    bins = np.floor((along - np.nanmin(along)) / (np.nanmax(along) - np.nanmin(along) or 1) * _DOT_BINS)
    below, half = (share * _LINE / heights.shape[1] for share in (0.3, 0.26))
    for row, group in np.argwhere(np.isfinite(measured.values)):
        known = np.isfinite(along[row, group])
        down = heights[row, group] + below + dots_apart(bins[row, group, known], _DOT_STEP, half)
        style: Any = {"color": colors[row][group], "alpha": 0.45, "mec": "none", "zorder": 1}
        ax.plot(measured.points[row, group, known], down, "o", ms=3, **style)


def _draw_intervals(
    ax: Axes, measured: _Measured, heights: np.ndarray, colors: list[list[Any]], *, hollow: bool
) -> None:
    """Draws a marker for each value, and the line of its interval."""
    for row, group in np.argwhere(np.isfinite(measured.values)):
        color, down = colors[row][group], heights[row, group]
        if np.isfinite(measured.low[row, group]):
            width = 1.3 if hollow and group > 0 else 2.0
            ax.hlines(down, measured.low[row, group], measured.high[row, group], color=color, lw=width, zorder=2)
        ax.plot(measured.values[row, group], down, ls="", zorder=3, **_marker(group, color, hollow))


def _marker(group: int, color: Any, hollow: bool) -> dict[str, Any]:
    """Returns a marker; where categories have the colors, groups are told apart by filled and hollow ones."""
    if hollow and group > 0:
        return {"marker": MARKERS[(group - 1) % len(MARKERS)], "ms": 4.5, "mfc": "white", "mec": color, "mew": 1.2}
    return {"marker": MARKERS[group % len(MARKERS)], "ms": 6, "mfc": color, "mec": color, "mew": 0}


def _write(ax: Axes, notes: np.ndarray, values: np.ndarray, heights: np.ndarray, colors: Any) -> None:
    """Writes notes in a column to the right of the axes, at the height of their marker, in the color of their group."""
    style = label_style([str(note) for note in notes.ravel()])
    for row, group in np.argwhere(np.isfinite(values)):
        color = "0.25" if colors is None else colors[row][group]
        ax.text(
            1.015, float(heights[row, group]), str(notes[row, group]), transform=ax.get_yaxis_transform(),
            va="center", ha="left", fontsize=7.5, color=color, **style,
        )  # fmt: skip


def _name_markers(ax: Axes, groups: list[str], categories: list[str], palette: list[Any]) -> None:
    """Adds handles for a legend: the colors of the categories, and the markers of the groups."""
    for category, color in zip(categories, palette, strict=False):
        ax.plot([], [], ls="", label=category, **_marker(0, color, False))
    for number, group in enumerate(groups):
        ax.plot(
            [], [], ls="", label=group, **_marker(number, "black" if categories else palette[number], bool(categories))
        )
