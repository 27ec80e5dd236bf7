"""What absent regions of an image are painted with."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.blur import gaussian_blur
from xaijax._core.typing import Array, Float, Int, Shaped

# Of the side of a square of the image's size: 10 places of 224, as Fong & Vedaldi (2017), arXiv:1704.03296, section 4.3.
BLUR_SIGMA = 10 / 224
NOISE_KEY = 0
FILLS = ["mean", "blur", "noise"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fill:
    """given: a number, a color [C], an image [H, W, C] or images [B, H, W, C]; or, for noise, its key; None where the image
    says it all.

    name: one of FILLS, or "" for what was given.
    """

    given: Any
    name: str = dataclasses.field(metadata={"static": True})

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises a full sentence if it does not fit images of this shape."""
        if self.name:
            return
        one = self.given.shape[1:] if self.given.ndim == 4 else self.given.shape
        try:
            fits = np.broadcast_shapes(one, shape) == shape and self.given.size > 0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"fill must be a number, a color [C], an image {list(shape)} or images [B, ...] of this shape, "
                f"but its shape is {list(self.given.shape)}."
            )

    def paint(self, x: Shaped[Array, "H W C"], labels: Int[Array, "H W"], num_regions: int) -> Shaped[Array, "B H W C"]:
        """The image with all regions absent, in one way or in several."""
        if not self.name:
            given = self.given if self.given.ndim == 4 else self.given[None]
            return jnp.broadcast_to(given, (len(given), *x.shape)).astype(x.dtype)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.name == "mean":
            painted = region_means(wide, labels, num_regions)
        elif self.name == "blur":
            painted = gaussian_blur(wide[None], BLUR_SIGMA * math.sqrt(labels.size))[0]
        else:
            painted = shuffled_colors(wide, self.given)
        return painted[None].astype(x.dtype)


def read_fill(fill: Any) -> Fill:
    if isinstance(fill, str):
        name = check.one_of("fill", fill, FILLS)
        return Fill(jax.random.key(NOISE_KEY) if name == "noise" else None, name)
    fill = check.numeric_array("fill", fill)
    check.no_nan("fill", fill[None])
    return Fill(fill, "")


def region_means(x: Float[Array, "H W C"], labels: Int[Array, "H W"], num_regions: int) -> Float[Array, "H W C"]:
    """Every place with the mean color of its region."""
    ids, places = labels.reshape(-1), x.reshape(-1, x.shape[-1])
    sums = jax.ops.segment_sum(places, ids, num_regions)
    sizes = jax.ops.segment_sum(jnp.ones(ids.shape, x.dtype), ids, num_regions)
    return (sums / jnp.maximum(sizes, 1)[:, None])[labels]


def shuffled_colors(x: Float[Array, "H W C"], key: Array) -> Float[Array, "H W C"]:
    """Every place with the color of a place drawn by chance: noise within the image's own range, with its own colors."""
    places = x.reshape(-1, x.shape[-1])
    return places[jax.random.randint(key, (len(places),), 0, len(places))].reshape(x.shape)
