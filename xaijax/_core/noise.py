"""The size of noise that is added to inputs: a number, or an array that fits one input."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float


def read_size(name: str, value: Any) -> Array:
    """Returns a size of noise, finite and at least 0, in float32 or wider."""
    read = check.numeric_array(name, value)
    if read.dtype == bool or (
        check.is_concrete(read) and not (np.isfinite(read).all() and (np.asarray(read) >= 0).all())
    ):
        raise ValueError(f"`{name}` must be finite and at least 0, got {check.shown(value)}.")
    return at_least_float32(read)


def require_fit(name: str, size: Array, x: Array) -> None:
    """Raises where an array is no size for each feature of one input of x [N, ...]."""
    one = x.shape[1:]
    try:
        fits = size.ndim == 0 or np.broadcast_shapes(size.shape, one) == one
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"`{name}` must be a number or fit one input of shape {list(one)}, got shape {list(size.shape)}."
        )


def deviations(x: Float[Array, "N *input"], scale: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns the standard deviations of the noise, [N, ...] or an array that broadcasts to it.

    A number is in units of the range of each example, an array in units of x.
    """
    if scale.ndim > 0:
        return scale.reshape(*[1] * (x.ndim - scale.ndim), *scale.shape)
    axes = tuple(range(1, x.ndim))
    wide = at_least_float32(x)
    return scale.astype(wide.dtype) * (wide.max(axis=axes, keepdims=True) - wide.min(axis=axes, keepdims=True))
