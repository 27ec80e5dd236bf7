"""The spans of a prompt colored by what they are worth to the response of a language model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xaijax._core.attribution import Attribution
from xaijax._core.words import counted
from xaijax.plot._parts.axes import caption, draws, fitted, new_axes, titled
from xaijax.plot._parts.colors import both_ways, color_bar, scale_of
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.paragraph import (
    GAP,
    LINE,
    SIZES,
    WIDTH,
    Position,
    grown,
    height_of,
    is_right_to_left,
    letters_of,
    measured,
    room_of,
    write,
)
from xaijax.plot._parts.prompts import Shown, read_prompt, sentences_of, visible
from xaijax.text import Prompt

# Grays of letters that are no span, of chosen tokens, and of uncertain spans.
_QUIET, _MARKED, _HATCH = "0.45", "0.85", "0.8"
_FAINT = 0.45  # of the color of an uncertain span
_NOTE = 7  # points of the letters below the text
_SMALL = 0.75  # the letters of numbers in those of words
_SPACE = 0.3  # heights of letters
_WIDE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"  # scripts without spaces, which break after any letter
_WORDS = re.compile(rf"(?P<space>[^\S\n]*)(?P<word>\n|[{_WIDE}]|[^\s{_WIDE}]+)")


@draws
def prompt(
    attribution: Attribution,
    prompt: Prompt | None = None,
    *,
    output: int | str | None = None,
    whole: Attribution | None = None,
    example: int = 0,
    percentile: float = 100.0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a prompt and its response, each span on the color of its value: red speaks for the response, blue against it.

    Each span is followed by its value and half of its 95 % interval. Spans whose interval contains 0, so that their sign is
    not known, are faint and hatched. What always stays, before and after the spans, is gray, and the explained tokens of
    the response are marked. A new figure is as high as the text needs. In given axes the letters are made smaller until
    the text fits; words that do not fit are left out, and the last line states their number.

    Args:
      attribution: values [M] or [M, T] of the spans of a prompt, from a game of `xai.text.response_game`; or from
        `xai.text.by_span`.
      prompt: from `xai.text.prompt`, whose texts are drawn. Default: those that the attribution has.
      output: the token of the response that is explained, by index or name. Default: the whole response, whose values are
        the sums over the tokens.
      whole: the attribution of `game.whole`, from which the values and intervals of the whole response are taken.
        Default: none. The interval of a sum is then unknown, as the errors of tokens depend on each other, and "± ≤" is an
        upper bound of it, see `xai.text.whole_response`.
      example: the row to draw, where the attribution has several.
      percentile: the percentile of |value| at which the colors end, as in `xai.plot.image`; stated below the text.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method and the explained token.

    Returns:
      The axes. The colors reach to the largest |value| in both directions, as the color bar states.

    Raises:
      TypeError, ValueError: if the attribution is not one of spans, the prompt or `whole` does not fit it, or there is no
        such output.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> prompt = xai.text.prompt([[5], [6]], prefix=[1], names=["It rains.", " Go!"])
    >>> values = xai.Attribution(jnp.array([[1.0], [-0.5]]), jnp.array([-0.1]), axes="M K", output_names=["coat"])
    >>> ax = xai.plot.prompt(values, prompt)
    >>> [text.get_text() for text in ax.texts[1:]]  # the first one is the note below
    ['1', 'It', 'rains.', '+1', 'Go!', '-0.5', 'Response', 'coat']
    """
    shown = read_prompt(attribution, prompt, whole, example, output)
    view = shown.views[shown.chosen]
    scale = both_ways(scale_of([view.values], percentile))
    pieces = list(_pieces(shown))

    own_figure = ax is None
    ax = new_axes(ax, (WIDTH, 2.4))
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    color_bar(scale, ax, slim=True)
    titled(ax, title, caption(attribution.method, view.name))
    notes = [*sentences_of(view, attribution), *([scale.note] if scale.note else [])]
    note = "\n".join(fitted(ax, note, _NOTE) for note in notes)
    if notes:
        ax.text(0, -0.02, note, fontsize=_NOTE, va="top", color=_QUIET, **label_style([note]))
    style = label_style([piece.text for piece in pieces])
    texts, widths = measured(ax, [piece.text for piece in pieces], style)
    pieces = [piece._replace(text=text) for piece, text in zip(pieces, texts, strict=True)]
    size, positions = _placed(ax, pieces, widths, note.count("\n") + 1 if own_figure else None)
    right_to_left, left_out = is_right_to_left(shown.spans), len(pieces) - len(positions)
    if left_out:
        write(ax, f"… and {counted(left_out, 'more word')}", Position(0.0, room_of(ax, size) - 1, 0.0), size)
    fills, colors = mpl.colormaps[scale.colors](scale.norm(view.values)), {}
    for number, is_uncertain in enumerate(view.uncertain.tolist()):
        red, green, blue, _ = _fainter(fills[number]) if is_uncertain else fills[number]
        colors[number] = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"
        options = {"hatch": "////", "edgecolor": _HATCH, "lw": 0} if is_uncertain else {"lw": 0}
        _fill(ax, pieces, positions, number, size, right_to_left, facecolor=(red, green, blue), **options)
    for piece, position in zip(pieces, positions, strict=False):
        if piece.token is not None and (view.token is None or piece.token == view.token):
            _fill(ax, [piece], [position], None, size, right_to_left, facecolor=_MARKED, edgecolor="black", lw=1)
        drawn = {"color": colors.get(piece.span, _QUIET if piece.token is None else "black"), **style}
        if piece.is_label:
            drawn |= {"fontsize": _SMALL * size, "fontweight": "bold"}
        write(ax, piece.text, position, size, right_to_left=right_to_left, **drawn)
    return ax


class _Piece(NamedTuple):
    """A word, a number or a token.

    space: before it, in heights of letters. breaks: how many line breaks are before it.
    span, token: the index of the span or of the token that it belongs to; None for neither.
    is_label: whether it is a number or a heading, in small letters.
    """

    text: str
    space: float
    breaks: int = 0
    span: int | None = None
    token: int | None = None
    is_label: bool = False


def _pieces(shown: Shown) -> Iterator[_Piece]:
    labels = shown.views[shown.chosen].labels()
    yield from _words(shown.before, None)
    previous = shown.before
    for number, (text, label) in enumerate(zip(shown.spans, labels, strict=True)):
        yield from _words(text, number, _breaks_after(previous))
        yield _Piece(label, _SPACE, span=number, is_label=True)
        previous = text
    yield from _words(shown.after, None, _breaks_after(previous))
    if shown.tokens:
        yield _Piece("Response", GAP, breaks=2, is_label=True)
    for number, token in enumerate(shown.tokens):
        yield _Piece(visible(token).strip(), 2 * GAP, breaks=int(number == 0), token=number)


def _breaks_after(text: str) -> int:
    return text[len(text.rstrip()) :].count("\n")


def _words(text: str, span: int | None, breaks: int = 0) -> Iterator[_Piece]:
    """Yields the words of a text after line breaks; a span of spaces alone is a mark that shows it."""
    before, is_first = min(breaks, 2), True
    for match in _WORDS.finditer(text):
        if match["word"] == "\n":
            breaks += 1
            continue
        space = _SPACE if match["space"] else 0.0
        yield _Piece(match["word"], 2 * GAP if is_first else space, min(breaks, 2), span)
        breaks, is_first = 0, False
    if is_first and span is not None:
        yield _Piece(visible(text).strip(), 2 * GAP, before, span)


def _fainter(color: np.ndarray) -> np.ndarray:
    return _FAINT * color + 1 - _FAINT


def _placed(ax: Axes, pieces: list[_Piece], widths: list[float], notes: int | None) -> tuple[float, list[Position]]:
    """Returns the size of letters and the positions of the pieces for which there is room.

    notes: the lines below the text, for which a new figure grows; None for given axes.
    """
    widths = [_SMALL * width if piece.is_label else width for piece, width in zip(pieces, widths, strict=True)]
    if notes is not None:
        lines = _broken(pieces, widths, letters_of(ax, SIZES[0]))[-1].line + 1
        size = grown(ax, lines, notes * 1.4 * _NOTE / 72)
        return size, _broken(pieces, widths, letters_of(ax, size))
    for size in SIZES:
        positions = _broken(pieces, widths, letters_of(ax, size))
        if positions[-1].line < room_of(ax, size):
            return size, positions
    size = SIZES[-1]
    positions = _broken(pieces, widths, letters_of(ax, size))
    return size, [position for position in positions if position.line < room_of(ax, size) - 1]


def _broken(pieces: list[_Piece], widths: list[float], line_width: float) -> list[Position]:
    """Breaks the pieces into lines of a width in heights of letters."""
    positions: list[Position] = []
    end, line = GAP, 0
    for piece, width in zip(pieces, widths, strict=True):
        start = end + piece.space if positions else GAP
        if positions and (piece.breaks or start + width > line_width - GAP):
            start, line = GAP, line + max(1, piece.breaks)
        positions.append(Position(start, line, width))
        end = start + width
    return positions


def _fill(
    ax: Axes,
    pieces: list[_Piece],
    positions: list[Position],
    span: int | None,
    size: float,
    right_to_left: bool,
    **style,
) -> None:
    """Draws a box behind the pieces of a span, one for each line."""
    lines: dict[int, list[Position]] = {}
    for piece, position in zip(pieces, positions, strict=False):
        if piece.span == span:
            lines.setdefault(position.line, []).append(position)
    letters, height = letters_of(ax, size), height_of(ax, size)
    for line, row in lines.items():
        start, end = row[0].start - 0.6 * GAP, row[-1].start + row[-1].width + 0.6 * GAP
        left = letters - end if right_to_left else start
        corner = (left / letters, 1 - (LINE * (line + 0.5) + 0.8) / height)
        ax.add_patch(Rectangle(corner, (end - start) / letters, 1.6 / height, zorder=0, **style)).set_in_layout(False)
