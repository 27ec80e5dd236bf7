"""Images: the players are regions, and absent regions are painted over."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import read_names
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Int, Shaped
from xaijax.mask._fill import Fill, read_fill
from xaijax.segment._slic import Settings, read_settings, segments, warn_of_few_segments

_FEW_CHANNELS = 4  # a last axis as long as this holds channels, without a look at the model's convolutions


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Painted(Masker):
    """Images whose absent regions are painted over. Subclasses cut images [H, W, C] into regions by `cut`.

    fill: what replaces absent regions, with channels last.
    channel_axis: the axis of the channels of x [N, ...], 1 to 3; None for the last axis.
    """

    fill: Fill
    channel_axis: int | None = dataclasses.field(metadata={"static": True})

    def cut(self, images: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        """Returns the region of each pixel."""
        raise TypeError(f"{type(self).__name__} must define cut(images), the region of each pixel.")

    def num_regions(self, height: int, width: int) -> int:
        """Returns M for images of this size."""
        raise TypeError(f"{type(self).__name__} must define num_regions(height, width), the number of regions.")

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim != 4:
            raise ValueError(f"`x` must be images [N, H, W, C], got shape {list(x.shape)}: one image alone is x[None].")
        check.channel_axis("x", x.shape, self.channel_axis)
        height, width = self._size(x.shape[1:])
        self.fill.check((height, width, x.shape[self._axis]), x.dtype)

    def assumes_channels_last(self, shape: tuple[int, ...]) -> bool:
        return self.channel_axis is None and shape[-1] > _FEW_CHANNELS

    def num_players(self, shape: tuple[int, ...]) -> int:
        return self.num_regions(*self._size(shape))

    def prepare(self, x: Shaped[Array, "N *input"]) -> Int[Array, "N H W"]:
        return self.cut(jnp.moveaxis(x, self._axis, -1))

    def owners(self, shape: tuple[int, ...], prepared: Int[Array, "H W"]) -> Int[Array, "H W"]:
        return prepared

    def active(self, x: Shaped[Array, "*input"], prepared: Int[Array, "H W"]) -> Bool[Array, " M"]:
        """Returns the regions that the image has: it may have fewer than there are players."""
        return jnp.arange(self.num_players(x.shape)) <= prepared.max()

    def references(self, x: Shaped[Array, "*input"], prepared: Int[Array, "H W"]) -> Shaped[Array, "B *input"]:
        painted = self.fill.paint(jnp.moveaxis(x, self._axis - 1, -1), prepared, self.num_players(x.shape))
        return jnp.moveaxis(painted, -1, self._axis)

    def compose(
        self,
        x: Shaped[Array, "*input"],
        reference: Shaped[Array, "*input"],
        coalition: Bool[Array, " M"],
        prepared: Int[Array, "H W"],
    ) -> Shaped[Array, "*input"]:
        return jnp.where(jnp.expand_dims(coalition[prepared], self._axis - 1), x, reference)

    @property
    def _axis(self) -> int:
        return 3 if self.channel_axis is None else self.channel_axis

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = (side for axis, side in enumerate(shape, start=1) if axis != self._axis)
        return height, width


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Regions(Painted):
    """Regions given by labels.

    labels: [H, W] or [N, H, W] the region of each pixel.
    most: the number of regions of the image that has most.
    player_names: [M] names of the regions, or None.
    """

    labels: Int[Array, "*batch H W"]
    most: int = dataclasses.field(metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        size = self._size(x.shape[1:])
        if self.labels.shape not in (size, (len(x), *size)):
            raise ValueError(
                f"`labels` must have the shape of one image, {list(size)}, or of all, {[len(x), *size]}, got "
                f"{list(self.labels.shape)}."
            )

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        return self.player_names

    def num_regions(self, height: int, width: int) -> int:
        return self.most

    def cut(self, images: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        return jnp.broadcast_to(self.labels, images.shape[:3])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Patches(Painted):
    """Rectangles of `size` pixels, laid over images of any size from the upper left corner; the last may be smaller."""

    size: tuple[int, int] = dataclasses.field(metadata={"static": True})

    def num_regions(self, height: int, width: int) -> int:
        return math.prod(-(-side // step) for side, step in zip((height, width), self.size, strict=True))

    def cut(self, images: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        rows, columns = (np.arange(side) // step for side, step in zip(images.shape[1:3], self.size, strict=True))
        labels = rows[:, None] * (columns[-1] + 1) + columns
        return jnp.broadcast_to(jnp.asarray(labels, jnp.int32), images.shape[:3])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Grid(Painted):
    """A regular grid of `cells` rectangles, laid over images of any size."""

    cells: tuple[int, int] = dataclasses.field(metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        size = self._size(x.shape[1:])
        if any(cell > side for cell, side in zip(self.cells, size, strict=True)):
            raise ValueError(f"`cells` must be at most the {list(size)} pixels of an image, got {self.cells}.")

    def num_regions(self, height: int, width: int) -> int:
        return math.prod(self.cells)

    def cut(self, images: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        rows, columns = (
            np.arange(side) * cells // side for side, cells in zip(images.shape[1:3], self.cells, strict=True)
        )
        labels = rows[:, None] * self.cells[1] + columns
        return jnp.broadcast_to(jnp.asarray(labels, jnp.int32), images.shape[:3])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Superpixels(Painted):
    """Superpixels that SLIC makes of each image; settings: its options."""

    settings: Settings

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        self.settings.check((len(x), *self._size(x.shape[1:]), x.shape[self._axis]))

    def num_regions(self, height: int, width: int) -> int:
        return self.settings.num_seeds(height, width)

    def warn_of(self, regions: Int[Array, "N *space"]) -> None:
        warn_of_few_segments(regions, self.settings)

    def cut(self, images: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
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
      labels: [H, W] integers 0..M-1 for all images, or [N, H, W] one map for each image. An image may have fewer
        regions than others: the regions that it lacks get the value 0.
      fill: what replaces an absent region. "mean": its own mean color, as in LIME (Ribeiro 2016). "blur": the image
        under a Gaussian blur of sigma sqrt(H W) / 22.4, which is 10 pixels for images of 224 x 224, as in Fong &
        Vedaldi (2017). "noise": colors drawn from the image's own pixels, always by `jax.random.key(0)`, so that an
        image gets the same noise in every batch. Or a number, a color [C], an image [H, W, C], or background images
        [B, H, W, C], over which the outputs are averaged; images have the layout of x. Default "mean": it stays within
        the image's colors and leaves no new edges inside. Take another where regions are nearly uniform, as their mean
        changes little there.
      names: M names of the regions, such as ["sky", "dog"]. Default: none.
      channel_axis: the axis of the channels of x, 1 for images [N, C, H, W]. Default None: the last axis; a shape such
        as (N, 3, 224, 224) is refused then.

    Returns:
      A masker for images [N, H, W, C] with M players.

    Raises:
      TypeError: if the labels are not integers, or not known when compiling.
      ValueError: if the labels of an image have gaps, or the fill or the channel axis is none of the above.

    References:
      Fong & Vedaldi (2017), Interpretable explanations of black boxes by meaningful perturbation, arXiv:1704.03296.
    """
    labels, axis = read_labels("labels", labels), _read_axis(channel_axis)
    most = int(labels.max()) + 1
    player_names: Any = None if names is None else read_names(names, most, None)
    return Regions(read_fill(fill, axis), axis, jnp.asarray(labels, jnp.int32), most, player_names)


def grid(
    cells: int | tuple[int, int] = 8, *, fill: str | ArrayOrSequence = "mean", channel_axis: int | None = None
) -> Grid:
    """Makes the cells of a regular grid the players of an image.

    Args:
      cells: the number of cells along each side, one number for both or (rows, columns). Default 8: 64 players, enough
        to locate an object and few enough for a thousand evaluations.
      fill, channel_axis: as in `regions`.

    Returns:
      A masker for images [N, H, W, C] of any size.

    Raises:
      TypeError, ValueError: if an option is out of range; with the images, if they have fewer pixels than cells.
    """
    axis = _read_axis(channel_axis)
    return Grid(read_fill(fill, axis), axis, _pair("cells", cells))


def patches(
    size: int | tuple[int, int] = 16, *, fill: str | ArrayOrSequence = "mean", channel_axis: int | None = None
) -> Patches:
    """Makes the patches of an image its players, as a vision transformer cuts them.

    Args:
      size: the side of a patch in pixels, one number or (rows, columns). Default 16, as in most vision transformers
        (Dosovitskiy et al. 2020): 196 players for images of 224 x 224.
      fill, channel_axis: as in `regions`.

    Returns:
      A masker for images [N, H, W, C] of any size. Where a side is no multiple of the patch, the last patches are
      smaller.

    Raises:
      TypeError, ValueError: if an option is out of range.
    """
    axis = _read_axis(channel_axis)
    return Patches(read_fill(fill, axis), axis, _pair("size", size))


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
      A masker for images [N, H, W, C] of any size. It has as many players for each image as SLIC has seeds, about
      num_segments. Where an image has fewer superpixels, the remaining players get the value 0.

    Raises:
      TypeError, ValueError: if an option is out of range; with the images, if they have fewer pixels than segments or
        other channels than the color space.
    """
    axis = _read_axis(channel_axis)
    settings = read_settings(num_segments, compactness, num_iterations, sigma, color_space=color_space)
    return Superpixels(read_fill(fill, axis), axis, settings)


def _read_axis(channel_axis: Any) -> int | None:
    return None if channel_axis is None else check.channel_axis("x", (), channel_axis)


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    first, second = (check.positive_int(name, side) for side in pair)
    return first, second


def read_labels(name: str, labels: Any) -> np.ndarray:
    """Reads labels [H, W] or [N, H, W] without gaps in any image."""
    if check.is_concrete(labels):
        labels = check.host_array(name, labels)
        for number, image in enumerate(labels if labels.ndim == 3 else ()):
            check.labels(f"{name}[{number}]", image)
    labels = check.labels(name, labels)
    if labels.ndim not in (2, 3):
        raise ValueError(f"`{name}` must have shape [H, W] or [N, H, W], got {list(labels.shape)}.")
    return labels
