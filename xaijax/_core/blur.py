"""Gaussian blur: the picture without its details."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Float


def gaussian_blur(
    images: Float[Array, "N *space C"], sigma: float, *, truncate: float = 4.0
) -> Float[Array, "N *space C"]:
    """Blurs along every spatial axis, mirrored at the borders; sigma in places, the kernel cut off at truncate · sigma."""
    for axis in range(1, images.ndim - 1):
        side = images.shape[axis]
        radius = min(int(truncate * sigma + 0.5), side - 1)  # a mirror has no more to show
        steps = jnp.arange(-radius, radius + 1)
        kernel = jnp.exp(-0.5 * (steps / sigma) ** 2).astype(images.dtype)
        kernel = kernel / kernel.sum()
        padding = [(0, 0)] * images.ndim
        padding[axis] = (radius, radius)
        lines = jnp.moveaxis(jnp.pad(images, padding, mode="reflect"), axis, -1)
        convolved = jax.lax.conv_general_dilated(
            lines.reshape(-1, 1, side + 2 * radius),
            kernel[None, None],
            (1,),
            "VALID",
            precision=jax.lax.Precision.HIGHEST,
        )
        images = jnp.moveaxis(convolved.reshape(*lines.shape[:-1], side), -1, axis)
    return images
