"""Maps from one gradient of the score: the plain one, times the input, or with other derivatives of the ReLUs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import model_rows
from xaijax._core.numerics import at_least_float32
from xaijax._core.parts import cut_inputs, explained, replaced, whole
from xaijax._core.relus import deconvolved_relu, guided_relu, with_relus
from xaijax._core.target import Target
from xaijax._core.typing import ArrayOrSequence, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import Layout, read_input, read_layout, read_part, require_derivative
from xaijax.gradient._slopes import pulled

_RELUS = {"guided backpropagation": guided_relu, "deconvolution": deconvolved_relu}


def saliency(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    target: TargetLike = None,
    absolute: bool = False,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the gradient of the explained score with respect to the input.

    phi_i = ∂f/∂x_i (x)

    Why: the cheapest explanation, one gradient: how much the score changes with each feature near x. It says nothing about
    larger changes, for which there are `integrated_gradients`.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      target: an int, ints [N], a callable from outputs to one number for each row, one of `xai.target`, "all" for every
        output [N, ..., K], or None for the top class.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer is computed from x. Default: x is explained.
      absolute: return |phi|, as in the paper, whose maps show where a class is seen. Default False: signed.
      channels: "sum" for values summed over the channels, after their absolute values are taken; for the output of an
        embedding, values [N, T] of the tokens. Default: one value for each channel.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score for each unit of x; output [N]; target [N].

    Raises:
      TypeError, ValueError: if x is not of floating numbers or holds NaN, the model has no derivative, such as one that
        returns classes, or an argument is out of range.

    References:
      Simonyan, Vedaldi & Zisserman (2014), Deep inside convolutional networks, arXiv:1312.6034, section 3.
    """
    return _explain(
        model,
        x,
        target,
        layer,
        channels,
        channel_axis,
        batch_size,
        method="saliency",
        absolute=check.flag("absolute", absolute),
    )


def input_x_gradient(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    target: TargetLike = None,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the product of the input and the gradient of the explained score.

    phi_i = x_i · ∂f/∂x_i (x)

    Why: one gradient, in units of the score. It is exact for linear models with baseline 0; for networks of ReLUs without
    biases the values sum to the score.

    Args:
      model: as in `xai.gradient.saliency`; likewise all other arguments.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      target: an int, ints [N], a callable, one of `xai.target`, "all", or None for the top class.
      layer: the path of a layer whose activations are explained instead of x.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; target [N].

    Raises:
      TypeError, ValueError: as `xai.gradient.saliency`.

    References:
      Shrikumar et al. (2016), Not just a black box: learning important features through propagating activation
      differences, arXiv:1605.01713, section 2.
    """
    return _explain(model, x, target, layer, channels, channel_axis, batch_size, method="input x gradient")


def guided_backpropagation(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    target: TargetLike = None,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the gradient with ReLUs that pass on positive gradients at positive inputs only.

    Why: sharp maps of the details that a network of ReLUs responds to. They hardly depend on the class (Adebayo et al.
    2018, arXiv:1810.03292), so do not read them as evidence; `xai.cam.guided_grad_cam` weighs them by the class. The ReLUs
    are read from the trace of the model, which is not changed.

    Args:
      model: any model with ReLUs; all other arguments as in `xai.gradient.saliency`.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      target: an int, ints [N], a callable, one of `xai.target`, "all", or None for the top class.
      layer: the path of a layer whose activations are explained instead of x.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x; output [N]; target [N].

    Raises:
      TypeError, ValueError: as `xai.gradient.saliency`; if the model has no ReLU.

    References:
      Springenberg et al. (2015), Striving for simplicity: The all convolutional net, arXiv:1412.6806, section 3.4.
    """
    return _explain(model, x, target, layer, channels, channel_axis, batch_size, method="guided backpropagation")


def deconvolution(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    target: TargetLike = None,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the gradient with ReLUs that pass on positive gradients only, at inputs of any sign.

    Why: the first maps of what a convolutional network responds to, kept to compare with. Max-pooling passes a gradient to
    the largest input, as the switches of the paper do.

    Args:
      model: any model with ReLUs; all other arguments as in `xai.gradient.saliency`.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      target: an int, ints [N], a callable, one of `xai.target`, "all", or None for the top class.
      layer: the path of a layer whose activations are explained instead of x.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x; output [N]; target [N].

    Raises:
      TypeError, ValueError: as `xai.gradient.saliency`; if the model has no ReLU.

    References:
      Zeiler & Fergus (2014), Visualizing and understanding convolutional networks, arXiv:1311.2901, section 2.1.
    """
    return _explain(model, x, target, layer, channels, channel_axis, batch_size, method="deconvolution")


def _explain(
    model: Any,
    x: Any,
    target: Any,
    layer: Any,
    channels: Any,
    channel_axis: Any,
    batch_size: Any,
    *,
    method: str,
    absolute: bool = False,
) -> Attribution:
    x, names = read_input(x, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    layout = read_layout(like, channels, channel_axis, x)
    batch_size = check.batch_size(batch_size)
    options = {"method": method, "absolute": absolute, "layout": layout, "batch_size": batch_size}
    return _one_gradient(model, x, bound, **options).with_names(names)


@compiled(static_argnames=("method", "absolute", "layout", "batch_size"), title=lambda options: options["method"])
def _one_gradient(
    model: Model, x: Any, target: Target, *, method: str, absolute: bool, layout: Layout, batch_size: int | None
) -> Attribution:
    require_derivative(model, jax.eval_shape(cut_inputs, model, x), target)
    outputs_of: Any = with_relus(model, _RELUS[method]) if method in _RELUS else model

    def of_rows(block: tuple[Any, Any]) -> tuple[Any, ...]:
        """Returns values, scores and explained classes; the top class is that of the pass which is differentiated."""
        x, (index, arguments) = block
        x = cut_inputs(model, x)
        outputs, pull = jax.vjp(lambda own: outputs_of(replaced(x, own)), explained(x))
        own = dataclasses.replace(target, index=index, arguments=arguments).resolve(outputs)
        scores, pull_scores = jax.vjp(own.select, outputs)
        values = pulled(scores, lambda cotangents: pull(*pull_scores(cotangents))[0])
        if method == "input x gradient":
            own_input = at_least_float32(explained(x))
            values *= own_input[..., None] if target.every else own_input
        values = layout.finish(jnp.abs(values) if absolute else values)
        return values, scores, own.index, layout.inputs(x)

    rows = model_rows(whole(model), x, batch_size)
    values, scores, index, inputs = in_blocks(of_rows, (x, target.per_example), rows)
    bad = check.rows_with_nan(x)
    if not target.every:
        bad = bad | jnp.isnan(scores)  # NaN: there is no such class
    return Attribution(
        **check.nan_where(bad, {"values": values, "output": scores}),
        target=index,
        inputs=inputs,
        axes=layout.axes(target),
        method=method,
    )
