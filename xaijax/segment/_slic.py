"""SLIC superpixels (Achanta, Shaji, Smith, Lucchi, Fua & Süsstrunk 2012), as a program of static shape.

D² = d_lab² / m² + d_xy² / S²: every pixel goes to the nearest of the 9 centers around it, every center to the mean of
its pixels, with S = sqrt(H W / K) the distance of the K centers and m the compactness. A signal of length L is an image
of height 1, with S = L / K.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.blocks import each, in_blocks
from xaijax._core.blur import gaussian_blur
from xaijax._core.calls import warn
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, Shaped
from xaijax.segment._cluster import Cells, cluster, seed_grid
from xaijax.segment._connect import connected

COLOR_SPACES = ["lab", "channels"]
_SMALLEST = 0.5  # of the usual size of a segment: smaller pieces join a neighbor, as in scikit-image
_FEW = 0.5  # of the seeds: with fewer segments a picture gets a warning
# Pixels segmented at a time. On a CPU one photograph, whose 25 arrays of 200 kB stay in the caches; on accelerators 40.
_PIXELS = {"cpu": 2**16, "accelerator": 2**21}


def slic(
    images: ArrayOrSequence,
    num_segments: int = 50,
    *,
    compactness: float = 10.0,
    num_iterations: int = 10,
    sigma: float = 0.0,
    enforce_connectivity: bool = True,
    color_space: str | None = None,
    channel_axis: int | None = None,
) -> Int[Array, "N *space"]:
    """Cuts images or signals into superpixels: connected regions of one color, all of about one size.

    Why: people look at superpixels and networks can do without one of them. Here they are made where the model runs,
    within the same compiled program, many images at a time.

    The number of segments is bounded by the grid of seeds (`num_players` of `xai.mask.superpixels`). Each image has
    labels 0..S-1 without gaps, and S differs from image to image. An image's labels do not depend on the others.

    Args:
      images: [N, H, W, C] images or [N, L, C] signals of any range: each is scaled to [0, 1] by its own extremes. Inputs that were
        standardized channel by channel should be passed as they were before.
      num_segments: about how many segments: the seeds are the centers of a grid of so many cells, as square as the
        image allows. Default 50: coarse enough for a person, and for a thousand evaluations of a model.
      compactness: m, how many units of color weigh as much as the distance of two seeds. Default 10, as in the paper:
        larger values make squares, smaller values follow every edge.
      num_iterations: how often centers move. Default 10, as in the paper; the change is small by then.
      sigma: the standard deviation of a Gaussian blur before clustering, in pixels. Default 0: none. 1 to 3 helps with
        noisy images.
      enforce_connectivity: whether each segment is connected (by pixels above, below, left and right): the largest
        pieces of at least half a cell stay, at most one for each seed, and the others join the neighbor with the least
        D. Pieces more than 8 pieces away from any segment join along the borders of least color difference.
        Default True.
      color_space: "lab": sRGB as CIELAB, for 3 channels. "channels": the channels as they are, with [0, 1] taken as
        [0, 100] like the lightness, so that the compactness means the same. (scikit-image leaves them in [0, 1]: its
        compactness is a hundredth of this one.) Default None: "lab" for 3 channels, else "channels".
      channel_axis: the axis of the channels, 1 for images [N, C, H, W]. Default None: the last axis; a shape such as
        (N, 3, 224, 224) is refused then, and (H, W, 3), which may be one image.

    Returns:
      [N, H, W] labels, or [N, L], int32. A warning says where an image has less than half as many segments as seeds.

    Raises:
      TypeError, ValueError: if the images have another shape or hold NaN, num_segments is more than their pixels, or an
        option is out of range. Within a transformation NaN cannot be seen: such an image gets its grid, as does an
        image with infinities.

    References:
      Achanta et al. (2012), SLIC superpixels compared to state-of-the-art superpixel methods, TPAMI 34(11).
      Ren, Prisacariu & Reid (2015), gSLICr, arXiv:1509.04232, for the 9 centers around each pixel.
    """
    images = check.numeric_array("images", images)
    is_image = images.ndim == 3 and images.shape[-1] in (3, 4) and channel_axis is None
    if images.ndim < 3 or 0 in images.shape or is_image:
        raise ValueError(
            f"`images` must have shape [N, H, W, C], got {list(images.shape)}: one image alone is image[None], without "
            "channels image[None, ..., None]; for signals [N, L, C] of 3 or 4 channels pass channel_axis=-1."
        )
    check.no_nan("images", images)
    channels = check.channel_axis("images", images.shape, channel_axis)
    settings = read_settings(num_segments, compactness, num_iterations, sigma, enforce_connectivity, color_space)
    images = jnp.moveaxis(images, channels, -1)
    settings.check(images.shape)
    labels = segments(images, settings)
    warn_of_few_segments(labels, settings)
    return labels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of `slic`; the compactness may change without recompiling."""

    compactness: Any
    num_segments: int = dataclasses.field(metadata={"static": True})
    num_iterations: int = dataclasses.field(metadata={"static": True})
    sigma: float = dataclasses.field(metadata={"static": True})
    connect: bool = dataclasses.field(metadata={"static": True})
    color_space: str | None = dataclasses.field(metadata={"static": True})

    def check(self, shape: tuple[int, ...], name: str = "images") -> None:
        """Raises an error if the options do not fit images [N, *space, C]."""
        _, *sides, channels = shape
        if len(sides) > 2:
            raise ValueError(
                f"`{name}` must be images [N, H, W, C] or signals [N, L, C] for superpixels, got shape {list(shape)}: cut "
                "volumes by xai.mask.grid, or by xai.mask.regions with labels of another package."
            )
        if self.num_segments > math.prod(sides):
            raise ValueError(
                f"`num_segments` must be at most the {math.prod(sides)} pixels of an image, got {self.num_segments}."
            )
        if self.color_space == "lab" and channels != 3:
            raise ValueError(
                f"`color_space` must be 'channels' for images of {channels} channels, got 'lab', which is for red, green "
                "and blue."
            )

    def num_seeds(self, sides: tuple[int, ...]) -> int:
        """Returns how many segments an image of this size can have."""
        height, width = sides if len(sides) == 2 else (1, *sides)
        return math.prod(seed_grid(self.num_segments, height, width))


def read_settings(
    num_segments: Any,
    compactness: Any,
    num_iterations: Any,
    sigma: Any,
    enforce_connectivity: Any = True,
    color_space: str | None = None,
) -> Settings:
    """Checks the options of `slic`."""
    if color_space is not None:
        check.one_of("color_space", color_space, COLOR_SPACES)
    return Settings(
        check.positive_float("compactness", compactness),
        check.positive_int("num_segments", num_segments),
        check.positive_int("num_iterations", num_iterations),
        check.positive_float("sigma", sigma, zero_allowed=True),
        check.flag("enforce_connectivity", enforce_connectivity),
        color_space,
    )


def warn_of_few_segments(labels: Any, settings: Settings) -> None:
    """Warns, at the user's line, where images [N, *space] have less than half as many segments as seeds."""
    if not check.is_concrete(labels):
        return
    seeds = settings.num_seeds(labels.shape[1:])
    counts = (
        np.asarray(labels).reshape(len(labels), -1).max(axis=1) + 1
    )  # in NumPy: labels may lie on a mesh of explicit axes
    few = np.flatnonzero(counts < _FEW * seeds)
    if few.size:
        warn(
            f"{few.size} of {len(counts)} images have less than half of the {seeds} segments asked for, such as image "
            f"{few[0]} with {counts[few[0]]}: in noisy images few pieces of one color are large enough; blur with sigma=2, "
            "or raise compactness."
        )


@compiled
def segments(images: Shaped[Array, "N *space C"], settings: Settings) -> Int[Array, "N *space"]:
    """`slic` without its checks."""
    if images.ndim == 3:
        return segments(images[:, None], settings)[:, 0]
    height, width, channels = images.shape[1:]
    in_lab = settings.color_space == "lab" or (settings.color_space is None and channels == 3)

    def block(images: Shaped[Array, "n H W C"]) -> Int[Array, "n H W"]:
        colors = _colors(images, settings.sigma, in_lab)
        return each(lambda colors: _segment(colors, settings))(colors)

    pixels = _PIXELS["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return in_blocks(block, jax.lax.stop_gradient(images), max(1, pixels // (height * width)))


def _colors(images: Shaped[Array, "n H W C"], sigma: float, in_lab: bool) -> Float[Array, "n H W C"]:
    """Returns colors of about [0, 100], always in float32: float64 and bfloat16 images get the same segments."""
    images = images.astype(jnp.float32)
    # An image with NaN or infinities counts as one of a single color.
    images = jnp.where(jnp.isfinite(images).all(axis=(1, 2, 3), keepdims=True), images, 0)
    least = images.min(axis=(1, 2, 3), keepdims=True)
    spread = images.max(axis=(1, 2, 3), keepdims=True) - least
    images = (images - least) / jnp.where(spread == 0, 1, spread)
    colors = rgb_to_lab(images) if in_lab else 100 * images
    return gaussian_blur(colors, sigma) if sigma else colors


def _segment(colors: Float[Array, "H W C"], settings: Settings) -> Int[Array, "H W"]:
    height, width, channels = colors.shape
    grid = seed_grid(settings.num_segments, height, width)
    num_seeds = math.prod(grid)
    cells = Cells(height, width, *grid)
    # Colors are rounded, so that sums within a cell are whole numbers that float32 holds. The sums are the same in any
    # order, and the labels in any batch and on any device. To 1/64 for small cells, and never worse than 1/8.
    finest = math.floor(math.log2(2**24 / (128 * cells.inside.shape[-1])))
    fine = 2.0 ** min(6, max(3, finest))
    y, x = jnp.mgrid[:height, :width].astype(jnp.float32)
    features = jnp.stack([y, x, *jnp.moveaxis(jnp.round(colors * fine), -1, 0)])
    # 1 / S² for coordinates and 1 / m² for colors
    density = num_seeds / (height * width)
    weights = jnp.array(
        [density if height > 1 else density**2] * 2 + [(settings.compactness * fine) ** -2.0] * channels, jnp.float32
    )
    labels, centers = cluster(features, weights, cells, settings.num_iterations)
    min_size = int(_SMALLEST * height * width / num_seeds)
    return connected(labels, features, weights, centers, num_seeds, min_size=min_size, enforce=settings.connect)


# IEC 61966-2-1 (1999), sRGB; CIE 15 (2004), Colorimetry, for L*a*b* under the white point D65 of the 2° observer.
_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)  # D65
_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))


def rgb_to_lab(rgb: Float[Array, "*space 3"]) -> Float[Array, "*space 3"]:
    """Returns sRGB in [0, 1] as CIELAB, L* in [0, 100], a* and b* within ±128: equal distances look about equal.

    L* = 116 f(Y/Y_n) - 16, a* = 500 (f(X/X_n) - f(Y/Y_n)), b* = 200 (f(Y/Y_n) - f(Z/Z_n)), where f is the cube root
    above (6/29)³ and a line below.
    """
    linear = jnp.where(rgb > 0.04045, _power((rgb + 0.055) / 1.055, 2.4), rgb / 12.92)
    channel = (*[None] * (rgb.ndim - 1), slice(None))  # an axis of constants under those of the pixels
    share = _mixed(linear, _TO_XYZ) / jnp.array(_WHITE, rgb.dtype)[channel]
    root = jnp.where(share > 0.008856, _power(share, 1 / 3), 7.787 * share + 16 / 116)
    return _mixed(root, _TO_LAB) - jnp.array([16, 0, 0], rgb.dtype)[channel]


def _mixed(channels: Float[Array, "*space 3"], weights: tuple[tuple[float, ...], ...]) -> Float[Array, "*space 3"]:
    return jnp.einsum(
        "...i,oi->...o", channels, jnp.array(weights, channels.dtype), precision=jax.lax.Precision.HIGHEST
    )


def _power(base: Float[Array, "*space"], exponent: float) -> Float[Array, "*space"]:
    # base ** exponent, ten times as fast as the cube root on CPUs
    return jnp.exp(exponent * jnp.log(jnp.maximum(base, 1e-6)))
