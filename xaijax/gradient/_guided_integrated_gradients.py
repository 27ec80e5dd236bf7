"""Guided integrated gradients (Kapishnikov et al. 2021).

phi_i = ∫ ∂f/∂x_i dx_i along a path on which, at each step, the features with the smallest derivatives move first
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32, ratio
from xaijax._core.parts import cut_inputs, explained, read_out, repeated, whole
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import (
    Layout,
    read_baseline,
    read_layout,
    read_pair,
    read_part,
    require_derivative,
)
from xaijax.gradient._slopes import slopes

_MOST_STEPS = 2**16


def guided_integrated_gradients(
    model: ModelLike,
    x: ArrayOrSequence,
    baseline: ArrayOrSequence = 0.0,
    *,
    target: TargetLike = None,
    num_steps: int = 200,
    fraction: float = 0.25,
    max_distance: float = 0.02,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes gradients along a path from a baseline that avoids large derivatives as long as it can.

    Why: on the straight path, gradients are large where the output saturates, in pixels that have nothing to do with the
    class. Here the features with the smallest derivatives move first, within a band around the straight path. The steps of
    a path follow each other, so this takes longer than integrated gradients.

    Difference: the authors' code multiplies each step by the gradient at its start. Here it is the mean of the gradients at
    its start and its end, which costs nothing, and leaves a much smaller completeness gap.

    Args:
      model: any differentiable model.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      baseline: what the path starts from: a number, one input [...], or a data frame of one row. With `layer`, numbers and
        arrays of the layer's shape are activations. Default 0.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class. The path depends on it.
      num_steps: S gradients on the path, each of which takes it 1/S of the way by the sum of the absolute differences.
        Default 200, as in the authors' code.
      fraction: the share of the features that move at once, those with the smallest derivatives. Default 0.25.
      max_distance: how far a feature may be ahead of the straight path or behind it, as a share of its way: 1 for no limit, 0
        for integrated gradients. Default 0.02.
      layer: the path of a layer whose activations are explained instead of x.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels. Default: the last.
      batch_size: model rows in one evaluation, of which each example takes one; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; base_value [N] the score of the baseline, which the values
      bridge up to `attribution.completeness_gap`; num_evaluations [N] gradients.

    Raises:
      TypeError, ValueError: if x or the baseline are not floating numbers, do not fit each other or hold NaN, the model has
        no derivative, or an argument is out of range.

    References:
      Kapishnikov et al. (2021), Guided integrated gradients: an adaptive path method for removing noise, arXiv:2106.09788,
      section 4 and algorithm 1.
    """
    x, baseline, names = read_pair("baseline", x, baseline, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    if bound.every:
        raise ValueError("`target` must be one output, got 'all': each output has a path of its own.")
    baseline = read_baseline(x, baseline, like)
    if check.examples(baseline) > 1:
        raise ValueError(f"`baseline` must be a number or one input, got {check.examples(baseline)} rows.")
    layout = read_layout(like, channels, channel_axis, x)
    fraction = _read_share("fraction", fraction, zero_allowed=False)
    max_distance = _read_share("max_distance", max_distance, zero_allowed=True)
    attribution = _guided_integrated_gradients(
        model, x, baseline, bound,
        num_steps=check.positive_int("num_steps", num_steps, most=_MOST_STEPS), fraction=fraction, max_distance=max_distance,
        layout=layout, batch_size=check.batch_size(batch_size),
    )  # fmt: skip
    return attribution.with_names(names)


def _read_share(name: str, value: Any, *, zero_allowed: bool) -> float:
    share = check.positive_float(name, value, zero_allowed=zero_allowed)
    if share > 1:
        raise ValueError(f"`{name}` must be a share, at most 1, got {share}.")
    return share


@compiled(static_argnames=("num_steps", "fraction", "max_distance", "layout", "batch_size"))
def _guided_integrated_gradients(
    model: Model,
    x: Any,
    baseline: Any,
    target: Target,
    *,
    num_steps: int,
    fraction: float,
    max_distance: float,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    rows = model_rows(whole(model), x, batch_size)
    x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
    start = at_least_float32(read_out(model, baseline)[0])
    require_derivative(model, x, target)
    at_once = math.floor(fraction * (start.size - 1)) + 1  # features that move at once

    def explain_one(example: Example, target: Target) -> Fields:
        own = explained(example.x)
        end = at_least_float32(own).reshape(-1)
        whole_way = end - start.reshape(-1)
        score = lambda values: target.select(model(repeated(example.x, values)))  # noqa: E731

        def slope(at: Float[Array, " D"]) -> Float[Array, " D"]:
            return slopes(score, at.reshape(own.shape)[None].astype(own.dtype)).reshape(-1)

        def step(state: tuple[Array, Array, Array], number: Array) -> tuple[tuple[Array, Array, Array], None]:
            at, gradient, values = state
            done = (number + 1).astype(end.dtype) / num_steps
            ahead, behind = jnp.minimum(done + max_distance, 1), jnp.maximum(done - max_distance, 0)
            latest, furthest = end - (1 - behind) * whole_way, end - (1 - ahead) * whole_way
            is_late = jnp.abs(end - at) > jnp.abs(end - latest)
            moved = jnp.where(is_late, latest, at)
            left = jnp.abs(end - moved).sum() - (1 - done) * jnp.abs(whole_way).sum()
            moved = moved + _shares(jnp.abs(gradient), jnp.abs(furthest - moved), left, at_once) * (furthest - moved)
            new = slope(moved)
            return (moved, new, values + (moved - at) * (gradient + new) / 2), None

        first = start.reshape(-1), slope(start.reshape(-1)), jnp.zeros_like(end)
        body = jax.checkpoint(with_fast_convolutions(step), prevent_cse=False)
        (_, _, values), _ = jax.lax.scan(body, first, jnp.arange(num_steps))
        base = score(start[None].astype(own.dtype))[0]
        return {"values": layout.finish(values.reshape(own.shape)[None])[0], "base_value": base}

    fields, target = explain_examples(explain_one, model, x, target, key=None, ids=None, rows=rows, rows_per_example=1)
    return Attribution(
        **fields,
        target=target.index,
        num_evaluations=jnp.full(check.examples(x), num_steps + 1, jnp.int32),
        inputs=layout.inputs(x),
        axes=layout.axes(target),
        method="guided integrated gradients",
    )


def _shares(
    sizes: Float[Array, " D"], rooms: Float[Array, " D"], left: Float[Array, ""], at_once: int
) -> Float[Array, " D"]:
    """Returns the share of its room that each feature moves, so that all of them move by `left`.

    Groups of `at_once` features move one after the other, those with the smallest derivatives first; the last one in part.
    """
    order = jnp.argsort(jnp.where(rooms > 0, sizes, jnp.inf))
    groups = jnp.arange(len(sizes)) // at_once
    num_groups = -(-len(sizes) // at_once)
    of_group = jax.ops.segment_sum(rooms[order], groups, num_groups)
    before = jnp.cumsum(of_group) - of_group
    shares = jnp.clip(ratio(left - before, of_group), 0, 1)
    return jnp.zeros_like(sizes).at[order].set(shares[groups])
