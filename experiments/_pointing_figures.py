"""The pictures of the localization table: dots with intervals, and one mosaic as every map sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import xaijax as xai
from experiments._maps import CLASSLESS, EVALUATED, GRADIENT, PIXELS
from experiments._mosaics import Interval, Mosaics

COLORS = {GRADIENT: "#2b6ca3", EVALUATED: "#c44e2b", PIXELS: "#3a8f5c", CLASSLESS: "#7a7a7a"}
_COLUMNS = 5
_NONE = Interval(np.nan, np.nan, np.nan)


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
    last = sorted((score for score in scores if score.layer is None), key=lambda score: -score.grid.value)
    earlier = {score.title: score for score in scores if score.layer is not None}
    kinds = [score.kind for score in last]
    figure, axes = plt.subplots(1, 3, figsize=(12, 1.6 + 0.3 * len(last)), sharey=True, layout="constrained")
    panels = {
        "strongest place in the digit's box": ("box", chance_box),
        "strongest place in its own cell of four": ("grid", chance_cell),
        "positive mass in its own cell of four": ("mass", chance_cell),
    }
    for ax, (title, (measure, chance)) in zip(axes, panels.items(), strict=True):
        found = [[getattr(one, measure, _NONE) for one in (score, earlier.get(score.title))] for score in last]
        xai.plot.intervals(
            *np.moveaxis(np.array(found), -1, 0), names=[score.title for score in last], categories=kinds,
            groups=["last layer", "one layer earlier"], colors=[COLORS[kind] for kind in dict.fromkeys(kinds)],
            reference=chance, reference_name="chance", percent=True, legend=False, ax=ax, title=title,
        )  # fmt: skip
        ax.set_xlim(-0.02, 1.02)
    figure.suptitle(
        "Where the maps point, with 95 % intervals (wider where a map is expensive and made for fewer images)",
        fontsize=12,
    )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure


def draw_gallery(scores: Sequence[Scored], mosaics: Mosaics, number: int) -> Figure:
    """The map of one cell's class by every method, as shares of its own largest value, as their units differ."""
    mosaic, cell = divmod(number, len(mosaics.cells()))
    label, picture = mosaics.labels[mosaic, cell], mosaics.images[mosaic]
    rows = -(-(len(scores) + 1) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(2 * _COLUMNS + 0.8, 2.2 * rows), layout="constrained")
    panels = list(np.ravel(grid))
    for ax in panels[len(scores) + 1 :]:
        ax.set_axis_off()
    shares = {score.title: score.example / (score.example.max() or 1) for score in scores}
    maps = {title: xai.Attribution(jnp.asarray(share)[None], jnp.ones(1)) for title, share in shares.items()}
    panels = panels[: len(scores) + 1]
    xai.plot.compare(maps, picture[None], labels=[f"where is the {label}?"], alpha=0.85, axes=panels)
    rows_of_cell, columns_of_cell = np.nonzero(mosaics.cells()[cell])
    corner, side = (columns_of_cell.min() - 0.5, rows_of_cell.min() - 0.5), float(np.ptp(rows_of_cell)) + 1
    for ax in panels:
        ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="#4fd0d0", lw=1.5, zorder=3, clip_on=False))
    for ax, score in zip(panels[1:], scores, strict=True):
        ax.title.set_color(COLORS[score.kind])
    figure.suptitle(
        f"What speaks for the {label}: the frame is the cell that it is in. Each map as a share of its largest value",
        fontsize=12,
    )
    return figure
