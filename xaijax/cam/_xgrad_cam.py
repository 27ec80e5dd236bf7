"""XGrad-CAM (Fu et al. 2020)."""

from __future__ import annotations

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped, ratio
from xaijax.cam._one_pass import one_pass


@one_pass("XGrad-CAM", relu=True)
def xgrad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """XGrad-CAM: the gradients of a channel averaged with its activations as weights.

    alpha_k = sum_ij (A_ij^k / sum_ab A_ab^k) G_ij^k        L = ReLU(sum_k alpha_k A^k)

    Why: chosen by axioms. The map sums to sum G A, so that removing a channel changes the score by what the map gives
    it (sensitivity), as far as the tail is linear. A channel whose activations sum to zero has weight zero.

    Differences: pytorch-grad-cam adds 1e-7 to the sum of activations.

    References:
      Fu et al. (2020), Axiom-based Grad-CAM: Towards accurate visualization and explanation of CNNs,
      arXiv:2008.02312, equation 8.
    """
    products = (tapped.gradients * tapped.activations).sum(axis=tapped.space)
    alphas = ratio(products, tapped.activations.sum(axis=tapped.space))
    return tapped.weigh(alphas)
