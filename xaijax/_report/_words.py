"""Numbers and lists in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Z = 1.96  # standard errors to each side hold 95 % of a normal error
_FEW = 5  # examples named one by one


def number(value: float) -> str:
    """Four digits, which is more than any standard error deserves."""
    return f"{value:.4g}"


def signed(value: float) -> str:
    return f"{value:+.4g}"


def spelt(value: Any) -> str:
    """An input: whole numbers with all their digits, others with four, words as they are."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e7 else f"{value:.4g}"
    return str(value)


def interval(error: float | None) -> str | None:
    """'± 0.02' of a standard error; None where there is none."""
    if error is None:
        return None
    return f"± {Z * error:.2g}" if np.isfinite(error) else "not known"


def extent(values: np.ndarray) -> str:
    """'from 1 to 3' of the finite ones, or '2' where they are one number."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "not finite"
    low, high = number(finite.min()), number(finite.max())
    return low if low == high else f"from {low} to {high}"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(parts: Sequence[str]) -> str:
    """'a, b and c'."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def examples(chosen: np.ndarray) -> str:
    """Which of the examples, [N] booleans, in words: 'example 3', 'all 4 examples'."""
    places = [str(place) for place in np.flatnonzero(chosen)]
    if len(chosen) == 1:
        return "the example"
    if len(places) == len(chosen):
        return f"all {len(chosen):,} examples"
    if len(places) == 1:
        return f"example {places[0]}"
    if len(places) <= _FEW:
        return f"examples {listed(places)}"
    return f"{len(places):,} of {len(chosen):,} examples (the first: {listed(places[:_FEW])})"
