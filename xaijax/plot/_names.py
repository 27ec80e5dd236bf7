"""Names of players: one list for all examples or one for each, shortened, with inputs beside them, in an order."""

from __future__ import annotations

import numbers
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core import check

LONGEST_NAME = 28
# "4.9 < LSTAT <= 7" and "LSTAT > 7": the bounds of conditions stay whole, however long the name between them is.
_CONDITION = re.compile(r"(?P<low>\S+ < )?(?P<name>.*?)(?P<high> (?:<=|>|=) \S+)?", re.DOTALL)


def player_names(names: Any, count: int, *, example: int | None = None, num_examples: int | None = None) -> list[str]:
    """A name for every player, shortened in the middle where it is longer than a label can be.

    names: M names; or a list of M for each example, such as the conditions of LIME, of which an example has its own and
    all examples only what is common to them.
    """
    if names is None:
        return [f"player {number}" for number in range(count)]
    if isinstance(names, str) or not hasattr(names, "__len__"):
        raise TypeError(f"names must be a sequence of {count} names, but it is {names!r}.")
    if any(not isinstance(name, str) and isinstance(name, (Sequence, np.ndarray)) for name in names):
        names = _names_of_one(names, example, num_examples)
    if len(names) != count:
        raise ValueError(f"names must have one entry for each of the {count} players, but it has {len(names)}.")
    return [shortened(str(name)) for name in names]


def _names_of_one(names: Any, example: int | None, num_examples: int | None) -> Any:
    num_examples = 1 if num_examples is None else num_examples
    if len(names) != num_examples:
        raise ValueError(
            f"names must be one list for all examples or one for each of the {num_examples}, but there are {len(names)} "
            "lists."
        )
    if example is not None:
        return names[example]
    if any(list(each) != list(names[0]) for each in names):
        raise ValueError(
            "names differ between the examples, as conditions do, but this picture is of all of them: pass one list of "
            "names, or draw one example."
        )
    return names[0]


def names_with_inputs(labels: list[str], inputs: Any, example: int, *, num_examples: int | None = None) -> list[str]:
    """'name = value', where inputs [N, M] or [M], numbers or words, are given."""
    if inputs is None:
        return labels
    given = np.asarray(inputs)
    if given.ndim == 2:
        if len(given) != (num_examples or 1):
            raise ValueError(
                f"inputs must have one row for each example, [{num_examples or 1}, {len(labels)}], but its shape is "
                f"{list(given.shape)}."
            )
        given = given[example]
    if given.shape != (len(labels),):
        raise ValueError(f"inputs must have one value for each of {len(labels)} players, not {list(given.shape)}.")
    return [f"{label} = {spelt(value)}" for label, value in zip(labels, given.tolist(), strict=True)]


def spelt(value: Any) -> str:
    """A number with four digits, whole numbers with all of theirs, and words, shortened."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return shortened(str(value))
    value = float(value)
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e7 else f"{value:.4g}"


def shortened(name: str) -> str:
    """Its beginning and its end, on one line; a condition keeps its bounds."""
    name = " ".join(name.split())
    if len(name) <= LONGEST_NAME:
        return name
    matched = _CONDITION.fullmatch(name)
    low, middle, high = (matched.group(part) or "" for part in ("low", "name", "high")) if matched else ("", name, "")
    if len(low) + len(high) > LONGEST_NAME:
        low, middle, high = "", name, ""
    if len(middle) <= LONGEST_NAME:
        return low + middle + high
    head = LONGEST_NAME // 2
    return f"{low}{middle[:head]}…{middle[-(LONGEST_NAME - head - 1) :]}{high}"


def place_of(argument: str, player: Any, names: Any, count: int) -> int:
    """The index of a player given by its index or name."""
    if isinstance(player, str):
        if names is None:
            raise ValueError(f"{argument} is {player!r}, but no names are given: pass names, or an index.")
        return list(names).index(check.one_of(argument, player, names))
    place = check.positive_int(argument, player, least=0)
    if place >= count:
        raise ValueError(f"{argument} must lie between 0 and {count - 1}, but it is {place}.")
    return place


def strongest(values: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the `top` strongest values, strongest first, and of the others."""
    order = np.argsort(-np.abs(values), kind="stable")
    return order[:top], order[top:]


def shown_and_others(
    sizes: np.ndarray, top: int, order: Sequence[int | str] | None = None, names: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """The places of the first `top` players in the given order, or in that of their sizes [M], and of the others."""
    top = check.positive_int("top", top)
    if order is None:
        return strongest(sizes, top)
    places = [place_of("order", player, names, len(sizes)) for player in order]
    if not places or len(set(places)) != len(places):
        raise ValueError(f"order must name players, each of them once, but it is {list(order)!r}.")
    shown = np.array(places[:top])
    return shown, np.setdiff1d(np.arange(len(sizes)), shown)


def others_label(count: int) -> str:
    return "1 other" if count == 1 else f"{count} others"


def counted(count: int, thing: str = "row") -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def number(value: float) -> str:
    return f"{value:+.3g}"
