"""Integrated gradients (Sundararajan, Taly & Yan 2017).

phi_i = (x_i - b_i) · ∫ ∂f/∂x_i (b + a (x - b)) da over a of [0, 1], averaged over the baselines b

The integral is computed by a quadrature rule. The values sum to f(x) - f(b) up to its error, the completeness gap.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32, einsum
from xaijax._core.parts import AtLayer, cut_inputs, explained, read_out, repeated, whole
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, ModelLike, TargetLike
from xaijax._core.until import read_until, repeat_until
from xaijax._model import Model
from xaijax.gradient._arguments import (
    Layout,
    read_baseline,
    read_layout,
    read_pair,
    read_part,
    read_weights,
    require_derivative,
)
from xaijax.gradient._slopes import slopes, sum_in_blocks, times, trailing

RULES = ["gauss_legendre", "trapezoid", "midpoint", "left", "right"]
_MOST_STEPS = {"gauss_legendre": 1024}  # whose nodes are eigenvalues; more of them are those of parts of the path
_DOUBLINGS = 5  # of the number of steps, by default


def integrated_gradients(
    model: ModelLike,
    x: ArrayOrSequence,
    baseline: ArrayOrSequence = 0.0,
    *,
    target: TargetLike = None,
    num_steps: int = 50,
    rule: str = "gauss_legendre",
    weights: ArrayOrSequence | None = None,
    layer: str | None = None,
    until: float | None = None,
    max_steps: int | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes gradients averaged over the straight path from a baseline to the input, times their difference.

    Why: an attribution to every feature or pixel that sums to f(x) - f(baseline), for 50 gradients, regardless of the number
    of features. `attribution.completeness_gap` says how far the sum is off, for each example.

    Args:
      model: any differentiable model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      baseline: what the path starts from: a number, one input [...], or rows [B, ...], over which the values are averaged;
        or a data frame, whose columns name the features. With `layer`, numbers and arrays of the layer's shape are
        activations, and inputs stand for their activations. Default 0, such as a black image.
      target: an int, ints [N], a callable from outputs to one number for each row, one of `xai.target`, "all" for every
        output [N, ..., K], or None for the top class.
      num_steps: S gradients for each baseline, at most 1,024 for Gauss-Legendre. Default 50, as in the paper.
      rule: "gauss_legendre" (the most accurate by far where the model is smooth), "trapezoid" (with at least 2 steps),
        "midpoint", "left" or "right" (Riemann sums). Default "gauss_legendre".
      weights: [B] the weight of each baseline, at least 0. Default: all the same.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer is computed from x. Default: x is explained.
      until: a tolerance: the path is halved, quartered, ..., with S steps in each part, until the completeness gap is at most
        `until` times the sum of the absolute values. Such a loop has no reverse-mode gradient. Default: none, and S steps.
      max_steps: the cap of `until`, in steps of the last rule. `converged` says whether the tolerance was reached. Default:
        32 S.
      channels: "sum" for values summed over the channels; for the output of an embedding, values [N, T] of the tokens.
        Default: one value for each channel.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation, steps of all examples included; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; base_value [N] the mean score of the baselines;
      num_evaluations [N] gradients; converged [N] with `until`.

    Raises:
      TypeError, ValueError: if x or the baseline are not floating numbers, do not fit each other or hold NaN, the model has
        no derivative, the rule is unknown, or an argument is out of range.

    References:
      Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365, section 3.
    """
    x, baseline, names = read_pair("baseline", x, baseline, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    baseline = read_baseline(x, baseline, like)
    weights = read_weights(weights, check.examples(baseline))
    layout = read_layout(like, channels, channel_axis, x)
    num_steps = read_rule(rule, num_steps)
    until = read_until(until, "max_steps", max_steps)
    rounds = 1 + _DOUBLINGS
    if until is not None and max_steps is not None:
        rounds = (check.positive_int("max_steps", max_steps, least=num_steps, most=2**24) // num_steps).bit_length()
    attribution = _integrated_gradients(
        model, x, baseline, weights, bound,
        num_steps=num_steps, rule=rule, until=until, rounds=rounds, layout=layout, batch_size=check.batch_size(batch_size),
    )  # fmt: skip
    return attribution.with_names(names)


def read_rule(rule: str, num_steps: Any) -> int:
    """Checks a quadrature rule, and returns the number of its steps."""
    check.one_of("rule", rule, RULES)
    least, most = 2 if rule == "trapezoid" else 1, _MOST_STEPS.get(rule, 2**20)
    return check.positive_int("num_steps", num_steps, least=least, most=most)


@functools.lru_cache(maxsize=64)
def nodes(rule: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions on [0, 1] and the weights, of sum 1, of a quadrature rule, in float64."""
    if rule == "gauss_legendre":
        positions, weights = np.polynomial.legendre.leggauss(count)
        return (positions + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(count, 1 / (count - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, count), weights
    shift = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[rule]
    return (np.arange(count) + shift) / count, np.full(count, 1 / count)


@compiled(static_argnames=("num_steps", "rule", "until", "rounds", "layout", "batch_size"))
def _integrated_gradients(
    model: Model,
    x: Any,
    baseline: Any,
    shares: Float[Array, " B"],
    target: Target,
    *,
    num_steps: int,
    rule: str,
    until: float | None,
    rounds: int,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    rows = model_rows(whole(model), x, batch_size)
    x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
    baseline = in_blocks(lambda block: read_out(model, block), baseline, rows)
    require_derivative(model, x, target)
    at_baseline = None if isinstance(x, AtLayer) else in_blocks(model, baseline, rows)
    outputs = in_blocks(model, x, rows)
    target = target.resolve(outputs)
    scores = target.select(outputs)
    positions, weights = (jnp.asarray(part, scores.dtype) for part in nodes(rule, num_steps))
    num_baselines = len(baseline)
    count = num_baselines * num_steps

    def explain_one(example: Example, target: Target) -> Fields:
        own = explained(example.x)
        steps = at_least_float32(own)[None] - at_least_float32(baseline)
        score = lambda values: target.select(model(repeated(example.x, values)))  # noqa: E731
        at_rows = in_blocks(score, baseline, rows) if at_baseline is None else target.select(at_baseline)
        base = einsum("b,b...->...", shares.astype(scores.dtype), at_rows)

        def of_part(number: Array, num_parts: Array) -> Float[Array, "*input"]:
            """Returns the integral over one of the equal parts of the path."""

            def terms(pairs: Int[Array, " n"]) -> Float[Array, "n *input"]:
                row, node = pairs // num_steps, pairs % num_steps
                at = (number + positions[node]) / num_parts
                points = at_least_float32(baseline)[row] + trailing(at, baseline).astype(steps.dtype) * steps[row]
                gradients = slopes(score, points.astype(own.dtype))
                share = weights[node] * shares[row].astype(weights.dtype) / num_parts
                gradients *= trailing(share, gradients).astype(gradients.dtype)
                return gradients if num_baselines == 1 else times(gradients, steps[row])

            return sum_in_blocks(terms, count, rows)

        def on_path(num_parts: Array) -> Float[Array, "*input"]:
            """Returns the values by the rule on equal parts of the path."""
            like = jax.eval_shape(of_part, positions[0], positions[0])
            add = lambda number, total: total + of_part(number.astype(scores.dtype), num_parts)  # noqa: E731
            total = jax.lax.fori_loop(0, num_parts.astype(jnp.int32), add, jnp.zeros(like.shape, like.dtype))
            return total if num_baselines > 1 else times(total, steps[0])

        def gap(values: Array) -> tuple[Array, Array]:
            """Returns the sum of the absolute values and the completeness gap, [1, ...]."""
            axes = tuple(range(steps.ndim - 1))
            missing = values.sum(axis=axes) - (example.prepared - base)
            return jnp.abs(values).sum(axis=axes)[None], jnp.abs(missing)[None]

        zero, one = jnp.zeros((), scores.dtype), jnp.ones((), scores.dtype)
        total = of_part(zero, one)
        values = total if num_baselines > 1 else times(total, steps[0])
        fields, gradients = {}, jnp.asarray(count, jnp.int32)
        if until is not None:
            another = lambda number, _: on_path((1 << number).astype(scores.dtype))  # noqa: E731
            number, values, fields["converged"] = repeat_until(until, rounds, values, another, gap)
            gradients = count * ((1 << number) - 1)
        values = layout.finish(values[None])[0]
        return {**fields, "values": values, "base_value": base, "num_evaluations": gradients}

    fields, target = explain_examples(
        explain_one,
        model,
        x,
        target,
        key=None,
        ids=None,
        rows=rows,
        rows_per_example=min(rows, count),
        prepared=scores,
        output=False,
        invalid=None if target.every else jnp.isnan(scores),
    )
    bad = check.rows_with_nan(x)
    return Attribution(
        **fields,
        output=check.nan_where(bad, scores),
        target=target.index,
        inputs=layout.inputs(x),
        axes=layout.axes(target),
        method="integrated gradients",
        efficient=until is not None,
    )
