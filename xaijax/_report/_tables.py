"""Tables of values, with what their errors are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xaijax._core.attribution import Interactions
from xaijax._report._explained import fidelity
from xaijax._report._html import Html, element, joined
from xaijax._report._section import Section, is_of_pairs
from xaijax._report._sums import sums_to_output, total
from xaijax._report._words import counted, interval, number, signed

LONGEST = 500  # rows of a table that is unfolded; the others are summed


class Line(NamedTuple):
    """A player, or a pair, and what is known of it; `place` is the player's number."""

    place: int
    name: str
    value: float
    error: float | None = None
    input: str | None = None


def lines_of(section: Section, example: int) -> list[Line]:
    """One example's players, the strongest first."""
    one = section.explained
    names, inputs = section.players(example), section.input_texts(example)
    errors = None if one.errors is None else one.errors[example]
    return _strongest(
        [
            Line(
                place, name, value, None if errors is None else float(errors[place]), inputs[place] if inputs else None
            )
            for place, (name, value) in enumerate(zip(names, one.values[example].tolist(), strict=False))
        ]
    )


def pair_lines_of(section: Section, example: int) -> list[Line]:
    """One example's pairs, and triples, the strongest first."""
    found = section.explained.attribution
    assert isinstance(found, Interactions)
    names = section.players(example)
    lines = []
    for order, values, errors in ((2, found.pairs, found.pair_errors), (3, found.triples, None)):
        if values is None:
            continue
        for places in zip(*np.nonzero(np.asarray(values)[example]), strict=True):
            if list(places) == sorted(set(places)) and len(places) == order:
                error = None if errors is None else float(np.asarray(errors)[(example, *places)])
                value = float(np.asarray(values)[(example, *places)])
                lines.append(Line(len(lines), " × ".join(names[place] for place in places), value, error))
    return _strongest(lines)


def mean_lines_of(section: Section) -> list[Line]:
    """The mean size |value| of each player over the examples that are finite, with its standard error."""
    one = section.explained
    sizes = np.abs(one.values[one.finite])
    errors = sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes))
    means = zip(section.players(0), sizes.mean(axis=0).tolist(), errors.tolist(), strict=True)
    return _strongest([Line(place, *line) for place, line in enumerate(means)])


def example_tables(section: Section, example: int) -> Html:
    """All tables of one example of players."""
    where = "" if section.explained.num_examples == 1 else f" of example {example}"
    noun = "word" if section.words is not None else "region" if section.explained.on_images else "player"
    lines = lines_of(section, example)
    shown = _folded(f"Values{where}, strongest first", noun, lines, section.top, foot=_account(section, example))
    if not is_of_pairs(section):
        return shown
    pairs = pair_lines_of(section, example)
    return joined(shown, _folded(f"What players do together{where}, strongest first", "pair", pairs, section.top))


def mean_table(section: Section) -> Html:
    count = int(section.explained.finite.sum())
    caption = f"Mean size |value| over {counted(count, 'example')}, largest first"
    return _folded(caption, "player", mean_lines_of(section), section.top, value="Mean |value|")


def examples_table(section: Section) -> Html:
    """What the model said of each example, and how well each explanation fits."""
    one = section.explained
    found = one.attribution
    r_squared, held_out, stable = fidelity(found)
    summed = total(one)[0] if sums_to_output(one) else None
    columns = {
        "Class": None if found.target is None else [section.class_name(int(k)) for k in np.asarray(found.target)],
        "Output": _numbers(found.output),
        "Base value": _numbers(found.base_value),
        "Sum of values": _numbers(summed),
        "R²": _numbers(r_squared),
        "Held-out R²": _numbers(held_out),
        "Stability": _numbers(stable),
        "Evaluations": None if found.num_evaluations is None else [f"{n:,}" for n in np.asarray(found.num_evaluations)],
    }
    columns = {name: column for name, column in columns.items() if column is not None}
    rows = [[f"example {place}", *row] for place, row in enumerate(zip(*columns.values(), strict=True))]
    table = _table("Each example", ["Example", *columns], rows[:LONGEST])
    left = f" The table shows the first {LONGEST:,}." if len(rows) > LONGEST else ""
    return _details(f"What the model said of {counted(len(rows), 'example')}.{left}", table)


def facts_table(caption: str, facts: Sequence[tuple[str, str]]) -> Html:
    """Names and what they are."""
    rows = [element("tr", element("th", name, scope="row"), element("td", value, dir="auto")) for name, value in facts]
    return _scrolling(caption, element("table", element("caption", caption), element("tbody", *rows)))


def _folded(
    caption: str, noun: str, lines: list[Line], top: int, *, value: str = "Value", foot: Sequence[list[str]] = ()
) -> Html:
    """The strongest in sight, all of them behind a line that unfolds."""
    few = _values_table(caption, noun, lines, top, value, foot)
    if len(lines) <= top:
        return few
    everything = f"All of these values: {caption[0].lower()}{caption[1:]}"
    return joined(
        few, _details(f"All {counted(len(lines), noun)}", _values_table(everything, noun, lines, LONGEST, value, foot))
    )


def _values_table(caption: str, noun: str, lines: list[Line], top: int, value: str, foot: Sequence[list[str]]) -> Html:
    with_inputs = any(line.input is not None for line in lines)
    with_errors = any(line.error is not None for line in lines)
    heads = [noun.capitalize(), *(["Input"] if with_inputs else []), value, *(["95 % interval"] if with_errors else [])]
    write = number if value.startswith("Mean") else signed
    rows = []
    for line in lines[:top]:
        given = [line.input or ""] if with_inputs else []
        rows.append([line.name, *given, write(line.value), *([interval(line.error) or ""] if with_errors else [])])
    others = lines[top:]
    if others:
        summed = write(sum(line.value for line in others))
        blank = [""] if with_inputs else []
        rows.append([f"{len(others):,} others, summed", *blank, summed, *(["not known"] if with_errors else [])])
    if not rows:
        return element("p", f"{caption}: all are zero.")
    return _table(caption, heads, rows, [[name, *([""] if with_inputs else []), *rest] for name, *rest in foot])


def _account(section: Section, example: int) -> list[list[str]]:
    """From the base value to the output, where the values lead there."""
    one = section.explained
    output = float(one.attribution.output[example])
    rows = []
    if one.attribution.base_value is not None:
        rows.append(["Base value", number(float(one.attribution.base_value[example]))])
        if sums_to_output(one):
            together = " of players, pairs and triples" if is_of_pairs(section) else ""
            rows.append([f"Sum of all values{together}", signed(float(total(one)[0][example]))])
    return [*rows, ["Output", number(output)]]


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[Sequence[str]] = ()
) -> Html:
    """The first column heads its row and has the user's words; the others are numbers for the most part."""

    def row(cells: Sequence[str]) -> Html:
        missing = [""] * (len(heads) - len(cells))
        head = element("th", cells[0], scope="row", dir="auto")
        return element("tr", head, *(element("td", cell, dir="auto") for cell in [*cells[1:], *missing]))

    parts = [element("caption", caption)]
    parts.append(element("thead", element("tr", *(element("th", head, scope="col") for head in heads))))
    parts.append(element("tbody", *(row(cells) for cells in rows)))
    if foot:
        parts.append(element("tfoot", *(row(cells) for cells in foot)))
    return _scrolling(caption, element("table", *parts, class_="numbers"))


def _scrolling(caption: str, table: Html) -> Html:
    """Wide tables scroll by themselves, by keys too."""
    return element("div", table, class_="scroll", role="group", aria_label=f"Table: {caption}", tabindex=0)


def _details(summary: str, content: Html) -> Html:
    return element("details", element("summary", summary), content)


def _strongest(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: -abs(line.value))


def _numbers(values: Any) -> list[str] | None:
    return None if values is None else [number(float(value)) for value in np.asarray(values)]
