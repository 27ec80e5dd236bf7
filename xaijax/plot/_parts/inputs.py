"""The inputs of many rows as numbers and colors; words are in alphabetical order, missing inputs are gray."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.colors import Normalize

from xaijax._core import check

PERCENTILES = (5, 95)  # of an input, where its colors end, so that a few extremes do not hide the rest


class Column(NamedTuple):
    """One player's inputs.

    numbers: [N] the numbers, NaN where missing; of words, their index in `words`.
    words: the distinct words in alphabetical order; None for numbers.
    """

    numbers: np.ndarray
    words: tuple[str, ...] | None = None

    @property
    def missing(self) -> np.ndarray:
        """Which inputs are missing, [N]."""
        return ~np.isfinite(self.numbers)


def columns_of(inputs: object, shape: tuple[int, ...]) -> list[Column]:
    """Reads inputs [N, M], numbers or words, one for each value; of a single row also [M]."""
    given = plain_array("inputs", inputs)
    if given.dtype.kind not in "biufOUT":
        raise TypeError(f"`inputs` must be an array of numbers or words, got {type(inputs).__name__} of {given.dtype}.")
    if given.ndim == 1 and shape[0] == 1:
        given = given[None]
    if given.shape != shape:
        raise ValueError(
            f"`inputs` must hold one number or word for each value, {list(shape)}, got shape {list(given.shape)}."
        )
    return [_column(column) for column in given.T]


def plain_array(name: str, inputs: object) -> np.ndarray:
    """Returns inputs as an array; the hidden entries of a masked array are missing."""
    if isinstance(inputs, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(inputs)
        if not hidden.any():
            return np.asarray(inputs)
        filled = np.asarray(inputs, object if inputs.dtype.kind in "OUT" else np.float64)
        filled[hidden] = None if filled.dtype == object else np.nan
        return filled
    return check.host_array(name, inputs)


def _column(given: np.ndarray) -> Column:
    missing = np.array([each is None or each != each or each == "" for each in given.tolist()])
    try:
        filled = np.where(missing, np.nan, given.astype(object)) if given.dtype.kind in "OUT" else given
        return Column(filled.astype(np.float64))
    except (TypeError, ValueError):
        words, indices = np.unique([str(word) for word in given[~missing]], return_inverse=True)
        numbers = np.full(len(given), np.nan)
        numbers[~missing] = indices
        return Column(numbers, tuple(words.tolist()))


def colors_of(column: Column) -> Normalize:
    """Returns the limits of a column's colors: percentiles of numbers, and an equal part for each word."""
    if column.words is not None:
        return Normalize(-0.5, len(column.words) - 0.5)
    known = column.numbers[~column.missing]
    if not known.size:
        return Normalize(0, 1, clip=True)
    low, high = np.percentile(known, PERCENTILES)
    if low == high:
        low, high = known.min(), known.max()
    return Normalize(low, high, clip=True) if low < high else Normalize(low - 1, high + 1, clip=True)
