"""The pictures of a section, each with its numbers in words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xaijax import plot
from xaijax._core.attribution import Attribution
from xaijax._report._html import Html, element
from xaijax._report._png import data_uri, drawn
from xaijax._report._section import Section, is_of_pairs
from xaijax._report._sums import sums_to_output
from xaijax._report._tables import Line, lines_of, mean_lines_of, pair_lines_of
from xaijax._report._words import counted, extent, interval, listed, number, signed

_MANY = 10  # examples from which on their spread is drawn too
_IN_WORDS = 5  # values that the description of a picture names


class Picture(NamedTuple):
    """png; size in inches; what is seen, in a line; and its numbers in words, for who does not see it."""

    png: bytes
    size: tuple[float, float]
    caption: str
    description: str


def picture_of_example(section: Section, example: int) -> Picture | None:
    """One example: its map, its pairs, or its bars; None for words, which are shown as words."""
    one = section.explained
    if one.on_images:
        return _map(section, example)
    if section.words is not None:
        return None
    if is_of_pairs(section):
        return _pairs(section, example)
    alone = one.some([example])
    names, inputs = section.players(example), section.input_texts(example)
    size = (6.8, 1.0 + 0.36 * min(section.top + 1, len(names)))
    words = _in_words(lines_of(section, example))
    output = number(float(one.attribution.output[example]))
    if not sums_to_output(one):
        if inputs is not None:
            names = [f"{name} = {value}" for name, value in zip(names, inputs, strict=True)]
        png = drawn(lambda ax: plot.bars(alone, names=names, top=section.top, title="", ax=ax), size)
        return Picture(
            png, size, _caption(section, example, "the strongest values"), f"Bars. The output is {output}. {words}"
        )
    given = None if inputs is None else np.array([inputs])
    png = drawn(lambda ax: plot.waterfall(alone, inputs=given, names=names, top=section.top, title="", ax=ax), size)
    base = number(float(np.asarray(one.attribution.base_value)[example]))
    words = f"Waterfall from the base value {base} to the output {output}. {words}"
    return Picture(png, size, _caption(section, example, "from the base value to the output"), words)


def pictures_of_all(section: Section) -> list[Picture]:
    """All examples together: mean sizes, and from ten on how the values spread."""
    one = section.explained
    known = one.some(np.flatnonzero(one.finite))
    names = section.players(0)
    options: dict[str, Any] = {"names": names, "top": section.top, "title": ""}
    count = counted(len(known.values), "example")
    size = (6.8, 1.0 + 0.36 * min(section.top + 1, len(names)))
    lines = mean_lines_of(section)
    largest = f"The largest: {listed([f'{line.name} {number(line.value)}' for line in lines[:_IN_WORDS]])}."
    if is_of_pairs(section):
        size = _square(min(section.top, len(names)))
        png = drawn(lambda ax: plot.interactions(known, **options, example=None, ax=ax), size)
        caption = f"Mean sizes over {count}: single players in frames, pairs beside them."
        return [
            Picture(png, size, caption, f"Matrix of mean sizes over {count}, single players on its diagonal. {largest}")
        ]
    png = drawn(lambda ax: plot.bars(known, **options, example=None, ax=ax), size)
    words = f"Bars of the mean size of values over {count}, with intervals. {largest}"
    found = [Picture(png, size, f"Mean size |value| over {count}.", words)]
    if len(known.values) >= _MANY:
        found.append(_spread(section, known, options, lines))
    return found


def figure(picture: Picture) -> Html:
    """A picture with its caption."""
    width, height = (round(96 * side) for side in picture.size)
    image = element("img", src=data_uri(picture.png), alt=picture.description, width=width, height=height)
    return element("figure", image, element("figcaption", picture.caption, dir="auto"))


def map_in_words(heat: np.ndarray) -> list[tuple[str, str]]:
    """Where a map [h, w] is strongest, and how far it reaches: names and what they are."""
    sizes = np.sort(np.abs(heat).reshape(-1))[::-1]
    facts = [("Places", f"{heat.shape[0]} by {heat.shape[1]}"), ("Values", extent(heat))]
    if not sizes.sum():
        return facts
    row, column = (int(place) for place in np.unravel_index(np.abs(heat).argmax(), heat.shape))
    half = int(np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)) + 1
    down = _third(row, heat.shape[0], ("upper", "middle", "lower"))
    across = _third(column, heat.shape[1], ("left", "center", "right"))
    where = f"{signed(heat[row, column])} in row {row} and column {column}, {down} {across}"
    return [*facts, ("Strongest", where), ("Half of all strength", f"on {100 * half / sizes.size:.2g} % of the places")]


def _map(section: Section, example: int) -> Picture:
    one = section.explained
    heat = one.map_of(example)
    size = (4.6, 3.7)
    known = np.flatnonzero(one.finite)
    images = None if section.images is None else section.given_images[known]
    place = int(np.searchsorted(known, example))
    png = drawn(
        lambda ax: plot.image(one.some(known), images, example=place, title="", ax=ax), size, few_colors=images is None
    )
    over = "" if images is None else " over the image"
    summed = ", summed over channels" if one.values.ndim == 4 else ""
    words = f"Heat map{over}{summed}. {'; '.join(f'{name}: {fact}' for name, fact in map_in_words(heat))}."
    if one.of_players:
        words = f"Regions{over}. {_in_words(lines_of(section, example))}"
    return Picture(png, size, _caption(section, example, f"what counts{over}{summed}"), words)


def _spread(section: Section, known: Attribution, options: dict[str, Any], lines: list[Line]) -> Picture:
    """A dot for every value."""
    one = section.explained
    inputs = section.given_inputs[one.finite] if section.inputs is not None else None
    if inputs is not None and (inputs.dtype.kind not in "biuf" or not np.isfinite(inputs).all()):
        inputs = None
    size = (7.4, 1.3 + 0.36 * min(section.top + 1, one.values.shape[1]))
    png = drawn(lambda ax: plot.beeswarm(known, **options, inputs=inputs, ax=ax), size)
    reach = []
    for line in lines[:_IN_WORDS]:
        column = np.asarray(known.values)[:, line.place]
        reach.append(f"{line.name} from {signed(column.min())} to {signed(column.max())}")
    colors = ", colored by the input" if inputs is not None else ""
    caption = f"Every value of {counted(len(known.values), 'example')}, a dot each{colors}."
    return Picture(
        png, size, caption, f"A dot for every value. The players with the largest mean sizes: {listed(reach)}."
    )


def _pairs(section: Section, example: int) -> Picture:
    names = section.players(example)
    size = _square(min(section.top, len(names)))
    alone = section.explained.some([example])
    png = drawn(lambda ax: plot.interactions(alone, names=names, top=section.top, title="", ax=ax), size)
    words = f"Matrix of pairs, single players on its diagonal. {_in_words(pair_lines_of(section, example))}"
    return Picture(png, size, _caption(section, example, "single players in frames, pairs beside them"), words)


def _caption(section: Section, example: int, what: str) -> str:
    start = "" if section.explained.num_examples == 1 else f"Example {example}: "
    return f"{start}{what}."[:1].upper() + f"{start}{what}."[1:]


def _in_words(lines: list[Line]) -> str:
    """'Strongest: age (input 41) +0.5 ± 0.1, and income -0.2; 8 others sum to +0.1.'"""
    named = []
    for line in lines[:_IN_WORDS]:
        given = f" (input {line.input})" if line.input is not None else ""
        around = f" {interval(line.error)}" if line.error and np.isfinite(line.error) else ""
        named.append(f"{line.name}{given} {signed(line.value)}{around}")
    left = lines[_IN_WORDS:]
    others = f"; {counted(len(left), 'other')} sum to {signed(sum(line.value for line in left))}" if left else ""
    return f"Strongest: {listed(named)}{others}." if named else "All are zero."


def _square(count: int) -> tuple[float, float]:
    return (2.4 + 0.52 * count, 1.6 + 0.46 * count)


def _third(place: int, length: int, names: tuple[str, str, str]) -> str:
    return names[min(3 * int(place) // length, 2)]
