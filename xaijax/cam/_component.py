"""The first principal component, cheap on accelerators and safe to differentiate."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._typing import Array, Float
from xaijax.cam._map import HIGHEST, ratio

# After eight squarings the largest eigenvalue leads by the power 256, and by 4096 after sixteen products more:
# eigenvalues that differ by 0.5 % are apart by float32's precision. No host, no LAPACK, only small matrix products.
_SQUARINGS, _PRODUCTS = 8, 16


@jax.custom_jvp
def leading_eigenvector(gram: Float[Array, "N n n"]) -> Float[Array, "N n"]:
    """The eigenvector of the eigenvalue largest in size of symmetric matrices; of a zero matrix, zero.

    To be differentiated it must be the largest of all, as in positive semi-definite matrices.
    """

    def product(left: Array, right: Array) -> Array:
        return jnp.matmul(left, right, precision=HIGHEST)

    def of_size_one(matrix: Array) -> Array:
        return ratio(matrix, jnp.abs(matrix).max(axis=(-2, -1), keepdims=True))

    powers = of_size_one(gram)
    for _ in range(_SQUARINGS):
        powers = of_size_one(product(powers, powers))
    strongest = jnp.argmax(jnp.diagonal(powers, axis1=-2, axis2=-1), axis=-1)
    vector = jnp.take_along_axis(powers, strongest[..., None, None], axis=-1)
    for _ in range(_PRODUCTS):
        vector = product(powers, vector)
        vector = ratio(vector, jnp.sqrt((vector**2).sum(axis=-2, keepdims=True)))
    return vector[..., 0]


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
