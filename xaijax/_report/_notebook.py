"""The notebook's view of an attribution: a small plot, and its fields as a table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.words import counted
from xaijax._report._explained import explained
from xaijax._report._html import Html, element

_DOTS = 80  # per inch: a few kB
_BARS, _MATRIX = 8, 6  # players, the strongest


def notebook_picture(attribution: Attribution) -> Html:
    """Returns HTML of a plot of the first example and a table of all fields, or text where nothing can be drawn.

    It never raises: values that are traced, not finite or of a shape without a plot are described in words.
    """
    try:
        shown, caption = _picture(attribution)
        heading, *lines = repr(attribution).splitlines()
        rows = [
            element("tr", *(element("td", cell, style="text-align: left") for cell in line.split(maxsplit=1)))
            for line in lines
        ]
        table = element("table", element("tbody", *rows))
        return element("div", element("div", heading), element("div", shown), element("small", caption), table)
    except Exception:
        return element("pre", repr(attribution))


def _picture(attribution: Attribution) -> tuple[Html, str]:
    """Returns an image of the first example that is finite, and its caption."""
    from xaijax import plot  # on first use: imports Matplotlib
    from xaijax._report._png import data_uri, drawn

    if attribution.of_spans and not isinstance(attribution, Interactions):
        return Html(
            plot.prompt_html(attribution, title="")
        ), f"The prompt of {counted(attribution.num_players, 'span')}"
    reported = explained(attribution)
    example = int(np.flatnonzero(reported.finite)[0])
    alone = reported.some(np.array([example]))
    draw: Callable[..., Any]
    if reported.on_images:
        draw, size, content = plot.image, (2.6, 2.1), "map"
    elif isinstance(attribution, Interactions):
        count = min(_MATRIX, reported.values.shape[1])
        draw, size = functools.partial(plot.interactions, top=_MATRIX), (1.8 + 0.5 * count, 1.2 + 0.42 * count)
        content = f"{counted(count, 'strongest player')} and their pairs"
    else:
        count = min(_BARS, reported.values.shape[1])
        draw, size = functools.partial(plot.bars, top=_BARS), (4.2, 0.7 + 0.24 * (count + 1))
        content = counted(count, "strongest value")
    png = drawn(lambda ax: draw(alone, title="", ax=ax), size, dots=_DOTS)
    of = "" if reported.num_examples == 1 else f" of example {example} of {reported.num_examples:,}"
    of_class = ""
    if reported.num_outputs is not None and alone.target is not None:
        of_class = f", top class {int(np.asarray(alone.target)[0])}"
    caption = f"{content[0].upper()}{content[1:]}{of}{of_class}"
    image = element("img", src=data_uri(png), alt=caption, style="max-width: 100%; background: white")
    return image, caption
