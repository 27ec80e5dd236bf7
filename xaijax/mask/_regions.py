"""Images: the players are regions (superpixels), absent ones are painted over."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax import _check
from xaijax._typing import Array, Int, Shaped
from xaijax.mask._background import whole_labels
from xaijax.mask._masker import Masker


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regions(Masker):
    """labels: [H, W] or [N, H, W] the region of each place; fill: a value or image, or None for the region's mean."""

    labels: Int[Array, "*batch H W"]
    fill: Shaped[Array, "..."] | None
    num_regions: int = dataclasses.field(metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim != 4:
            raise ValueError(f"x must be images [N, H, W, C], but its shape is {list(x.shape)}.")
        if self.labels.shape not in (x.shape[1:3], x.shape[:3]):
            raise ValueError(
                f"labels must have the shape of one image, {list(x.shape[1:3])}, or of all, {list(x.shape[:3])}, "
                f"but its shape is {list(self.labels.shape)}."
            )
        if self.fill is not None:
            try:
                fits = np.broadcast_shapes(self.fill.shape, x.shape[1:]) == x.shape[1:]
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(
                    f"fill must be a number, a colour [C] or an image {list(x.shape[1:])}, "
                    f"but its shape is {list(self.fill.shape)}."
                )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return self.num_regions

    def prepare(self, x: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        return jnp.broadcast_to(self.labels, x.shape[:3])

    def owners(self, shape: tuple[int, ...], prepared: Int[Array, "H W"]) -> Int[Array, "H W"]:
        return prepared

    def references(self, x: Shaped[Array, "H W C"], prepared: Int[Array, "H W"]) -> Shaped[Array, "1 H W C"]:
        if self.fill is not None:
            return jnp.broadcast_to(self.fill, x.shape)[None].astype(x.dtype)
        return region_means(x, prepared, self.num_regions)[None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Grid(Regions):
    """A regular grid of `cells` rectangles, laid over images of any size."""

    cells: tuple[int, int] = dataclasses.field(default=(1, 1), metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim == 4 and any(cell > side for cell, side in zip(self.cells, x.shape[1:3], strict=True)):
            raise ValueError(f"a grid of {self.cells} cells has empty ones on images of {list(x.shape[1:3])} places.")
        super_labels = dataclasses.replace(self, labels=jnp.zeros(x.shape[1:3], jnp.int32))
        Regions.check(super_labels, x)

    def prepare(self, x: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        rows, columns = (np.arange(side) * cells // side for side, cells in zip(x.shape[1:3], self.cells, strict=True))
        return jnp.broadcast_to(jnp.asarray(rows[:, None] * self.cells[1] + columns, jnp.int32), x.shape[:3])


def region_means(x: Shaped[Array, "H W C"], labels: Int[Array, "H W"], num_regions: int) -> Shaped[Array, "H W C"]:
    """Every place with the mean colour of its region."""
    ids, places = labels.reshape(-1), x.reshape(-1, x.shape[-1])
    wide = jnp.promote_types(x.dtype, jnp.float32)
    sums = jax.ops.segment_sum(places.astype(wide), ids, num_regions)
    sizes = jax.ops.segment_sum(jnp.ones(ids.shape, wide), ids, num_regions)
    return (sums / jnp.maximum(sizes, 1)[:, None])[labels].astype(x.dtype)


def regions(labels: Any, *, fill: Any = "mean") -> Regions:
    """Makes the regions of a label map the players of an image; absent ones are painted over.

    Why: pixels one by one mean nothing to a person and hardly anything to a network; superpixels do. Any integer label
    map serves, such as those of scikit-image's `slic`, `quickshift` or `felzenszwalb`.

    Args:
      labels: [H, W] integers 0..M-1 for all images, or [N, H, W] one map for each image.
      fill: what replaces an absent region: "mean" for its own mean colour, as in LIME (Ribeiro 2016); or a number, a
        colour [C] or an image [H, W, C].

    Returns:
      A masker for images [N, H, W, C] with M players.

    Raises:
      TypeError: if the labels are not integers.
      ValueError: if the labels have gaps, or the fill is a name other than "mean".
    """
    labels = whole_labels("labels", labels)
    if labels.ndim not in (2, 3):
        raise ValueError(f"labels must have shape [H, W] or [N, H, W], but its shape is {list(labels.shape)}.")
    return Regions(jnp.asarray(labels, jnp.int32), _read_fill(fill), int(labels.max()) + 1)


def grid(cells: int | tuple[int, int] = 8, *, fill: Any = "mean") -> Grid:
    """Makes the cells of a regular grid the players of an image.

    Args:
      cells: how many cells along each side, one number for both or (rows, columns). Default 8: 64 players, enough to
        show where and few enough for a thousand evaluations.
      fill: as in `regions`.

    Returns:
      A masker for images [N, H, W, C] of any size.
    """
    pair = cells if isinstance(cells, tuple) and len(cells) == 2 else (cells, cells)
    rows, columns = (_check.positive_int("cells", cell) for cell in pair)
    return Grid(jnp.zeros((0, 0), jnp.int32), _read_fill(fill), rows * columns, (rows, columns))


def _read_fill(fill: Any) -> Array | None:
    if isinstance(fill, str):
        _check.one_of("fill", fill, ["mean"])
        return None
    fill = _check.numeric_array("fill", fill)
    _check.no_nan("fill", fill[None])
    return fill
