"""Maps from the components of a layer's activations; each public function is its paper's equation.

The first component is computed from small matrix products, which are cheap on accelerators and differentiable.
"""

from __future__ import annotations

from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.numerics import dot, einsum, ratio, safe_sqrt
from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass, one_pass_with_options
from xaijax.cam._options import MapOptions

# Lanczos reduces larger matrices to this size; the extreme eigenvectors of the small matrix give those of the large one.
# 32 steps separate eigenvalues that differ by 1 % to five digits, for 32 matrix-vector products. Where the first
# eigenvalue leads, as it mostly does, 8 or 16 reach the rounding error.
_LANCZOS_STEPS, _BETWEEN_CHECKS = 32, 8
_ROUNDING = 8  # a residual of so many rounding errors is none
# Eight squarings raise the largest eigenvalue's lead to the power 256, sixteen more products to 4096. All of it is small
# matrix products: no host and no LAPACK.
_SQUARINGS, _PRODUCTS = 8, 16


@one_pass("Eigen-CAM", relu=False)
def eigen_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Eigen-CAM: projects the activations on their first principal direction.

    A = U S V' as a matrix of positions and channels        L = A v_1

    Why: needs no gradients and no target; it shows the pattern that most channels share. (The target only says whose
    score is reported.) A singular vector has no sign of its own: it is chosen so that the map is positive where the
    activations are strong, sum_ij L_ij |A_ij| >= 0.

    Differences: pytorch-grad-cam subtracts the mean of each channel first and leaves the sign to the SVD; the paper
    does neither.

    References:
      Muhammad and Yeasin (2020), Eigen-CAM: Class activation map using principal components, arXiv:2008.00299,
      equations 2 and 3.
    """
    return _signed_like(first_component(tapped.activations), _strength(tapped))


@one_pass("EigenGrad-CAM", relu=False)
def eigen_grad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """EigenGrad-CAM: projects the products of gradients and activations on their first principal direction.

    G ⊙ A = U S V'        L = (G ⊙ A) v_1

    Why: Eigen-CAM for a class. The sign is chosen so that the map agrees in total with HiResCAM, sum_k G^k ⊙ A^k:
    positive values are evidence for the target. The exception is a pooled linear head: a channel's weight in v_1 has
    the sign of its gradient there, so that evidence against the class comes out positive too.

    Differences: pytorch-grad-cam subtracts the mean of each channel first and leaves the sign to the SVD.

    References:
      Gildenblat et al. (2021), pytorch-grad-cam, `EigenGradCAM`, after Muhammad and Yeasin (2020), arXiv:2008.00299.
    """
    products = tapped.gradients * tapped.activations
    return _signed_like(first_component(products), products.sum(axis=-1))


@one_pass_with_options("KPCA-CAM", relu=False)
def kpca_cam(
    tapped: Tapped,
    *,
    kernel: Literal["sigmoid", "rbf", "linear"] = "sigmoid",
    gamma: float | None = None,
    **_: Unpack[MapOptions],
) -> Float[Array, "N *space"]:
    """KPCA-CAM: Eigen-CAM with a kernel, so that features may agree nonlinearly.

    K = centered kernel matrix of the positions' centered features        L = sqrt(lambda_1) u_1 of K

    Why: needs no gradients and no target, as Eigen-CAM. (The target only says whose score is reported.) The sign is
    chosen so that the map is positive where the activations are strong. The kernel matrix has one row for each
    position of the map: choose a late layer.

    Args:
      kernel: "sigmoid", tanh(gamma a·b + 1); "rbf", exp(-gamma |a - b|²); or "linear", a·b. Default "sigmoid", as the
        authors'.
      gamma: the kernel's scale. Default 1 / C.

    References:
      Karmani et al. (2024), KPCA-CAM: Visual explainability of deep computer vision models using kernel PCA,
      arXiv:2410.00267.
    """
    check.one_of("kernel", kernel, ["sigmoid", "rbf", "linear"])
    activations = tapped.activations
    num_examples, channels = len(activations), activations.shape[-1]
    scale = 1 / channels if gamma is None else check.positive_float("gamma", gamma)
    rows = activations.reshape(num_examples, -1, channels)
    rows = rows - rows.mean(axis=1, keepdims=True)
    products = einsum("npc,nqc->npq", rows, rows)
    if kernel == "sigmoid":
        gram = jnp.tanh(scale * products + 1)
    elif kernel == "rbf":
        squares = jnp.diagonal(products, axis1=1, axis2=2)
        gram = jnp.exp(-scale * (squares[:, :, None] + squares[:, None, :] - 2 * products))
    else:
        gram = products
    gram = gram - gram[:, :1, :1]  # any constant; of equal rows exactly 0 is left, and not a rounded mean
    means = gram.mean(axis=1, keepdims=True)
    gram = gram - means - (means - means.mean(axis=2, keepdims=True)).swapaxes(1, 2)
    # The first component of the linear kernel is near that of the others; a few products with its covariance suffice.
    fixed = jax.lax.stop_gradient(rows)
    covariance = einsum("npc,npd->ncd", fixed, fixed)
    raised = lambda _, vectors: jax.vmap(_unit)(einsum("ncd,nd->nc", covariance, vectors))  # noqa: E731
    near = jax.lax.fori_loop(0, _PRODUCTS, raised, jnp.diagonal(covariance, axis1=1, axis2=2))
    start = einsum("npc,nc->np", fixed, near)
    vector = leading_eigenvector(gram, start)
    value = einsum("np,npq,nq->n", vector, gram, vector)[:, None]
    maps = vector * safe_sqrt(value)
    return _signed_like(maps.reshape(activations.shape[:-1]), _strength(tapped))


@one_pass_with_options("FEM", relu=False)
def fem(tapped: Tapped, *, deviations: float = 2.0, **_: Unpack[MapOptions]) -> Float[Array, "N *space"]:
    """FEM: counts the channels that are unusually strong at a position, each weighted by its mean.

    B^k = 1 where A^k >= mu_k + K sigma_k, else 0        L = sum_k mu_k B^k

    Why: needs no gradients and no target; it shows the positions that stand out in the features. (The target only says
    whose score is reported.) The gradient of the map with respect to the activations is that of mu_k alone, as the
    steps of B have none.

    Differences: pytorch-grad-cam weights a channel by the share of its positions that are strong, not by mu_k, and sums
    the weighted activations, not the binary maps.

    Args:
      deviations: K, the number of standard deviations above its mean that a strong channel exceeds. Default 2, as in
        the paper.

    References:
      Fuad et al. (2020), Features understanding in 3D CNNs for actions recognition in video, IPTA 2020, section III.
    """
    deviations = check.positive_float("deviations", deviations, zero_allowed=True)
    activations = tapped.activations
    means = activations.mean(axis=tapped.space, keepdims=True)
    deviation = jnp.sqrt(((activations - means) ** 2).mean(axis=tapped.space, keepdims=True))
    strong = activations >= means + deviations * deviation
    return jnp.where(strong, means, 0).sum(axis=-1)


def _strength(tapped: Tapped) -> Float[Array, "N *space"]:
    """Computes the strength of the activations at each position, sum_k |A^k|."""
    return abs(tapped.activations).sum(axis=-1)


def _signed_like(maps: Float[Array, "N *space"], guide: Float[Array, "N *space"]) -> Float[Array, "N *space"]:
    """Returns each map with the sign for which the sum of map · guide over the positions is not negative."""
    agreement = (maps * guide).sum(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return jnp.where(agreement < 0, -maps, maps)


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


def leading_eigenvector(gram: Float[Array, "N n n"], start: Float[Array, "N n"] | None = None) -> Float[Array, "N n"]:
    """Computes the eigenvector of the largest eigenvalue of symmetric matrices; for a zero matrix, any vector or zero.

    start: vectors near those eigenvectors, which save steps.
    """
    size = gram.shape[-1]
    random = _unit(jax.random.normal(jax.random.key(0), (size,), gram.dtype))  # almost any start converges
    if start is None:
        return _leading(gram, jnp.broadcast_to(random, gram.shape[:2]))
    return _leading(gram, jax.lax.stop_gradient(jax.vmap(_unit)(start) + 1e-2 * random))


@jax.custom_jvp
def _leading(gram: Float[Array, "N n n"], start: Float[Array, "N n"]) -> Float[Array, "N n"]:
    if gram.shape[-1] <= _LANCZOS_STEPS:
        return jax.vmap(_leading_of_small)(gram)
    return jax.vmap(_leading_of_large)(gram, start)


def _leading_of_small(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Squares the matrix repeatedly. If the eigenvalue of largest magnitude is negative, it is shifted to zero first."""
    vector = _largest_magnitude(matrix)
    value = dot(vector, dot(matrix, vector))
    shifted = matrix + jnp.maximum(-value, 0) * jnp.eye(len(matrix), dtype=matrix.dtype)
    return _largest_magnitude(shifted)


def _largest_magnitude(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    powers = jax.lax.fori_loop(0, _SQUARINGS, lambda _, powers: _scaled(dot(powers, powers)), _scaled(matrix))
    vector = powers[:, jnp.argmax(jnp.diagonal(powers))]
    return jax.lax.fori_loop(0, _PRODUCTS, lambda _, vector: _unit(dot(powers, vector)), vector)


def _leading_of_large(matrix: Float[Array, "n n"], start: Float[Array, " n"]) -> Float[Array, " n"]:
    """Runs Lanczos' iteration until the vector is precise; every new direction is orthogonalized twice.

    `small` is the matrix between the directions. The residual of a vector in their span is its share of the last
    direction times the length of the next one, before this is normalized (Paige 1971).
    """
    basis = jnp.zeros((_LANCZOS_STEPS, len(matrix)), matrix.dtype).at[0].set(_unit(start))
    small = jnp.zeros((_LANCZOS_STEPS, _LANCZOS_STEPS), matrix.dtype)

    def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        basis, small, _ = carry
        image = dot(matrix, basis[number])
        size = jnp.abs(image).max()
        image = ratio(image, size)
        along = dot(basis, image)  # 0 for directions to come
        image = image - dot(along, basis)
        image = image - dot(dot(basis, image), basis)
        # Once the directions are exhausted, only rounding error is left, which is no direction.
        is_new = jnp.abs(image).max() > 1e-5
        length = jnp.where(is_new, size * jnp.sqrt((image**2).sum()), 0)
        basis = basis.at[number + 1].set(jnp.where(is_new, _unit(image), 0), mode="drop")
        return basis, small.at[:, number].set(size * along), length

    def some_steps(carry: Any) -> Any:
        number, (basis, small, _), _, _ = carry
        basis, small, length = jax.lax.fori_loop(
            number, number + _BETWEEN_CHECKS, step, (basis, small, jnp.zeros((), matrix.dtype))
        )
        whole = jnp.triu(small) + jnp.triu(small, 1).T
        vector = _leading_of_small(whole)
        value = dot(vector, dot(whole, vector))
        number = number + _BETWEEN_CHECKS
        residual = length * jnp.abs(vector[number - 1])
        return number, (basis, small, length), vector, residual <= _ROUNDING * jnp.finfo(matrix.dtype).eps * value

    zero = jnp.zeros((), matrix.dtype)
    first = jnp.array(0), (basis, small, zero), jnp.zeros(_LANCZOS_STEPS, matrix.dtype), jnp.array(False)
    unfinished = lambda carry: (carry[0] < _LANCZOS_STEPS) & ~carry[3]  # noqa: E731
    _, (basis, _, _), vector, _ = jax.lax.while_loop(unfinished, some_steps, first)
    return _unit(dot(vector, basis))


def _scaled(values: Array) -> Array:
    return ratio(values, jnp.abs(values).max())


def _unit(vector: Array) -> Array:
    vector = _scaled(vector)
    return ratio(vector, jnp.sqrt((vector**2).sum()))


@_leading.defjvp
def _perturbed(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """Computes dv_1 = sum_j v_j (v_j · dG v_1) / (l_1 - l_j); components with l_j = l_1 are undetermined and left out."""
    (gram, start), (change, _) = primals, tangents
    vector = _leading(gram, start)
    values, vectors = jnp.linalg.eigh(gram)
    gaps = values[..., -1:] - values
    pushed = einsum("...ij,...ik,...k->...j", vectors, change, vector)
    separated = gaps > 8 * jnp.finfo(gram.dtype).eps * values[..., -1:]
    shares = jnp.where(separated, pushed, 0) / jnp.where(separated, gaps, 1)
    return vector, einsum("...ij,...j->...i", vectors, shares)
