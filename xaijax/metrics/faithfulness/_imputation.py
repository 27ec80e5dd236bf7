"""Linear imputation of pixels (Rong et al. 2022, section 4.2): every missing pixel is the weighted mean of its neighbors.

sum over the neighbors n of i of w_n (u_i - u_n) = 0, with w = 1/6 for the 4 neighbors that share a side with pixel i, 1/12
for the 4 that share a corner, u = x at known pixels, and no neighbors beyond the border

The matrix of the missing pixels is symmetric and positive definite. It is solved by conjugate gradients. Their number of
steps would grow with the size of the holes, so they are preconditioned by a multigrid cycle: pixels are joined two by two
(unsmoothed aggregation, Braess 1995), and each coarser grid has the same form, with the sums of the weights between cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core.numerics import ratio
from xaijax._core.typing import Array, Bool, Float

# The steps (rows, columns) to the right, down, down right and down left, and the weights of these neighbors.
_LINKS = ((0, 1), (1, 0), (1, 1), (1, -1))
_WEIGHTS = (1 / 6, 1 / 6, 1 / 12, 1 / 12)
# The weights between joined cells overestimate the stiffness of smooth fields by the side of a cell, two.
_STIFFNESS = 2.0
_DAMPING = 0.7  # of Jacobi sweeps: below 1, so that a sweep damps all errors that change from pixel to pixel
_COARSEST, _SWEEPS = 4, 2  # the largest side of the coarsest grid, and the sweeps before and after coarser grids
# Each round starts from the residual of the last and shrinks it by the tolerance: more than float32 resolves in one round.
_ROUNDS, _TOLERANCE = 2, 1e-4
_MOST_STEPS = 100  # some twenty suffice for images of hundreds of pixels a side


def impute(image: Float[Array, "C H W"], missing: Bool[Array, "H W"]) -> Float[Array, "C H W"]:
    """Returns the image with its missing pixels imputed linearly; NaN where no pixel is known."""
    count = jnp.maximum((~missing).sum(), 1).astype(image.dtype)
    center = jnp.where(missing, 0, image).sum(axis=(1, 2), keepdims=True) / count  # less to round
    known = jnp.where(missing, 0, image - center)
    grids = [_finest(missing, image.dtype)]
    while max(grids[-1].diagonal.shape) > _COARSEST:
        grids.append(_joined(grids[-1]))
    right = jnp.where(missing, _sum_of_neighbors(known), 0)

    def refine(_: Any, solution: Float[Array, "C H W"]) -> Float[Array, "C H W"]:
        return solution + _solve(grids, right - grids[0].apply(solution))

    solution = center + jax.lax.fori_loop(0, _ROUNDS, refine, jnp.zeros_like(image))
    return jnp.where(missing, jnp.where(missing.all(), jnp.nan, solution), image)


class _Grid(NamedTuple):
    """A symmetric matrix on the cells of a grid: the weight of each link to the next cells, and the diagonal, [H, W]."""

    right: Array
    down: Array
    down_right: Array
    down_left: Array
    diagonal: Array

    def apply(self, values: Float[Array, "C H W"]) -> Float[Array, "C H W"]:
        """Returns the product of the matrix and the values of each channel."""
        total = self.diagonal * values
        for weights, (rows, columns) in zip(self, _LINKS, strict=False):
            total = total - weights * _shifted(values, -rows, -columns) - _shifted(weights * values, rows, columns)
        return total

    def sweep(self, values: Float[Array, "C H W"], right: Float[Array, "C H W"]) -> Float[Array, "C H W"]:
        """Returns the values after one damped Jacobi sweep; cells without unknowns stay 0."""
        return values + _DAMPING * ratio(right - self.apply(values), jnp.broadcast_to(self.diagonal, values.shape))


def _shifted(values: Array, rows: int, columns: int) -> Array:
    """Returns the values moved down and to the right by at most one cell, with zeros from beyond the border."""
    height, width = values.shape[-2:]
    padded = jnp.pad(values, [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)])
    return padded[..., 1 - rows : 1 - rows + height, 1 - columns : 1 - columns + width]


def _sum_of_neighbors(values: Array) -> Array:
    """Returns the sum of the weighted values of the 8 neighbors, fewer at the border."""
    total = jnp.zeros_like(values)
    for weight, (rows, columns) in zip(_WEIGHTS, _LINKS, strict=True):
        total = total + weight * (_shifted(values, rows, columns) + _shifted(values, -rows, -columns))
    return total


def _finest(missing: Bool[Array, "H W"], dtype: Any) -> _Grid:
    unknown = missing.astype(dtype)
    pairs = zip(_WEIGHTS, _LINKS, strict=True)
    links = [weight * unknown * _shifted(unknown, -rows, -columns) for weight, (rows, columns) in pairs]
    return _Grid(*links, diagonal=unknown * _sum_of_neighbors(jnp.ones_like(unknown)))


def _joined(grid: _Grid) -> _Grid:
    """Returns the matrix on cells of two by two: P' A P over the stiffness, where P repeats a cell's value four times."""
    height, width = grid.diagonal.shape
    even = [(0, height % 2), (0, width % 2)]
    right, down, down_right, down_left, diagonal = (jnp.pad(weights, even) for weights in grid)

    def part(weights: Array, row: int, column: int) -> Array:
        return weights[row::2, column::2]

    within = sum(part(right, row, 0) for row in (0, 1)) + sum(part(down, 0, column) for column in (0, 1))
    within = within + part(down_right, 0, 0) + part(down_left, 0, 1)
    joined = _Grid(
        part(right, 0, 1) + part(right, 1, 1) + part(down_right, 0, 1) + _shifted(part(down_left, 0, 0), 0, -1),
        part(down, 1, 0) + part(down, 1, 1) + part(down_right, 1, 0) + part(down_left, 1, 1),
        part(down_right, 1, 1),
        part(down_left, 1, 0),
        sum(part(diagonal, row, column) for row in (0, 1) for column in (0, 1)) - 2 * within,
    )
    return _Grid(*(weights / _STIFFNESS for weights in joined))


def _solve(grids: list[_Grid], right: Float[Array, "C H W"]) -> Float[Array, "C H W"]:
    """Solves A u = right by preconditioned conjugate gradients (Hestenes & Stiefel 1952), until the tolerance.

    `jax.scipy.sparse.linalg.cg` does the same, and takes twice as long to compile, for derivatives that are not needed here.
    """
    least = _TOLERANCE**2 * (right**2).sum()

    def goes_on(state: Any) -> Bool[Array, ""]:
        steps, _, rest, _, _ = state
        return (steps < _MOST_STEPS) & ((rest**2).sum() > least)

    def step(state: Any) -> Any:
        steps, solution, rest, direction, before = state
        change = _cycle(grids, rest)
        now = (rest * change).sum()
        direction = change + ratio(now, before) * direction
        image = grids[0].apply(direction)
        length = ratio(now, (direction * image).sum())
        return steps + 1, solution + length * direction, rest - length * image, direction, now

    zeros = jnp.zeros_like(right)
    start = jnp.zeros((), jnp.int32), zeros, right, zeros, jnp.zeros((), right.dtype)
    return jax.lax.while_loop(goes_on, step, start)[1]


def _cycle(grids: list[_Grid], right: Float[Array, "C H W"]) -> Float[Array, "C H W"]:
    """Solves A u = right roughly, by the same number of sweeps before and after the coarser grids: a symmetric operator.

    The sweeps are loops, so that each is computed at once: XLA would compute a sweep of a sweep anew for every neighbor.
    """
    grid, coarser = grids[0], grids[1:]

    def swept(values: Float[Array, "C H W"], times: int) -> Float[Array, "C H W"]:
        return jax.lax.fori_loop(0, times, lambda _, values: grid.sweep(values, right), values)

    if not coarser:
        return swept(jnp.zeros_like(right), 2 * _SWEEPS)
    values = swept(jnp.zeros_like(right), _SWEEPS)
    height, width = right.shape[-2:]
    rest = jnp.pad(right - grid.apply(values), [(0, 0), (0, height % 2), (0, width % 2)])
    rest = rest[:, ::2] + rest[:, 1::2]
    rest = rest[:, :, ::2] + rest[:, :, 1::2]
    change = jnp.repeat(jnp.repeat(_cycle(coarser, rest), 2, axis=1), 2, axis=2)[:, :height, :width]
    return swept(values + jnp.where(grid.diagonal > 0, change, 0), _SWEEPS)
