"""SLIC superpixels (Achanta, Shaji, Smith, Lucchi, Fua & Süsstrunk 2012), as a program of static shape.

D² = d_lab² / m² + d_xy² / S²: every place goes to the nearest of the 9 centers around it, every center to the mean of
its places, with S = sqrt(H W / K) the distance of the K centers and m the compactness.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.blocks import each, in_blocks
from xaijax._core.blur import gaussian_blur
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Float, Int, Shaped
from xaijax.segment._cells import Cells, seed_grid
from xaijax.segment._color import rgb_to_lab
from xaijax.segment._pieces import connected, square_distance

COLOR_SPACES = ["lab", "channels"]
# The home cell first: where two centers are equally near, a place stays at home.
_AROUND = [(0, 0), (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
_SMALLEST = 0.5  # of the usual size of a segment: smaller pieces join a neighbor, as in scikit-image
# Places segmented together. On a CPU one photograph, whose 25 arrays of 200 kB stay in the caches (8 at a time took
# 15 % longer); on accelerators 40.
_PLACES = {"cpu": 2**16, "accelerator": 2**21}


def slic(
    images: Any,
    num_segments: int = 50,
    *,
    compactness: float = 10.0,
    num_iterations: int = 10,
    sigma: float = 0.0,
    enforce_connectivity: bool = True,
    color_space: str | None = None,
) -> Int[Array, "N H W"]:
    """Cuts pictures into superpixels: patches of one color, all of about one size.

    Why: superpixels are what a person can look at and a network can miss, and here they are made where the model runs,
    within the same compiled program, many pictures at a time.

    The number of segments is bounded by the grid of seeds (`num_players` of `xai.mask.superpixels`); each picture has
    labels 0..S-1 without gaps, and S differs from picture to picture. A picture's labels do not depend on the others.

    Args:
      images: [N, H, W, C] pictures of any range: each is brought to [0, 1] by its own extremes. Inputs that were
        standardized channel by channel are better given as they were before.
      num_segments: about how many segments: the seeds are the centers of a grid of so many cells, as square as the
        picture allows. Default 50: coarse enough for a person, and for a thousand evaluations of a model.
      compactness: m, how many units of color weigh as much as the distance of two seeds. Default 10, as in the paper:
        larger ones make squares, smaller ones follow every edge.
      num_iterations: how often centers move. Default 10, as in the paper; the change is small by then.
      sigma: of a Gaussian blur before, in places. Default 0: none. 1 to 3 helps with noisy pictures.
      enforce_connectivity: whether each segment is one piece (of neighbors above, below, left and right): the largest
        pieces of at least half a cell stay, at most one for each seed, and the others join the neighbor that they are
        nearest to in the sense of D. Default True.
      color_space: "lab": sRGB as CIELAB, for 3 channels. "channels": as they are, [0, 1] taken as [0, 100] like the
        lightness, so that the compactness means the same. (scikit-image leaves them in [0, 1]: its compactness is a
        hundredth of this one.) Default None: "lab" for 3 channels, else "channels".

    Returns:
      [N, H, W] labels, int32.

    Raises:
      TypeError, ValueError: if the images are of another shape or hold NaN, num_segments is more than their places, or
        an option is out of range. Where NaN cannot be known, within a transformation, such a picture gets its grid,
        as one with infinities does.

    References:
      Achanta et al. (2012), SLIC superpixels compared to state-of-the-art superpixel methods, TPAMI 34(11).
      Ren, Prisacariu & Reid (2015), gSLICr, arXiv:1509.04232, for the 9 centers around each place.
    """
    images = check.numeric_array("images", images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images must be pictures [N, H, W, C], but their shape is {list(images.shape)}: "
            "one picture alone is image[None], without channels image[None, ..., None]."
        )
    check.no_nan("images", images)
    settings = read_settings(num_segments, compactness, num_iterations, sigma, enforce_connectivity, color_space)
    settings.check(images.shape)
    return segments(images, settings)


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

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises a full sentence if they do not fit images [N, H, W, C]."""
        if self.num_segments > math.prod(shape[1:3]):
            raise ValueError(
                f"num_segments must be at most the {math.prod(shape[1:3])} places of a picture, "
                f"but is {self.num_segments}."
            )
        if self.color_space == "lab" and shape[-1] != 3:
            raise ValueError(
                f"color_space 'lab' is for pictures of 3 channels, red, green and blue, but they have {shape[-1]}: "
                "try color_space='channels'."
            )

    def num_seeds(self, height: int, width: int) -> int:
        """How many segments a picture can have."""
        return math.prod(seed_grid(self.num_segments, height, width))


def read_settings(
    num_segments: Any,
    compactness: Any,
    num_iterations: Any,
    sigma: Any,
    enforce_connectivity: Any = True,
    color_space: str | None = None,
) -> Settings:
    if color_space is not None:
        check.one_of("color_space", color_space, COLOR_SPACES)
    return Settings(
        check.positive_float("compactness", compactness),
        check.positive_int("num_segments", num_segments),
        check.positive_int("num_iterations", num_iterations),
        check.positive_float("sigma", sigma, zero_allowed=True),
        bool(enforce_connectivity),
        color_space,
    )


@compiled
def segments(images: Shaped[Array, "N H W C"], settings: Settings) -> Int[Array, "N H W"]:
    """`slic` without its checks."""
    height, width, channels = images.shape[1:]
    in_lab = settings.color_space == "lab" or (settings.color_space is None and channels == 3)

    def block(images: Shaped[Array, "n H W C"]) -> Int[Array, "n H W"]:
        colors = _colors(images, settings.sigma, in_lab)
        return each(lambda colors: _segment(colors, settings))(colors)

    places = _PLACES["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return in_blocks(block, jax.lax.stop_gradient(images), max(1, places // (height * width)))


def _colors(images: Shaped[Array, "n H W C"], sigma: float, in_lab: bool) -> Float[Array, "n H W C"]:
    """Colors of about [0, 100], always in float32, so that float64 and bfloat16 pictures get the same segments."""
    images = images.astype(jnp.float32)
    # A picture with NaN or infinities is of one color.
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
    # Colors are rounded, so that sums within a cell are whole numbers that float32 holds: they are the same in any
    # order, and the labels in any batch and on any device. To 1/64 for small cells, and never worse than 1/8.
    finest = math.floor(math.log2(2**24 / (128 * cells.inside.shape[-1])))
    fine = 2.0 ** min(6, max(3, finest))
    y, x = jnp.mgrid[:height, :width].astype(jnp.float32)
    features = jnp.stack([y, x, *jnp.moveaxis(jnp.round(colors * fine), -1, 0)])
    # 1 / S² for places and 1 / m² for colors
    weights = jnp.array(
        [num_seeds / (height * width)] * 2 + [(settings.compactness * fine) ** -2.0] * channels, jnp.float32
    )
    labels, centers = _cluster(features, weights, cells, settings.num_iterations)
    least = int(_SMALLEST * height * width / num_seeds)
    return connected(labels, features, weights, centers, num_seeds, least=least, join=settings.connect)


def _cluster(
    features: Float[Array, "F H W"], weights: Float[Array, " F"], cells: Cells, num_iterations: int
) -> tuple[Int[Array, "H W"], Float[Array, "F K"]]:
    """k-means from the cells of a grid: labels 0..K-1, by seeds, and the centers they are nearest to."""
    rows, columns = cells.grid
    split = jax.vmap(cells.split)(features)
    inside = jnp.asarray(cells.inside, jnp.float32)
    # Positions within the cell, so that their sums are small; and a one, whose sum is the number of places.
    starts = jnp.stack(jnp.meshgrid(*map(jnp.asarray, cells.starts), indexing="ij")).astype(jnp.float32)
    local = split.at[:2].add(-starts[..., None])
    summands = jnp.moveaxis(jnp.concatenate([local, jnp.ones_like(local[:1])]) * inside, 0, 2)

    def move(choice: Int[Array, "rows columns P"], centers: Float[Array, "F rows columns"]) -> Array:
        chosen = (choice[:, :, None] == jnp.arange(9)[:, None]).astype(jnp.float32)
        sums = jnp.einsum("rckp,rcfp->kfrc", chosen, summands, precision=jax.lax.Precision.HIGHEST)
        sums = sums.at[:, :2].add(sums[:, -1:] * starts)
        total = jnp.zeros((len(features) + 1, rows + 2, columns + 2), jnp.float32)
        for part, (down, right) in zip(sums, _AROUND, strict=True):
            total = total.at[:, 1 + down : 1 + down + rows, 1 + right : 1 + right + columns].add(part)
        *sums, count = total[:, 1:-1, 1:-1]
        return jnp.where(count > 0, jnp.stack(sums) / jnp.maximum(count, 1), centers)

    def choose(centers: Float[Array, "F rows columns"]) -> Int[Array, "rows columns P"]:
        padded = jnp.pad(centers, ((0, 0), (1, 1), (1, 1)), constant_values=jnp.inf)  # nothing is near these
        nearest = jnp.full(inside.shape, jnp.inf, jnp.float32)
        choice = jnp.zeros(inside.shape, jnp.int32)
        for number, (down, right) in enumerate(_AROUND):
            center = padded[:, 1 + down : 1 + down + rows, 1 + right : 1 + right + columns, None]
            distance = square_distance(split, center, weights)
            choice = jnp.where(distance < nearest, number, choice)
            nearest = jnp.minimum(distance, nearest)
        return choice

    def iterate(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        choice, centers = carry
        centers = move(choice, centers)
        return (choose(centers), centers), None

    first = jnp.zeros(inside.shape, jnp.int32), jnp.zeros((len(features), rows, columns), jnp.float32)
    (choice, centers), _ = jax.lax.scan(iterate, first, None, length=num_iterations)
    steps = jnp.array([down * columns + right for down, right in _AROUND])
    home = jnp.arange(rows * columns).reshape(rows, columns, 1)
    return cells.join((home + steps[choice]).astype(jnp.int32)), centers.reshape(len(features), -1)
