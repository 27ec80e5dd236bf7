"""Words, colored by how much they count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import caption, new_axes, one_row, titled
from xaijax.plot._colors import Scale, color_bar, scale_of
from xaijax.plot._fonts import label_style
from xaijax.plot._words import check_words, is_right_to_left, on_one_line

_SIZES = (11, 10, 9, 8, 7, 6)  # of letters: the largest with which the text fits into the axes that were given
_WIDTH, _MARGINS, _LINE = 7.0, 0.6, 2.0  # inches, inches, and heights of letters
_GAP = 0.55  # heights of letters, beside a word
_DRAWN = 1.04  # of the width: at another resolution hinted letters are up to so much wider


def text(
    attribution: Attribution,
    words: Sequence[str],
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    percentile: float = 100.0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a text as a paragraph, each word on the color of its value: red speaks for the output, blue against.

    A new figure is as high as the text needs. In given axes the letters are made smaller until it fits; what does not fit
    even so is left out, and the last line says how many words that are. Texts of scripts from right to left begin at the
    right.

    Args:
      attribution: values [N, M] of tokens.
      words: up to M words, one for each token from the first; further positions (padding) are not drawn.
      example: which row to draw.
      output: which output, by number or name, where all are explained.
      output_names: K names of the outputs, for the title.
      percentile: of the sizes |value|, at which the colors end, as in `xai.plot.image`; printed below the text.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the output.

    Returns:
      The axes. The colors reach to the largest value in size, both ways, as the color bar says.

    Raises:
      TypeError, ValueError: if there are no words, or more words than values.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> found = xai.Attribution(jnp.array([[1.0, -0.5]]), jnp.array([0.5]), method="LIME")
    >>> ax = xai.plot.text(found, ["good", "film"])
    >>> [text.get_text() for text in ax.texts]
    ['good', 'film']
    """
    row = one_row(attribution, example, output=output, output_names=output_names)
    words = [on_one_line(word) for word in check_words(words, len(row.values))]
    values = row.values[: len(words)]
    scale = _both_ways(scale_of([values], percentile))

    own_figure = ax is None
    ax = new_axes(ax, (_WIDTH, 2.4))
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    color_bar(scale, ax, slim=True)
    titled(ax, title, caption(attribution.method, row.of))
    if scale.note:
        ax.text(0, -0.02, scale.note, fontsize=7, va="top")
    style = label_style(words)
    words, widths = _measured(ax, words, style)
    size, places = _grown(ax, widths) if own_figure else _shrunk(ax, widths)
    right_to_left, left_out = is_right_to_left(words), len(words) - len(places)
    if left_out:
        many = "1 word" if left_out == 1 else f"{left_out} words"
        last = _Place(0.0, _room(ax, size) - 1, 0.0)
        _write(ax, f"… and {many} more, for which there is no room", last, size, right_to_left=False)
    colors = mpl.colormaps[scale.colors]
    for word, value, place in zip(words, values, places, strict=False):
        red, green, blue, _ = colors(scale.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        box = {"facecolor": (red, green, blue), "edgecolor": "none", "boxstyle": "square,pad=0.18"}
        _write(
            ax, word, place, size, right_to_left=right_to_left, color="white" if dark else "black", bbox=box, **style
        )
    return ax


def _both_ways(scale: Scale) -> Scale:
    """Words speak for or against, so that the middle of the colors is 0 whatever the signs."""
    limit = scale.norm.vmax
    assert limit is not None
    return scale._replace(norm=Normalize(-limit, limit), colors="RdBu_r")


class _Place(NamedTuple):
    """Where a word begins, in heights of letters from the side where lines begin; its line; its width."""

    start: float
    line: int
    width: float


def _measured(ax: Axes, words: list[str], style: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Words and their widths, in heights of letters; one that is wider than a line is cut."""
    figure = _figure(ax)
    figure.draw_without_rendering()  # the size of the axes is known now
    probe = ax.text(0, 0, "", fontsize=_SIZES[0], **style)
    unit = _SIZES[0] * figure.dpi / 72
    known: dict[str, float] = {}

    def width(word: str) -> float:
        if word not in known:
            probe.set_text(word)
            known[word] = _DRAWN * probe.get_window_extent().width / unit
        return known[word]

    most = _letters(ax, _SIZES[0]) - 2 * _GAP
    shown = []
    for word in words:
        cut = word
        while width(cut) > most and len(cut) > 2:
            cut = f"{cut[: max(1, int(len(cut) * most / width(cut)) - 1)]}…"
        shown.append(cut)
    probe.remove()
    return shown, [width(word) for word in shown]


def _grown(ax: Axes, widths: list[float]) -> tuple[float, list[_Place]]:
    """The largest letters, in a figure that is made as high as they need."""
    size, figure = _SIZES[0], _figure(ax)
    lines = _broken(widths, _letters(ax, size))[-1].line + 1
    figure.set_size_inches(_WIDTH, _MARGINS + _LINE * size * max(lines, 3) / 72)
    figure.draw_without_rendering()  # the size of the axes has changed
    return size, _broken(widths, _letters(ax, size))


def _shrunk(ax: Axes, widths: list[float]) -> tuple[float, list[_Place]]:
    """The largest letters that fit; of the smallest as many words as leave the last line free."""
    for size in _SIZES:
        places = _broken(widths, _letters(ax, size))
        if places[-1].line < _room(ax, size):
            return size, places
    size = _SIZES[-1]
    return size, [place for place in _broken(widths, _letters(ax, size)) if place.line < _room(ax, size) - 1]


def _broken(widths: list[float], line_width: float) -> list[_Place]:
    """A paragraph, broken into lines of a width in heights of letters."""
    places, start, line = [], _GAP, 0
    for width in widths:
        if start + width > line_width - _GAP and start > _GAP:
            start, line = _GAP, line + 1
        places.append(_Place(start, line, width))
        start += width + 1.6 * _GAP
    return places


def _write(ax: Axes, word: str, place: _Place, size: float, *, right_to_left: bool, **style: Any) -> None:
    letters = _letters(ax, size)
    across = letters - place.start - place.width / _DRAWN if right_to_left else place.start
    height = ax.get_window_extent().height / (size * _figure(ax).dpi / 72)
    down = 1 - (place.line + 0.5) * _LINE / height
    ax.text(across / letters, down, word, va="center", fontsize=size, **style).set_in_layout(False)


def _letters(ax: Axes, size: float) -> float:
    """How wide the axes are, in heights of letters."""
    return ax.get_window_extent().width / (size * _figure(ax).dpi / 72)


def _room(ax: Axes, size: float) -> int:
    """How many lines the axes have room for."""
    return max(1, int(ax.get_window_extent().height // (_LINE * size * _figure(ax).dpi / 72)))


def _figure(ax: Axes) -> Any:
    return ax.get_figure(root=True)
