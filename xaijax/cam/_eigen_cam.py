"""Eigen-CAM (Muhammad and Yeasin 2020) and EigenGrad-CAM."""

from __future__ import annotations

from xaijax._core.typing import Array, Float
from xaijax.cam._component import first_component, signed_like
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("Eigen-CAM", relu=False)
def eigen_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Eigen-CAM: the activations projected on their first principal direction.

    A = U S V' as a matrix of places and channels        L = A v_1

    Why: needs no gradients and no target: what the layer's features agree on. (The target given only says whose score
    is reported.) A singular vector has no sign of its own: it is chosen so that the map is positive where the
    activations are strong, sum_ij L_ij |A_ij| >= 0.

    Differences: pytorch-grad-cam subtracts the mean of each channel first and leaves the sign to the SVD; the paper
    does neither.

    References:
      Muhammad and Yeasin (2020), Eigen-CAM: Class activation map using principal components, arXiv:2008.00299,
      equations 2 and 3.
    """
    return signed_like(first_component(tapped.activations), strength(tapped))


@one_pass("EigenGrad-CAM", relu=False)
def eigen_grad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """EigenGrad-CAM: the products of gradients and activations projected on their first principal direction.

    G ⊙ A = U S V'        L = (G ⊙ A) v_1

    Why: Eigen-CAM for a class. The sign is chosen so that the map agrees with HiResCAM, sum_k G^k ⊙ A^k, on the whole:
    positive speaks for the target. Not so where a head is pooled and linear: what speaks against the class is strong
    there as well, a channel's weight in v_1 has the sign of its gradient, and both come out positive.

    Differences: pytorch-grad-cam subtracts the mean of each channel first and leaves the sign to the SVD.

    References:
      Gildenblat et al. (2021), pytorch-grad-cam, `EigenGradCAM`, after Muhammad and Yeasin (2020), arXiv:2008.00299.
    """
    products = tapped.gradients * tapped.activations
    return signed_like(first_component(products), products.sum(axis=-1))


def strength(tapped: Tapped) -> Float[Array, "N *space"]:
    """How strong the activations of a place are, over all channels: sum_k |A^k|."""
    return abs(tapped.activations).sum(axis=-1)
