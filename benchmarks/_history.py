"""The history of the ratios of all cases over the records in a folder: a small panel for each case."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks import _record

COLUMNS = 4
# The sections whose rows are compared with a bare model, and how their cases are called.
_SECTIONS = {"overhead": "{}", "networks": "{}", "first": "first call: {}"}
_LEAST_RANGE = (0.8, 1.25)  # of ratios, so that noise near 1 does not fill a panel
_COLORS = ("#2166ac", "#b2432b", "#3b8f6b", "#7b2d8b", "#d98e3a", "#4d4d4d")


class Point(NamedTuple):
    """The ratio of one case in one record, with its quartiles."""

    date: datetime.datetime
    ratio: float
    low: float
    high: float


class Line(NamedTuple):
    """One case on one device in one form: only these are comparable."""

    case: str
    device: str
    form: str


History = dict[Line, list[Point]]


def read_folder(folder: Path, *, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Returns all records in a folder and its subfolders, by date, and names files that are not records."""
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a folder of records, got {folder}: there is no such folder.")
    records = []
    for path in sorted(folder.rglob("*.json")):
        try:
            records.append(_record.read(path))
        except ValueError as problem:
            say(f"ignored: {problem}")
    if not records:
        raise ValueError(
            f"`folder` must hold records, got no record in {folder}: measure with `python -m benchmarks quick --keep`."
        )
    return sorted(records, key=lambda record: record["date"])


def history(records: Sequence[dict[str, Any]], only: str = "") -> History:
    """Returns the points of all lines, in order of their dates."""
    points: History = {}
    for record in sorted(records, key=lambda record: record["date"]):
        date = datetime.datetime.fromisoformat(record["date"])
        for section, title in _SECTIONS.items():
            for row in record.get(section, []):
                name = title.format(row["name"])
                if "ratio" in row and only.lower() in name.lower():
                    line = Line(name, _record.device_name(record["device"]), record["form"])
                    points.setdefault(line, []).append(Point(date, row["ratio"], *row["ratio_quartiles"]))
    if not points:
        raise ValueError(
            f"`only` must be part of the name of a case, got {only!r}: no record has such a case."
            if only
            else "the records must have cases of overhead, but none of them does."
        )
    return points


def draw(lines: History) -> Figure:
    """Draws a panel for each case, on one time axis; colors are devices and forms, bars are quartiles."""
    cases = list(dict.fromkeys(line.case for line in lines))
    groups = list(dict.fromkeys((line.device, line.form) for line in lines))
    rows = math.ceil(len(cases) / COLUMNS)
    figure = Figure(figsize=(3.3 * min(COLUMNS, len(cases)), 1.7 * rows + 0.9), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, min(COLUMNS, len(cases)), squeeze=False, sharex=True).flat)
    handles: dict[tuple[str, str], Any] = {}
    for case, ax in zip(cases, axes, strict=False):
        _prepare(ax, case)
        for number, group in enumerate(groups):
            points = lines.get(Line(case, *group), [])
            if points:
                handles.setdefault(group, _draw_line(ax, points, number))
    for spare in axes[len(cases) :]:
        spare.remove()
    for column in range(min(COLUMNS, len(cases))):
        lowest = axes[range(column, len(cases), COLUMNS)[-1]]
        lowest.tick_params(labelbottom=True)
    figure.legend(
        list(handles.values()), [", ".join(group) for group in handles], loc="outside lower center",
        ncols=min(4, len(handles)), frameon=False, fontsize=8,
    )  # fmt: skip
    figure.suptitle(
        "time of the explanation ÷ time of the bare jitted model; bars: quartiles of the repeats", fontsize=10
    )
    return figure


def save(lines: History, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(lines).savefig(path, dpi=130)


def _prepare(axes: Axes, case: str) -> None:
    axes.set_title(case, fontsize=7.5, loc="left")
    axes.set_yscale("log")
    axes.axhline(1, color="#999999", linewidth=0.8, linestyle="--")
    axes.tick_params(labelsize=7)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    locator = mdates.AutoDateLocator(minticks=2, maxticks=4)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_fontsize(7)


def _draw_line(axes: Axes, points: Sequence[Point], number: int) -> Any:
    """Draws the ratios with their quartiles as bars, and sets the ticks near them."""
    below = [point.ratio - point.low for point in points]
    above = [point.high - point.ratio for point in points]
    drawn = axes.errorbar(
        mdates.date2num([point.date for point in points]),
        [point.ratio for point in points],
        yerr=[below, above],
        color=_COLORS[number % len(_COLORS)],
        marker="osD^v"[number // len(_COLORS) % 5],
        markersize=3.5,
        linewidth=1.2,
        capsize=0,
    )
    low, high = axes.dataLim.intervaly
    low, high = min(low, _LEAST_RANGE[0]), max(high, _LEAST_RANGE[1])
    axes.set_ylim(low / 1.1, high * 1.1)
    axes.set_yticks(_ticks(low, high))
    return drawn


def _ticks(low: float, high: float) -> list[float]:
    """Returns 1 and powers of 2 on both sides of it, at most about five."""
    doublings = np.log2([low, high])
    step = max(1, int(np.ceil((doublings[1] - doublings[0]) / 4)))
    counts = np.arange(np.ceil(doublings[0] / step), np.floor(doublings[1] / step) + 1)
    ticks = [float(2.0 ** (step * count)) for count in counts]
    return ticks if len(ticks) > 1 else [*_LEAST_RANGE[:1], *ticks, *_LEAST_RANGE[1:]]
