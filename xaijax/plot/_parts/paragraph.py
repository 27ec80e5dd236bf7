"""Paragraphs: words in lines that fit the axes, in letters as large as there is room for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

SIZES = (11, 10, 9, 8, 7, 6)  # of letters: the largest with which the text fits the given axes
WIDTH, MARGINS, LINE = 7.0, 0.6, 2.0  # inches, inches, and heights of letters
GAP = 0.55  # heights of letters, to both sides of a word
_DRAWN = 1.04  # at another resolution, hinted letters are up to this factor wider


class Position(NamedTuple):
    """The start of a word in heights of letters from the side where lines begin, its line, and its width."""

    start: float
    line: int
    width: float


def measured(ax: Axes, words: Sequence[str], style: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Returns words and their widths in heights of letters; words wider than a line are cut."""
    figure = figure_of(ax)
    figure.draw_without_rendering()  # the size of the axes is known now
    probe = ax.text(0, 0, "", fontsize=SIZES[0], **style)
    unit = SIZES[0] * figure.dpi / 72
    known: dict[str, float] = {}

    def width(word: str) -> float:
        if word not in known:
            probe.set_text(word)
            known[word] = _DRAWN * probe.get_window_extent().width / unit
        return known[word]

    most = letters_of(ax, SIZES[0]) - 2 * GAP
    shown = []
    for word in words:
        cut = word
        while width(cut) > most and len(cut) > 2:
            cut = f"{cut[: max(1, int(len(cut) * most / width(cut)) - 1)]}…"
        shown.append(cut)
    probe.remove()
    return shown, [width(word) for word in shown]


def grown(ax: Axes, num_lines: int, below: float = 0.0) -> float:
    """Makes the figure as high as lines of the largest letters need, and inches below; returns the size of the letters."""
    size, figure = SIZES[0], figure_of(ax)
    figure.set_size_inches(WIDTH, MARGINS + below + LINE * size * max(num_lines, 3) / 72)
    figure.draw_without_rendering()  # the size of the axes has changed
    return size


def write(ax: Axes, word: str, position: Position, size: float, *, right_to_left: bool = False, **style: Any) -> None:
    letters = letters_of(ax, size)
    across = letters - position.start - position.width / _DRAWN if right_to_left else position.start
    down = 1 - (position.line + 0.5) * LINE / height_of(ax, size)
    ax.text(across / letters, down, word, va="center", fontsize=style.pop("fontsize", size), **style).set_in_layout(
        False
    )


def letters_of(ax: Axes, size: float) -> float:
    """Returns the width of the axes in heights of letters."""
    return ax.get_window_extent().width / (size * figure_of(ax).dpi / 72)


def height_of(ax: Axes, size: float) -> float:
    """Returns the height of the axes in heights of letters."""
    return ax.get_window_extent().height / (size * figure_of(ax).dpi / 72)


def room_of(ax: Axes, size: float) -> int:
    """Returns how many lines the axes have room for."""
    return max(1, int(height_of(ax, size) // LINE))


def figure_of(ax: Axes) -> Any:
    return ax.get_figure(root=True)


def is_right_to_left(words: Sequence[str]) -> bool:
    """Whether the first letter that has a direction belongs to a script from right to left."""
    directions = (unicodedata.bidirectional(letter) for word in words for letter in word)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"
