"""Words, coloured by how much they count."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from xaijax._attribution import Attribution
from xaijax.plot._axes import new_axes, one_row

_SIZE = 11


def text(
    attribution: Attribution,
    words: Sequence[str],
    *,
    example: int = 0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a text as a paragraph, each word on the colour of its value: red speaks for the output, blue against.

    Args:
      attribution: values [N, M] of tokens.
      words: up to M words, one for each token from the first; further positions (padding) are not drawn.
      example: which row to draw.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.

    Returns:
      The axes. The colours reach to the largest value in size, both ways, as the colour bar says.

    Raises:
      TypeError, ValueError: if there are no words, or more words than values.
    """
    row = one_row(attribution, example)
    words = [str(word).replace("$", r"\$") for word in words]
    if not words or len(words) > len(row.values):
        raise ValueError(f"words must be 1 to {len(row.values)}, one for each value, but there are {len(words)}.")
    most = np.abs(row.values[: len(words)]).max()
    norm = Normalize(-most, most) if most > 0 else Normalize(-1, 1)
    colours = mpl.colormaps["RdBu_r"]

    ax = new_axes(ax, (7.0, 2.4))
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    figure = ax.figure
    figure.canvas.draw()  # the size of the axes is known now
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    box = ax.get_window_extent(renderer)
    gap = 0.55 * _SIZE * figure.dpi / 72 / box.width
    line = 2.0 * _SIZE * figure.dpi / 72 / box.height
    across, down = gap, 1 - line
    for word, value in zip(words, row.values, strict=False):
        red, green, blue, _ = colours(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        drawn = ax.text(
            across,
            down,
            word,
            fontsize=_SIZE,
            va="center",
            color="white" if dark else "black",
            bbox={"facecolor": (red, green, blue), "edgecolor": "none", "boxstyle": "square,pad=0.18"},
        )
        width = drawn.get_window_extent(renderer).width / box.width
        if across + width > 1 - gap and across > gap:
            across, down = gap, down - line
            drawn.set_position((across, down))
        across += width + 1.6 * gap
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=ax, fraction=0.03, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    ax.set_title(attribution.method if title is None else title, fontsize=10)
    return ax
