"""What a notebook shows of an attribution: a small picture, and its fields as a table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from xaijax import plot
from xaijax._core.attribution import Attribution, Interactions
from xaijax._report._explained import explained
from xaijax._report._html import Html, element
from xaijax._report._png import data_uri, drawn
from xaijax._report._words import counted

_DOTS = 80  # per inch: a few kB
_BARS, _MATRIX = 8, 6  # players, the strongest


def shown_in_notebook(attribution: Attribution) -> Html:
    """HTML of a picture of the first example and a table of all fields; text alone where nothing can be drawn.

    It never raises: values that are traced, not finite or of a shape that has no picture are described in words.
    """
    try:
        image, what = _picture(attribution)
        shown = element("img", src=data_uri(image), alt=what, style="max-width: 100%; background: white")
        heading, *lines = repr(attribution).splitlines()
        rows = [
            element("tr", *(element("td", cell, style="text-align: left") for cell in line.split(maxsplit=1)))
            for line in lines
        ]
        table = element("table", element("tbody", *rows))
        return element("div", element("div", heading), element("div", shown), element("small", what), table)
    except Exception:
        return element("pre", repr(attribution))


def _picture(attribution: Attribution) -> tuple[bytes, str]:
    """A PNG of the first example that is finite, and a line that says what it is."""
    one = explained(attribution)
    example = int(np.flatnonzero(one.finite)[0])
    alone = one.some([example])
    draw: Callable[..., Any]
    if one.on_images:
        draw, size, what = plot.image, (2.6, 2.1), "map"
    elif isinstance(attribution, Interactions):
        count = min(_MATRIX, one.values.shape[1])
        draw, size = functools.partial(plot.interactions, top=_MATRIX), (1.8 + 0.5 * count, 1.2 + 0.42 * count)
        what = f"{counted(count, 'strongest player')} and their pairs"
    else:
        count = min(_BARS, one.values.shape[1])
        draw, size = functools.partial(plot.bars, top=_BARS), (4.2, 0.5 + 0.24 * (count + 1))
        what = counted(count, "strongest value")
    image = drawn(lambda ax: draw(alone, title="", ax=ax), size, dots=_DOTS)
    of = "" if one.num_examples == 1 else f" of example {example} of {one.num_examples:,}"
    of_class = ""
    if one.chosen is not None and alone.target is not None:
        of_class = f", top class {int(np.asarray(alone.target)[0])}"
    return image, f"{what[0].upper()}{what[1:]}{of}{of_class}"
