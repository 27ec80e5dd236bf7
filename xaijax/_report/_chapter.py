"""One section of the page: what was explained and how, what to beware of, pictures and tables."""

from __future__ import annotations

import numpy as np

from xaijax import plot
from xaijax._core.attribution import Interactions
from xaijax._report._given import key_in_words, options_in_words
from xaijax._report._html import Html, element, joined, paragraphs
from xaijax._report._pictures import figure, map_in_words, picture_of_example, pictures_of_all
from xaijax._report._section import Section, is_together
from xaijax._report._tables import example_tables, examples_table, facts_table, mean_table
from xaijax._report._warnings import checks_of, warnings_of
from xaijax._report._words import counted, extent

_CLASSES = 5  # that are named with their numbers of examples


def chapter(section: Section, place: int) -> Html:
    """The section as HTML; `place` counts from 1 and makes its ids."""
    name = f"section-{place}"
    one = section.explained
    parts: list[Html] = [
        element("h2", section.heading, id=f"{name}-title", dir="auto"),
        paragraphs(section.text),
        facts_table("What was explained, and how", facts_of(section)),
        _warnings(section, name),
    ]
    if is_together(section):
        parts.append(element("h3", "All examples together", id=f"{name}-all"))
        parts += [figure(picture) for picture in pictures_of_all(section)]
        parts.append(mean_table(section))
    if one.num_examples > 1:
        parts.append(examples_table(section))
    parts += [_example(section, name, example) for example in section.shown]
    left = int(one.finite.sum()) - len(section.shown)
    if left > 0 and one.num_examples > 1:
        parts.append(element("p", f"{counted(left, 'more example')} not shown one by one.", class_="note"))
    return element("section", *parts, id=name, aria_labeledby=f"{name}-title")


def facts_of(section: Section) -> list[tuple[str, str]]:
    """What was explained, by which method, with which options and key."""
    one = section.explained
    found = one.attribution
    facts = [("Explained", section.output), ("Class", _classes(section)), ("Examples", f"{one.num_examples:,}")]
    if one.of_players:
        noun = "Words" if section.words is not None else "Regions" if one.on_images else "Players"
        counts = np.array([len(section.players(example)) for example in range(one.num_examples)])
        facts.append((noun, extent(counts)))
    else:
        facts.append(("Places", " × ".join(f"{side:,}" for side in one.values.shape[1:])))
    facts.append(("Output", extent(np.asarray(found.output))))
    if found.base_value is not None:
        facts.append(("Base value", extent(np.asarray(found.base_value))))
    facts.append(("Method", found.method or "not named"))
    if isinstance(found, Interactions) and found.index:
        facts.append(("Index", found.index))
    if found.num_evaluations is not None:
        facts.append(("Evaluations of each example", extent(np.asarray(found.num_evaluations))))
    facts += [(f"Option {name}", value) for name, value in options_in_words(section.options)]
    key = key_in_words(section.key)
    return [*facts, *([("Key", key)] if key is not None else [])]


def _classes(section: Section) -> str:
    one = section.explained
    target = one.attribution.target
    if target is None:
        return "none: one output, or a score"
    numbers, counts = np.unique(np.asarray(target), return_counts=True)
    if len(numbers) == 1:
        said = section.class_name(int(numbers[0]))
    elif len(numbers) > _CLASSES:
        said = f"{len(numbers)} classes, of each example its own"
    else:
        said = ", ".join(f"{section.class_name(int(k))} ({count:,})" for k, count in zip(numbers, counts, strict=True))
    if one.chosen is not None and section.target is None:
        said += f"; the top class of each example, of {one.chosen} that were explained"
    return said


def _warnings(section: Section, name: str) -> Html:
    found = warnings_of(section.explained)
    heading = element("h3", "Warnings" if found else "Checks", id=f"{name}-warnings")
    if found:
        items = [
            element("li", element("strong", head, ":"), rest) for head, _, rest in (w.partition(":") for w in found)
        ]
        return element("div", heading, element("ul", *items), class_="warnings", role="group", aria_labeledby=f"{name}-warnings")  # fmt: skip
    checks = [element("li", sentence) for sentence in checks_of(section.explained)]
    return joined(heading, element("p", "Nothing to warn of:"), element("ul", *checks))


def _example(section: Section, name: str, example: int) -> Html:
    one = section.explained
    said = []
    target = one.attribution.target
    if target is not None:
        said.append(section.class_name(int(np.asarray(target)[example])))
    said.append(f"output {float(one.attribution.output[example]):.4g}")
    alone = "The example" if one.num_examples == 1 else f"Example {example}"
    identity = f"{name}-example-{example}"
    picture = picture_of_example(section, example)
    if picture is not None:
        shown = figure(picture)
    else:
        words = section.players(example)
        shown = Html(plot.text_html(one.some([example]), words, title=""))
    if one.of_players:
        tables = example_tables(section, example)
    else:
        where = "" if one.num_examples == 1 else f" of example {example}"
        tables = facts_table(f"The map{where} in numbers", map_in_words(one.map_of(example)))
    heading = element("h3", f"{alone}: {', '.join(said)}", id=identity, dir="auto")
    return element("div", heading, shown, tables, class_="example")
