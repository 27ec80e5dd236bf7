"""Shapley-CAM (Cai 2025)."""

from __future__ import annotations

import jax

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("Shapley-CAM", relu=True)
def shapley_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Shapley-CAM: Grad-CAM with the gradient corrected by half a Hessian-vector product.

    alpha_k = mean(G^k - 1/2 (H · A)^k)        L = ReLU(sum_k alpha_k A^k)

    Why: the Shapley values of the activations in the second-order Taylor expansion of the score: the marginal
    contribution of a place depends on which others are there, and H says how. The same as Grad-CAM where the tail is
    piecewise linear; for saturated tails (tanh, GELU, softmax) it is not. Costs about two more passes of the tail.

    Differences: on layers of tokens, those without a place (the class token) are held; pytorch-grad-cam moves them too.

    References:
      Cai (2025), CAMs as Shapley value-based explainers, arXiv:2501.06261, equation 15.
    """
    gradient = jax.grad(lambda activations: tapped.score(activations).sum())
    at_activations = (tapped.activations,)
    gradients, hessian_times_activations = jax.jvp(gradient, at_activations, at_activations)
    alphas = (gradients - hessian_times_activations / 2).mean(axis=tapped.space)
    return tapped.weigh(alphas)
