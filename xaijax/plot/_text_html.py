"""Words colored by their values, as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.words import printable, signed
from xaijax.plot._parts.axes import caption
from xaijax.plot._parts.colors import color_by_sign, scale_of
from xaijax.plot._parts.rows import row_of
from xaijax.plot._text import words_of

# Black on white and white on black keep a contrast of 7 over the strongest color; WCAG 2.2, 1.4.3 asks for 4.5.
_STRONGEST = 0.6
_BLOCK = "margin:0.4em 0;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere"


def text_html(
    attribution: Attribution,
    words: Sequence[str] | None = None,
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    separator: str = " ",
    percentile: float = 100.0,
    title: str | None = None,
) -> str:
    """Returns a text as HTML, each word on the color of its value: red speaks for the output, dotted blue against it.

    The colors are translucent and letters keep the page's color, so that the text is legible on light and dark pages. Lines
    below the words tell the signs apart in print and without colors. Values are shown where the mouse rests. There are no
    scripts, no style sheets, and nothing is loaded.

    Args:
      attribution: values [N, M] of tokens.
      words: up to M words, one for each token from the first; further positions (padding) are not written. They are text:
        HTML in them is shown as it is. Default: the names of the players.
      example: the row to write.
      output: the output, by index or name, where all K are explained.
      output_names: names of the outputs. Default: the attribution's own.
      separator: the text between words. Default a space; "" for tokens that include their spaces.
      percentile: the percentile of |value| at which the colors end, as in `xai.plot.image`; stated below the text.
      title: Default: the method and the output; "" for none.

    Returns:
      One `<figure>` element, for a page or a notebook: `IPython.display.HTML(...)`.

    Raises:
      TypeError, ValueError: if there are no words, or more words than values.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> lime = xai.Attribution(jnp.array([[1.0, -0.5]]), jnp.array([0.5]), method="LIME")
    >>> page = xai.plot.text_html(lime, ["<script>", "bad"])
    >>> "<script>" in page, "&lt;script&gt;" in page, 'title="-0.5"' in page
    (False, True, True)
    """
    row = row_of(attribution, example, output=output, output_names=output_names)
    words = words_of(row, words)
    for name, given in (("separator", separator), *([] if title is None else [("title", title)])):
        if not isinstance(given, str):
            raise TypeError(f"`{name}` must be a string, got {check.shown(given)}.")
    values = row.values[: len(words)]
    scale = scale_of([values], percentile)
    strengths = np.asarray(scale.strength(values))
    spans = [_span(word, value, strength) for word, value, strength in zip(words, values, strengths, strict=True)]
    title = caption(attribution.method, row.of) if title is None else title
    head = f'<figcaption dir="auto" style="font-weight:600">{_escaped(title)}</figcaption>' if title else ""
    return (
        f'<figure class="xaijax-text" style="margin:0">{head}'
        f'<p dir="auto" style="{_BLOCK}">{_escaped(separator).join(spans)}</p>'
        f'<p style="margin:0;font-size:0.8em">{_legend(float(scale.norm.vmax or 0), scale.note)}</p></figure>'
    )


def _span(word: str, value: float, strength: float) -> str:
    """Returns one word, without a direction of its own, which the paragraph derives from the text."""
    style = _style(value, strength)
    return f'<span title="{signed(value, digits=3)}"{style}>{_escaped(word)}</span>'


def _style(value: float, strength: float) -> str:
    if value == 0:
        return ""
    red, green, blue = (round(255 * part) for part in to_rgb(color_by_sign(value)))
    under = "solid" if value > 0 else "dotted"
    return (
        f' style="background-color:rgba({red},{green},{blue},{_STRONGEST * strength:.3f});'
        f"border-bottom:2px {under} rgba({red},{green},{blue},{strength:.3f});border-radius:2px;padding:0.1em 0.15em;"
        '-webkit-print-color-adjust:exact;print-color-adjust:exact"'
    )


def _legend(limit: float, note: str) -> str:
    samples = f"<span{_style(1, 1)}>speaks for the output</span> <span{_style(-1, 1)}>against it</span>"
    return f"{samples} strongest color: ±{limit:.3g}" + (f"; {_escaped(note)}" if note else "")


def _escaped(text: str) -> str:
    return html.escape(printable(text), quote=True)
