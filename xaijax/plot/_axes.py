"""What all plots share: axes, colors, and one output of one example or of all, as numbers."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._fonts import label_style
from xaijax.plot._names import LONGEST_NAME, names_with_inputs, number, player_names, shortened, strongest

__all__ = [
    "GRAY", "LONGEST_NAME", "LOW_TO_HIGH", "NEGATIVE", "POSITIVE", "SIGNED", "Row", "Rows", "all_rows", "caption", "check_attribution",
    "check_example", "chosen_rows", "lines_of_players", "names_with_inputs", "new_axes", "number", "of_output", "one_row",
    "player_names", "shortened", "strongest", "titled", "without_frame",
]  # fmt: skip

POSITIVE, NEGATIVE = "#c44e2b", "#2b6ca3"  # orange-red and blue: told apart by all kinds of color vision
LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", [NEGATIVE, "#c9b3c4", POSITIVE])
SIGNED = "RdBu_r"  # diverging, even in lightness to both sides of white, for values about zero
GRAY = "#8c8c8c"
_TITLE_SIZE, _LETTER, _SHORTEST_LINE = 10, 0.55, 20  # points; a letter's mean width in its height; letters
# What has the axis of outputs last where all outputs are explained.
_OF_VALUES = ("values", "std_errors", "slopes", "pairs", "pair_errors", "triples")
_OF_OUTPUT = ("output", "base_value", "intercept", "prediction", "r_squared", "held_out_r_squared", "stability")


class Row(NamedTuple):
    """One example's attribution of players: values [M], std_errors [M] (0 where there are none), base and output.

    num_examples: how many there were to choose from, None for one alone; of: the name of the output, "" where unknown.
    """

    values: np.ndarray
    std_errors: np.ndarray
    base_value: float | None
    output: float
    num_examples: int | None = None
    of: str = ""


class Rows(NamedTuple):
    """All examples' attributions: values and std_errors [N, M] (0 where there are none), base_value and output [N]."""

    values: np.ndarray
    std_errors: np.ndarray
    base_value: np.ndarray | None
    output: np.ndarray
    of: str = ""


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of `size` inches."""
    if ax is not None:
        if not isinstance(ax, Axes):
            raise TypeError(f"ax must be matplotlib axes, but it is {type(ax).__name__}.")
        return ax
    # The figure is pyplot's, since only so notebooks and plt.show() show it; what the user draws on stays current.
    current = plt.gcf() if plt.get_fignums() else None
    _, ax = plt.subplots(figsize=size, layout="constrained")
    if current is not None:
        plt.figure(current)
    return ax


def one_row(
    attribution: Attribution, example: int, *, output: Any = None, output_names: Sequence[str] | None = None
) -> Row:
    """The values of one example, or of a hand-written game, which is its own only example, for one output."""
    check_attribution(attribution)
    count = attribution.num_examples
    example = check_example(example, 1 if count is None else count)
    alone = attribution if count is None else attribution[example]
    alone, of = of_output(alone, output, output_names, example=True)
    values = np.asarray(alone.values, np.float64)
    return Row(values, _errors(alone, values), _number(alone.base_value), float(np.asarray(alone.output)), count, of)


def all_rows(attribution: Attribution, *, output: Any = None, output_names: Sequence[str] | None = None) -> Rows:
    """The values of all examples, of which a hand-written game is one, for one output."""
    check_attribution(attribution)
    alone = attribution.num_examples is None
    attribution, of = of_output(attribution, output, output_names)
    values, outputs = (np.asarray(part, np.float64) for part in (attribution.values, attribution.output))
    errors, base = _errors(attribution, values), attribution.base_value
    base = None if base is None else np.asarray(base, np.float64)
    if alone:
        values, errors, outputs, base = values[None], errors[None], outputs[None], None if base is None else base[None]
    if base is not None:
        base = np.broadcast_to(base, outputs.shape)
    return Rows(values, errors, base, outputs, of)


def of_output(
    attribution: Attribution, output: Any, output_names: Sequence[str] | None, *, example: bool = False
) -> tuple[Attribution, str]:
    """The attribution of one output, values [N, M] or [M], and the output's name, "" where it has none.

    output: which of the K outputs, by number or name; it may be left out where only one is explained.
    example: whether the attribution is known to be of one example alone.
    """
    alone = example or attribution.num_examples is None
    shape, outputs = np.shape(attribution.values), np.shape(attribution.output)
    players = len(shape) - (0 if alone else 1)  # axes of values after that of the examples
    every = len(outputs) == (1 if alone else 2) and shape[-1:] == outputs[-1:] and players == 2
    if not every and (players != 1 or len(outputs) != (0 if alone else 1)):
        raise ValueError(
            "attribution must give a value to each player, values [N, M], or [N, M, K] of K outputs, or without N for one "
            f"example, but its values have shape {list(shape)} and its outputs {list(outputs)}."
        )
    if not every:
        return attribution, _name_of_target(attribution, output, output_names)
    count = outputs[-1]
    if output_names is not None and len(output_names) != count:
        raise ValueError(f"output_names must be {count}, one for each output, but there are {len(output_names)}.")
    if output is None and count > 1:
        raise ValueError(
            f"attribution explains {count} outputs of each example, and this picture is of one: pass output=, a number from "
            f"0 to {count - 1} or one of output_names."
        )
    place = output_place(0 if output is None else output, output_names, count)
    fields = {name: getattr(attribution, name, None) for name in (*_OF_VALUES, *_OF_OUTPUT)}
    chosen = {
        name: np.asarray(field)[..., place]
        for name, field in fields.items()
        if field is not None and (name in _OF_VALUES or np.ndim(field) == len(outputs))
    }
    of = f"output {place}" if output_names is None else shortened(str(output_names[place]))
    return dataclasses.replace(attribution, **chosen), of if count > 1 or output_names is not None else ""


def _name_of_target(attribution: Attribution, output: Any, output_names: Sequence[str] | None) -> str:
    """The name of the one output that is explained: that of its target, where this is one class."""
    targets = np.unique(np.asarray([] if attribution.target is None else attribution.target))
    if output is not None:
        count = len(output_names) if output_names is not None else max([*targets.tolist(), 0]) + 1
        if not len(targets) or (targets != output_place(output, output_names, count)).any():
            what = f"that of targets {targets[:5].tolist()}" if len(targets) else "one score"
            raise ValueError(
                f"output is {output!r}, but attribution explains one output of each example already, {what}: leave output "
                "out, or explain all outputs with target='all'."
            )
    if output_names is None or len(targets) != 1:
        return ""
    return shortened(str(output_names[output_place(int(targets[0]), output_names, len(output_names))]))


def output_place(output: Any, output_names: Sequence[str] | None, count: int) -> int:
    """The number of an output given by its number or name."""
    if output_names is not None and len(output_names) != count:
        raise ValueError(f"output_names must be {count}, one for each output, but there are {len(output_names)}.")
    if isinstance(output, str):
        if output_names is None:
            raise ValueError(f"output is {output!r}, but no output_names are given: pass them, or a number.")
        return list(output_names).index(check.one_of("output", output, output_names))
    place = check.positive_int("output", output, least=0)
    if place >= count:
        raise ValueError(f"output must lie between 0 and {count - 1}, but it is {place}.")
    return place


def check_attribution(attribution: Any) -> None:
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
    if not np.isfinite(np.asarray(attribution.values)).all():
        raise ValueError("attribution has values that are not finite: there is nothing to draw; look at its inputs.")


def check_example(example: Any, num_examples: int) -> int:
    example = check.positive_int("example", example, least=0)
    if example >= num_examples:
        raise ValueError(f"example must lie between 0 and {num_examples - 1}, but it is {example}.")
    return example


def chosen_rows(rows: Any, num_examples: int) -> np.ndarray:
    """The numbers of the rows to draw, given as such or as booleans [N]; None for all."""
    if rows is None:
        return np.arange(num_examples)
    given = np.asarray(rows)
    if given.dtype == bool and given.shape == (num_examples,):
        given = np.flatnonzero(given)
    if given.ndim != 1 or not len(given) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"rows must be numbers of rows, or {num_examples} booleans, and choose one at least, but it is "
            f"{given.dtype}{list(given.shape)}."
        )
    if given.min() < 0 or given.max() >= num_examples:
        raise ValueError(
            f"rows must lie between 0 and {num_examples - 1}, but they reach from {given.min()} to {given.max()}."
        )
    return given


def caption(method: str, of: str = "", more: str = "") -> str:
    """'exact Shapley values, malignant: 60 rows': the method without its reasons, the output and what else there is to say."""
    start = ", ".join(part for part in (method.partition(": ")[0], of) if part)
    return f"{start}: {more}" if start and more else start or more


def titled(ax: Axes, title: str | None, default: str, **place: Any) -> None:
    """The user's title as it is, or the default one in lines as long as the axes are wide."""
    if title is None:
        letters = ax.get_window_extent().width / ax.figure.dpi * 72 / (_TITLE_SIZE * _LETTER)
        lines = default.split("\n")
        title = "\n".join(part for line in lines for part in textwrap.wrap(line, max(int(letters), _SHORTEST_LINE)))
        style = label_style([title])
    else:
        style = label_style([title])
        style.pop("parse_math")  # what the user writes may hold mathematics
    ax.set_title(title, fontsize=_TITLE_SIZE, **style, **place)


def lines_of_players(ax: Axes, labels: Sequence[str]) -> None:
    """One line for each label, from the top down; nothing but the axis of values around."""
    ax.set_yticks(range(len(labels)), labels, fontsize=8, **label_style(labels))
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    without_frame(ax, ("top", "right", "left"))


def without_frame(ax: Axes, sides: Iterable[str] = ("top", "right")) -> None:
    for side in sides:
        ax.spines[side].set_visible(False)


def _errors(attribution: Attribution, values: np.ndarray) -> np.ndarray:
    errors = attribution.std_errors
    if errors is None:
        return np.zeros_like(values)
    errors = np.asarray(errors, np.float64)
    return np.where(np.isfinite(errors), errors, 0)


def _number(field: Any) -> float | None:
    return None if field is None else float(np.asarray(field))
