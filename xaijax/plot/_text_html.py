"""Words, colored by how much they count, as HTML."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import NEGATIVE, POSITIVE, caption, one_row
from xaijax.plot._colors import scale_of
from xaijax.plot._words import check_words

# Black on white and white on black keep a contrast of 7 over the strongest color: 4.5 is asked for (WCAG 2.2, 1.4.3).
_STRONGEST = 0.6
_BLOCK = "margin:0.4em 0;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere"


def text_html(
    attribution: Attribution,
    words: Sequence[str],
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    separator: str = " ",
    percentile: float = 100.0,
    title: str | None = None,
) -> str:
    """Writes a text as HTML, each word on the color of its value: red and underlined speaks for the output, blue against.

    Colors are laid thinly over whatever the page's own is, and letters keep theirs, so that it is legible in light and
    dark pages; lines under the words say the same in print and without colors. Values are titles, shown where the mouse
    rests. No scripts, no style sheet, nothing is loaded.

    Args:
      attribution: values [N, M] of tokens.
      words: up to M words, one for each token from the first; further positions (padding) are not written. They are
        text: what looks like HTML in them is shown as it is.
      example: which row to write.
      output: which output, by number or name, where all are explained.
      output_names: K names of the outputs.
      separator: what stands between words. Default a space; "" for tokens that bring their own.
      percentile: of the sizes |value|, at which the colors end, as in `xai.plot.image`; printed below the text.
      title: default, the method and the output; "" for none.

    Returns:
      One `<figure>` element, for a page or a notebook: `IPython.display.HTML(...)`.

    Raises:
      TypeError, ValueError: if there are no words, or more words than values.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> found = xai.Attribution(jnp.array([[1.0, -0.5]]), jnp.array([0.5]), method="LIME")
    >>> page = xai.plot.text_html(found, ["<script>", "bad"])
    >>> "<script>" in page, "&lt;script&gt;" in page, 'title="-0.5"' in page
    (False, True, True)
    """
    row = one_row(attribution, example, output=output, output_names=output_names)
    words = check_words(words, len(row.values))
    if not isinstance(separator, str):
        raise TypeError(f"separator must be a string, but it is {type(separator).__name__}.")
    values = row.values[: len(words)]
    scale = scale_of([values], percentile)
    strengths = np.asarray(scale.strength(values))
    spans = [_span(word, value, strength) for word, value, strength in zip(words, values, strengths, strict=True)]
    title = caption(attribution.method, row.of) if title is None else str(title)
    head = f'<figcaption dir="auto" style="font-weight:600">{_escaped(title)}</figcaption>' if title else ""
    return (
        f'<figure class="xaijax-text" style="margin:0">{head}'
        f'<p dir="auto" style="{_BLOCK}">{_escaped(separator).join(spans)}</p>'
        f'<p style="margin:0;font-size:0.8em">{_legend(float(scale.norm.vmax or 0), scale.note)}</p></figure>'
    )


def _span(word: str, value: float, strength: float) -> str:
    """No direction of its own: the paragraph finds that of the text in its words."""
    style = _style(value, strength)
    return f'<span title="{_escaped(f"{value:+.3g}")}"{style}>{_escaped(word)}</span>'


def _style(value: float, strength: float) -> str:
    if value == 0:
        return ""
    red, green, blue = (round(255 * part) for part in to_rgb(POSITIVE if value > 0 else NEGATIVE))
    under = "solid" if value > 0 else "dotted"
    return (
        f' style="background-color:rgba({red},{green},{blue},{_STRONGEST * strength:.3f});'
        f"border-bottom:2px {under} rgba({red},{green},{blue},{strength:.3f});border-radius:2px;padding:0.1em 0.15em;"
        '-webkit-print-color-adjust:exact;print-color-adjust:exact"'
    )


def _legend(limit: float, note: str) -> str:
    samples = f"<span{_style(1, 1)}>speaks for it</span> <span{_style(-1, 1)}>against it</span>"
    return f"{samples} strongest color: ±{limit:.3g}" + (f"; {_escaped(note)}" if note else "")


def _escaped(text: str) -> str:
    """As text, in quotes as well; letters that no page may hold are replaced."""
    kept = (
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cs") else "\ufffd" for letter in text
    )
    return html.escape("".join(kept), quote=True)
