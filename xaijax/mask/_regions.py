"""Images of any rank: the players are regions, and absent regions are painted over."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.names import read_names
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Int, Shaped
from xaijax.mask._fill import Fill, read_fill
from xaijax.segment._slic import Settings, read_settings, segments, warn_of_few_segments

_FEW_CELLS = 64
_FEW_CHANNELS = 4  # a last axis as long as this holds channels, without a look at the model's convolutions


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Painted(Masker):
    """Images of any rank whose absent regions are painted over. Subclasses cut images [*space, C] into regions by `cut`.

    fill: what replaces absent regions.
    channel_axis: the axis of the channels of x [N, ...]; None for the last axis.
    """

    fill: Fill
    channel_axis: int | None = dataclasses.field(metadata={"static": True})

    def cut(self, images: Shaped[Array, "N *space C"]) -> Int[Array, "N *space"]:
        """Returns the region of each pixel."""
        raise TypeError(f"{type(self).__name__} must define cut(images), the region of each pixel.")

    def num_regions(self, sides: tuple[int, ...]) -> int:
        """Returns M for images of this size."""
        raise TypeError(f"{type(self).__name__} must define num_regions(sides), the number of regions.")

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim < 3:
            raise ValueError(
                f"`x` must be images [N, H, W, C], signals [N, L, C] or volumes [N, D, H, W, C], got shape {list(x.shape)}: "
                "one image alone is x[None], and channels are an axis even if there is one, x[..., None]."
            )
        axis = check.channel_axis("x", x.shape, self.channel_axis)
        self.fill.channels_last(axis - x.ndim).check((*self._sides(x.shape[1:]), x.shape[axis]), x.dtype)

    def assumes_channels_last(self, shape: tuple[int, ...]) -> bool:
        return self.channel_axis is None and shape[-1] > _FEW_CHANNELS

    def num_players(self, shape: tuple[int, ...]) -> int:
        return self.num_regions(self._sides(shape))

    def prepare(self, x: Shaped[Array, "N *input"]) -> Int[Array, "N *space"]:
        return self.cut(jnp.moveaxis(x, self._axis(x.shape[1:]), -1))

    def owners(self, shape: tuple[int, ...], prepared: Int[Array, "*space"]) -> Int[Array, "*space"]:
        return prepared

    def active(self, x: Shaped[Array, "*input"], prepared: Int[Array, "*space"]) -> Bool[Array, " M"]:
        """Returns the regions that the image has: it may have fewer than there are players."""
        return jnp.arange(self.num_players(x.shape)) <= prepared.max()

    def references(self, x: Shaped[Array, "*input"], prepared: Int[Array, "*space"]) -> Shaped[Array, "B *input"]:
        axis = self._axis(x.shape)
        fill = self.fill.channels_last(axis)
        painted = fill.paint(jnp.moveaxis(x, axis, -1), prepared, self.num_players(x.shape))
        return jnp.moveaxis(painted, -1, axis)

    def present(
        self, x: Shaped[Array, "*input"], coalition: Bool[Array, " M"], prepared: Int[Array, "*space"]
    ) -> Bool[Array, "*input"]:
        return jnp.broadcast_to(jnp.expand_dims(coalition[prepared], self._axis(x.shape)), x.shape)

    def _axis(self, shape: tuple[int, ...]) -> int:
        """Returns the axis of the channels of one example of this shape, counted from the end."""
        return -1 if self.channel_axis is None else self.channel_axis % (len(shape) + 1) - len(shape) - 1

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axis = self._axis(shape) % len(shape)
        return tuple(side for number, side in enumerate(shape) if number != axis)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Regions(Painted):
    """Regions given by labels.

    labels: [*space] or [N, *space] the region of each pixel.
    most: the number of regions of the image that has most.
    each_complete: whether the labels of each image, if the first axis is that of images, have no gaps.
    player_names: [M] names of the regions, or None.
    """

    labels: Int[Array, "*labels"]
    most: int = dataclasses.field(metadata={"static": True})
    each_complete: bool = dataclasses.field(default=True, metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        sides = self._sides(x.shape[1:])
        if self.labels.shape not in (sides, (len(x), *sides)):
            raise ValueError(
                f"`labels` must have the shape of one image, {list(sides)}, or of all, {[len(x), *sides]}, got "
                f"{list(self.labels.shape)}."
            )
        if self.labels.shape != sides and not self.each_complete and check.is_concrete(self.labels):
            for number, image in enumerate(np.asarray(self.labels)):
                check.labels(f"labels[{number}]", image)

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        return self.player_names

    def num_regions(self, sides: tuple[int, ...]) -> int:
        return self.most

    def cut(self, images: Shaped[Array, "N *space C"]) -> Int[Array, "N *space"]:
        return jnp.broadcast_to(self.labels, images.shape[:-1])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Patches(Painted):
    """Boxes of `size` pixels, laid over images of any size from the upper left corner; the last may be smaller.

    size: the side for all axes, or one for each.
    """

    size: int | tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        _for_each_side("size", self.size, self._sides(x.shape[1:]))

    def num_regions(self, sides: tuple[int, ...]) -> int:
        steps = _for_each_side("size", self.size, sides)
        return math.prod(-(-side // step) for side, step in zip(sides, steps, strict=True))

    def cut(self, images: Shaped[Array, "N *space C"]) -> Int[Array, "N *space"]:
        sides = images.shape[1:-1]
        steps = _for_each_side("size", self.size, sides)
        return _boxes([np.arange(side) // step for side, step in zip(sides, steps, strict=True)], images)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Grid(Painted):
    """A regular grid of boxes, laid over images of any size; cells: their number along all sides, or along each."""

    cells: int | tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        sides = self._sides(x.shape[1:])
        cells = _for_each_side("cells", self.cells, sides)
        if any(cell > side for cell, side in zip(cells, sides, strict=True)):
            raise ValueError(f"`cells` must be at most the {list(sides)} pixels of an image, got {cells}.")

    def num_regions(self, sides: tuple[int, ...]) -> int:
        return math.prod(_for_each_side("cells", self.cells, sides))

    def cut(self, images: Shaped[Array, "N *space C"]) -> Int[Array, "N *space"]:
        sides = images.shape[1:-1]
        cells = _for_each_side("cells", self.cells, sides)
        return _boxes([np.arange(side) * count // side for side, count in zip(sides, cells, strict=True)], images)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Superpixels(Painted):
    """Superpixels that SLIC makes of each image; settings: its options."""

    settings: Settings

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        axis = check.channel_axis("x", x.shape, self.channel_axis)
        self.settings.check((len(x), *self._sides(x.shape[1:]), x.shape[axis]), "x")

    def num_regions(self, sides: tuple[int, ...]) -> int:
        return self.settings.num_seeds(sides)

    def warn_of(self, regions: Int[Array, "N *space"]) -> None:
        warn_of_few_segments(regions, self.settings)

    def cut(self, images: Shaped[Array, "N *space C"]) -> Int[Array, "N *space"]:
        return segments(images, self.settings)


def regions(
    labels: ArrayOrSequence,
    *,
    fill: str | ArrayOrSequence = "mean",
    names: Sequence[str] | None = None,
    channel_axis: int | None = None,
) -> Regions:
    """Makes the regions of a label map the players of an image; absent regions are painted over.

    Why: single pixels mean nothing to a person and hardly anything to a network, while regions do. Any integer label
    map serves, such as those of scikit-image's `quickshift` or `felzenszwalb`; `xai.mask.superpixels` makes its own.

    Args:
      labels: [H, W] integers 0..M-1 for all images, or [N, H, W] one map for each image; [L] or [N, L] for signals,
        [D, H, W] or [N, D, H, W] for volumes. An image may have fewer regions than others: the regions that it lacks get
        the value 0.
      fill: what replaces an absent region. "mean": its own mean color, as in LIME (Ribeiro 2016). "blur": the image
        under a Gaussian blur of sigma sqrt(H W) / 22.4 (the mean side / 22.4), which is 10 pixels for images of
        224 x 224, as in Fong & Vedaldi (2017). "noise": colors drawn from the image's own pixels, always by `jax.random.key(0)`, so that an
        image gets the same noise in every batch. Or a number, a color [C], an image [H, W, C], or background images
        [B, H, W, C], over which the outputs are averaged; images have the layout of x. Default "mean": it stays within
        the image's colors and leaves no new edges inside. Take another where regions are nearly uniform, as their mean
        changes little there.
      names: M names of the regions, such as ["sky", "dog"]. Default: none.
      channel_axis: the axis of the channels of x, 1 for images [N, C, H, W]. Default None: the last axis; a shape such
        as (N, 3, 224, 224) is refused then.

    Returns:
      A masker for images [N, H, W, C], signals [N, L, C] or volumes [N, D, H, W, C], with M players.

    Raises:
      TypeError: if the labels are not integers, or not known when compiling.
      ValueError: if the labels of an image have gaps, or the fill or the channel axis is none of the above.

    References:
      Fong & Vedaldi (2017), Interpretable explanations of black boxes by meaningful perturbation, arXiv:1704.03296.
    """
    axis, read = _read_axis(channel_axis), check.labels("labels", labels)
    if read.ndim == 0:
        raise ValueError("`labels` must have the shape of one image or of all, got a scalar.")
    most = int(read.max()) + 1
    player_names: Any = None if names is None else read_names(names, most, None)
    complete = read.ndim == 1 or all(len(np.unique(image)) == image.max() + 1 for image in read)
    return Regions(read_fill(fill), axis, jnp.asarray(read, jnp.int32), most, complete, player_names)


def grid(
    cells: int | Sequence[int] = 8, *, fill: str | ArrayOrSequence = "mean", channel_axis: int | None = None
) -> Grid:
    """Makes the cells of a regular grid the players of an image.

    Args:
      cells: the number of cells along each side, one number for all or (rows, columns), one number for signals, (planes,
        rows, columns) for volumes. Default 8: 64 players for images, enough to locate an object and few enough for a
        thousand evaluations; 64 cells of signals and 4 x 4 x 4 of volumes are as many.
      fill, channel_axis: as in `regions`.

    Returns:
      A masker for images [N, H, W, C], signals [N, L, C] or volumes [N, D, H, W, C] of any size.

    Raises:
      TypeError, ValueError: if an option is out of range; with the images, if they have fewer pixels than cells.
    """
    axis = _read_axis(channel_axis)
    return Grid(read_fill(fill), axis, _read_sides("cells", cells))


def few_cells(shape: tuple[int, ...], *, fill: Any, channel_axis: int | None) -> Grid:
    """Returns the grid of about 64 cells, as many along each side, for images [N, ..., C] of this shape."""
    if len(shape) < 3:
        return grid(fill=fill, channel_axis=channel_axis)  # refuses such a shape
    axis = check.channel_axis("x", shape, channel_axis)
    sides = [side for number, side in enumerate(shape) if number not in (0, axis)]
    most = max(2, round(_FEW_CELLS ** (1 / len(sides))))
    return grid([min(side, most) for side in sides], fill=fill, channel_axis=channel_axis)


def patches(
    size: int | Sequence[int] = 16, *, fill: str | ArrayOrSequence = "mean", channel_axis: int | None = None
) -> Patches:
    """Makes the patches of an image its players, as a vision transformer cuts them.

    Args:
      size: the side of a patch in pixels, one number or one for each axis of space. Default 16, as in most vision transformers
        (Dosovitskiy et al. 2020): 196 players for images of 224 x 224.
      fill, channel_axis: as in `regions`.

    Returns:
      A masker for images [N, H, W, C], signals [N, L, C] or volumes [N, D, H, W, C] of any size. Where a side is no
      multiple of the patch, the last patches are smaller.

    Raises:
      TypeError, ValueError: if an option is out of range.
    """
    axis = _read_axis(channel_axis)
    return Patches(read_fill(fill), axis, _read_sides("size", size))


def superpixels(
    num_segments: int = 50,
    *,
    compactness: float = 10.0,
    num_iterations: int = 10,
    sigma: float = 0.0,
    color_space: str | None = None,
    fill: str | ArrayOrSequence = "mean",
    channel_axis: int | None = None,
) -> Superpixels:
    """Makes the superpixels of each image its players; SLIC computes them on the device, where the model runs.

    Why: superpixels follow the edges of an image, where the cells of a grid cut through objects. No labels have to be
    made before: one compiled program takes images and returns explanations.

    Args:
      num_segments: about how many superpixels. Default 50: coarse enough for a person, and for a thousand evaluations.
      compactness, num_iterations, sigma, color_space: as in `xai.segment.slic`. Noisy images need a sigma of 1 to 3, or
        they get a few large superpixels.
      fill, channel_axis: as in `regions`.

    Returns:
      A masker for images [N, H, W, C] or signals [N, L, C] of any size. It has as many players for each image as SLIC has
      seeds, about num_segments. Where an image has fewer superpixels, the remaining players get the value 0.

    Raises:
      TypeError, ValueError: if an option is out of range; with the images, if they have fewer pixels than segments or
        other channels than the color space.
    """
    axis = _read_axis(channel_axis)
    settings = read_settings(num_segments, compactness, num_iterations, sigma, color_space=color_space)
    return Superpixels(read_fill(fill), axis, settings)


def _read_axis(channel_axis: Any) -> int | None:
    return None if channel_axis is None else check.any_axis(channel_axis)


def _read_sides(name: str, value: Any) -> int | tuple[int, ...]:
    """Reads one number for all sides of an image, or a number for each."""
    if not isinstance(value, tuple | list) or not value:
        return check.positive_int(name, value)
    return tuple(check.positive_int(name, side) for side in value)


def _for_each_side(name: str, value: int | tuple[int, ...], sides: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * len(sides)
    if len(value) != len(sides):
        raise ValueError(f"`{name}` must be one number or one for each of the sides {list(sides)} of `x`, got {value}.")
    return value


def _boxes(of_sides: list[np.ndarray], images: Shaped[Array, "N *space C"]) -> Int[Array, "N *space"]:
    """Returns the number of each pixel's box, from the numbers along each side, row by row."""
    counts = [int(numbers[-1]) + 1 for numbers in of_sides]
    labels = np.ravel_multi_index(np.meshgrid(*of_sides, indexing="ij"), counts)
    return jnp.broadcast_to(jnp.asarray(labels, jnp.int32), images.shape[:-1])
