"""What was measured of methods, as a picture needs it: numbers with the ends of their intervals, names and colors."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np

from xaijax.plot._names import LONGEST_NAME, counted, shortened
from xaijax.plot._series import color_of


class Measured(NamedTuple):
    """values, low, high: [M, G] of M names and G groups, NaN where there is none; points: [M, G, n] or None."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    points: np.ndarray | None


def measured(values: Any, low: Any, high: Any, points: Any, shape: tuple[int, int], *, grouped: bool) -> Measured:
    """The numbers, in shape [M, G] also where no groups are asked for."""
    found = _numbers("values", values, shape, grouped)
    if (low is None) != (high is None):
        raise ValueError("low and high must be given together: an interval has two ends.")
    none = np.full(shape, np.nan)
    low, high = (
        none if end is None else _numbers(name, end, shape, grouped) for name, end in (("low", low), ("high", high))
    )
    if (np.isnan(low) != np.isnan(high)).any():
        raise ValueError("low and high must be NaN at the same places: an interval has two ends.")
    outside = np.argwhere((found < low) | (found > high))
    if len(outside):
        place = tuple(outside[0])
        raise ValueError(
            "low and high must be the ends of the intervals, and not their lengths, but the value of row "
            f"{place[0]}, {found[place]:.4g}, is not between {low[place]:.4g} and {high[place]:.4g}."
        )
    return Measured(found, low, high, None if points is None else _numbers("points", points, shape, grouped, more=1))


def _numbers(name: str, given: Any, shape: tuple[int, int], grouped: bool, *, more: int = 0) -> np.ndarray:
    """By NumPy: JAX's 32 bits would put some values outside their own intervals."""
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, but it is {type(given).__name__}: {error}") from error
    expected = shape if grouped else shape[:1]
    if array.shape[: len(expected)] != expected or array.ndim != len(expected) + more:
        letters = ", ".join([*map(str, expected), *["n"] * more])
        each = "name and group" if grouped else "name"
        raise ValueError(f"{name} must be [{letters}], for each {each}, but its shape is {list(array.shape)}.")
    if np.isinf(array).any():
        raise ValueError(
            f"{name} holds numbers that are infinite: there is no place for them; NaN is for missing ones."
        )
    return array if grouped else array[:, None]


def notes_of(notes: Any, shape: tuple[int, int], *, grouped: bool) -> np.ndarray | None:
    """Texts [M, G]."""
    if notes is None:
        return None
    texts = np.asarray(notes, object)
    expected = shape if grouped else shape[:1]
    if texts.shape != expected:
        raise ValueError(
            f"notes must be texts in the shape of values, {list(expected)}, but their shape is {list(texts.shape)}."
        )
    return texts.reshape(shape)


def names_of(argument: str, names: Any, count: int | None = None) -> list[str]:
    """The names, on two lines where one is too short."""
    if isinstance(names, str) or not hasattr(names, "__len__") or not len(names):
        raise TypeError(f"{argument} must be a sequence of names, one at least, but it is {names!r}.")
    if count is not None and len(names) != count:
        raise ValueError(f"{argument} must be {count}, one for each name, but there are {len(names)}.")
    return [_on_two_lines(str(name)) for name in names]


def _on_two_lines(name: str) -> str:
    lines = textwrap.wrap(name, LONGEST_NAME, break_long_words=False)
    fits = len(lines) <= 2 and all(len(line) <= LONGEST_NAME for line in lines)
    return "\n".join(lines) if fits else shortened(name)


def palette_of(colors: Any, count: int, what: str) -> list[Any]:
    """The colors given, as many as there are groups or kinds, or our own."""
    if colors is None:
        return [color_of(number) for number in range(count)]
    if isinstance(colors, str) or not hasattr(colors, "__len__") or len(colors) != count:
        raise ValueError(f"colors must be {counted(count, 'color')}, one for each {what}, but it is {colors!r}.")
    return list(colors)
