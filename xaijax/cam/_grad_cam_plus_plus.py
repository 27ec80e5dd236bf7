"""Grad-CAM++ (Chattopadhay et al. 2018)."""

from __future__ import annotations

import jax

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped, ratio
from xaijax.cam._one_pass import one_pass


@one_pass("Grad-CAM++", relu=True)
def grad_cam_plus_plus(tapped: Tapped) -> Float[Array, "N *space"]:
    """Grad-CAM++: as Grad-CAM, with gradients pooled by weights that favor places where few of them are large.

    w_k = sum_ij alpha_ij^k ReLU(G_ij^k)        alpha_ij^k = G² / (2 G² + sum_ab A_ab^k · G³)        L = ReLU(sum_k w_k A^k)

    Why: several objects of one class, of unequal size, are found alike; Grad-CAM follows the largest. With the paper's
    exp(y) as the score, y piecewise linear, its higher derivatives are the powers of G = dy/dA. The factor exp(y), the
    same for a whole map, is left out.

    Differences: the authors' code also divides the alphas of a channel by their sum, which the paper does not;
    pytorch-grad-cam adds 1e-6 to the denominator, so that small gradients give smaller maps. Neither is done here.

    References:
      Chattopadhay et al. (2018), Grad-CAM++: Improved visual explanations for deep convolutional networks,
      arXiv:1710.11063, equations 5, 10 and 19.
    """
    gradients = tapped.gradients
    totals = tapped.activations.sum(axis=tapped.space, keepdims=True)
    # G² / (2 G² + sum A · G³) = 1 / (2 + sum A · G), but the cube of a small gradient would vanish in float32.
    weights = ratio(jax.nn.relu(gradients), 2 + totals * gradients).sum(axis=tapped.space)
    return tapped.weigh(weights)
