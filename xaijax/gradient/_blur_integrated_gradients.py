"""Blur integrated gradients (Xu, Venugopalan & Sundararajan 2020).

phi_i = -∫ ∂f/∂z_i (z(s)) · dz_i/ds ds over s of [0, S], where z(s) is the image blurred by a Gaussian of s pixels
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.blur import gaussian_blur
from xaijax._core.compile import compiled
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32
from xaijax._core.parts import cut_inputs, explained, repeated, whole
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import Layout, read_input, read_layout, read_part, require_derivative
from xaijax.gradient._integrated_gradients import nodes, read_rule
from xaijax.gradient._slopes import slopes, sum_in_blocks, times, trailing


def blur_integrated_gradients(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    target: TargetLike = None,
    max_sigma: float = 50.0,
    num_steps: int = 50,
    rule: str = "gauss_legendre",
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes gradients along the path from the blurred input to the input, times how the pixels change on it.

    Why: needs no baseline, and the path has no frequencies that the image lacks, so that nothing is made up on it. The
    values sum to the output minus that of the blurred input.

    Difference: the authors' code approximates the change of the pixels by a difference, and sums to the left. Here it is a
    derivative, and Gauss-Legendre nodes need fewer steps.

    Args:
      model: any differentiable model.
      x: [N, ...] floating images, signals or volumes with channels.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for every output, or None for the top class.
      max_sigma: the standard deviation of the strongest blur in pixels, at which nothing should be recognized. Default 50,
        as in the authors' code, for images of about 224 pixels.
      num_steps: S points of the path. Default 50.
      rule: the quadrature, as in `xai.gradient.integrated_gradients`. Default "gauss_legendre".
      layer: the path of a layer whose activations are explained, and blurred, instead of x.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; base_value [N] the score of the blurred input;
      num_evaluations [N] gradients.

    Raises:
      TypeError, ValueError: if x has no spatial axes, is not of floating numbers or holds NaN, the model has no derivative,
        or an argument is out of range.

    References:
      Xu, Venugopalan & Sundararajan (2020), Attribution in scale and space, arXiv:2004.03383, equation 5.
    """
    x, _ = read_input(x, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    layout = read_layout(like, channels, channel_axis, x)
    if layout.channels is None:
        raise ValueError(
            f"`x` must have spatial axes and channels, [N, ..., C], to be blurred, got shape {list(like.shape)}: use "
            "xai.gradient.integrated_gradients for tables."
        )
    options = {"num_steps": read_rule(rule, num_steps), "rule": rule, "layout": layout}
    max_sigma = check.positive_float("max_sigma", max_sigma)
    return _blur_integrated_gradients(
        model, x, bound, max_sigma=max_sigma, batch_size=check.batch_size(batch_size), **options
    )


@compiled(static_argnames=("max_sigma", "num_steps", "rule", "layout", "batch_size"))
def _blur_integrated_gradients(
    model: Model,
    x: Any,
    target: Target,
    *,
    max_sigma: float,
    num_steps: int,
    rule: str,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    rows = model_rows(whole(model), x, batch_size)
    x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
    require_derivative(model, x, target)
    axis = layout.channels
    assert axis is not None, "images have channels"

    def explain_one(example: Example, target: Target) -> Fields:
        own = explained(example.x)
        image = jnp.moveaxis(at_least_float32(own)[None], axis, -1)
        positions, weights = (jnp.asarray(part, image.dtype) for part in nodes(rule, num_steps))
        score = lambda values: target.select(model(repeated(example.x, values)))  # noqa: E731

        def blurred(sigma: Float[Array, ""]) -> Float[Array, "*input"]:
            return jnp.moveaxis(gaussian_blur(image, sigma, largest=max_sigma), -1, axis)[0]

        def moving(sigma: Float[Array, ""]) -> tuple[Array, Array]:
            return jax.jvp(blurred, (sigma,), (jnp.ones_like(sigma),))

        def terms(numbers: Int[Array, " n"]) -> Float[Array, "n ..."]:
            points, changes = jax.lax.map(with_fast_convolutions(moving), max_sigma * positions[numbers])
            gradients = slopes(score, points.astype(own.dtype))
            return -max_sigma * times(gradients, changes) * trailing(weights[numbers], gradients)

        base = score(blurred(jnp.asarray(max_sigma, image.dtype))[None].astype(own.dtype))[0]
        return {"values": layout.finish(sum_in_blocks(terms, num_steps, rows)[None])[0], "base_value": base}

    fields, target = explain_examples(
        explain_one, model, x, target, key=None, ids=None, rows=rows, rows_per_example=min(rows, num_steps)
    )
    return Attribution(
        **fields,
        target=target.index,
        num_evaluations=jnp.full(check.examples(x), num_steps, jnp.int32),
        axes=layout.axes(target),
        method="blur integrated gradients",
    )
