"""A section of the page: facts, warnings, plots and tables."""

from __future__ import annotations

import numpy as np

from xaijax import plot
from xaijax._core.attribution import Interactions
from xaijax._core.words import counted, extent, number
from xaijax._report._html import Html, element, joined, paragraphs
from xaijax._report._pictures import figure, map_in_words, picture_of_example, pictures_of_all
from xaijax._report._section import OUTPUT, Section, key_as_text, options_as_text
from xaijax._report._tables import example_tables, examples_table, facts_table, mean_table
from xaijax._report._warnings import checks_of, warnings_of
from xaijax.plot._parts.rows import unit_of

_NAMED_CLASSES = 5
_SHOWN_CLASSES = 4  # with plots and means of their own, where examples explain different classes


def chapter(section: Section, number: int) -> Html:
    """Returns the section as HTML; `number` counts from 1 and makes its ids."""
    name, reported = f"section-{number}", section.explained
    parts: list[Html] = [
        element("h2", section.heading, id=f"{name}-title", dir="auto"),
        paragraphs(section.text),
        facts_table("What was explained, and how", _facts_of(section)),
        _warnings(section, name),
    ]
    if section.shares_players:
        parts += _all_examples(section, name)
    if reported.num_examples > 1:
        parts.append(examples_table(section))
    parts += [_example(section, name, example) for example in section.shown]
    left = int(reported.finite.sum()) - len(section.shown)
    if left > 0 and reported.num_examples > 1:
        parts.append(element("p", f"{counted(left, 'more example')} not shown one by one.", class_="note"))
    return element("section", *parts, id=name, aria_labelledby=f"{name}-title")


def _all_examples(section: Section, name: str) -> list[Html]:
    """Returns plots and means over all examples, or over those of each class where they explain different ones."""
    classes = section.explained.classes
    parts = [element("h3", "All examples", id=f"{name}-all")]
    if len(classes) > 1:
        shown = min(len(classes), _SHOWN_CLASSES)
        which = "each class" if shown == len(classes) else f"each of the {shown} most frequent classes"
        note = f"The examples explain different classes, whose values cannot be compared: {which} is shown on its own."
        parts.append(element("p", note, class_="note"))
    for target, rows in classes[:_SHOWN_CLASSES]:
        of = f" of {section.class_name(target)}" if target is not None and len(classes) > 1 else ""
        parts += [figure(picture) for picture in pictures_of_all(section, rows, of)]
        parts.append(mean_table(section, rows, of))
    return parts


def _facts_of(section: Section) -> list[tuple[str, str]]:
    """Returns what was explained, by which method, with which options and key."""
    reported = section.explained
    attribution = reported.attribution
    facts = [("Explained", section.output), ("Class", _classes(section))]
    if attribution.of_spans:
        explains = "the log-probability of the response" if section.output == OUTPUT else section.output
        facts = [("Explained", explains), ("Response", _response(section))]
    facts.append(("Examples", f"{reported.num_examples:,}"))
    if reported.of_players:
        facts.append(
            (
                f"{section.noun.capitalize()}s",
                extent(np.array([len(section.players(example)) for example in range(reported.num_examples)])),
            )
        )
    else:
        facts.append(("Size of the maps", " × ".join(f"{side:,}" for side in reported.values.shape[1:])))
    facts.append(("Output", extent(np.asarray(attribution.output))))
    if attribution.base_value is not None:
        facts.append(("Base value", extent(np.asarray(attribution.base_value))))
    facts.append(("Method", attribution.method or "not named"))
    facts += [
        (name, text) for name, text in (("Estimator", attribution.estimator), ("Reason", attribution.reason)) if text
    ]
    if reported.of_players:
        facts.append(("A value is", unit_of(attribution).partition(": ")[2]))
    if section.has_bounds:
        facts.append(
            (
                "An interval is",
                "an upper bound: the standard errors of the tokens are summed, as they depend on each other",
            )
        )
    if isinstance(attribution, Interactions) and attribution.index:
        facts.append(("Index", attribution.index))
    if attribution.num_evaluations is not None:
        facts.append(("Evaluations of each example", extent(np.asarray(attribution.num_evaluations))))
    facts += [(f"Option {name}", value) for name, value in options_as_text(section.options)]
    key = key_as_text(section.key)
    return [*facts, *([("Key", key)] if key is not None else [])]


def _classes(section: Section) -> str:
    reported = section.explained
    target = reported.attribution.target
    if target is None:
        return "none: one output, or a score"
    numbers, counts = np.unique(np.asarray(target), return_counts=True)
    if len(numbers) == 1:
        text = section.class_name(int(numbers[0]))
    elif len(numbers) > _NAMED_CLASSES:
        text = f"{len(numbers)} classes, each example its own"
    else:
        text = ", ".join(f"{section.class_name(int(k))} ({count:,})" for k, count in zip(numbers, counts, strict=True))
    if reported.num_outputs is not None and section.target is None:
        text += f"; the top class of each example, of {reported.num_outputs} that were explained"
    return text


def _response(section: Section) -> str:
    """Returns the text of the explained response, or of the token of it that is explained."""
    attribution = section.attribution
    names = attribution.output_names or ()
    count, token = attribution.num_outputs or max(1, len(names)), section.target
    if token is None and count > 1 and attribution.target is not None:
        token = int(np.asarray(attribution.target).flat[0])
    if token is not None:
        return f"token {token} of {count}" + (f": {names[token]}" if names else "")
    return counted(count, "token") + (f": {''.join(names)}" if names else "")


def _warnings(section: Section, name: str) -> Html:
    warnings = warnings_of(section.explained)
    heading = element("h3", "Warnings" if warnings else "Checks", id=f"{name}-warnings")
    if warnings:
        items = [
            element("li", element("strong", head, ":"), rest)
            for head, _, rest in (sentence.partition(":") for sentence in warnings)
        ]
        attributes = {"class_": "warnings", "role": "group", "aria_labelledby": f"{name}-warnings"}
        return element("div", heading, element("ul", *items), **attributes)
    checks = [element("li", sentence) for sentence in checks_of(section.explained)]
    return joined(heading, element("p", "No warnings. Checked:"), element("ul", *checks))


def _example(section: Section, name: str, example: int) -> Html:
    reported = section.explained
    target, parts = reported.attribution.target, []
    if target is not None:
        parts.append(section.class_name(int(np.asarray(target)[example])))
    parts.append(
        f"output {number(float(np.asarray(reported.attribution.output)[example]), rounding=reported.rounding(example))}"
    )
    title = "The example" if reported.num_examples == 1 else f"Example {example}"
    picture = None if section.of_spans else picture_of_example(section, example)
    if section.of_spans:
        shown = Html(plot.prompt_html(section.attribution, example=example, output=section.chosen_output, title=""))
    elif picture is not None:
        shown = figure(picture)
    else:
        shown = Html(plot.text_html(reported.some(np.array([example])), section.players(example), title=""))
    if reported.of_players:
        tables = example_tables(section, example)
    else:
        where = "" if reported.num_examples == 1 else f" of example {example}"
        tables = facts_table(f"The map{where} in numbers", map_in_words(reported.map_of(example)))
    heading = element("h3", f"{title}: {', '.join(parts)}", id=f"{name}-example-{example}", dir="auto")
    return element("div", heading, shown, tables, class_="example")
