"""Pictures as they can be shown, from 0 to 1, whatever range a model wants them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xaijax._core import check

_ROUNDING = 1e-3  # beyond 0 and 1, of pictures that were brought back from a model's range


class Pictures(NamedTuple):
    """shown: [n, H, W] gray or [n, H, W, 3] in color, from 0 to 1; note: what was done to get there that a reader must
    know, or "".
    """

    shown: np.ndarray
    note: str


def pictures_of(
    images: Any,
    examples: Sequence[int],
    count: int | None,
    *,
    mean: Any = None,
    std: Any = None,
    gray: bool = False,
    alone: bool = False,
    name: str = "images",
) -> Pictures:
    """The examples' pictures; of `count` ones that the images must be, where it is known.

    alone: whether the images may be one, without N.
    """
    given = np.asarray(check.numeric_array(name, images))
    given = _with_examples(given, count, alone, name)
    channels = given.shape[3]
    if channels not in (1, 3):
        last = " (channels come last)" if given.shape[1] in (1, 3) else ""
        raise ValueError(
            f"{name} must have 1 channel or 3 to be shown, but their shape is {list(given.shape)}{last}: choose or average "
            f"channels, such as {name}[..., :3] or {name}.mean(axis=-1)."
        )
    if not np.isfinite(given).all():
        bad = np.flatnonzero(~np.isfinite(given).reshape(len(given), -1).all(axis=1))
        raise ValueError(f"{name} hold numbers that are not finite (first ones concerned: {bad[:5].tolist()}).")
    low, high, note = _black_and_white(given, mean, std, name)
    shown = (_standardized_back(given[list(examples)], mean, std, name) - low) / (high - low)
    shown = np.clip(shown, 0, 1)  # of rounding alone: all values lie between the two
    if channels == 1:
        return Pictures(shown[..., 0], note)
    return Pictures(shown.mean(axis=-1) if gray else shown, note)


def _with_examples(given: np.ndarray, count: int | None, alone: bool, name: str) -> np.ndarray:
    """[N, H, W, C]"""
    if given.ndim in (2, 3) and alone and not (given.ndim == 3 and len(given) == 1 and given.shape[-1] not in (1, 3)):
        given = given[None]
    if given.ndim not in (3, 4) or (count is not None and len(given) != count) or given.size == 0:
        many = "N" if count is None else count
        raise ValueError(
            f"{name} must have shape [{many}, H, W, C], one for each map, but its shape is {list(given.shape)}."
            if count is not None
            else f"{name} must have shape [{many}, H, W, C] or [{many}, H, W], but its shape is {list(given.shape)}."
        )
    return given[..., None] if given.ndim == 3 else given


def _black_and_white(given: np.ndarray, mean: Any, std: Any, name: str) -> tuple[float, float, str]:
    """The values of black and of white, and what there is to say of them."""
    restored = mean is not None or std is not None
    whole = np.issubdtype(given.dtype, np.integer) or (given.dtype != bool and bool((given == np.round(given)).all()))
    if restored:
        given = _standardized_back(given, mean, std, name)
    low, high = float(given.min()), float(given.max())
    if low >= -_ROUNDING and high <= 1 + _ROUNDING and not np.issubdtype(given.dtype, np.integer):
        return 0.0, 1.0, ""
    if low >= 0 and high <= 255 and (restored or whole):
        return 0.0, 255.0, ""
    high = high if high > low else low + 1
    return low, high, f"picture: {low:.3g} is black, {high:.3g} white"


def _standardized_back(given: np.ndarray, mean: Any, std: Any, name: str) -> np.ndarray:
    """x std + mean, of pictures that were (x - mean) / std."""
    given = given.astype(np.float64)
    for argument, value, undo in (("std", std, np.multiply), ("mean", mean, np.add)):
        if value is None:
            continue
        number = np.asarray(check.numeric_array(argument, value), np.float64)
        if number.shape not in ((), (1,), (given.shape[-1],)) or not np.isfinite(number).all():
            raise ValueError(
                f"{argument} must be one number or one for each of the {given.shape[-1]} channels of {name}, but it is "
                f"{number.tolist()}."
            )
        given = undo(given, number)
    return given
