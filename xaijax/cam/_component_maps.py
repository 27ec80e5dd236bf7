"""Maps from the components of a layer's activations; each public function is its paper's equation.

The first component is computed from matrix products, which are cheap on accelerators and differentiable.
"""

from __future__ import annotations

from typing import Literal, Unpack

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, Float
from xaijax.cam._eigenvectors import first_component
from xaijax.cam._kernels import first_kernel_component
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass, one_pass_with_options
from xaijax.cam._options import MapOptions


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
    num_landmarks: int | None = None,
    **_: Unpack[MapOptions],
) -> Float[Array, "N *space"]:
    """KPCA-CAM: Eigen-CAM with a kernel, so that features may agree nonlinearly.

    K = centered kernel matrix of the positions' centered features        L = sqrt(lambda_1) u_1 of K

    Why: needs no gradients and no target, as Eigen-CAM. (The target only says whose score is reported.) The sign is
    chosen so that the map is positive where the activations are strong. The kernel matrix has one row for each
    position of the map: choose a late layer, or landmarks.

    Args:
      kernel: "sigmoid", tanh(gamma a·b + 1); "rbf", exp(-gamma |a - b|²); or "linear", a·b. Default "sigmoid", as the
        authors'.
      gamma: the kernel's scale. Default 1 / C.
      num_landmarks: the number of positions, evenly spaced, whose columns of the kernel matrix approximate the others
        (Nyström): for early layers, where the full matrix costs more than the model. Default: the full matrix, also
        where the map has no more positions than that. Not for the linear kernel, which needs no such matrix.

    References:
      Karmani et al. (2024), KPCA-CAM: Visual explainability of deep computer vision models using kernel PCA,
      arXiv:2410.00267.
      Williams and Seeger (2001), Using the Nyström method to speed up kernel machines, NIPS 13.
    """
    check.one_of("kernel", kernel, ["sigmoid", "rbf", "linear"])
    if num_landmarks is not None:
        check.positive_int("num_landmarks", num_landmarks)
        if kernel == "linear":
            raise ValueError(
                f'`num_landmarks` must be None for kernel="linear", which has no kernel matrix, got {num_landmarks}.'
            )
    activations = tapped.activations
    num_examples, channels = len(activations), activations.shape[-1]
    scale = 1 / channels if gamma is None else check.positive_float("gamma", gamma)
    rows = activations.reshape(num_examples, -1, channels)
    rows = rows - rows[:, :1]  # of equal rows exactly 0 is left, and not a rounded mean
    rows = rows - rows.mean(axis=1, keepdims=True)
    maps = first_component(rows) if kernel == "linear" else first_kernel_component(rows, kernel, scale, num_landmarks)
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
