"""The k-means step of SLIC, over the cells of a grid: all cells have one size, so nothing is gathered or scattered."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array, Bool, Float, Int, Shaped

# The home cell comes first: where two centers are equally near, a pixel stays in its home cell.
_AROUND = [(0, 0), (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]

_LARGE_CELL = 4096  # pixels; the choices of smaller cells stay in the caches of a CPU


def seed_grid(num_segments: int, height: int, width: int) -> tuple[int, int]:
    """Returns (rows, columns) of about `num_segments` cells that are as square as possible."""
    rows = min(max(1, round(height / math.sqrt(height * width / num_segments))), height, num_segments)
    return rows, min(max(1, round(num_segments / rows)), width)


class Cells:
    """An image [H, W] cut into rows x columns cells of P pixels each; smaller cells repeat a pixel outside of them.

    inside: [rows, columns, P] which pixels belong to the cell.
    starts: the first pixel of each cell, for rows and for columns.
    """

    def __init__(self, height: int, width: int, rows: int, columns: int):
        self.shape, self.grid = (height, width), (rows, columns)
        self._lines = [_cut(height, rows), _cut(width, columns)]
        self.starts = [starts for starts, *_ in self._lines]
        (_, y, y_inside, _), (_, x, x_inside, _) = self._lines
        self.sides = (y.shape[1], x.shape[1])
        inside = y_inside[:, None, :, None] & x_inside[None, :, None, :]
        self.inside: Bool[np.ndarray, "rows columns P"] = inside.reshape(rows, columns, -1)

    def split(self, image: Shaped[Array, "H W"]) -> Shaped[Array, "rows columns P"]:
        """Returns the pixels of each cell."""
        (_, y, *_), (_, x, *_) = self._lines
        return jnp.take(jnp.take(image, y, axis=0), x, axis=2).transpose(0, 2, 1, 3).reshape(*self.grid, -1)

    def join(self, cells: Shaped[Array, "rows columns P"]) -> Shaped[Array, "H W"]:
        """Returns the image again, from the pixels inside the cells."""
        (y_starts, *_, y_cell), (x_starts, *_, x_cell) = self._lines
        y, x = np.arange(self.shape[0]) - y_starts[y_cell], np.arange(self.shape[1]) - x_starts[x_cell]
        cells = cells.reshape(*self.grid, *self.sides)
        return cells[y_cell[:, None], x_cell, y[:, None], x]


def _cut(side: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the start of each of `count` parts, their pixels [count, P], whether they are inside, and each pixel's part."""
    edges = np.arange(count + 1) * side // count
    starts, ends = edges[:-1], edges[1:]
    pixels = starts[:, None] + np.arange((ends - starts).max())
    return starts, np.minimum(pixels, side - 1), pixels < ends[:, None], np.repeat(np.arange(count), ends - starts)


def cluster(
    features: Float[Array, "F H W"], weights: Float[Array, " F"], cells: Cells, num_iterations: int
) -> tuple[Int[Array, "H W"], Float[Array, "F K"]]:
    """Returns labels 0..K-1, numbered by seeds, and the centers [F, K] that the pixels are nearest to."""
    rows, columns = cells.grid
    split = jax.vmap(cells.split)(features)
    inside = jnp.asarray(cells.inside, jnp.float32)
    # Positions are relative to the cell, so that their sums are small. The sum of the ones is the number of pixels.
    starts = jnp.stack(jnp.meshgrid(*map(jnp.asarray, cells.starts), indexing="ij")).astype(jnp.float32)
    local = split.at[:2].add(-starts[..., None])
    summands = jnp.moveaxis(jnp.concatenate([local, jnp.ones_like(local[:1])]) * inside[None], 0, 2)

    def move(choice: Int[Array, "rows columns P"], centers: Float[Array, "F rows columns"]) -> Array:
        sums = _sums(choice, summands)
        sums = sums.at[:, :2].add(sums[:, -1:] * starts[None])
        total = jnp.zeros((len(features) + 1, rows + 2, columns + 2), jnp.float32)
        for part, (down, right) in zip(sums, _AROUND, strict=True):
            total = total.at[:, 1 + down : 1 + down + rows, 1 + right : 1 + right + columns].add(part)
        *sums, count = total[:, 1:-1, 1:-1]
        return jnp.where(count[None] > 0, jnp.stack(sums) / jnp.maximum(count, 1)[None], centers)

    def choose(centers: Float[Array, "F rows columns"]) -> Int[Array, "rows columns P"]:
        padded = jnp.pad(centers, ((0, 0), (1, 1), (1, 1)), constant_values=jnp.inf)  # no pixel is near these
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


def _sums(
    choice: Int[Array, "rows columns P"], summands: Float[Array, "rows columns F P"]
) -> Float[Array, "9 F rows columns"]:
    """Returns the sum over the pixels of each cell that chose each of the 9 centers: whole numbers, in any order."""
    if choice.shape[-1] < _LARGE_CELL:
        return _sums_of_all(choice, summands)
    return jax.lax.platform_dependent(choice, summands, cpu=_sums_by_cell, default=_sums_of_all)


def _sums_of_all(choice: Array, summands: Array) -> Array:
    chosen = (choice[:, :, None] == jnp.arange(9)[None, None, :, None]).astype(jnp.float32)
    return jnp.einsum("rckp,rcfp->kfrc", chosen, summands, precision=jax.lax.Precision.HIGHEST)


def _sums_by_cell(choice: Array, summands: Array) -> Array:
    """The choices of one cell stay in a CPU's caches; those of all cells of a large image would be written to memory."""
    rows, columns, features, count = summands.shape
    of_cell = lambda cell: _sums_of_all(cell[0][None, None], cell[1][None, None])[..., 0, 0]  # noqa: E731
    cells = choice.reshape(rows * columns, count), summands.reshape(rows * columns, features, count)
    return jnp.moveaxis(jax.lax.map(of_cell, cells).reshape(rows, columns, 9, features), (2, 3), (0, 1))


def square_distance(left: Any, right: Any, weights: Float[Array, " F"]) -> Array:
    """Returns D² of SLIC between maps of features, summed one by one: a loop that compilers vectorize over the pixels."""
    parts = [weight * (ours - theirs) ** 2 for weight, ours, theirs in zip(weights, left, right, strict=True)]
    return functools.reduce(jnp.add, parts)
