"""The leading eigenvector of symmetric matrices, and the first component of rows.

Both follow from matrix products alone, which are cheap on accelerators and differentiable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.numerics import dot, einsum, ratio, safe_sqrt
from xaijax._core.typing import Array, Float

# Lanczos reduces larger matrices to this size; the extreme eigenvectors of the small matrix give those of the large one.
# 32 steps separate eigenvalues that differ by 1 % to five digits, for 32 matrix-vector products. Where the first
# eigenvalue leads, as it mostly does, 4 or 8 reach the rounding error.
_LANCZOS_STEPS, _BETWEEN_CHECKS = 32, 4
_ROUNDING = 8  # a residual of so many rounding errors is none
# Eight squarings raise the largest eigenvalue's lead to the power 256, sixteen more products to 4096. All of it is small
# matrix products: no host and no LAPACK.
_SQUARINGS, _PRODUCTS = 8, 16

Multiply = Callable[[Any, Array], Array]  # (the arrays of a symmetric matrix, vector [n]) -> matrix · vector [n]


def first_component(rows: Float[Array, "N *space C"]) -> Float[Array, "N *space"]:
    """Projects the rows, one for each position, on their first right singular vector [C]; the sign is arbitrary.

    It follows from the smaller Gram matrix: for A = U S V', A A' = U S² U' and A'A = V S² V'.
    """
    space = rows.shape[1:-1]
    matrix = rows.reshape(len(rows), -1, rows.shape[-1])
    if matrix.shape[1] >= matrix.shape[2]:
        gram = einsum("npc,npd->ncd", matrix, matrix)
        projected = einsum("npc,nc->np", matrix, leading_eigenvector(gram))
    else:
        gram = einsum("npc,nqc->npq", matrix, matrix)
        left = leading_eigenvector(gram)
        right = einsum("npc,np->nc", matrix, left)
        # The projection S u, as u |A'u|.
        projected = left * safe_sqrt((right**2).sum(axis=1, keepdims=True))
    return projected.reshape(len(rows), *space)


def leading_eigenvector(grams: Float[Array, "N n n"], starts: Float[Array, "N n"] | None = None) -> Float[Array, "N n"]:
    """Computes the eigenvector of the largest eigenvalue of symmetric matrices; for a zero matrix, any vector or zero.

    starts: vectors near those eigenvectors, which save steps.
    """
    starts = jnp.zeros(grams.shape[:2], grams.dtype) if starts is None else starts
    return jax.vmap(leading_eigenpair)(grams, starts)[1]


def leading_eigenpair(
    matrix: Any, start: Float[Array, " n"], multiply: Multiply = dot
) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    """Computes the largest eigenvalue of a symmetric matrix and its eigenvector.

    Args:
      matrix: the matrix [n, n], or arrays that `multiply` reads.
      start: a vector near the eigenvector, which saves steps, or 0.
      multiply: the product of the matrix with a vector, from the matrix and the vector; a function of a module.
    """
    random = unit(jax.random.normal(jax.random.key(0), start.shape, start.dtype))  # almost any start converges
    return _leading(multiply, matrix, jax.lax.stop_gradient(unit(start) + 1e-2 * random))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _leading(multiply: Multiply, matrix: Any, start: Array) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    if len(start) <= _LANCZOS_STEPS:
        return _leading_of_small(_dense(multiply, matrix, start))
    return _leading_of_large(multiply, matrix, start)


def _dense(multiply: Multiply, matrix: Any, start: Array) -> Float[Array, "n n"]:
    if multiply is dot:
        return matrix
    return jax.vmap(functools.partial(multiply, matrix))(jnp.eye(len(start), dtype=start.dtype))


def _leading_of_small(matrix: Float[Array, "n n"]) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    """Squares the matrix repeatedly. If the eigenvalue of largest magnitude is negative, it is shifted to zero first."""
    vector = _largest_magnitude(matrix)
    value = dot(vector, dot(matrix, vector))
    shifted = matrix + jnp.maximum(-value, 0) * jnp.eye(len(matrix), dtype=matrix.dtype)
    vector = _largest_magnitude(shifted)
    return dot(vector, dot(matrix, vector)), vector


def _largest_magnitude(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    powers = jax.lax.fori_loop(0, _SQUARINGS, lambda _, powers: _scaled(dot(powers, powers)), _scaled(matrix))
    vector = powers[:, jnp.argmax(jnp.diagonal(powers))]
    return jax.lax.fori_loop(0, _PRODUCTS, lambda _, vector: unit(dot(powers, vector)), vector)


def _leading_of_large(
    multiply: Multiply, matrix: Any, start: Float[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    """Runs Lanczos' iteration until the vector is precise; every new direction is orthogonalized twice.

    `small` is the matrix between the directions. The residual of a vector in their span is its share of the last
    direction times the length of the next one, before this is normalized (Paige 1971).
    """
    basis = jnp.zeros((_LANCZOS_STEPS, len(start)), start.dtype).at[0].set(unit(start))
    small = jnp.zeros((_LANCZOS_STEPS, _LANCZOS_STEPS), start.dtype)

    def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        basis, small, _ = carry
        image = multiply(matrix, basis[number])
        size = jnp.abs(image).max()
        image = ratio(image, size)
        along = dot(basis, image)  # 0 for directions to come
        image = image - dot(along, basis)
        image = image - dot(dot(basis, image), basis)
        # Once the directions are exhausted, only rounding error is left, which is no direction.
        is_new = jnp.abs(image).max() > 1e-5
        length = jnp.where(is_new, size * jnp.sqrt((image**2).sum()), 0)
        basis = basis.at[number + 1].set(jnp.where(is_new, unit(image), 0), mode="drop")
        return basis, small.at[:, number].set(size * along), length

    def some_steps(carry: Any) -> Any:
        number, (basis, small, _), _, _ = carry
        basis, small, length = jax.lax.fori_loop(
            number, number + _BETWEEN_CHECKS, step, (basis, small, jnp.zeros((), start.dtype))
        )
        whole = jnp.triu(small) + jnp.triu(small, 1).T
        value, vector = _leading_of_small(whole)
        number = number + _BETWEEN_CHECKS
        residual = length * jnp.abs(vector[number - 1])
        is_precise = residual <= _ROUNDING * jnp.finfo(start.dtype).eps * value
        return number, (basis, small, length), (value, vector), is_precise

    zero = jnp.zeros((), start.dtype)
    unknown = zero, jnp.zeros(_LANCZOS_STEPS, start.dtype)
    first = jnp.array(0), (basis, small, zero), unknown, jnp.array(False)
    unfinished = lambda carry: (carry[0] < _LANCZOS_STEPS) & ~carry[3]  # noqa: E731
    _, (basis, _, _), (value, vector), _ = jax.lax.while_loop(unfinished, some_steps, first)
    return value, unit(dot(vector, basis))


def _scaled(values: Array) -> Array:
    return ratio(values, jnp.abs(values).max())


def unit(vector: Array) -> Array:
    """Returns the vector divided by its length; 0 stays 0."""
    vector = _scaled(vector)
    return ratio(vector, jnp.sqrt((vector**2).sum()))


@_leading.defjvp
def _perturbed(multiply: Multiply, primals: tuple[Any, Array], tangents: tuple[Any, Array]) -> tuple[Any, Any]:
    """Computes dl_1 = v_1 · dG v_1 and dv_1 = sum_j v_j (v_j · dG v_1) / (l_1 - l_j).

    Components with l_j = l_1 are undetermined and left out.
    """
    (matrix, start), (change, _) = primals, tangents
    value, vector = _leading(multiply, matrix, start)
    _, moved = jax.jvp(lambda matrix: multiply(matrix, vector), (matrix,), (change,))
    values, vectors = jnp.linalg.eigh(_dense(multiply, matrix, start))
    gaps = values[-1] - values
    separated = gaps > 8 * jnp.finfo(start.dtype).eps * values[-1]
    shares = jnp.where(separated, dot(moved, vectors), 0) / jnp.where(separated, gaps, 1)
    return (value, vector), (dot(vector, moved), dot(vectors, shares))
