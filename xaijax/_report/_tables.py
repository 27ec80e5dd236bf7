"""Tables of values with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xaijax._core.attribution import Interactions
from xaijax._core.words import counted, interval, num_present, number, signed
from xaijax._report._explained import fidelity, sums_to_output, total
from xaijax._report._html import Html, element, joined
from xaijax._report._section import Section

LONGEST = 500  # rows of a table that is unfolded; the others are summed


class Line(NamedTuple):
    """A player, or a pair: its number, name, value, standard error and input."""

    number: int
    name: str
    value: float
    error: float | None = None
    input: str | None = None


def lines_of(section: Section, example: int) -> list[Line]:
    """Returns one example's players, the strongest first."""
    reported = section.explained
    names, inputs = section.players(example), section.input_texts(example)
    errors = None if reported.errors is None else reported.errors[example]
    lines = []
    values = reported.values[example][: len(names)]  # of a text its words alone
    for player, (name, value) in enumerate(zip(names, values[: num_present(names, values)].tolist(), strict=False)):
        error = None if errors is None else float(errors[player])
        lines.append(Line(player, name, value, error, inputs[player] if inputs else None))
    return _strongest(lines)


def pair_lines_of(section: Section, example: int) -> list[Line]:
    """Returns one example's pairs and triples, the strongest first."""
    attribution = section.explained.attribution
    assert isinstance(attribution, Interactions)
    names = section.players(example)
    lines = []
    for order, values, errors in ((2, attribution.pairs, attribution.pair_errors), (3, attribution.triples, None)):
        if values is None:
            continue
        for players in zip(*np.nonzero(np.asarray(values)[example]), strict=True):
            if list(players) == sorted(set(players)) and len(players) == order:
                error = None if errors is None else float(np.asarray(errors)[(example, *players)])
                value = float(np.asarray(values)[(example, *players)])
                lines.append(Line(len(lines), " × ".join(names[player] for player in players), value, error))
    return _strongest(lines)


def mean_lines_of(section: Section, rows: np.ndarray) -> list[Line]:
    """Returns the mean |value| of each player over some examples, with its standard error."""
    sizes = np.abs(section.explained.values[rows])
    errors = sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes)) if len(sizes) > 1 else np.full(sizes.shape[1], np.nan)
    means = zip(section.players(0), sizes.mean(axis=0).tolist(), errors.tolist(), strict=True)
    return _strongest([Line(player, *line) for player, line in enumerate(means)])


def example_tables(section: Section, example: int) -> Html:
    """Returns all tables of one example of players."""
    reported = section.explained
    where = "" if reported.num_examples == 1 else f" of example {example}"
    noun = section.noun
    caption, foot = f"Values{where}, strongest first", _account(section, example)
    shown = _folded(caption, noun, lines_of(section, example), section.top, reported.rounding(example), foot=foot)
    if not section.of_pairs:
        return shown
    caption = f"Interactions{where}, strongest first"
    return joined(
        shown, _folded(caption, "pair", pair_lines_of(section, example), section.top, reported.rounding(example))
    )


def mean_table(section: Section, rows: np.ndarray, of: str) -> Html:
    caption = f"Mean |value| over {counted(len(rows), 'example')}{of}, largest first"
    return _folded(caption, "player", mean_lines_of(section, rows), section.top, 0.0, value="Mean |value|")


def examples_table(section: Section) -> Html:
    """Returns the output of each example, and how well each explanation fits."""
    reported = section.explained
    attribution = reported.attribution
    r_squared, held_out, stable = fidelity(attribution)
    summed = total(reported)[0] if sums_to_output(reported) else None
    targets, evaluations = attribution.target, attribution.num_evaluations
    columns = {
        "Class": None if targets is None else [section.class_name(int(k)) for k in np.asarray(targets)],
        "Output": _numbers(attribution.output),
        "Base value": _numbers(attribution.base_value),
        "Sum of values": _numbers(summed),
        "R²": _numbers(r_squared),
        "Held-out R²": _numbers(held_out),
        "Stability": _numbers(stable),
        "Evaluations": None if evaluations is None else [f"{count:,}" for count in np.asarray(evaluations)],
    }
    columns = {name: column for name, column in columns.items() if column is not None}
    rows = [[f"example {example}", *row] for example, row in enumerate(zip(*columns.values(), strict=True))]
    table = _table("Each example", ["Example", *columns], rows[:LONGEST])
    left = f" The table shows the first {LONGEST:,}." if len(rows) > LONGEST else ""
    return _details(f"The outputs of {counted(len(rows), 'example')}.{left}", table)


def facts_table(caption: str, facts: Sequence[tuple[str, str]]) -> Html:
    """Returns a table of facts and their values."""
    rows = [element("tr", element("th", name, scope="row"), element("td", value, dir="auto")) for name, value in facts]
    table = element("table", element("caption", caption), element("tbody", *rows), class_="facts")
    return _scrolling(caption, table)


def _folded(
    caption: str,
    noun: str,
    lines: list[Line],
    top: int,
    rounding: float,
    *,
    value: str = "Value",
    foot: Sequence[list[str]] = (),
) -> Html:
    """Returns a table of the strongest, and all of them behind a line that unfolds."""
    few = _values_table(caption, noun, lines, top, rounding, value, foot)
    if len(lines) <= top:
        return few
    everything = f"All of these values: {caption[0].lower()}{caption[1:]}"
    table = _values_table(everything, noun, lines, LONGEST, rounding, value, foot)
    return joined(few, _details(f"All {counted(len(lines), noun)}", table))


def _values_table(
    caption: str, noun: str, lines: list[Line], top: int, rounding: float, value: str, foot: Sequence[list[str]]
) -> Html:
    with_inputs = any(line.input is not None for line in lines)
    with_errors = any(line.error for line in lines)
    heads = [noun.capitalize(), *(["Input"] if with_inputs else []), value, *(["95 % interval"] if with_errors else [])]
    write = number if value.startswith("Mean") else signed
    rows = []
    for line in lines[:top]:
        given = [line.input or ""] if with_inputs else []
        errors = [interval(line.error) or ""] if with_errors else []
        rows.append([line.name, *given, write(line.value), *errors])
    others = lines[top:]
    if others:
        summed = write(sum(line.value for line in others), rounding=rounding)
        blank = [""] if with_inputs else []
        rows.append([f"{len(others):,} others, summed", *blank, summed, *(["not known"] if with_errors else [])])
    if not rows:
        return element("p", f"{caption}: all are zero.")
    foot = [[name, *([""] if with_inputs else []), *rest] for name, *rest in foot]
    return _table(caption, heads, rows, foot, class_="numbers inputs" if with_inputs else "numbers")


def _account(section: Section, example: int) -> list[list[str]]:
    """Returns the rows that lead from the base value to the output."""
    reported = section.explained
    output, rounding = float(np.asarray(reported.attribution.output)[example]), reported.rounding(example)
    rows = []
    if reported.attribution.base_value is not None:
        base = float(np.asarray(reported.attribution.base_value)[example])
        rows.append(["Base value", number(base, rounding=rounding)])
        if sums_to_output(reported):
            of = " of players, pairs and triples" if section.of_pairs else ""
            rows.append([f"Sum of all values{of}", signed(float(total(reported)[0][example]), rounding=rounding)])
    return [*rows, ["Output", number(output, rounding=rounding)]]


def _table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    foot: Sequence[Sequence[str]] = (),
    class_: str = "numbers",
) -> Html:
    """Returns a table whose first column holds the heads of its rows; the others are mostly numbers."""

    def row(cells: Sequence[str]) -> Html:
        missing = [""] * (len(heads) - len(cells))
        head = element("th", cells[0], scope="row", dir="auto")
        return element("tr", head, *(element("td", cell, dir="auto") for cell in [*cells[1:], *missing]))

    parts = [element("caption", caption)]
    parts.append(element("thead", element("tr", *(element("th", head, scope="col") for head in heads))))
    parts.append(element("tbody", *(row(cells) for cells in rows)))
    if foot:
        parts.append(element("tfoot", *(row(cells) for cells in foot)))
    return _scrolling(caption, element("table", *parts, class_=class_))


def _scrolling(caption: str, table: Html) -> Html:
    """Lets wide tables scroll on their own, by keys too."""
    return element("div", table, class_="scroll", role="group", aria_label=f"Table: {caption}", tabindex=0)


def _details(summary: str, content: Html) -> Html:
    return element("details", element("summary", summary), content)


def _strongest(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: -abs(line.value))


def _numbers(values: object) -> list[str] | None:
    return None if values is None else [number(float(value)) for value in np.asarray(values)]
