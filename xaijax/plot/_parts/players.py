"""Players: their names on labels, with inputs where these are known, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.words import has_bounds, shortened, spelled
from xaijax.plot._parts.inputs import plain_array


def player_names(
    names: Any, count: int, *, example: int | None = None, num_examples: int | None = None
) -> list[str] | None:
    """Returns the name of every player, or None where there are no names.

    names: M names; or M for each example, such as LIME's conditions: an example has its own, and all examples together
      only names that they share.
    """
    if names is None:
        return None
    if not check.is_list(names):
        raise TypeError(f"`names` must be a sequence of {count} names, got {check.shown(names)}.")
    if any(not isinstance(name, str) and isinstance(name, (Sequence, np.ndarray)) for name in names):
        names = _names_of_example(names, example, num_examples)
    if len(names) != count:
        raise ValueError(f"`names` must have one entry for each of the {count} players, got {len(names)}.")
    return check.texts("names", names)


def _names_of_example(names: Any, example: int | None, num_examples: int | None) -> Any:
    num_examples = 1 if num_examples is None else num_examples
    if len(names) != num_examples:
        raise ValueError(
            f"`names` must be one list for all examples or one for each of the {num_examples}, got {len(names)} lists."
        )
    if example is not None:
        return names[example]
    if any(list(each) != list(names[0]) for each in names):
        raise ValueError(
            "`names` must be the same for all examples in a plot of all of them, got names that differ, as those of "
            "conditions and words do: pass one list of names, or draw one example."
        )
    return names[0]


def labels_of(names: Sequence[str] | None, count: int, noun: str = "player") -> list[str]:
    """Returns short labels; players without names are numbered from 0."""
    return [f"{noun} {number}" for number in range(count)] if names is None else [shortened(name) for name in names]


def inputs_of_example(inputs: Any, example: int, count: int, num_examples: int | None) -> list[Any] | None:
    """Returns the inputs of one example, of [N, M] or [M] numbers or words."""
    if inputs is None:
        return None
    given = plain_array("inputs", inputs)
    if given.ndim == 2:
        if len(given) != (num_examples or 1):
            raise ValueError(
                f"`inputs` must have one row for each example, [{num_examples or 1}, {count}], got shape {list(given.shape)}."
            )
        given = given[example]
    if given.shape != (count,):
        raise ValueError(
            f"`inputs` must have one value for each of the {count} players, got shape {list(given.shape)}."
        )
    return given.tolist()


def with_inputs(labels: list[str], inputs: list[Any] | None) -> list[str]:
    """Returns 'name = value' where inputs are given; a condition states its bounds already."""
    if inputs is None:
        return labels
    pairs = zip(labels, inputs, strict=True)
    return [label if has_bounds(label) else f"{label} = {shortened(spelled(value))}" for label, value in pairs]


def index_of_player(argument: str, player: Any, names: Sequence[str] | None, count: int) -> int:
    """Returns the index of a player given by index or name."""
    if isinstance(player, str):
        if names is None:
            raise ValueError(
                f"`{argument}` must be an index where no names are known, got {check.shown(player)}: pass names."
            )
        return list(names).index(check.one_of(argument, player, names))
    index = check.positive_int(argument, player, least=0)
    if index >= count:
        raise ValueError(f"`{argument}` must be between 0 and {count - 1}, got {index}.")
    return index


def shown_and_others(
    sizes: np.ndarray,
    top: int,
    order: Sequence[int | str] | None = None,
    names: Sequence[str] | None = None,
    argument: str = "order",
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the first `top` players, in the given order or by their sizes [M], and of the others."""
    top = check.positive_int("top", top)
    if order is None:
        ranked = np.argsort(-np.abs(sizes), kind="stable")
        return ranked[:top], ranked[top:]
    if not check.is_list(order):
        raise TypeError(f"`{argument}` must be a sequence of players, by index or name, got {check.shown(order)}.")
    indices = [index_of_player(argument, player, names, len(sizes)) for player in order]
    if not indices or len(set(indices)) != len(indices):
        raise ValueError(f"`{argument}` must name players, each of them once, got {check.shown(list(order))}.")
    shown = np.array(indices[:top])
    return shown, np.setdiff1d(np.arange(len(sizes)), shown)


def others_label(count: int) -> str:
    return "1 other" if count == 1 else f"{count:,} others"
