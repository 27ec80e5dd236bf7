"""Numbers, counts and names as text, in the same way in plots, reports and messages."""

from __future__ import annotations

import numbers
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

Z = 1.96  # standard errors to each side of a normal estimate cover 95 %
LONGEST_NAME = 28
_FEW = 5  # examples listed by number
# "4.9 < LSTAT <= 7" and "LSTAT > 7": the bounds of a condition are never cut, even if the name between them is.
_CONDITION = re.compile(r"(?P<low>\S+ < )?(?P<name>.*?)(?P<high> (?:<=|>|=) \S+)?", re.DOTALL)


def number(value: float, *, rounding: float = 0.0, digits: int = 4) -> str:
    """Returns a number with `digits` significant digits; rounding error, up to the size `rounding`, is written 0."""
    return "0" if abs(value) <= rounding else f"{value:.{digits}g}"


def signed(value: float, *, rounding: float = 0.0, digits: int = 4) -> str:
    """Returns a number with its sign; rounding error, up to the size `rounding`, is written 0, without a sign."""
    return "0" if abs(value) <= rounding else f"{value:+.{digits}g}"


def spelled(value: object) -> str:
    """Returns an input as text: whole numbers with all digits, other numbers with four, words as they are."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        return str(value)
    given = float(value)
    if np.isnan(given):
        return "missing"
    return f"{given:.0f}" if given.is_integer() and abs(given) < 1e7 else f"{given:.4g}"


def counted(count: int, noun: str = "row") -> str:
    """Returns '1 row' or '1,234 rows'."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def num_present(names: Sequence[str], values: np.ndarray) -> int:
    """Returns how many players an example has: the shorter of several texts end with words named "" of values [M, ...] 0."""
    counts = values.reshape(len(names), -1).any(axis=1) | np.array([bool(name) for name in names], bool)
    return int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else len(names)


def listed(parts: Sequence[str]) -> str:
    """Returns 'a, b and c'."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def extent(values: np.ndarray) -> str:
    """Returns 'from 1 to 3' for the finite values, or '2' where they are all equal."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "not finite"
    low, high = number(finite.min()), number(finite.max())
    return low if low == high else f"from {low} to {high}"


def interval(error: float | None) -> str | None:
    """Returns "± 0.02" for a standard error, and None where the error is None."""
    if error is None:
        return None
    return f"± {Z * error:.2g}" if np.isfinite(error) else "not known"


def examples(chosen: np.ndarray) -> str:
    """Returns the chosen examples [N] as text: 'example 3', 'examples 1 and 2', 'all 4 examples'."""
    indices = [str(index) for index in np.flatnonzero(chosen)]
    if len(chosen) == 1:
        return "the example"
    if len(indices) == len(chosen):
        return f"all {len(chosen):,} examples"
    if len(indices) == 1:
        return f"example {indices[0]}"
    if len(indices) <= _FEW:
        return f"examples {listed(indices)}"
    return f"{len(indices):,} of {len(chosen):,} examples (the first: {listed(indices[:_FEW])})"


def printable(text: str) -> str:
    """Replaces control characters and halves of surrogate pairs, which no font, page or terminal can show."""
    shown = (
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cs") else "\ufffd"
        for letter in text.replace("\r\n", "\n")
    )
    return "".join(shown)


def shortened(name: str) -> str:
    """Returns a name on one line, cut in the middle where it is long; a condition keeps its bounds."""
    name = " ".join(printable(name).split())
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


def has_bounds(name: str) -> bool:
    """Whether a name is a condition such as '4.9 < LSTAT <= 7' or 'color = red'."""
    matched = _CONDITION.fullmatch(name)
    return matched is not None and bool(matched.group("low") or matched.group("high"))
