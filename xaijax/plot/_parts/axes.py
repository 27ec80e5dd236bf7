"""Axes: where a plot is drawn, and the titles, labels and legends that all plots have in common."""

from __future__ import annotations

import contextlib
import functools
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from xaijax._core import check
from xaijax._core.words import printable
from xaijax.plot._parts.fonts import label_style

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_LETTER, _SHORTEST_LINE = 0.55, 20  # a letter's mean width in its height; letters
_SIDE, _BAR, _TITLE = 2.2, 0.7, 0.35  # inches of a panel


def draws(plot: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Closes the figures that a plot opened if it raises, so that mistakes leave no empty figures behind."""

    @functools.wraps(plot)
    def draw(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        before, current = set(plt.get_fignums()), plt.gcf() if plt.get_fignums() else None
        try:
            return plot(*args, **kwargs)
        except BaseException:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
            if current is not None and plt.fignum_exists(current.number):
                plt.figure(current)
            raise

    return draw


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Returns the given axes, or those of a new figure of `size` inches, which becomes pyplot's current one."""
    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"`ax` must be matplotlib axes, got {type(ax).__name__}: pass those of plt.subplots().")
    return ax


def panels(axes: object, rows: int, columns: int, size: tuple[int, ...], *, bars: int = 1) -> np.ndarray:
    """Returns the given axes [rows, columns], or those of a new figure for images [H, W] and `bars` color bars."""
    if axes is None:
        height = _SIDE * min(max(size[0] / size[1], 0.4), 2.5)
        figure = plt.figure(figsize=(_SIDE * columns + _BAR * bars, (height + _TITLE) * rows), layout="constrained")
        return figure.subplots(rows, columns, squeeze=False)
    return given_axes(axes, rows, columns)


def given_axes(axes: object, rows: int, columns: int) -> np.ndarray:
    """Returns the given axes [rows, columns], of which there must be as many."""
    given = np.empty(1, object)
    given[0] = axes
    if check.is_list(axes):
        with contextlib.suppress(ValueError):  # of nested sequences that differ in length
            given = np.asarray(axes, dtype=object)
    if given.size != rows * columns or not all(isinstance(ax, Axes) for ax in given.ravel()):
        raise ValueError(
            f"`axes` must be {rows} x {columns} matplotlib axes, got {check.shown(axes)}: pass those of "
            f"plt.subplots({rows}, {columns})."
        )
    return given.reshape(rows, columns)


def titled(ax: Axes, title: str | None, default: str, *, size: float = 10) -> None:
    """Writes the user's title as it is, or the default one broken into lines that fit the axes."""
    if title is None:
        written, style = fitted(ax, default, size), label_style([default])
    elif isinstance(title, str):
        written, style = printable(title), label_style([title])
        if _is_mathematics(written):
            style.pop("parse_math")
    else:
        raise TypeError(f"`title` must be a string or None, got {type(title).__name__}.")
    ax.set_title(written, fontsize=size, **style)


def _is_mathematics(text: str) -> bool:
    """Whether Matplotlib can parse the text's dollar signs as mathematics; '$$' it cannot."""
    if "$" not in text:
        return True
    try:
        MathTextParser("agg").parse(text)
    except ValueError:
        return False
    return True


def fitted(ax: Axes, text: str, size: float) -> str:
    """Returns a text, without letters that cannot be drawn, broken into lines that are no wider than the axes."""
    figure: Any = ax.get_figure(root=True)
    letters = ax.get_window_extent().width / figure.dpi * 72 / (size * _LETTER)
    width = max(int(letters), _SHORTEST_LINE)
    return "\n".join(part for line in printable(text).split("\n") for part in textwrap.wrap(line, width) or [""])


def label_values(ax: Axes, *lines: str) -> None:
    """Writes the label of the axis of values: its unit and notes, each on lines of its own."""
    text = fitted(ax, "\n".join(line for line in lines if line), 9)
    ax.set_xlabel(text, fontsize=9, **label_style([text]))


def caption(method: str, of: str = "", more: str = "") -> str:
    """Returns 'SHAP, malignant: 60 rows' from the method, the name of the output and further facts."""
    start = ", ".join(part for part in (method, of) if part)
    return f"{start}: {more}" if start and more else start or more


def lines_of_players(ax: Axes, labels: Sequence[str]) -> None:
    """Gives each label one line, from the top down, and removes all of the frame but the axis of values."""
    ax.set_yticks(range(len(labels)), labels, fontsize=8, **label_style(labels))
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    without_frame(ax, ("top", "right", "left"))


def height_of_lines(count: int, per_line: float) -> float:
    """Returns inches for `count` lines; beyond two hundred they move closer, since no canvas is endless."""
    return per_line * (count if count <= 200 else 200 + 0.1 * (count - 200))


def without_frame(ax: Axes, sides: Iterable[str] = ("top", "right")) -> None:
    for side in sides:
        ax.spines[side].set_visible(False)


def draw_legend(ax: Axes, **options: Any) -> None:
    """Draws a legend whose names are shown as they are: no mathematics, and fonts that have their letters."""
    handles, names = ax.get_legend_handles_labels()
    if not handles:
        return
    box = ax.legend(handles, names, **{"fontsize": 8, "frameon": False} | options)
    for text, name in zip(box.get_texts(), names, strict=True):
        text.set_text(printable(name))
        text.set(**label_style([name]))


def logarithmic(ax: Axes) -> None:
    """Makes the horizontal axis logarithmic, for numbers of evaluations written as 1, 2, 5, 10 and so on."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
