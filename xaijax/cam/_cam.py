"""Class activation maps (Zhou et al. 2016, equations 1 and 2).

y_c = sum_k w_k^c · 1/Z sum_xy f_k(x, y) + b_c        M_c(x, y) = sum_k w_k^c f_k(x, y)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax import _check
from xaijax._attribution import Attribution
from xaijax._compile import compiled
from xaijax._model import Model
from xaijax._target import Target, TargetLike
from xaijax._typing import Array, Bool, Float, Int
from xaijax.cam._map import (
    Tapped,
    differentiate_tail,
    finish,
    read_arguments,
    spatial_axes,
)


def cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    head: str | None = None,
    target: TargetLike = None,
    upsample: bool = False,
    normalize: bool = False,
) -> Attribution:
    """CAM: the channels before global average pooling, each weighed by the linear head's weight for the class.

    Why: for networks that end in global average pooling and a linear layer the map is the logit itself, laid out in
    space: its mean plus the bias is the logit. Other networks are refused; they need `xai.cam.grad_cam`.

    Args:
      model: any model of that form: `xai.linen(...)`, an NNX module, a function with tagged values.
      x: [N, ...] inputs.
      layer: the path of the layer that is pooled, from `xai.layers(model, x)`. Default: the last with spatial axes.
      head: the path of the linear layer, whose `kernel` [K, classes] and `bias` are read. Default: weights and bias
        are found by differentiating what follows the layer, which is exact for an affine head.
      target: an int, ints [N], a callable that is linear in the outputs, or None for the top class.
      upsample: resize the maps linearly to the size of the input. Default off.
      normalize: bring each map to [0, 1]. Default off: then the mean of the map plus the bias is the logit.

    Returns:
      values [N, h, w], output [N] the explained logits, base_value [N] the bias b_c, target [N].

    Raises:
      ValueError: if the network is not of that form: the map's mean plus bias does not reproduce the logit. Under a
        transformation such examples get NaN.

    References:
      Zhou et al. (2016), Learning deep features for discriminative localization, arXiv:1512.04150, equations 1 and 2.
    """
    model, x, target = read_arguments(model, x, target)
    if head is not None and target.score is not None:
        raise ValueError("head= reads the weights of one class, so target must be a class or None, not a callable.")
    attribution, wrong = _cam(model, x, target, layer=layer, head=head, upsample=upsample, normalize=normalize)
    if _check.is_concrete(wrong) and int(wrong):
        raise ValueError(
            "the model is not global average pooling and a linear layer after "
            f"{'the last spatial layer' if layer is None else f'layer {layer!r}'}: for {int(wrong)} of {len(attribution.output)} examples "
            "the mean of the class activation map plus the bias is not the logit, or the weights change with the "
            "input; name the pooled layer with layer=, explain logits instead of probabilities, or use "
            "xai.cam.grad_cam, which takes any network."
        )
    return attribution


@compiled(static_argnames=("layer", "head", "upsample", "normalize"))
def _cam(
    model: Model, x: Any, target: Target, *, layer: str | None, head: str | None, upsample: bool, normalize: bool
) -> tuple[Attribution, Int[Array, ""]]:
    tapped = differentiate_tail(model, x, layer, target)
    space = spatial_axes(tapped.activations)
    if head is None:
        weights, bias, constant = _weights_by_differentiation(tapped)
    else:
        weights, bias = _weights_by_path(model, head, tapped)
        constant = jnp.ones(len(bias), bool)
    maps = jnp.einsum("n...k,nk->n...", tapped.activations, weights, precision=jax.lax.Precision.HIGHEST)
    pooled = jnp.abs(tapped.activations).mean(axis=space)
    scale = jnp.einsum("nk,nk->n", pooled, jnp.abs(weights), precision=jax.lax.Precision.HIGHEST) + jnp.abs(bias)
    fits = constant & (jnp.abs(maps.mean(axis=space) + bias - tapped.scores) <= _tolerance(tapped) * scale)
    broken = ~fits & ~_check.rows_with_nan(x) & ~jnp.isnan(tapped.scores)
    values = _check.nan_where(~fits, finish(maps, x, upsample=upsample, normalize=normalize))
    attribution = Attribution(
        values=values, output=tapped.scores, base_value=bias, target=tapped.target.index, method="CAM"
    )
    return attribution, broken.sum()


def _weights_by_differentiation(tapped: Tapped) -> tuple[Float[Array, "N C"], Float[Array, " N"], Bool[Array, " N"]]:
    """w_c = Z · dy/dA and b_c = y(A = 0), and whether dy/dA is the same at all places and at A = 0, as it must be."""
    zeros = jnp.zeros_like(tapped.activations, tapped.layer_type)
    bias, pull_back = jax.vjp(lambda activations: tapped.target.select(tapped.head(activations)), zeros)
    (at_zero,) = pull_back(jnp.ones_like(bias))
    space = spatial_axes(tapped.gradients)
    mean = tapped.gradients.mean(axis=space, keepdims=True)
    axes = (*space, tapped.gradients.ndim - 1)
    scale = jnp.abs(mean).max(axis=axes)
    constant = jnp.ones(len(bias), bool)
    for gradients in (tapped.gradients, at_zero):
        constant &= jnp.abs(gradients - mean).max(axis=axes) <= _tolerance(tapped) * scale
    num_places = tapped.gradients[0, ..., 0].size
    return num_places * jnp.squeeze(mean, space), bias, constant


def _weights_by_path(model: Model, head: str, tapped: Tapped) -> tuple[Float[Array, "N C"], Float[Array, " N"]]:
    parameters = model.parameters(head)
    kernel, bias = parameters.get("kernel"), parameters.get("bias")
    channels = tapped.activations.shape[-1]
    if kernel is None or kernel.ndim != 2 or kernel.shape[0] != channels:
        shapes = {name: list(jnp.shape(value)) for name, value in parameters.items()}
        raise ValueError(
            f"head {head!r} must be a linear layer with a kernel [{channels}, classes], as the pooled layer has "
            f"{channels} channels, but its parameters are {shapes}."
        )
    index = tapped.target.index
    assert index is not None, "a class, as cam() checks"
    biases = jnp.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias
    return jnp.take(kernel.T, index, axis=0), jnp.take(biases, index)


def _tolerance(tapped: Tapped) -> float:
    """Room for rounding: what TF32 products make of float32, or eight units of the coarsest type behind the layer."""
    trace = jax.make_jaxpr(tapped.head)(jnp.zeros_like(tapped.activations, tapped.layer_type))
    types = [variable.aval.dtype for equation in trace.jaxpr.eqns for variable in equation.outvars]
    coarsest = max(float(jnp.finfo(kind).eps) for kind in types if jnp.issubdtype(kind, jnp.floating))
    return max(1e-3, 8 * coarsest)
