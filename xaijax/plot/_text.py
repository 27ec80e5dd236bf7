"""Words colored by their values."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.words import counted, printable
from xaijax.plot._parts.axes import caption, draws, new_axes, titled
from xaijax.plot._parts.colors import both_ways, color_bar, scale_of
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.paragraph import (
    GAP,
    SIZES,
    WIDTH,
    Position,
    grown,
    is_right_to_left,
    letters_of,
    measured,
    room_of,
    write,
)
from xaijax.plot._parts.rows import Row, row_of


@draws
def text(
    attribution: Attribution,
    words: Sequence[str] | None = None,
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    percentile: float = 100.0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a text as a paragraph, each word on the color of its value: red speaks for the output, blue against it.

    A new figure is as high as the text needs. In given axes the letters are made smaller until the text fits; words that do
    not fit are left out, and the last line states their number. Scripts from right to left begin at the right.

    Args:
      attribution: values [N, M] of tokens.
      words: up to M words, one for each token from the first; further positions (padding) are not drawn. Default: the
        names of the players.
      example: the row to draw.
      output: the output, by index or name, where all K are explained.
      output_names: names of the outputs. Default: the attribution's own.
      percentile: the percentile of |value| at which the colors end, as in `xai.plot.image`; stated below the text.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method and the output.

    Returns:
      The axes. The colors reach to the largest |value| in both directions, as the color bar states.

    Raises:
      TypeError, ValueError: if there are no words, or more words than values.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> lime = xai.Attribution(jnp.array([[1.0, -0.5]]), jnp.array([0.5]), method="LIME")
    >>> ax = xai.plot.text(lime, ["good", "film"])
    >>> [text.get_text() for text in ax.texts]
    ['good', 'film']
    """
    row = row_of(attribution, example, output=output, output_names=output_names)
    words = [on_one_line(word) for word in words_of(row, words)]
    values = row.values[: len(words)]
    scale = both_ways(scale_of([values], percentile))

    own_figure = ax is None
    ax = new_axes(ax, (WIDTH, 2.4))
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    color_bar(scale, ax, slim=True)
    titled(ax, title, caption(attribution.method, row.of))
    if scale.note:
        ax.text(0, -0.02, scale.note, fontsize=7, va="top")
    style = label_style(words)
    words, widths = measured(ax, words, style)
    size, positions = _grown(ax, widths) if own_figure else _shrunk(ax, widths)
    right_to_left, left_out = is_right_to_left(words), len(words) - len(positions)
    if left_out:
        last = Position(0.0, room_of(ax, size) - 1, 0.0)
        write(ax, f"… and {counted(left_out, 'more word')}", last, size, right_to_left=False)
    colors = mpl.colormaps[scale.colors]
    for word, value, position in zip(words, values, positions, strict=False):
        red, green, blue, _ = colors(scale.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        box = {"facecolor": (red, green, blue), "edgecolor": "none", "boxstyle": "square,pad=0.18"}
        write(
            ax, word, position, size, right_to_left=right_to_left, color="white" if dark else "black", bbox=box, **style
        )
    return ax


def _grown(ax: Axes, widths: list[float]) -> tuple[float, list[Position]]:
    """Makes the figure as high as the largest letters need; returns their size and the positions of the words."""
    size = grown(ax, _broken(widths, letters_of(ax, SIZES[0]))[-1].line + 1)
    return size, _broken(widths, letters_of(ax, size))


def _shrunk(ax: Axes, widths: list[float]) -> tuple[float, list[Position]]:
    """Returns the largest size of letters that fits; of the smallest size, as many words as leave the last line free."""
    for size in SIZES:
        positions = _broken(widths, letters_of(ax, size))
        if positions[-1].line < room_of(ax, size):
            return size, positions
    size = SIZES[-1]
    positions = _broken(widths, letters_of(ax, size))
    return size, [position for position in positions if position.line < room_of(ax, size) - 1]


def _broken(widths: list[float], line_width: float) -> list[Position]:
    """Breaks a paragraph into lines of a width in heights of letters."""
    positions, start, line = [], GAP, 0
    for width in widths:
        if start + width > line_width - GAP and start > GAP:
            start, line = GAP, line + 1
        positions.append(Position(start, line, width))
        start += width + 1.6 * GAP
    return positions


def words_of(row: Row, words: Sequence[str] | None) -> list[str]:
    """Returns 1 to M words, by default the names of the players."""
    count = len(row.values)
    words = row.names if words is None else words
    if words is None:
        raise ValueError("`words` must be given, since the attribution has no names: pass the words of the text.")
    if not check.is_list(words) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"`words` must be a sequence of words, got {check.shown(words)}: split the text first.")
    given = [printable(word) for word in words]
    if not 0 < len(given) <= count:
        raise ValueError(f"`words` must be 1 to {count}, one for each value, got {len(given)}.")
    return given


def on_one_line(word: str) -> str:
    """Returns a word without line breaks and outer spaces; a word of nothing else is a mark that shows it."""
    return " ".join(word.split()) or ("↵" if "\n" in word else "␣")
