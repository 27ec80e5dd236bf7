"""Images: the players are regions, absent ones are painted over."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, Bool, Int, Shaped
from xaijax.mask._background import whole_labels
from xaijax.mask._fill import Fill, read_fill


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Painted(Masker):
    """Images whose absent regions are painted over; `prepare` cuts each into regions, `num_players` says how many.

    fill: what they are painted with.
    """

    fill: Fill

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim != 4:
            raise ValueError(f"x must be images [N, H, W, C], but its shape is {list(x.shape)}.")
        self.fill.check(x.shape[1:])

    def owners(self, shape: tuple[int, ...], prepared: Int[Array, "H W"]) -> Int[Array, "H W"]:
        return prepared

    def active(self, x: Shaped[Array, "H W C"], prepared: Int[Array, "H W"]) -> Bool[Array, " M"]:
        """Images may have fewer regions than there are players."""
        return jnp.arange(self.num_players(x.shape)) <= prepared.max()

    def references(self, x: Shaped[Array, "H W C"], prepared: Int[Array, "H W"]) -> Shaped[Array, "B H W C"]:
        return self.fill.paint(x, prepared, self.num_players(x.shape))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regions(Painted):
    """labels: [H, W] or [N, H, W] the region of each place; num_regions: of the image that has most."""

    labels: Int[Array, "*batch H W"]
    num_regions: int = dataclasses.field(metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        if self.labels.shape not in (x.shape[1:3], x.shape[:3]):
            raise ValueError(
                f"labels must have the shape of one image, {list(x.shape[1:3])}, or of all, {list(x.shape[:3])}, "
                f"but its shape is {list(self.labels.shape)}."
            )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return self.num_regions

    def prepare(self, x: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        return jnp.broadcast_to(self.labels, x.shape[:3])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patches(Painted):
    """Rectangles of `size` places, laid over images of any size from the upper left corner; the last may be smaller."""

    size: tuple[int, int] = dataclasses.field(metadata={"static": True})

    def num_players(self, shape: tuple[int, ...]) -> int:
        return math.prod(-(-side // step) for side, step in zip(shape[:2], self.size, strict=True))

    def prepare(self, x: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        rows, columns = (np.arange(side) // step for side, step in zip(x.shape[1:3], self.size, strict=True))
        labels = rows[:, None] * (columns[-1] + 1) + columns
        return jnp.broadcast_to(jnp.asarray(labels, jnp.int32), x.shape[:3])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Grid(Painted):
    """A regular grid of `cells` rectangles, laid over images of any size."""

    cells: tuple[int, int] = dataclasses.field(metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        if any(cell > side for cell, side in zip(self.cells, x.shape[1:3], strict=True)):
            raise ValueError(f"a grid of {self.cells} cells has empty ones on images of {list(x.shape[1:3])} places.")

    def num_players(self, shape: tuple[int, ...]) -> int:
        return self.cells[0] * self.cells[1]

    def prepare(self, x: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        rows, columns = (np.arange(side) * cells // side for side, cells in zip(x.shape[1:3], self.cells, strict=True))
        return jnp.broadcast_to(jnp.asarray(rows[:, None] * self.cells[1] + columns, jnp.int32), x.shape[:3])


def regions(labels: Any, *, fill: Any = "mean") -> Regions:
    """Makes the regions of a label map the players of an image; absent ones are painted over.

    Why: pixels one by one mean nothing to a person and hardly anything to a network; superpixels do. Any integer label
    map serves, such as those of scikit-image's `quickshift` or `felzenszwalb`; `xai.mask.superpixels` makes its own.

    Args:
      labels: [H, W] integers 0..M-1 for all images, or [N, H, W] one map for each image. An image may have fewer
        regions than others: those that it lacks get the value 0.
      fill: what replaces an absent region. "mean" for its own mean color, as in LIME (Ribeiro 2016). "blur" for the
        image under a Gaussian blur, of sigma sqrt(H W) / 22.4: 10 places for images of 224 x 224, as in Fong & Vedaldi
        (2017). "noise" for colors drawn from the image's own, place by place, always by `jax.random.key(0)`, so that
        an image is painted the same in every batch. Or a number, a color [C], an image [H, W, C], or background images
        [B, H, W, C], over which the outputs are averaged. Default "mean": it stays within the image's colors and leaves no new edges inside. Where regions are so uniform that their mean is
        what they were, take another.

    Returns:
      A masker for images [N, H, W, C] with M players.

    Raises:
      TypeError: if the labels are not integers, or not known when compiling.
      ValueError: if the labels of an image have gaps, or the fill has another name.

    References:
      Fong & Vedaldi (2017), Interpretable explanations of black boxes by meaningful perturbation, arXiv:1704.03296.
    """
    labels = _read_labels(labels)
    return Regions(read_fill(fill), jnp.asarray(labels, jnp.int32), int(labels.max()) + 1)


def grid(cells: int | tuple[int, int] = 8, *, fill: Any = "mean") -> Grid:
    """Makes the cells of a regular grid the players of an image.

    Args:
      cells: how many cells along each side, one number for both or (rows, columns). Default 8: 64 players, enough to
        show where and few enough for a thousand evaluations.
      fill: as in `regions`.

    Returns:
      A masker for images [N, H, W, C] of any size.
    """
    return Grid(read_fill(fill), _pair("cells", cells))


def patches(size: int | tuple[int, int] = 16, *, fill: Any = "mean") -> Patches:
    """Makes the patches of an image its players: those that a vision transformer cuts it into.

    Args:
      size: how many places a patch has along each side, one number for both or (rows, columns). Default 16, as in most
        vision transformers (Dosovitskiy et al. 2020): 196 players for images of 224 x 224.
      fill: as in `regions`.

    Returns:
      A masker for images [N, H, W, C] of any size; where a side is no multiple of the patch, the last ones are smaller.
    """
    return Patches(read_fill(fill), _pair("size", size))


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    first, second = (check.positive_int(name, one) for one in pair)
    return first, second


def _read_labels(labels: Any) -> np.ndarray:
    """[H, W] or [N, H, W], without gaps in any image."""
    if check.is_concrete(labels) and np.ndim(labels) == 3 and np.issubdtype(np.asarray(labels).dtype, np.integer):
        for number, image in enumerate(np.asarray(labels)):
            whole_labels(f"labels[{number}]", image)
    labels = whole_labels("labels", labels)
    if labels.ndim not in (2, 3):
        raise ValueError(f"labels must have shape [H, W] or [N, H, W], but its shape is {list(labels.shape)}.")
    return labels
