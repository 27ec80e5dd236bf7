"""The first component of a kernel matrix of positions, from the whole matrix or from some of its columns."""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.blocks import each, in_blocks, rows_at_once
from xaijax._core.numerics import dot, ratio, safe_sqrt
from xaijax._core.typing import Array, Float
from xaijax.cam._eigenvectors import leading_eigenpair, unit

Kernel = Literal["sigmoid", "rbf"]

_PRODUCTS = 16  # with the covariance, for a start near the first component of the linear kernel
# Directions that the landmarks hardly show are damped: eigenvalues of their kernel below so many times the root of the
# rounding error, relative to the others. The squares of the rest are then exact enough to be inverted.
_DAMPING = 4


def first_kernel_component(
    rows: Float[Array, "N P C"], kernel: Kernel, scale: float, num_landmarks: int | None
) -> Float[Array, "N P"]:
    """Computes sqrt(lambda_1) u_1 of the centered kernel matrix of centered rows; the sign is arbitrary.

    num_landmarks: the number of columns that approximate the matrix; None, or as many as there are rows, for all.
    """
    num_rows = rows.shape[1]
    num_columns = num_rows if num_landmarks is None else min(num_landmarks, num_rows)
    parts = _all_columns if num_columns == num_rows else functools.partial(columns_of_landmarks, count=num_columns)
    multiply = _times_centered if num_columns == num_rows else times_landmarks

    def of_example(rows: Float[Array, "P C"]) -> Float[Array, " P"]:
        value, vector = leading_eigenpair(parts(rows, kernel, scale), _first_linear_component(rows), multiply)
        return vector * safe_sqrt(jnp.where((rows == 0).all(), 0, value))  # of equal rows only rounding errors are left

    examples_at_once = rows_at_once(None, num_rows * num_columns * rows.dtype.itemsize, least=1)
    return in_blocks(each(of_example), rows, examples_at_once)


def _all_columns(rows: Float[Array, "P C"], kernel: Kernel, scale: float) -> Float[Array, "P P"]:
    return _kernel_of(rows, rows, kernel, scale)


def _times_centered(matrix: Float[Array, "P P"], vector: Float[Array, " P"]) -> Float[Array, " P"]:
    """Multiplies with the centered matrix, without forming it."""
    image = dot(matrix, vector - vector.mean())
    return image - image.mean()


def columns_of_landmarks(
    rows: Float[Array, "P C"], kernel: Kernel, scale: float, *, count: int
) -> tuple[Float[Array, "P L"], Float[Array, "L L"]]:
    """Returns centered columns C and the damped pseudoinverse W (W² + d²)^-1 of the landmarks' centered kernel W.

    The matrix is C W^-1 C' (Nyström); it is exact, but for the damping, if all rows are landmarks. Means over the
    landmarks are subtracted first, so that no direction of W is large that centering removes from the matrix.
    """
    landmarks = np.arange(count) * len(rows) // count
    columns = _kernel_of(rows, rows[landmarks], kernel, scale)
    columns = columns - columns.mean(axis=1, keepdims=True)
    own = columns[landmarks] - columns[landmarks].mean(axis=0)
    size = safe_sqrt((own**2).sum())
    own = ratio(own, size) + 1 / count  # the constant direction, where both own and columns are 0, inverted as 1
    damping = _DAMPING**2 * jnp.finfo(rows.dtype).eps
    inverse = jnp.linalg.solve(dot(own, own) + damping * jnp.eye(count, dtype=rows.dtype), own)
    return columns - columns.mean(axis=0), ratio(inverse + inverse.T, 2 * size)


def times_landmarks(parts: Any, vector: Float[Array, " P"]) -> Float[Array, " P"]:
    """Multiplies with the matrix that landmarks approximate."""
    columns, inverse = parts
    return dot(columns, dot(inverse, dot(vector, columns)))


def _kernel_of(
    left: Float[Array, "P C"], right: Float[Array, "Q C"], kernel: Kernel, scale: float
) -> Float[Array, "P Q"]:
    """Computes k(a, b) - k(0, 0); centering would remove the constant, but would round much larger numbers."""
    products = dot(left, right.T)
    if kernel == "sigmoid":
        return jnp.tanh(scale * products + 1) - np.tanh(1).item()
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)
    return jnp.exp(scale * (2 * products - squares)) - 1


def _first_linear_component(rows: Float[Array, "P C"]) -> Float[Array, " P"]:
    """Computes nearly the first component of the linear kernel, which is near that of the others."""
    rows = jax.lax.stop_gradient(rows)
    covariance = dot(rows.T, rows)
    raised = lambda _, vector: unit(dot(covariance, vector))  # noqa: E731
    return dot(rows, jax.lax.fori_loop(0, _PRODUCTS, raised, jnp.diagonal(covariance)))
