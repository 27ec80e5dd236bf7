"""Players as arrows that push the output up and down, on one line."""

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
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import number, signed
from xaijax.plot._parts.axes import caption, draws, new_axes, titled, without_frame
from xaijax.plot._parts.colors import color_by_sign
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.players import others_label, shown_and_others, with_inputs
from xaijax.plot._parts.rows import Row, check_leads_to_output, row_of

# Lengths in points.
_SIZE = 8  # of the text
_ROW = 1.45 * _SIZE  # from one row of labels to the next
_BAR, _TIP, _TINY, _GAP = (
    24.0,
    5.0,
    3.0,
    5.0,
)  # the bar's height, its arrows' tips, the narrowest labeled arrow, between labels
_ROWS = 3  # of labels below the bar
_ABOVE = 2.4 * _ROW  # the room of the base value and the output above the bar


class _Segment(NamedTuple):
    start: float
    end: float
    value: float
    label: str


@draws
def force(
    attribution: Attribution,
    *,
    example: int = 0,
    names: NamesLike = None,
    inputs: ArrayOrSequence | None = None,
    top: int = 8,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draws the players as arrows on one line that meet at the output.

    Players that increase the output come from the left, those that decrease it from the right, the strongest next to the
    output. The distance from the left end to the base value is the total length of the arrows from the right.

    Args:
      attribution: efficient values, such as Shapley values, [N, M], or [N, M, K] of K outputs; or of one example or game.
      example: the row to draw.
      names: M names of the players, or M for each example. Default: the attribution's own.
      inputs: [N, M] or [M] the inputs, numbers or words, written after the names. Default: the attribution's own.
      top: how many players have an arrow of their own; the others are summed in one. Default 8.
      output: the output, by index or name, where all K are explained.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method.
      limits: the limits of the axis, to compare several rows on one scale. Default: those of the arrows.

    Returns:
      The axes, with arrows from the strongest on, their values in them and their names below, as far as there is room. Labels
      are laid out for the size that the axes have when they are drawn on; arrows too short to see have none.

    Raises:
      TypeError, ValueError: if the attribution is not efficient, names or inputs do not fit its players, or the arrows do
        not fit in the limits.

    References:
      Lundberg et al. (2018), Explainable machine-learning predictions for the prevention of hypoxaemia during surgery,
      Nature Biomedical Engineering 2.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: 5.0 + 3.0 * z[:, 0] - 1.0 * z[:, 1], num_players=2)
    >>> ax = xai.plot.force(xai.shap.exact(game), names=["rooms", "crime"])
    >>> [text.get_text() for text in ax.texts]
    ['+3', '-1', 'rooms', 'crime', 'output 7', 'base value 5']
    """
    check_leads_to_output(attribution)
    row = row_of(attribution, example, names=names, inputs=inputs, output=output, output_names=output_names)
    assert row.base_value is not None
    labels = with_inputs(row.labels, row.inputs)
    shown, others = shown_and_others(row.values, top)
    pushes = [(float(row.values[player]), labels[player]) for player in shown]
    if len(others):
        rest = float(row.values[others].sum())
        pushes.append((rest if abs(rest) > row.rounding else 0.0, others_label(len(others))))
    segments = _segments(pushes, row.output)
    ends = [row.base_value, row.output, *(segment.start for segment in segments)]
    limits = _limits(limits, min(ends), max(ends), row)

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
    """Returns the arrows from the output outwards, the first ones next to it; zeros have none."""
    segments, ends = [], {True: output, False: output}
    for value, label in pushes:
        if value != 0:
            end = ends[value > 0]
            ends[value > 0] = end - value
            segments.append(_Segment(end - value, end, value, label))
    return segments


def _limits(limits: Any, least: float, most: float, row: Row) -> tuple[float, float]:
    if limits is None:
        margin = 0.06 * row.span(least, most) or 0.5 * max(abs(least), 1.0)
        return least - margin, most + margin
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise TypeError(f"`limits` must be two numbers, got {check.shown(limits)}.") from None
    if not low < high:
        raise ValueError(f"`limits` must be two numbers, the smaller one first, got {check.shown(limits)}.")
    if least < low or most > high:
        raise ValueError(f"`limits` must include the arrows, {least:.4g} to {most:.4g}, got {check.shown(limits)}.")
    return low, high


class _Page:
    """The axes in points, at their present size; the bar is between the heights 0 and 1."""

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

    def point(self, value: float) -> float:
        return (value - self._low) * self.per_unit

    def value(self, point: float) -> float:
        return self._low + point / self.per_unit

    def write(self, text: str, value: float, height: float, **style: Any) -> tuple[Annotation, float, float]:
        """Writes text centered at a value, moved into the axes; returns it with its left and right end in points."""
        style = {"ha": "center", "va": "center", "fontsize": _SIZE} | style
        written = self.ax.annotate(
            text, (value, height), (0, 0), textcoords="offset points", annotation_clip=False, **style
        )
        width = written.get_window_extent(self._renderer).width / self._pixels
        left = min(max(self.point(value) - width / 2, 0), max(self.width - width, 0))
        written.xy = (self.value(left + width / 2), height)
        return written, left, left + width

    def give_heights(self, below: float, above: float) -> None:
        """Centers the bar in the axes, at its full height or as high as the labels leave room for."""
        bar = min(_BAR, max(self.height - below - above, 0.3 * self.height))
        spare = max(self.height - below - above - bar, 0) / 2
        self.ax.set_ylim(-(below + spare) / bar, 1 + (above + spare) / bar)


def _draw(page: _Page, segment: _Segment, ends: tuple[float, float], base_value: float) -> None:
    """Draws an arrow from start to end, with a tail cut like the tip that it meets."""
    tip = np.copysign(_TIP / page.per_unit, segment.value)
    start, end = segment.start, segment.end
    corners = [(start - tip, 0), (end - tip, 0), (end, 0.5), (end - tip, 1), (start - tip, 1), (start, 0.5)]
    corners = [(float(np.clip(across, *ends)), height) for across, height in corners]  # the outermost tail is straight
    color = color_by_sign(segment.value)
    page.ax.add_patch(Polygon(corners, facecolor=color, edgecolor="white", linewidth=0.8, zorder=2))
    written, left, right = page.write(
        signed(segment.value, digits=3), (start + end - tip) / 2, 0.5, color="white", zorder=4
    )
    line = page.point(base_value)
    begin, stop = sorted((page.point(start), page.point(end - tip)))
    if not _apart((left, right), (line, line), 2):  # next to the base value's line, on the side with more room
        begin, stop = (begin, line - 3) if line - begin > stop - line else (line + 3, stop)
        written.xy = (page.value((begin + stop) / 2), 0.5)
    if right - left + 3 > stop - begin:
        written.remove()


def _write_labels(page: _Page, segments: list[_Segment]) -> int:
    """Writes names below the arrows, the strongest first, each in the first row with room; returns the number of rows.

    A label in a lower row is joined to its arrow by a line, which no other label may cross.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_ROWS)]  # the left and right ends in each row
    used = 0
    for segment in sorted(segments, key=lambda segment: -abs(segment.value)):
        if abs(segment.value) * page.per_unit < _TINY:
            continue
        color = color_by_sign(segment.value)
        middle = (segment.start + segment.end) / 2
        written, left, right = page.write(segment.label, middle, 0, color=color, **page.label_style)
        line = page.point(middle)
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
    """Whether neither a label in this row nor its line in the rows above overlaps another label."""
    apart = all(_apart(label, other, _GAP) for other in taken[row])
    return apart and all(_apart((line, line), other, 2) for above in taken[:row] for other in above)


def _apart(first: tuple[float, float], second: tuple[float, float], gap: float) -> bool:
    return first[0] > second[1] + gap or first[1] < second[0] - gap


def _write_ends(page: _Page, base_value: float, output: float) -> None:
    """Writes the output above the bar, and the base value next to it or, where there is no room, above it."""
    halo = [withStroke(linewidth=2.6, foreground="white")]  # keeps the line visible on the arrows
    first, *taken = page.write(f"output {number(output)}", output, 1, fontweight="bold", color="0.1")
    first.set_position((0, 0.9 * _ROW))
    page.ax.plot([output] * 2, [-0.08, 1.16], color="0.1", linewidth=1.2, zorder=3)
    second, left, right = page.write(f"base value {number(base_value)}", base_value, 1, color="0.35")
    second.set_position((0, (0.9 if _apart((left, right), (taken[0], taken[1]), _GAP) else 1.9) * _ROW))
    page.ax.plot(
        [base_value] * 2, [-0.08, 1.16], color="0.2", linewidth=1.2, linestyle=":", zorder=3, path_effects=halo
    )
