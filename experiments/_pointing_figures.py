"""The pictures of the localisation table: dots with intervals, and one mosaic as every map sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from experiments._maps import CLASSLESS, EVALUATED, GRADIENT, PIXELS
from experiments._mosaics import Interval, Mosaics

COLOURS = {GRADIENT: "#2b6ca3", EVALUATED: "#c44e2b", PIXELS: "#3a8f5c", CLASSLESS: "#7a7a7a"}
_COLUMNS = 5


class Scored(Protocol):
    """What the figures read of a score."""

    @property
    def title(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def layer(self) -> str | None: ...
    @property
    def box(self) -> Interval: ...
    @property
    def grid(self) -> Interval: ...
    @property
    def mass(self) -> Interval: ...
    @property
    def example(self) -> np.ndarray: ...


def draw_intervals(scores: Sequence[Scored], chance_box: float, chance_cell: float) -> Figure:
    """A row for each map: filled dots for the last layer, hollow ones for the earlier one; dashed lines are chance."""
    last = sorted((score for score in scores if score.layer is None), key=lambda score: score.grid.value)
    row_of = {score.title: row for row, score in enumerate(last)}
    figure, axes = plt.subplots(1, 3, figsize=(12, 1.6 + 0.27 * len(last)), sharey=True, layout="constrained")
    panels = {
        "strongest place in the digit's box": ("box", chance_box),
        "strongest place in its own cell of four": ("grid", chance_cell),
        "positive mass in its own cell of four": ("mass", chance_cell),
    }
    for ax, (title, (measure, chance)) in zip(axes, panels.items(), strict=True):
        ax.axvline(chance, color="black", lw=1, ls=(0, (4, 3)), zorder=0)
        for score in scores:
            _dot(ax, getattr(score, measure), row_of[score.title], COLOURS[score.kind], hollow=score.layer is not None)
        ax.set_title(title, fontsize=10)
        ax.set_xlim(-0.02, 1.02)
        ax.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)], fontsize=8)
        ax.grid(axis="y", color="0.93")
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(last)), [score.title for score in last], fontsize=9)
    axes[0].set_ylim(-0.7, len(last) - 0.3)
    figure.suptitle(
        "Where the maps point, with 95 % intervals (wider where a map is expensive and made for fewer images)",
        fontsize=12,
    )
    figure.legend(handles=_legend(), loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure


def _dot(ax: Axes, interval: Interval, row: int, colour: str, *, hollow: bool) -> None:
    height = row - 0.22 if hollow else row
    ax.plot(interval[1:], [height, height], color=colour, lw=1.2 if hollow else 2, solid_capstyle="butt")
    face = "white" if hollow else colour
    ax.plot(interval.value, height, "o", ms=4 if hollow else 6, mfc=face, mec=colour, mew=1.2)


def _legend() -> list[Line2D]:
    kinds = [Line2D([], [], marker="o", ls="", color=colour, label=kind) for kind, colour in COLOURS.items()]
    return [
        *kinds,
        Line2D([], [], marker="o", ls="", ms=6, color="black", label="last layer"),
        Line2D([], [], marker="o", ls="", ms=4, mfc="white", mec="black", label="one layer earlier"),
        Line2D([], [], color="black", lw=1, ls=(0, (4, 3)), label="chance"),
    ]


def draw_gallery(scores: Sequence[Scored], mosaics: Mosaics, number: int) -> Figure:
    """The map of one cell's class by every method; each with a scale of its own, as their units differ."""
    mosaic, cell = divmod(number, len(mosaics.cells()))
    picture, label = mosaics.images[mosaic, ..., 0], mosaics.labels[mosaic, cell]
    rows = -(-(len(scores) + 1) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(2 * _COLUMNS, 2.2 * rows), layout="constrained")
    panels = list(np.ravel(grid))
    panels[0].set_title(f"where is the {label}?", fontsize=10)
    for ax, score in zip(panels[1:], scores, strict=False):
        most = score.example.max()
        heat = score.example / most if most > 0 else score.example
        ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * heat, zorder=2)
        ax.set_title(score.title, fontsize=10, color=COLOURS[score.kind])
    rows_of_cell, columns_of_cell = np.nonzero(mosaics.cells()[cell])
    corner, side = (columns_of_cell.min() - 0.5, rows_of_cell.min() - 0.5), float(np.ptp(rows_of_cell)) + 1
    for ax in panels:
        ax.set_axis_off()
    for ax in panels[: len(scores) + 1]:
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, zorder=1)
        ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="#4fd0d0", lw=1.5, zorder=3, clip_on=False))
    figure.suptitle(f"What speaks for the {label}: the frame is the cell that it is in", fontsize=12)
    return figure
