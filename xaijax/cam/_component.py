"""The first principal component, cheap on accelerators and safe to differentiate."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Float
from xaijax.cam._map import HIGHEST, ratio

# Lanczos reduces larger matrices to one of this size, whose extreme eigenvectors are those of the whole: with 32 steps
# eigenvalues that differ by 1 % are apart to five digits, at the price of 32 products with a vector.
_LANCZOS_STEPS = 32
# After eight squarings the largest eigenvalue leads by the power 256, and by 4096 after sixteen products more. No host,
# no LAPACK, only small matrix products.
_SQUARINGS, _PRODUCTS = 8, 16


@jax.custom_jvp
def leading_eigenvector(gram: Float[Array, "N n n"]) -> Float[Array, "N n"]:
    """The eigenvector of the largest eigenvalue of symmetric matrices; of a zero matrix, any vector or zero."""
    if gram.shape[-1] <= _LANCZOS_STEPS:
        return jax.vmap(_leading_of_small)(gram)
    return jax.vmap(_leading_of_large)(gram)


def _leading_of_small(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """By squaring. Where the eigenvalue largest in size is negative, it is shifted to zero first."""
    vector = _largest_in_size(matrix)
    value = jnp.vdot(vector, _product(matrix, vector), precision=HIGHEST)
    shifted = matrix + jnp.maximum(-value, 0) * jnp.eye(len(matrix), dtype=matrix.dtype)
    return _largest_in_size(shifted)


def _largest_in_size(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    powers = _of_size_one(matrix)
    for _ in range(_SQUARINGS):
        powers = _of_size_one(_product(powers, powers))
    vector = powers[:, jnp.argmax(jnp.diagonal(powers))]
    for _ in range(_PRODUCTS):
        vector = _unit(_product(powers, vector))
    return vector


def _leading_of_large(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """By Lanczos' iteration, every new direction made orthogonal to all before, twice."""
    size = len(matrix)
    start = _unit(jax.random.normal(jax.random.key(0), (size,), matrix.dtype))  # any but the unluckiest will do
    basis = jnp.zeros((_LANCZOS_STEPS, size), matrix.dtype).at[0].set(start)

    def step(basis: Array, number: Array) -> tuple[Array, None]:
        image = _of_size_one(_product(matrix, basis[number]))
        for _ in range(2):
            image = image - _product(_product(basis, image), basis)
        # What is rounding alone, once the directions are exhausted, is no direction.
        image = jnp.where(jnp.abs(image).max() > 1e-5, _unit(image), 0)
        return basis.at[number + 1].set(image), None

    basis, _ = jax.lax.scan(step, basis, jnp.arange(_LANCZOS_STEPS - 1))
    small = _product(basis, _product(matrix, basis.T))
    return _unit(_product(_leading_of_small((small + small.T) / 2), basis))


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=HIGHEST)


def _of_size_one(values: Array) -> Array:
    return ratio(values, jnp.abs(values).max())


def _unit(vector: Array) -> Array:
    vector = _of_size_one(vector)
    return ratio(vector, jnp.sqrt((vector**2).sum()))


@leading_eigenvector.defjvp
def _perturbed(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """dv_1 = sum_j v_j (v_j · dG v_1) / (l_1 - l_j); components with l_j = l_1 are undetermined and left out."""
    (gram,), (change,) = primals, tangents
    vector = leading_eigenvector(gram)
    values, vectors = jnp.linalg.eigh(gram)
    gaps = values[..., -1:] - values
    pushed = jnp.einsum("...ij,...ik,...k->...j", vectors, change, vector, precision=HIGHEST)
    clear = gaps > 8 * jnp.finfo(gram.dtype).eps * values[..., -1:]
    shares = jnp.where(clear, pushed, 0) / jnp.where(clear, gaps, 1)
    return vector, jnp.einsum("...ij,...j->...i", vectors, shares, precision=HIGHEST)


def first_component(rows: Float[Array, "N *space C"]) -> Float[Array, "N *space"]:
    """The rows, one for each place, projected on their first right singular vector [C]; the sign is arbitrary.

    The smaller Gram matrix gives it: for A = U S V', A A' = U S² U' and A'A = V S² V'.
    """
    space = rows.shape[1:-1]
    matrix = rows.reshape(len(rows), -1, rows.shape[-1])
    if matrix.shape[1] >= matrix.shape[2]:
        gram = jnp.einsum("npc,npd->ncd", matrix, matrix, precision=HIGHEST)
        projected = jnp.einsum("npc,nc->np", matrix, leading_eigenvector(gram), precision=HIGHEST)
    else:
        gram = jnp.einsum("npc,nqc->npq", matrix, matrix, precision=HIGHEST)
        left = leading_eigenvector(gram)
        right = jnp.einsum("npc,np->nc", matrix, left, precision=HIGHEST)
        # The projection S u, as u |A'u|.
        squares = (right**2).sum(axis=1, keepdims=True)
        projected = left * jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    return projected.reshape(len(rows), *space)


def signed_like(maps: Float[Array, "N *space"], guide: Float[Array, "N *space"]) -> Float[Array, "N *space"]:
    """Each map with the sign that makes it agree with its guide: sum over the places of map · guide not negative."""
    agreement = (maps * guide).sum(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return jnp.where(agreement < 0, -maps, maps)
