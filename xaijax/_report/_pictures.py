"""The plots of a section, each with its numbers in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from xaijax import plot
from xaijax._core.attribution import Attribution
from xaijax._core.words import counted, extent, interval, listed, number, signed
from xaijax._report._explained import sums_to_output
from xaijax._report._html import Html, element
from xaijax._report._png import data_uri, drawn
from xaijax._report._section import Section
from xaijax._report._tables import Line, lines_of, mean_lines_of, pair_lines_of

_MANY = 10  # examples from which on their distribution is drawn too
_IN_WORDS = 5  # values that the description of a plot names


class Picture(NamedTuple):
    """A plot in a page.

    png: the image; dark: another for dark pages, None where the first may be inverted.
    size: in inches; caption: a line below it; description: its numbers in words, for readers who do not see it.
    """

    png: bytes
    dark: bytes | None
    size: tuple[float, float]
    caption: str
    description: str


def picture_of_example(section: Section, example: int) -> Picture | None:
    """Draws one example: its map, its pairs, or its bars; None for words, which are shown as words."""
    reported = section.explained
    if reported.on_images:
        return _map(section, example)
    if section.words is not None:
        return None
    if section.of_pairs:
        return _pairs(section, example)
    alone = reported.some(np.array([example]))
    names, inputs = section.players(example), section.input_texts(example)
    size = (5.6, 1.2 + 0.36 * min(section.top + 1, len(names)))
    rounding = reported.rounding(example)
    in_words = _in_words(lines_of(section, example), rounding)
    output = number(float(np.asarray(reported.attribution.output)[example]), rounding=rounding)
    options: dict[str, Any] = {"top": section.top, "title": ""}
    if sums_to_output(reported):
        options |= {"inputs": None if inputs is None else np.array([inputs], object), "names": names}
        base = number(float(np.asarray(reported.attribution.base_value)[example]), rounding=rounding)
        description = f"Waterfall from the base value {base} to the output {output}. {in_words}"
        caption = _caption(section, example, "from the base value to the output")
        return _chart(lambda ax: plot.waterfall(alone, **options, ax=ax), size, caption, description)
    if inputs is not None and alone.names is None:
        names = [f"{name} = {value}" for name, value in zip(names, inputs, strict=True)]
    caption = _caption(section, example, "the strongest values")
    description = f"Bars. The output is {output}. {in_words}"
    return _chart(lambda ax: plot.bars(alone, names=names, **options, ax=ax), size, caption, description)


def pictures_of_all(section: Section, rows: np.ndarray, of: str) -> list[Picture]:
    """Draws some examples: mean sizes, and from ten on how the values are distributed."""
    reported = section.explained
    known, names = reported.some(rows), section.players(0)
    options: dict[str, Any] = {"names": names, "top": section.top, "title": ""}
    count = counted(len(rows), "example") + of
    size = (5.6, 1.2 + 0.36 * min(section.top + 1, len(names)))
    lines = mean_lines_of(section, rows)
    largest = f"The largest: {listed([f'{line.name} {number(line.value)}' for line in lines[:_IN_WORDS]])}."
    if section.of_pairs:
        caption = f"Mean sizes over {count}: single players in frames, pairs in the other cells."
        description = f"Matrix of mean sizes over {count}, single players on its diagonal. {largest}"
        size = _square(min(section.top, len(names)))
        return [_chart(lambda ax: plot.interactions(known, **options, example=None, ax=ax), size, caption, description)]
    description = f"Bars of the mean |value| over {count}, with intervals. {largest}"
    draw = lambda ax: plot.bars(known, **options, example=None, ax=ax)  # noqa: E731
    pictures = [_chart(draw, size, f"Mean |value| over {count}.", description)]
    if len(rows) >= _MANY:
        pictures.append(_distribution(section, rows, known, options, lines, count))
    return pictures


def figure(picture: Picture) -> Html:
    """Returns a figure with its caption. On dark pages charts are inverted, and maps replaced by a dark version."""
    width, height = (round(96 * side) for side in picture.size)
    options: dict[str, Any] = {"alt": picture.description, "width": width, "height": height}
    if picture.dark is None:
        shown = element("img", src=data_uri(picture.png), class_="chart", **options)
    else:
        dark = element("source", media="(prefers-color-scheme: dark)", srcset=data_uri(picture.dark))
        shown = element("picture", dark, element("img", src=data_uri(picture.png), **options))
    return element("figure", shown, element("figcaption", picture.caption, dir="auto"))


def map_in_words(heat: np.ndarray) -> list[tuple[str, str]]:
    """Returns facts about a map [h, w]: where it is strongest, and how far it reaches."""
    sizes = np.sort(np.abs(heat).reshape(-1))[::-1]
    facts = [("Size", f"{heat.shape[0]} by {heat.shape[1]}"), ("Values", extent(heat))]
    if not sizes.sum():
        return facts
    row, column = (int(index) for index in np.unravel_index(np.abs(heat).argmax(), heat.shape))
    half = int(np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)) + 1
    down = _third(row, heat.shape[0], ("upper", "middle", "lower"))
    across = _third(column, heat.shape[1], ("left", "center", "right"))
    where = f"{signed(heat[row, column])} in row {row} and column {column}, {down} {across}"
    return [
        *facts,
        ("Strongest", where),
        ("Half of the total |value|", f"on {100 * half / sizes.size:.2g} % of the area"),
    ]


def _chart(draw: Callable[[Axes], object], size: tuple[float, float], caption: str, description: str) -> Picture:
    return Picture(drawn(draw, size), None, size, caption, description)


def _map(section: Section, example: int) -> Picture:
    reported = section.explained
    heat, size = reported.map_of(example), (4.6, 3.7)
    images = None if section.images is None else section.given_images[[example]]
    alone = reported.some(np.array([example]))

    def draw(dark: bool) -> bytes:
        plotted = lambda ax: plot.image(alone, images, title="", ax=ax)  # noqa: E731
        return drawn(plotted, size, few_colors=images is None, dark=dark)

    over = "" if images is None else " over the image"
    summed = ", summed over channels" if reported.values.ndim == 4 else ""
    description = f"Heat map{over}{summed}. {'; '.join(f'{name}: {fact}' for name, fact in map_in_words(heat))}."
    if reported.of_players:
        description = f"Regions{over}. {_in_words(lines_of(section, example), reported.rounding(example))}"
    caption = _caption(section, example, f"the map{over}{summed}")
    return Picture(draw(False), draw(True), size, caption, description)


def _distribution(
    section: Section, rows: np.ndarray, known: Attribution, options: dict[str, Any], lines: list[Line], count: str
) -> Picture:
    """Draws a dot for every value."""
    inputs = section.given_inputs
    inputs = None if inputs is None else inputs[rows]
    size = (6.0, 1.5 + 0.36 * min(section.top + 1, section.explained.values.shape[1]))
    reach = []
    for line in lines[:_IN_WORDS]:
        column = np.asarray(known.values)[:, line.number]
        low, high = (signed(end) for end in (column.min(), column.max()))
        reach.append(f"{line.name} from {low} to {high}")
    colors = ", colored by the input" if inputs is not None and inputs.dtype.kind in "biuf" else ""
    caption = f"Every value of {count}, a dot each{colors}."
    description = f"A dot for every value. The players with the largest mean |value|: {listed(reach)}."
    return _chart(lambda ax: plot.beeswarm(known, **options, inputs=inputs, ax=ax), size, caption, description)


def _pairs(section: Section, example: int) -> Picture:
    reported, names = section.explained, section.players(example)
    alone = reported.some(np.array([example]))
    in_words = _in_words(pair_lines_of(section, example), reported.rounding(example))
    caption = _caption(section, example, "single players in frames, pairs in the other cells")
    draw = lambda ax: plot.interactions(alone, names=names, top=section.top, title="", ax=ax)  # noqa: E731
    description = f"Matrix of pairs, single players on its diagonal. {in_words}"
    return _chart(draw, _square(min(section.top, len(names))), caption, description)


def _caption(section: Section, example: int, content: str) -> str:
    start = "" if section.explained.num_examples == 1 else f"Example {example}: "
    return f"{start}{content}."[:1].upper() + f"{start}{content}."[1:]


def _in_words(lines: list[Line], rounding: float) -> str:
    """Returns 'Strongest: age (input 41) +0.5 ± 0.1, and income -0.2; 8 others sum to +0.1.'"""
    named = []
    for line in lines[:_IN_WORDS]:
        given = f" (input {line.input})" if line.input is not None else ""
        around = f" {interval(line.error)}" if line.error and np.isfinite(line.error) else ""
        named.append(f"{line.name}{given} {signed(line.value)}{around}")
    left = lines[_IN_WORDS:]
    summed = signed(sum(line.value for line in left), rounding=rounding)
    others = f"; {counted(len(left), 'other')} sum to {summed}" if left else ""
    return f"Strongest: {listed(named)}{others}." if named else "All are zero."


def _square(count: int) -> tuple[float, float]:
    return (2.4 + 0.52 * count, 1.6 + 0.46 * count)


def _third(index: int, length: int, names: tuple[str, str, str]) -> str:
    return names[min(3 * int(index) // length, 2)]
