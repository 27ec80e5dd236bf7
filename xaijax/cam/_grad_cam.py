"""Grad-CAM (Selvaraju et al. 2017)."""

from __future__ import annotations

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("Grad-CAM", relu=True)
def grad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Grad-CAM: the channels of a layer, each weighed by its pooled gradient, summed.

    alpha_k = 1/Z sum_ij dy/dA_ij^k        L = ReLU(sum_k alpha_k A^k)

    Why: works on any network with spatial activations, unmodified, for one forward pass and the gradient of the layers
    behind the tap. For global average pooling and a linear head it is CAM / Z.

    References:
      Selvaraju et al. (2017), Grad-CAM: Visual explanations from deep networks via gradient-based localization,
      arXiv:1610.02391, equations 1 and 2.
    """
    alphas = tapped.gradients.mean(axis=tapped.space)
    return tapped.weigh(alphas)
