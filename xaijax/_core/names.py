"""Names of players and outputs, as the user writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core import check

Names = tuple[str, ...] | tuple[tuple[str, ...], ...]  # of the players; one tuple for each example where these differ


def read_names(names: Any, num_players: int, num_examples: int | None) -> Names:
    """Reads M names of players, or N sequences of them."""
    if not is_list(names):
        raise TypeError(f"`names` must be a sequence of {num_players} names, got {check.shown(names)}.")
    read = as_names(names)
    if num_examples is not None and len(read) == num_examples and differ_between_examples(read):
        for number, own in enumerate(read):
            if not isinstance(own, tuple) or not all(isinstance(name, str) for name in own):
                raise TypeError(f"`names[{number}]` must be a sequence of {num_players} names, got {check.shown(own)}.")
            if len(own) != num_players:
                raise ValueError(f"`names[{number}]` must hold {num_players} names, one per player, got {len(own)}.")
        return read
    if differ_between_examples(read) or not all(isinstance(name, str) for name in read):
        raise TypeError(f"`names` must be strings, got {check.shown(names)}.")
    if len(read) != num_players:
        raise ValueError(f"`names` must hold {num_players} names, one per player, got {len(read)}.")
    return read


def read_output_names(names: Any, num_outputs: int | None) -> tuple[str, ...]:
    """Reads the names of the model's outputs."""
    if not is_list(names):
        raise TypeError(f"`output_names` must be a sequence of names, got {check.shown(names)}.")
    read = as_names(names)
    if not all(isinstance(name, str) for name in read):
        raise TypeError(f"`output_names` must be strings, got {check.shown(names)}.")
    if not read:
        raise ValueError("`output_names` must hold at least one name, got none.")
    if num_outputs is not None and len(read) != num_outputs:
        raise ValueError(f"`output_names` must hold {num_outputs} names, one per output, got {len(read)}.")
    return read


def as_names(names: Any) -> Any:
    """Returns nested tuples, with NumPy's strings as strings; what is no string stays as it is, to be refused."""
    return tuple(str(name) if isinstance(name, str) else as_names(name) if is_list(name) else name for name in names)


def is_list(names: Any) -> bool:
    return (
        isinstance(names, Sequence | np.ndarray)
        and not isinstance(names, str | bytes)
        and getattr(names, "ndim", 1) > 0
    )


def differ_between_examples(names: Names | None) -> bool:
    return bool(names) and isinstance(names[0], tuple)
