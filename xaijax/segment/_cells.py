"""A picture as the cells of a grid, all of one size: what lets SLIC do without gathering and scattering."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array, Bool, Shaped


def seed_grid(num_segments: int, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of about `num_segments` cells, as square as they can be."""
    rows = min(max(1, round(height / math.sqrt(height * width / num_segments))), height, num_segments)
    return rows, min(max(1, round(num_segments / rows)), width)


class Cells:
    """A picture [H, W] cut into rows x columns cells of P places each; smaller cells repeat a place, which is not inside.

    inside: [rows, columns, P] which places are the cell's own.
    starts: for rows and for columns, the first place of each cell.
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
        (_, y, *_), (_, x, *_) = self._lines
        return jnp.take(jnp.take(image, y, axis=0), x, axis=2).transpose(0, 2, 1, 3).reshape(*self.grid, -1)

    def join(self, cells: Shaped[Array, "rows columns P"]) -> Shaped[Array, "H W"]:
        """The picture again, from the places inside."""
        (y_starts, *_, y_cell), (x_starts, *_, x_cell) = self._lines
        y, x = np.arange(self.shape[0]) - y_starts[y_cell], np.arange(self.shape[1]) - x_starts[x_cell]
        cells = cells.reshape(*self.grid, *self.sides)
        return cells[y_cell[:, None], x_cell, y[:, None], x]


def _cut(side: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where each of `count` parts starts, its places [count, P], which of them are its own, and the part of each place."""
    edges = np.arange(count + 1) * side // count
    starts, ends = edges[:-1], edges[1:]
    places = starts[:, None] + np.arange((ends - starts).max())
    return starts, np.minimum(places, side - 1), places < ends[:, None], np.repeat(np.arange(count), ends - starts)
