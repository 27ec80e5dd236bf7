"""Maps from the gradient of a score at a layer: each function is its paper's equation.

A^k: channel k of the layer's activations. G^k = dy/dA^k: the gradient of the explained score y there.
"""

from __future__ import annotations

import jax

from xaijax._core.numerics import ratio
from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("Grad-CAM", relu=True)
def grad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Grad-CAM: sums the channels of a layer, each weighted by its mean gradient.

    alpha_k = 1/Z sum_ij dy/dA_ij^k        L = ReLU(sum_k alpha_k A^k)

    Why: works on any network with spatial activations, unmodified, for one forward pass and the gradient of the layers
    after the tap. For global average pooling and a linear head it is CAM / Z.

    References:
      Selvaraju et al. (2017), Grad-CAM: Visual explanations from deep networks via gradient-based localization,
      arXiv:1610.02391, equations 1 and 2.
    """
    alphas = tapped.gradients.mean(axis=tapped.space)
    return tapped.weigh(alphas)


@one_pass("Grad-CAM++", relu=True)
def grad_cam_plus_plus(tapped: Tapped) -> Float[Array, "N *space"]:
    """Grad-CAM++: Grad-CAM with gradients pooled by weights that favor positions where few of them are large.

    w_k = sum_ij alpha_ij^k ReLU(G_ij^k)        alpha_ij^k = G² / (2 G² + sum_ab A_ab^k · G³)        L = ReLU(sum_k w_k A^k)

    Why: several objects of one class get equal evidence although their sizes differ; Grad-CAM follows the largest. With
    the paper's score exp(y), y piecewise linear, the higher derivatives are powers of G. The factor exp(y), which is
    constant over a map, is left out.

    Differences: the authors' code also divides the alphas of a channel by their sum, which the paper does not.
    pytorch-grad-cam adds 1e-6 to the denominator, so that small gradients give smaller maps. Neither is done here.

    References:
      Chattopadhay et al. (2018), Grad-CAM++: Improved visual explanations for deep convolutional networks,
      arXiv:1710.11063, equations 5, 10 and 19.
    """
    gradients = tapped.gradients
    totals = tapped.activations.sum(axis=tapped.space, keepdims=True)
    # G² / (2 G² + sum A · G³) = 1 / (2 + sum A · G), but the cube of a small gradient underflows in float32.
    weights = ratio(jax.nn.relu(gradients), 2 + totals * gradients).sum(axis=tapped.space)
    return tapped.weigh(weights)


@one_pass("HiResCAM", relu=False)
def hires_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """HiResCAM: multiplies gradients and activations and sums over the channels.

    L = sum_k G^k ⊙ A^k

    Why: shows the positions that the network used. If the layers after the tap are linear, the map sums to the score
    without its bias. Grad-CAM spreads a channel's gradient evenly and may show positions that were not used. The map is
    signed: negative positions are evidence against the target.

    References:
      Draelos and Carin (2020), Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
      networks, arXiv:2011.08891, equation 4.
    """
    return (tapped.gradients * tapped.activations).sum(axis=-1)


@one_pass("XGrad-CAM", relu=True)
def xgrad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """XGrad-CAM: weights each channel by its mean gradient, weighted by the channel's activations.

    alpha_k = sum_ij (A_ij^k / sum_ab A_ab^k) G_ij^k        L = ReLU(sum_k alpha_k A^k)

    Why: derived from axioms. The map sums to sum G A: removing a channel changes the score by the channel's share of the
    map (sensitivity), as far as the tail is linear. A channel whose activations sum to zero has weight zero.

    Differences: pytorch-grad-cam adds 1e-7 to the sum of activations.

    References:
      Fu et al. (2020), Axiom-based Grad-CAM: Towards accurate visualization and explanation of CNNs,
      arXiv:2008.02312, equation 8.
    """
    products = (tapped.gradients * tapped.activations).sum(axis=tapped.space)
    alphas = ratio(products, tapped.activations.sum(axis=tapped.space))
    return tapped.weigh(alphas)


@one_pass("LayerCAM", relu=True)
def layer_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """LayerCAM: weights every position of a channel by its own positive gradient.

    L = ReLU(sum_k ReLU(G^k) ⊙ A^k)

    Why: gives fine maps at early layers too, where pooled gradients carry little information; `xai.cam.fuse` joins
    layers.

    References:
      Jiang et al. (2021), LayerCAM: Exploring hierarchical class activation maps for localization, IEEE Transactions
      on Image Processing 30, 5875-5888, equations 6 and 7.
    """
    return (jax.nn.relu(tapped.gradients) * tapped.activations).sum(axis=-1)


@one_pass("element-wise Grad-CAM", relu=True)
def elementwise_grad_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Element-wise Grad-CAM: sums the positive parts of gradient times activation over the channels.

    L = sum_k ReLU(G^k ⊙ A^k)

    Why: in HiResCAM channels that are evidence against a position cancel those that are evidence for it; here they do
    not.

    References:
      Gildenblat et al. (2021), pytorch-grad-cam, `GradCAMElementWise`; compare equation 4 of HiResCAM (Draelos and
      Carin 2020, arXiv:2011.08891).
    """
    return jax.nn.relu(tapped.gradients * tapped.activations).sum(axis=-1)


@one_pass("Shapley-CAM", relu=True)
def shapley_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """Shapley-CAM: Grad-CAM with the gradient corrected by half a Hessian-vector product.

    alpha_k = mean(G^k - 1/2 (H · A)^k)        L = ReLU(sum_k alpha_k A^k)

    Why: these are the Shapley values of the activations in the second-order Taylor expansion of the score. The marginal
    contribution of an activation depends on the others, and H holds that dependence. If the tail is piecewise linear,
    the map equals Grad-CAM; for saturated tails (tanh, GELU, softmax) it does not. It costs about two more passes of
    the tail.

    Differences: on layers of tokens, tokens without a position (the class token) are held constant; pytorch-grad-cam
    moves them too.

    References:
      Cai (2025), CAMs as Shapley value-based explainers, arXiv:2501.06261, equation 15.
    """
    gradient = jax.grad(lambda activations: tapped.score(activations).sum())
    at_activations = (tapped.activations,)
    gradients, hessian_times_activations = jax.jvp(gradient, at_activations, at_activations)
    alphas = (gradients - hessian_times_activations / 2).mean(axis=tapped.space)
    return tapped.weigh(alphas)
