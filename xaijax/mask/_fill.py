"""Paints the absent regions of an image, of any rank: signals [L, C], images [H, W, C], volumes [D, H, W, C]."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.blur import gaussian_blur
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float, Int, Shaped

# Relative to the mean side, sqrt(H W): 10 pixels for images of 224 x 224, as in Fong & Vedaldi (2017), arXiv:1704.03296, section 4.3.
BLUR_SIGMA = 10 / 224
NOISE_KEY = 0
FILLS = ["mean", "blur", "noise"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fill:
    """Replaces absent regions by another image.

    given: a number, a color [C], an image [*space, C] or images [B, *space, C], with the channels where the inputs have
      them; for "noise" its key; None where the fill is computed from the image alone.
    name: one of FILLS, or "" for a given fill.
    """

    given: Any
    name: str = dataclasses.field(default="", metadata={"static": True})

    def channels_last(self, axis: int) -> Fill:
        """Returns the fill with its channels last, for inputs [N, ...] that have them on a negative axis."""
        if self.name or self.given.ndim < -axis:
            return self
        return dataclasses.replace(self, given=jnp.moveaxis(self.given, axis, -1))

    def check(self, shape: tuple[int, ...], dtype: Any) -> None:
        """Raises an error if the fill, with channels last, does not fit images [*space, C] of this dtype."""
        if self.name:
            return
        single = self.given.shape[1:] if self.given.ndim > len(shape) else self.given.shape
        try:
            fits = np.broadcast_shapes(single, shape) == shape and self.given.size > 0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"`fill` must be a number, a color [C], an image {list(shape)} or images [B, ...] of this shape, got "
                f"shape {list(self.given.shape)}."
            )
        if not jnp.issubdtype(dtype, jnp.integer) or not check.is_concrete(self.given):
            return
        values, limits = np.asarray(self.given, np.float64), jnp.iinfo(dtype)
        wrong = values[(values != np.round(values)) | (values < limits.min) | (values > limits.max)]
        if wrong.size:
            raise ValueError(
                f"`fill` must hold whole numbers from {limits.min} to {limits.max} for images of {dtype}, got "
                f"{wrong.reshape(-1)[0]:g}: scale the fill like the images, or convert the images to float32."
            )

    def paint(
        self, x: Shaped[Array, "*space C"], labels: Int[Array, "*space"], num_regions: int
    ) -> Shaped[Array, "B *space C"]:
        """Returns the image with all regions absent, in B variants."""
        if not self.name:
            given = self.given if self.given.ndim > x.ndim else self.given[None]
            return jnp.broadcast_to(given, (len(given), *x.shape)).astype(x.dtype)
        wide = at_least_float32(x)
        if self.name == "mean":
            painted = region_means(wide, labels, num_regions)
        elif self.name == "blur":
            painted = gaussian_blur(wide[None], BLUR_SIGMA * labels.size ** (1 / labels.ndim))[0]
        else:
            painted = shuffled_colors(wide, self.given)
        return (jnp.round(painted) if jnp.issubdtype(x.dtype, jnp.integer) else painted)[None].astype(x.dtype)


def read_fill(fill: Any) -> Fill:
    """Reads the `fill` argument."""
    if isinstance(fill, str):
        name = check.one_of("fill", fill, FILLS)
        return Fill(jax.random.key(NOISE_KEY) if name == "noise" else None, name)
    fill = check.numeric_array("fill", fill)
    check.no_nan("fill", fill[None])
    if check.is_concrete(fill) and not np.isfinite(np.asarray(fill, np.float32)).all():
        raise ValueError(f"`fill` must be finite, got {check.shown(fill)}.")
    return Fill(fill)


def region_means(
    x: Float[Array, "*space C"], labels: Int[Array, "*space"], num_regions: int
) -> Float[Array, "*space C"]:
    """Returns the mean color of its region for every pixel."""
    ids, pixels = labels.reshape(-1), x.reshape(-1, x.shape[-1])
    sums = jax.ops.segment_sum(pixels, ids, num_regions)
    sizes = jax.ops.segment_sum(jnp.ones(ids.shape, x.dtype), ids, num_regions)
    return (sums / jnp.maximum(sizes, 1)[:, None])[labels]


def shuffled_colors(x: Float[Array, "*space C"], key: Array) -> Float[Array, "*space C"]:
    """Returns the color of a random pixel for every pixel: noise in the image's own colors."""
    pixels = x.reshape(-1, x.shape[-1])
    return pixels[jax.random.randint(key, (len(pixels),), 0, len(pixels))].reshape(x.shape)
