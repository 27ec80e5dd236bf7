"""Element-wise Grad-CAM."""

from __future__ import annotations

import jax

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("element-wise Grad-CAM", relu=True)
def elementwise_grad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Element-wise Grad-CAM: gradient times activation, what is negative dropped in each channel before summing.

    L = sum_k ReLU(G^k ⊙ A^k)

    Why: HiResCAM lets the channels that speak against a place cancel those that speak for it; here they do not.

    References:
      Gildenblat et al. (2021), pytorch-grad-cam, `GradCAMElementWise`; compare equation 4 of HiResCAM (Draelos and
      Carin 2020, arXiv:2011.08891).
    """
    return jax.nn.relu(tapped.gradients * tapped.activations).sum(axis=-1)
