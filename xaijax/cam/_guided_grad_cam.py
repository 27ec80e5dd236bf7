"""Guided Grad-CAM (Selvaraju et al. 2017; guided backpropagation: Springenberg et al. 2015)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.axes import axes_of_players
from xaijax._core.compile import compiled
from xaijax._core.numerics import at_least_float32
from xaijax._core.relus import guided_relu, with_relus
from xaijax._core.target import Target
from xaijax._core.typing import Array, Inputs, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.cam._gradient_maps import grad_cam
from xaijax.cam._map import (
    Finish,
    LayerOptions,
    tap_layer,
)
from xaijax.cam._options import layer_options, read_arguments


def guided_grad_cam(
    model: ModelLike,
    x: Inputs,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] | None = None,
) -> Attribution:
    """Guided Grad-CAM: multiplies guided backpropagation to the input by the upsampled Grad-CAM map.

    R = guided dy/dx: each ReLU passes a gradient on only where both the gradient and the activation are positive
    L = R ⊙ Up(Grad-CAM)

    Why: combines the fine detail of guided backpropagation with the class evidence of Grad-CAM. (Guided backpropagation
    alone hardly depends on the class: Adebayo et al. 2018, arXiv:1810.03292.) The ReLUs are read from the trace of the
    model, which is not changed.

    Args:
      model: any model with ReLUs.
      x: [N, H, W, C] inputs.
      layer: the path of the layer for Grad-CAM, from `xai.layers(model, x)`. Default: the last with spatial axes.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.
      grid: the sides (h, w) of a layer of tokens.
      channel_axis: the axis of the channels, 1 for channels first; two axes where the layer's differs from the input's.

    Returns:
      values [N, H, W, C] like x, output [N] the explained scores, target [N].

    Raises:
      TypeError, ValueError: as `xai.cam.grad_cam`; if x is not one array of floating numbers, or the model has no ReLU.

    References:
      Selvaraju et al. (2017), Grad-CAM, arXiv:1610.02391, section 3.3; Springenberg et al. (2015), Striving for
      simplicity: The all convolutional net, arXiv:1412.6806, section 3.4.
    """
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            "`x` must be one array of floating numbers for guided_grad_cam, whose values have the shape of x: convert x, "
            "or use xai.cam.grad_cam."
        )
    return _guided_grad_cam(model, x, target, layer=layer_options(layer, grid, channel_axis))


@compiled(static_argnames=("layer",))
def _guided_grad_cam(model: Model, x: Array, target: Target, *, layer: LayerOptions) -> Attribution:
    cut = tap_layer(model, x, layer)
    tapped, target = cut.differentiate(target)
    coarse = grad_cam.equation(tapped)
    size = cut.inputs.size(coarse.ndim - 1, _OTHER_AXES)
    maps = Finish(relu=True, upsample=size, normalize=False)(coarse, cut.inputs)

    channels = cut.inputs.channel_axis.of_input(x.ndim)
    guided = with_relus(model, guided_relu)
    scores, pull_back = jax.vjp(lambda x: target.select(guided(x)), x)
    (gradients,) = pull_back(jnp.ones_like(scores))
    values = at_least_float32(gradients) * (maps if maps.ndim == x.ndim else jnp.expand_dims(maps, channels))
    values = check.nan_where(jnp.isnan(tapped.scores), values)  # a NaN score: the class does not exist
    *space, last = axes_of_players(values.ndim - 1).split()
    space.insert(channels - 1, last)
    axes = " ".join(["N", *space])
    return Attribution(values=values, output=tapped.scores, target=target.index, axes=axes, method="Guided Grad-CAM")


_OTHER_AXES = (
    "`layer` must have as many spatial axes as x, got x of the shapes {shapes}: choose another layer, or pass grid=(h, w) for "
    "a layer of tokens."
)
