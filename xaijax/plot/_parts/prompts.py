"""Prompts: spans, what stands around them, and what the spans are worth to each token of the response and to all of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.rounding import without_rounding_error
from xaijax._core.words import Z, printable, signed
from xaijax.plot._parts.rows import check_attribution, check_example, output_index
from xaijax.text import Prompt, whole_response

WHOLE = "the whole response"


class View(NamedTuple):
    """What the spans are worth to one token of the response, or to all of it.

    name: of the token or the whole response, for a title.
    token: the index of the token; None for the whole response.
    values: [M], exactly 0 where they are rounding error.
    halves: [M] half of the 95 % interval of each: 0 where a value is exact, NaN where it is not known; None where no
      standard errors are known.
    bounded: whether the intervals are upper bounds.
    output, base_value: the log-probability with all spans and, where it is known, with none.
    """

    name: str
    token: int | None
    values: np.ndarray
    halves: np.ndarray | None
    bounded: bool
    output: float
    base_value: float | None

    @property
    def uncertain(self) -> np.ndarray:
        """[M] whether the interval of a value contains 0 or is not known, so that its sign is unknown."""
        if self.halves is None:
            return np.zeros(len(self.values), bool)
        return ~(np.abs(self.values) > self.halves) & (self.halves != 0)

    def labels(self) -> list[str]:
        """Returns each value with its interval: '+0.53 ± 0.12', and '± ≤0.12' for upper bounds."""
        halves = np.zeros(len(self.values)) if self.halves is None else self.halves
        return [
            signed(value, digits=3) + _half(half, self.bounded)
            for value, half in zip(self.values.tolist(), halves.tolist(), strict=True)
        ]


class Shown(NamedTuple):
    """A prompt with its response, as plots show it.

    spans: M texts. before, after: the texts around them. tokens: those of the response; empty where they are not known.
    views: for the whole response, where that is known, and for each token. chosen: the index of the first one to show.
    """

    spans: list[str]
    before: str
    after: str
    tokens: list[str]
    views: list[View]
    chosen: int


def read_prompt(
    attribution: Attribution,
    prompt: Prompt | None,
    whole: Attribution | None,
    example: int,
    output: int | str | None,
) -> Shown:
    """Reads an attribution of spans, for one output or for all tokens of a response."""
    single = _of_example("attribution", attribution, example)
    if prompt is not None and not isinstance(prompt, Prompt):
        raise TypeError(f"`prompt` must come from xai.text.prompt, got {check.shown(prompt)}.")
    spans, before, after = _texts(single, prompt)
    count = single.num_outputs
    if count is None or count == 1:
        if output is not None and (count is None or output_index(output, single.output_names, 1)):
            raise ValueError(
                f"`output` must be left out, since the attribution explains one output, got {check.shown(output)}."
            )
        if whole is not None:
            raise ValueError("`whole` must be left out, since the attribution explains one output already.")
        one = single if count is None else single.of_output(0)
        tokens = [printable(name) for name in single.output_names or ()]
        token = None if len(tokens) < 2 or single.target is None else int(np.asarray(single.target))
        name = quoted(tokens[token]) if token is not None else WHOLE if count or len(tokens) == 1 else ""
        return Shown(spans, before, after, tokens, [_view(one, name, token)], 0)
    names = single.output_names
    tokens = [f"token {number}" for number in range(count)] if names is None else [printable(name) for name in names]
    views = [_view(single.of_output(number), quoted(name), number) for number, name in enumerate(tokens)]
    if whole is not None:
        views.insert(0, _view(_checked_whole(whole, example, len(spans)), WHOLE, None))
    elif type(single) in (Attribution, Interactions):
        views.insert(0, _view(whole_response(single), WHOLE, None, bounded=True))
    chosen = 0
    if output is not None:
        chosen = output_index(output, single.output_names, count) + len(views) - count
    return Shown(spans, before, after, tokens, views, chosen)


def quoted(token: str) -> str:
    """Returns a token in quotation marks, with its spaces and line breaks visible."""
    return f"“{visible(token)}”"


def visible(token: str) -> str:
    """Returns a token whose line breaks, tabs and bare spaces are marks."""
    token = token.replace("\n", "↵").replace("\t", "⇥")
    return token if token.strip() else token.replace(" ", "␣") or "∅"


def _half(half: float, bounded: bool) -> str:
    if half == 0:
        return ""
    if not np.isfinite(half):
        return " ± ?"
    return f" ± {'≤' if bounded else ''}{half:.2g}"


def _of_example(name: str, attribution: Attribution, example: int) -> Attribution:
    """Returns one example of an attribution of players."""
    check_attribution(attribution, name)
    if not attribution.of_players:
        raise ValueError(
            f"`{name}` must have one value for each span, axes 'M' or 'M K', got axes {attribution.axes!r}: sum the values "
            "of tokens by xai.text.by_span."
        )
    count = attribution.num_examples
    example = check_example(example, 1 if count is None else count)
    return attribution if count is None else attribution[example]


def _texts(single: Attribution, prompt: Prompt | None) -> tuple[list[str], str, str]:
    count = single.num_players
    if prompt is None:
        before, after = ("", "") if single.context is None else single.context
        names = [f"span {number}" for number in range(count)] if single.names is None else single.names
        return [printable(str(name)) for name in names], printable(before), printable(after)
    if prompt.num_spans != count:
        raise ValueError(
            f"`prompt` must have as many spans as the attribution has players, {count}, got {prompt.num_spans}: pass the "
            "prompt of the game that was explained."
        )
    before, after = prompt.context
    return [printable(text) for text in prompt.texts], printable(before), printable(after)


def _checked_whole(whole: Attribution, example: int, count: int) -> Attribution:
    single = _of_example("whole", whole, example)
    if single.num_players != count:
        raise ValueError(f"`whole` must have the {count} players of `attribution`, got {single.num_players}.")
    if single.num_outputs not in (None, 1):
        raise ValueError(
            f"`whole` must explain one output, the whole response, got {single.num_outputs}: explain game.whole."
        )
    return single if single.num_outputs is None else single.of_output(0)


def _view(single: Attribution, name: str, token: int | None, *, bounded: bool = False) -> View:
    single = without_rounding_error(single)
    halves = None
    if single.std_errors is not None:
        halves = np.where(np.isfinite(single.std_errors), Z * np.asarray(single.std_errors), np.nan)
    base = None if single.base_value is None else float(np.asarray(single.base_value))
    return View(name, token, np.asarray(single.values), halves, bounded, float(np.asarray(single.output)), base)


def sentences_of(view: View, attribution: Attribution) -> list[str]:
    """Returns what a reader must know of the numbers: the sum that they share out, and what their intervals are."""
    of = f" of {view.name}" if view.name else ""
    sentences = ["Red speaks for the response, blue against it."]
    if attribution.efficient and view.base_value is not None:
        sentences.append(
            f"The values share out the change of the log-probability{of} from {view.base_value:.4g} without the spans to "
            f"{view.output:.4g} with them."
        )
    if view.halves is not None and view.halves.any():
        first = "± ≤ bounds the 95 % interval (game.whole gives it)" if view.bounded else "± is the 95 % interval"
        sentences.append(f"{first}; hatched: it contains 0, or is not known.")
    return sentences
