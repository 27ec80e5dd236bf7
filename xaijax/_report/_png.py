"""Figures as PNG data in a page: small, and the same bytes for the same input."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

LARGEST = 150_000  # bytes of one image
_DOTS = (144, 110, 80, 60)  # per inch: the first for paper and fine screens, fewer where an image would be too large
_DARK = "#16181b"  # the page's background by night
_DARK_INK: dict[Any, Any] = dict.fromkeys(
    ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), "#d6d3cf"
)


def drawn(
    draw: Callable[[Axes], object],
    size: tuple[float, float],
    *,
    dots: int = _DOTS[0],
    few_colors: bool = True,
    dark: bool = False,
) -> bytes:
    """Returns a figure of `size` inches as PNG of at most 150 kB.

    The figure is not pyplot's, so that it does not stay open. Lines and letters need no more than 256 colors
    (`few_colors`), which take a third of the space; photographs get them only where they would be too large, and then
    fewer dots. With `dark`, letters and lines are light on the background of dark pages.
    """
    with mpl.rc_context(_DARK_INK if dark else {}):
        figure = Figure(figsize=size, layout="constrained", facecolor=_DARK if dark else "white")
        FigureCanvasAgg(figure)
        draw(figure.subplots())
    written = _written(figure, dots, few_colors)
    for fewer in _DOTS:
        if len(written) > LARGEST and fewer < dots:
            written = _written(figure, fewer, few_colors=True)
    return written


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _written(figure: Figure, dots: int, few_colors: bool) -> bytes:
    figure.set_dpi(dots)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if not few_colors:
        written = _png(image)
        if len(written) <= LARGEST:
            return written
    return _png(image.quantize(256, dither=Image.Dither.NONE))


def _png(image: Image.Image) -> bytes:
    """Writes no date and no versions, which would change the bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()
