"""Words colored by their values."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.words import counted, printable
from xaijax.plot._parts.axes import caption, draws, new_axes, titled
from xaijax.plot._parts.colors import SIGNED, Scale, color_bar, scale_of
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.rows import Row, row_of

_SIZES = (11, 10, 9, 8, 7, 6)  # of letters: the largest with which the text fits the given axes
_WIDTH, _MARGINS, _LINE = 7.0, 0.6, 2.0  # inches, inches, and heights of letters
_GAP = 0.55  # heights of letters, to both sides of a word
_DRAWN = 1.04  # at another resolution, hinted letters are up to this factor wider


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
    words = [_on_one_line(word) for word in words_of(row, words)]
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
    size, positions = _grown(ax, widths) if own_figure else _shrunk(ax, widths)
    right_to_left, left_out = _is_right_to_left(words), len(words) - len(positions)
    if left_out:
        last = _Position(0.0, _room(ax, size) - 1, 0.0)
        _write(ax, f"… and {counted(left_out, 'more word')}", last, size, right_to_left=False)
    colors = mpl.colormaps[scale.colors]
    for word, value, position in zip(words, values, positions, strict=False):
        red, green, blue, _ = colors(scale.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        box = {"facecolor": (red, green, blue), "edgecolor": "none", "boxstyle": "square,pad=0.18"}
        _write(
            ax, word, position, size, right_to_left=right_to_left, color="white" if dark else "black", bbox=box, **style
        )
    return ax


def _both_ways(scale: Scale) -> Scale:
    """Returns a scale that is symmetric about 0 for all signs: words speak for the output or against it."""
    limit = scale.norm.vmax
    assert limit is not None
    return scale._replace(norm=Normalize(-limit, limit), colors=SIGNED)


class _Position(NamedTuple):
    """The start of a word in heights of letters from the side where lines begin, its line, and its width."""

    start: float
    line: int
    width: float


def _measured(ax: Axes, words: list[str], style: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Returns words and their widths in heights of letters; words wider than a line are cut."""
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


def _grown(ax: Axes, widths: list[float]) -> tuple[float, list[_Position]]:
    """Makes the figure as high as the largest letters need; returns their size and the positions of the words."""
    size, figure = _SIZES[0], _figure(ax)
    lines = _broken(widths, _letters(ax, size))[-1].line + 1
    figure.set_size_inches(_WIDTH, _MARGINS + _LINE * size * max(lines, 3) / 72)
    figure.draw_without_rendering()  # the size of the axes has changed
    return size, _broken(widths, _letters(ax, size))


def _shrunk(ax: Axes, widths: list[float]) -> tuple[float, list[_Position]]:
    """Returns the largest size of letters that fits; of the smallest size, as many words as leave the last line free."""
    for size in _SIZES:
        positions = _broken(widths, _letters(ax, size))
        if positions[-1].line < _room(ax, size):
            return size, positions
    size = _SIZES[-1]
    positions = _broken(widths, _letters(ax, size))
    return size, [position for position in positions if position.line < _room(ax, size) - 1]


def _broken(widths: list[float], line_width: float) -> list[_Position]:
    """Breaks a paragraph into lines of a width in heights of letters."""
    positions, start, line = [], _GAP, 0
    for width in widths:
        if start + width > line_width - _GAP and start > _GAP:
            start, line = _GAP, line + 1
        positions.append(_Position(start, line, width))
        start += width + 1.6 * _GAP
    return positions


def _write(ax: Axes, word: str, position: _Position, size: float, *, right_to_left: bool, **style: Any) -> None:
    letters = _letters(ax, size)
    across = letters - position.start - position.width / _DRAWN if right_to_left else position.start
    height = ax.get_window_extent().height / (size * _figure(ax).dpi / 72)
    down = 1 - (position.line + 0.5) * _LINE / height
    ax.text(across / letters, down, word, va="center", fontsize=size, **style).set_in_layout(False)


def _letters(ax: Axes, size: float) -> float:
    """Returns the width of the axes in heights of letters."""
    return ax.get_window_extent().width / (size * _figure(ax).dpi / 72)


def _room(ax: Axes, size: float) -> int:
    """Returns how many lines the axes have room for."""
    return max(1, int(ax.get_window_extent().height // (_LINE * size * _figure(ax).dpi / 72)))


def _figure(ax: Axes) -> Any:
    return ax.get_figure(root=True)


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


def _is_right_to_left(words: list[str]) -> bool:
    """Whether the first letter that has a direction belongs to a script from right to left."""
    directions = (unicodedata.bidirectional(letter) for word in words for letter in word)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"


def _on_one_line(word: str) -> str:
    """Returns a word without line breaks and outer spaces; a word of nothing else is a mark that shows it."""
    return " ".join(word.split()) or ("↵" if "\n" in word else "␣")
