"""Gaussian blur, which removes the details of images."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.numerics import HIGHEST, at_least_float32
from xaijax._core.typing import Array, Float


def gaussian_blur(
    images: Float[Array, "N *space C"],
    sigma: float | Float[Array, ""],
    *,
    truncate: float = 4.0,
    largest: float | None = None,
) -> Float[Array, "N *space C"]:
    """Blurs along every spatial axis, mirrored at the borders; the kernel of sigma pixels ends at truncate · sigma.

    largest: the sigma by which the kernel ends, where sigma is traced.
    """
    widest = float(sigma) if largest is None else largest
    for axis in range(1, images.ndim - 1):
        side = images.shape[axis]
        radius = min(int(truncate * widest + 0.5), side - 1)  # the mirror image of the whole side
        steps = at_least_float32(jnp.arange(-radius, radius + 1, dtype=images.dtype))
        kernel = jnp.exp(-0.5 * (steps / sigma) ** 2).astype(images.dtype)
        kernel = kernel / kernel.sum()
        padding = [(0, 0)] * images.ndim
        padding[axis] = (radius, radius)
        lines = jnp.moveaxis(jnp.pad(images, padding, mode="reflect"), axis, -1)
        convolved = jax.lax.conv_general_dilated(
            lines.reshape(-1, 1, side + 2 * radius), kernel[None, None], (1,), "VALID", precision=HIGHEST
        )
        images = jnp.moveaxis(convolved.reshape(*lines.shape[:-1], side), -1, axis)
    return images
