"""Images as they can be shown, from 0 to 1, in the range of values that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xaijax._core import check

_ROUNDING = 1e-3  # beyond 0 and 1, of images that were brought back from a model's range


class Images(NamedTuple):
    """shown: [n, H, W] gray or [n, H, W, 3] in color, from 0 to 1; note: how the values were scaled, "" where they were not."""

    shown: np.ndarray
    note: str


def images_of(
    images: Any,
    examples: Sequence[int],
    count: int | None,
    *,
    mean: Any = None,
    std: Any = None,
    gray: bool = False,
    alone: bool = False,
    name: str = "images",
) -> Images:
    """Reads the images of some examples.

    count: how many images there must be; None for any number.
    alone: whether `images` may be one image, without N.
    """
    gray = check.flag("gray", gray)
    given = _with_examples(np.asarray(check.numeric_array(name, images)), count, alone, name)
    channels = given.shape[3]
    if channels not in (1, 3):
        last = " (channels must be last)" if given.shape[1] in (1, 3) else ""
        raise ValueError(
            f"`{name}` must have 1 or 3 channels to be shown, got shape {list(given.shape)}{last}: select or average "
            f"channels, such as {name}[..., :3] or {name}.mean(axis=-1)."
        )
    if not np.isfinite(given).all():
        bad = np.flatnonzero(~np.isfinite(given).reshape(len(given), -1).all(axis=1))
        raise ValueError(f"`{name}` must be finite, got NaN or infinity in images {bad[:5].tolist()}.")
    low, high, note = _black_and_white(given, mean, std, name)
    shown = (_restored(given[list(examples)], mean, std, name) - low) / (high - low)
    shown = np.clip(shown, 0, 1)  # removes rounding error: all values are between black and white
    if channels == 1:
        return Images(shown[..., 0], note)
    return Images(shown.mean(axis=-1) if gray else shown, note)


def check_without_images(images: Any, mean: Any, std: Any, gray: Any) -> None:
    """Checks the options of images where none may be given."""
    check.flag("gray", gray)
    for name, value in (("mean", mean), ("std", std)):
        if images is None and value is not None:
            raise ValueError(f"`{name}` must be left out without images, got {check.shown(value)}.")


def _with_examples(given: np.ndarray, count: int | None, alone: bool, name: str) -> np.ndarray:
    """Returns images [N, H, W, C]."""
    if given.ndim in (2, 3) and alone and not (given.ndim == 3 and len(given) == 1 and given.shape[-1] not in (1, 3)):
        given = given[None]
    if given.ndim not in (3, 4) or (count is not None and len(given) != count) or given.size == 0:
        expected = f"[{count}, H, W, C], one image for each map" if count is not None else "[N, H, W, C] or [N, H, W]"
        raise ValueError(f"`{name}` must have shape {expected}, got shape {list(given.shape)}.")
    return given[..., None] if given.ndim == 3 else given


def _black_and_white(given: np.ndarray, mean: Any, std: Any, name: str) -> tuple[float, float, str]:
    """Returns the values of black and of white, and the note that states them."""
    restored = mean is not None or std is not None
    whole = np.issubdtype(given.dtype, np.integer) or (given.dtype != bool and bool((given == np.round(given)).all()))
    if restored:
        given = _restored(given, mean, std, name)
    low, high = float(given.min()), float(given.max())
    if low >= -_ROUNDING and high <= 1 + _ROUNDING and not np.issubdtype(given.dtype, np.integer):
        return 0.0, 1.0, ""
    if low >= 0 and high <= 255 and (restored or whole):
        return 0.0, 255.0, ""
    high = high if high > low else low + 1
    return low, high, f"picture: {low:.3g} is black, {high:.3g} white"


def _restored(given: np.ndarray, mean: Any, std: Any, name: str) -> np.ndarray:
    """Returns x · std + mean, of images that were standardized by (x - mean) / std."""
    given = given.astype(np.float64)
    for argument, value, undo in (("std", std, np.multiply), ("mean", mean, np.add)):
        if value is None:
            continue
        number = np.asarray(check.numeric_array(argument, value), np.float64)
        if number.shape not in ((), (1,), (given.shape[-1],)) or not np.isfinite(number).all():
            raise ValueError(
                f"`{argument}` must be one number or one for each of the {given.shape[-1]} channels of {name}, got "
                f"{check.shown(value)}."
            )
        given = undo(given, number)
    return given
