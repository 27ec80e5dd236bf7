"""Tables of numbers as colored cells, with the number written in each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from xaijax._core import check
from xaijax._core.words import printable, shortened
from xaijax.metrics import Comparison
from xaijax.plot._parts.axes import without_frame
from xaijax.plot._parts.fonts import label_style

_UNKNOWN = "0.93"  # the color of cells without a number
_LETTERS = 12  # of a line of a column's name
_DARK = 0.5  # of the luminance: below, the text is white


def check_comparison(comparison: Any) -> Comparison:
    """Returns the comparison, or raises where the argument is none."""
    if not isinstance(comparison, Comparison):
        raise TypeError(f"`comparison` must be the result of xai.metrics.compare, got {check.shown(comparison)}.")
    return comparison


def column_name(name: str) -> str:
    """Returns a name in short lines, broken between its words."""
    return "\n".join(textwrap.wrap(shortened(name.replace("_", " ")), _LETTERS, break_long_words=False)) or " "


def draw_matrix(
    ax: Axes,
    shades: np.ndarray,
    texts: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    colors: Colormap,
    limits: tuple[float, float],
    size: float = 7,
) -> Any:
    """Draws shades [R, C] with a text in each cell; NaN is gray. Returns the image and the texts [R, C]."""
    painted = colors.with_extremes(bad=_UNKNOWN)
    image = ax.imshow(shades, cmap=painted, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest")
    written = np.empty(shades.shape, object)
    for row, line in enumerate(texts):
        for column, text in enumerate(map(printable, line)):
            style: Any = {"fontsize": size, "color": _ink(image, float(shades[row, column])), **label_style([text])}
            written[row, column] = ax.text(column, row, text, ha="center", va="center", **style)
    row_names = [shortened(name.replace("_", " ")) or " " for name in rows]
    ax.set_yticks(range(len(rows)), row_names, fontsize=8, **label_style(row_names))
    column_names = [printable(name) for name in columns]
    ax.set_xticks(range(len(columns)), column_names, fontsize=8, **label_style(column_names))
    ax.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    without_frame(ax, ("top", "right", "bottom", "left"))
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", lw=1.5)
    ax.tick_params(which="minor", length=0)
    return image, written


def _ink(image: Any, shade: float) -> str:
    """Returns black or white, which can be read on the color of a cell."""
    if np.isnan(shade):
        return "black"
    red, green, blue, _ = image.cmap(image.norm(shade))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < _DARK else "black"
