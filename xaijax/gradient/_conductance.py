"""How a layer passes on what an input changes along a path: conductance and internal influence.

conductance_j = ∫ ∂f/∂a_j · da_j/dt dt (Dhamdhere, Sundararajan & Yan 2018)
influence_j   = ∫ ∂f/∂a_j dt (Leino et al. 2018)

Both along x(t) = b + t (x - b) for t of [0, 1], with the activations a_j at x(t), averaged over the baselines b.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32, einsum
from xaijax._core.parts import AtLayer, FromLayer, cut_inputs
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, ModelLike, TargetLike
from xaijax.gradient._arguments import (
    Layout,
    read_baseline,
    read_layout,
    read_pair,
    read_part,
    read_weights,
    require_derivative,
)
from xaijax.gradient._integrated_gradients import nodes, read_rule
from xaijax.gradient._slopes import slopes, sum_in_blocks, times, trailing


def conductance(
    model: ModelLike,
    x: ArrayOrSequence,
    layer: str,
    baseline: ArrayOrSequence = 0.0,
    *,
    target: TargetLike = None,
    num_steps: int = 50,
    rule: str = "gauss_legendre",
    weights: ArrayOrSequence | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes how much of the change from a baseline to the input flows through each unit of a layer.

    Why: the integrated gradients of the inputs, seen at a hidden layer. The values of all units of a layer that everything
    passes sum to f(x) - f(baseline); `attribution.completeness_gap` is what passes the layer by, and the error of the
    quadrature. `integrated_gradients` with `layer=` moves the activations on a straight line instead, where the inputs of a
    path may never lead.

    Args:
      model: any differentiable model.
      x: [N, ...] floating inputs of any shape.
      layer: the path of the layer, from `xai.layers(model, x)`.
      baseline: what the path of the inputs starts from: a number, one input [...], or rows [B, ...], over which the values
        are averaged. Default 0.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for every output, or None for the top class.
      num_steps: S points of each path, at most 1,024 for Gauss-Legendre. Default 50.
      rule: the quadrature, as in `xai.gradient.integrated_gradients`. Default "gauss_legendre".
      weights: [B] the weight of each baseline, at least 0. Default: all the same.
      channels: "sum" for values summed over the channels of the layer. Default: one value for each channel.
      channel_axis: the axis of the layer's channels. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like the layer's activations, in units of the score; output [N]; base_value [N] the mean score of the
      baselines; num_evaluations [N] points.

    Raises:
      TypeError, ValueError: if x or the baseline are not floating numbers, there is no such layer, the model has no
        derivative, or an argument is out of range.

    References:
      Dhamdhere, Sundararajan & Yan (2018), How important is a neuron?, arXiv:1805.12233, section 3.
    """
    shared = {"num_steps": num_steps, "rule": rule, "weights": weights, "channels": channels, "target": target}
    return _explain("conductance", model, x, layer, baseline, channel_axis, batch_size, **shared)


def internal_influence(
    model: ModelLike,
    x: ArrayOrSequence,
    layer: str,
    baseline: ArrayOrSequence = 0.0,
    *,
    target: TargetLike = None,
    num_steps: int = 50,
    rule: str = "gauss_legendre",
    weights: ArrayOrSequence | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the gradients with respect to a layer, averaged over the path of the inputs from a baseline.

    Why: how much the score depends on each unit, for a distribution of interest of inputs between the baseline and x, and
    regardless of how far the unit itself moves.

    Args:
      model: as in `xai.gradient.conductance`; likewise all other arguments.
      x: [N, ...] floating inputs of any shape.
      layer: the path of the layer, from `xai.layers(model, x)`.
      baseline: a number, one input [...], or rows [B, ...]. Default 0.
      target: an int, ints [N], a callable, one of `xai.target`, "all", or None for the top class.
      num_steps: S points of each path, at most 1,024 for Gauss-Legendre. Default 50.
      rule: the quadrature. Default "gauss_legendre".
      weights: [B] the weight of each baseline, at least 0. Default: all the same.
      channels: "sum" for values summed over the channels of the layer. Default: one value for each channel.
      channel_axis: the axis of the layer's channels. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like the layer's activations, in units of the score for each unit of activation; output [N];
      num_evaluations [N] points.

    Raises:
      TypeError, ValueError: as `xai.gradient.conductance`.

    References:
      Leino et al. (2018), Influence-directed explanations for deep convolutional networks, arXiv:1802.03788, definition 1.
    """
    shared = {"num_steps": num_steps, "rule": rule, "weights": weights, "channels": channels, "target": target}
    return _explain("internal influence", model, x, layer, baseline, channel_axis, batch_size, **shared)


def _explain(
    method: str,
    model: Any,
    x: Any,
    layer: Any,
    baseline: Any,
    channel_axis: Any,
    batch_size: Any,
    *,
    num_steps: Any,
    rule: Any,
    weights: Any,
    channels: Any,
    target: Any,
) -> Attribution:
    if not isinstance(layer, str):
        raise TypeError(f"`layer` must be the path of a layer from xai.layers, got {check.shown(layer)}.")
    x, baseline, _ = read_pair("baseline", x, baseline, model)
    model, bound, like = read_part(model, x, target, layer)
    baseline = read_baseline(x, baseline)
    shares = read_weights(weights, len(baseline))
    num_steps = read_rule(rule, num_steps)
    layout = read_layout(like, channels, channel_axis, x)
    options = {"num_steps": num_steps, "rule": rule, "layout": layout, "batch_size": check.batch_size(batch_size)}
    return _conductance(model, x, baseline, shares, bound, method=method, **options)


@compiled(
    static_argnames=("method", "num_steps", "rule", "layout", "batch_size"), title=lambda options: options["method"]
)
def _conductance(
    model: FromLayer,
    x: Float[Array, "N *input"],
    baseline: Float[Array, "B *input"],
    shares: Float[Array, " B"],
    target: Target,
    *,
    method: str,
    num_steps: int,
    rule: str,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    require_derivative(model, jax.eval_shape(cut_inputs, model, x), target)
    rows = model_rows(model.inner, x, batch_size)
    outputs, at_baseline = (in_blocks(model.inner, inputs, rows) for inputs in (x, baseline))
    target = target.resolve(outputs)
    scores = target.select(outputs)
    positions, weights = (jnp.asarray(part, scores.dtype) for part in nodes(rule, num_steps))
    count = len(baseline) * num_steps

    def explain_one(example: Example, target: Target) -> Fields:
        steps = at_least_float32(example.x)[None] - at_least_float32(baseline)

        def terms(pairs: Int[Array, " n"]) -> Float[Array, "n ..."]:
            row, node = pairs // num_steps, pairs % num_steps
            points = at_least_float32(baseline)[row] + trailing(positions[node], steps).astype(steps.dtype) * steps[row]
            at, along = (inputs.astype(example.x.dtype) for inputs in (points, steps[row]))
            activations, moved = jax.jvp(model.before, (at,), (along,))
            gradients = slopes(lambda values: target.select(model(AtLayer(values, at))), activations)
            if method == "conductance":
                gradients = times(gradients, at_least_float32(moved))
            share = weights[node] * shares[row].astype(weights.dtype)
            return gradients * trailing(share, gradients).astype(gradients.dtype)

        fields: Fields = {"values": layout.finish(sum_in_blocks(terms, count, rows)[None])[0]}
        if method == "conductance":
            fields["base_value"] = einsum("b,b...->...", shares.astype(scores.dtype), target.select(at_baseline))
        return fields

    fields, target = explain_examples(
        explain_one,
        model.inner,
        x,
        target,
        key=None,
        ids=None,
        rows=rows,
        rows_per_example=min(rows, count),
        output=False,
        invalid=None if target.every else jnp.isnan(scores),
    )
    return Attribution(
        **fields,
        output=check.nan_where(check.rows_with_nan(x), scores),
        target=target.index,
        num_evaluations=jnp.full(len(x), count, jnp.int32),
        axes=layout.axes(target),
        method=method,
    )
