"""Figures as PNG data in a page: small, the same for the same input, and gone when they are drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

LARGEST = 150_000  # bytes of one picture
_DOTS = (144, 110, 80, 60)  # per inch, the first for paper and fine screens; fewer where a picture would be too large


def drawn(
    draw: Callable[[Axes], Any], size: tuple[float, float], *, dots: int = _DOTS[0], few_colors: bool = True
) -> bytes:
    """A figure of `size` inches as PNG, at most 150 kB.

    No figure of pyplot is made, so that none can stay behind. 256 colors are as good as all for lines and letters
    (`few_colors`), and take a third of the space; photographs get them only where they would be too large, and then fewer
    dots.
    """
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
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
    """Without a date or versions, which would change the bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()
