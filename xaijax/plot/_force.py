"""What pushes an output up and what pushes it down, on one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._axes import (
    NEGATIVE,
    POSITIVE,
    caption,
    names_with_inputs,
    new_axes,
    number,
    one_row,
    player_names,
    strongest,
    titled,
    without_frame,
)
from xaijax.plot._fonts import label_style
from xaijax.plot._names import others_label

_SIZE = 8  # of the text, in points; all lengths on the page are
_ROW = 1.45 * _SIZE  # from one row of labels to the next
_BAR, _TIP, _TINY, _GAP = 24.0, 5.0, 3.0, 5.0  # the bar's height, its arrows; no label below that width; between labels
_ROWS = 3  # of labels under the bar
_ABOVE = 2.4 * _ROW  # what the base value and the output need above it


class _Segment(NamedTuple):
    start: float
    end: float
    value: float
    label: str


def force(
    attribution: Attribution,
    *,
    example: int = 0,
    names: Sequence[Any] | None = None,
    inputs: Any = None,
    top: int = 8,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draws the players as arrows on one line that meet at the output.

    Those that push it up come from the left, those that push it down from the right, the strongest next to the output.
    The first begin where the output would be without the last: the base value lies as far to the right of the left end
    as the arrows from the right are long.

    Args:
      attribution: Shapley values [N, M], or [N, M, K] of K outputs; or of one example or game alone.
      example: which row to draw.
      names: M names of the players, or a list of M for each example.
      inputs: [N, M] or [M] the inputs, numbers or words, shown beside the names.
      top: how many players have an arrow of their own; the others are summed in one. Default 8.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.
      limits: of the axis, to compare several rows on one scale. Default: what the arrows need.

    Returns:
      The axes: arrows from the strongest on, with their values in them and names below, where these have room. Labels are
      placed for the size that the axes have when they are drawn on; those of arrows too short to see are left out.

    Raises:
      TypeError, ValueError: if the attribution has no base value, names or inputs do not fit its players, or the arrows
        do not fit in the limits.

    References:
      Lundberg et al. (2018), Explainable machine-learning predictions for the prevention of hypoxaemia during surgery,
      Nature Biomedical Engineering 2.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Attribution(jnp.array([3.0, -1.0]), jnp.array(7.0), jnp.array(5.0), method="by hand")
    >>> ax = xai.plot.force(game, names=["rooms", "crime"])
    >>> [text.get_text() for text in ax.texts]
    ['+3', '-1', 'rooms', 'crime', 'output 7', 'base value 5']
    """
    row = one_row(attribution, example, output=output, output_names=output_names)
    if row.base_value is None:
        raise ValueError("attribution has no base value to start from: draw it with xai.plot.bars.")
    labels = player_names(names, len(row.values), example=example, num_examples=row.num_examples)
    labels = names_with_inputs(labels, inputs, example, num_examples=row.num_examples)
    shown, others = strongest(row.values, check.positive_int("top", top))
    pushes = [(float(row.values[player]), labels[player]) for player in shown]
    if len(others):
        pushes.append((float(row.values[others].sum()), others_label(len(others))))
    segments = _segments(pushes, row.output)
    ends = [row.base_value, row.output, *(segment.start for segment in segments)]
    limits = _limits(limits, min(ends), max(ends))

    ax = new_axes(ax, (9.0, 1.9))
    ax.set_xlim(limits)
    ax.set_yticks([])
    ax.tick_params(axis="x", labelsize=8)
    without_frame(ax, ("top", "right", "left"))
    titled(ax, title, caption(attribution.method, row.of))
    page = _Page(ax, label_style(labels))
    for segment in segments:
        _draw(page, segment, (min(ends), max(ends)), row.base_value)
    rows = _write_labels(page, segments)
    _write_ends(page, row.base_value, row.output)
    page.give_heights(below=(rows + 0.4) * _ROW, above=_ABOVE)
    return ax


def _segments(pushes: list[tuple[float, str]], output: float) -> list[_Segment]:
    """From the output outwards, the first pushes next to it; nothing is drawn for zeros."""
    found, ends = [], {True: output, False: output}
    for value, label in pushes:
        if value != 0:
            end = ends[value > 0]
            ends[value > 0] = end - value
            found.append(_Segment(end - value, end, value, label))
    return found


def _limits(limits: Any, least: float, most: float) -> tuple[float, float]:
    if limits is None:
        margin = 0.06 * (most - least) or 0.5 * max(abs(least), 1.0)
        return least - margin, most + margin
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise TypeError(f"limits must be two numbers, but it is {limits!r}.") from None
    if not low < high:
        raise ValueError(f"limits must be two numbers, the smaller one first, but it is {limits!r}.")
    if least < low or most > high:
        raise ValueError(f"limits must hold what is drawn, from {least:.4g} to {most:.4g}, but it is {limits!r}.")
    return low, high


class _Page:
    """The axes in points, as large as they are now: the bar lies between the heights 0 and 1."""

    def __init__(self, ax: Axes, label_style: dict[str, Any]):
        self.ax, self.label_style = ax, label_style
        figure = ax.figure
        figure.canvas.draw()  # the size of the axes is known now
        self._renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
        self._pixels = figure.dpi / 72
        box = ax.get_window_extent(self._renderer)
        self.width, self.height = box.width / self._pixels, box.height / self._pixels
        self._low, high = ax.get_xlim()
        self.per_unit = self.width / (high - self._low)

    def place(self, value: float) -> float:
        return (value - self._low) * self.per_unit

    def value(self, place: float) -> float:
        return self._low + place / self.per_unit

    def write(self, text: str, value: float, height: float, **style: Any) -> tuple[Annotation, float, float]:
        """Text about a value, moved to lie within the axes, at a height to be moved from, and where it begins and ends."""
        style = {"ha": "center", "va": "center", "fontsize": _SIZE} | style
        written = self.ax.annotate(
            text, (value, height), (0, 0), textcoords="offset points", annotation_clip=False, **style
        )
        width = written.get_window_extent(self._renderer).width / self._pixels
        left = min(max(self.place(value) - width / 2, 0), max(self.width - width, 0))
        written.xy = (self.value(left + width / 2), height)
        return written, left, left + width

    def give_heights(self, below: float, above: float) -> None:
        """The bar as high as it should be, or what is left of the axes, in their middle."""
        bar = min(_BAR, max(self.height - below - above, 0.3 * self.height))
        spare = max(self.height - below - above - bar, 0) / 2
        self.ax.set_ylim(-(below + spare) / bar, 1 + (above + spare) / bar)


def _draw(page: _Page, segment: _Segment, ends: tuple[float, float], base_value: float) -> None:
    """An arrow from start to end, whose tail is cut like the tip that it meets."""
    tip = np.copysign(_TIP / page.per_unit, segment.value)
    start, end = segment.start, segment.end
    corners = [(start - tip, 0), (end - tip, 0), (end, 0.5), (end - tip, 1), (start - tip, 1), (start, 0.5)]
    corners = [(float(np.clip(across, *ends)), height) for across, height in corners]  # the outermost tail is straight
    color = POSITIVE if segment.value > 0 else NEGATIVE
    page.ax.add_patch(Polygon(corners, facecolor=color, edgecolor="white", linewidth=0.8, zorder=2))
    written, left, right = page.write(number(segment.value), (start + end - tip) / 2, 0.5, color="white", zorder=4)
    line = page.place(base_value)
    begin, stop = sorted((page.place(start), page.place(end - tip)))
    if not _apart((left, right), (line, line), 2):  # beside the base value's line, on the side with more room
        begin, stop = (begin, line - 3) if line - begin > stop - line else (line + 3, stop)
        written.xy = (page.value((begin + stop) / 2), 0.5)
    if right - left + 3 > stop - begin:
        written.remove()


def _write_labels(page: _Page, segments: list[_Segment]) -> int:
    """Names under the arrows, the strongest first, each in the first row where it has room; how many rows it took.

    A label in a lower row hangs on a line from its arrow, which no other label may cross.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_ROWS)]  # in each row, from where to where
    used = 0
    for segment in sorted(segments, key=lambda segment: -abs(segment.value)):
        if abs(segment.value) * page.per_unit < _TINY:
            continue
        color = POSITIVE if segment.value > 0 else NEGATIVE
        middle = (segment.start + segment.end) / 2
        written, left, right = page.write(segment.label, middle, 0, color=color, **page.label_style)
        line = page.place(middle)
        row = next((row for row in range(_ROWS) if _has_room(taken, row, (left, right), line)), None)
        if row is None:
            written.remove()
            continue
        for above in range(row):
            taken[above].append((line, line))
        taken[row].append((left, right))
        used = max(used, row + 1)
        written.set_position((0, -(row + 0.8) * _ROW))
        if row:
            style = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
            end = (0, -(row + 0.3) * _ROW)
            page.ax.annotate("", (middle, 0), end, textcoords="offset points", arrowprops=style, annotation_clip=False)
    return used


def _has_room(taken: list[list[tuple[float, float]]], row: int, label: tuple[float, float], line: float) -> bool:
    """Whether a label in this row overlaps none, and neither does its line in the rows above."""
    apart = all(_apart(label, other, _GAP) for other in taken[row])
    return apart and all(_apart((line, line), other, 2) for above in taken[:row] for other in above)


def _apart(first: tuple[float, float], second: tuple[float, float], gap: float) -> bool:
    return first[0] > second[1] + gap or first[1] < second[0] - gap


def _write_ends(page: _Page, base_value: float, output: float) -> None:
    """The output above the bar, and the base value beside it or, where there is no room, above it."""
    halo = [withStroke(linewidth=2.6, foreground="white")]  # the lines are seen on the arrows, too
    first, *taken = page.write(f"output {output:.4g}", output, 1, fontweight="bold", color="0.1")
    first.set_position((0, 0.9 * _ROW))
    page.ax.plot([output] * 2, [-0.08, 1.16], color="0.1", linewidth=1.2, zorder=3)
    second, left, right = page.write(f"base value {base_value:.4g}", base_value, 1, color="0.35")
    second.set_position((0, (0.9 if _apart((left, right), (taken[0], taken[1]), _GAP) else 1.9) * _ROW))
    page.ax.plot(
        [base_value] * 2, [-0.08, 1.16], color="0.2", linewidth=1.2, linestyle=":", zorder=3, path_effects=halo
    )
