"""Grad-CAM (Selvaraju et al. 2017, equations 1 and 2).

alpha_k = 1/Z sum_ij dy/dA_ij^k        L = ReLU(sum_k alpha_k A^k)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._attribution import Attribution
from xaijax._compile import compiled
from xaijax._model import Model
from xaijax._target import Target, TargetLike
from xaijax.cam._map import differentiate_tail, finish, read_arguments, spatial_axes


def grad_cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    relu: bool = True,
    upsample: bool = False,
    normalize: bool = False,
) -> Attribution:
    """Grad-CAM: the channels of a layer, each weighed by its pooled gradient, summed.

    Why: works on any network with spatial activations, unmodified, for one forward pass and the gradient of the layers
    behind the tap.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function with tagged values, `xai.compose(features, head)`.
      x: [N, ...] inputs.
      layer: the path of the layer, from `xai.layers(model, x)`. Default: the last one with spatial axes, as in the
        paper, where concepts are highest and places still there.
      target: an int, ints [N], a callable from outputs to one number for each example, or None for the top class.
      relu: keep only what speaks for the target, as in the paper; turn off for signed maps.
      upsample: resize the maps linearly to the size of the input. Default off: the map as the layer sees it.
      normalize: bring each map to [0, 1]. Default off: raw values can be compared between examples.

    Returns:
      values [N, h, w] (or as many spatial axes as the layer has), output [N] the explained scores, target [N].

    Raises:
      TypeError, ValueError: if the layer is unknown or has no spatial axes, the target is out of range, x holds NaN or
        does not fit the model.

    References:
      Selvaraju et al. (2017), Grad-CAM: Visual explanations from deep networks via gradient-based localization,
      arXiv:1610.02391, equations 1 and 2.
    """
    model, x, target = read_arguments(model, x, target)
    return _grad_cam(model, x, target, layer=layer, relu=relu, upsample=upsample, normalize=normalize)


@compiled(static_argnames=("layer", "relu", "upsample", "normalize"))
def _grad_cam(
    model: Model, x: Any, target: Target, *, layer: str | None, relu: bool, upsample: bool, normalize: bool
) -> Attribution:
    tapped = differentiate_tail(model, x, layer, target)
    alphas = tapped.gradients.mean(axis=spatial_axes(tapped.gradients))
    maps = jnp.einsum("n...k,nk->n...", tapped.activations, alphas, precision=jax.lax.Precision.HIGHEST)
    if relu:
        maps = jax.nn.relu(maps)
    maps = finish(maps, x, upsample=upsample, normalize=normalize)
    return Attribution(values=maps, output=tapped.scores, target=tapped.target.index, method="Grad-CAM")
