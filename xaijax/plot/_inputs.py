"""The inputs of many rows as places and colors: numbers as they are, words in the order of the alphabet."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import Normalize

PERCENTILES = (5, 95)  # of an input, between which its colors change: a few extremes leave the others apart


class Column(NamedTuple):
    """One player's inputs: numbers [N]; for words, their places in `words`, which is None for numbers."""

    numbers: np.ndarray
    words: tuple[str, ...] | None = None


def columns_of(inputs: Any, shape: tuple[int, ...]) -> list[Column]:
    """The inputs [N, M], numbers or words, one for each value; of one row also [M]."""
    given = np.asarray(inputs)
    if given.dtype.kind not in "biufOUT":
        raise TypeError(f"inputs must be an array of numbers or words, but it is {type(inputs).__name__}.")
    if given.ndim == 1 and shape[0] == 1:
        given = given[None]
    if given.shape != shape:
        raise ValueError(
            f"inputs must have one number or word for each value, {list(shape)}, but its shape is {list(given.shape)}."
        )
    columns = [_column(column) for column in given.T]
    bad = np.flatnonzero(~np.isfinite(np.stack([column.numbers for column in columns])).all(axis=0))
    if len(bad):
        raise ValueError(
            f"inputs holds numbers that are not finite (first rows concerned: {bad[:5].tolist()}): no color or place "
            "can stand for them; fill or drop them first."
        )
    return columns


def _column(given: np.ndarray) -> Column:
    try:
        return Column(given.astype(np.float64))
    except (TypeError, ValueError):
        words, places = np.unique([str(one) for one in given], return_inverse=True)
        return Column(places.astype(np.float64), tuple(words.tolist()))


def percentile_limits(inputs: np.ndarray) -> Normalize:
    """Colors from the 5th to the 95th percentile, or over the whole range where these are one number."""
    low, high = np.percentile(inputs, PERCENTILES)
    if low == high:
        low, high = inputs.min(), inputs.max()
    return Normalize(low, high, clip=True) if low < high else Normalize(low - 1, high + 1, clip=True)


def colors_of(column: Column) -> Normalize:
    """Where on the color map its numbers lie: between percentiles, or each word in the middle of an equal part."""
    if column.words is None:
        return percentile_limits(column.numbers)
    return Normalize(-0.5, len(column.words) - 0.5)
