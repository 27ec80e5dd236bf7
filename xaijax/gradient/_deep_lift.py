"""DeepLIFT (Shrikumar, Greenside & Kundaje 2017) and DeepSHAP (Lundberg & Lee 2017; Chen, Lundberg & Lee 2022).

phi_i = (x_i - r_i) · m_i, where m is a vector-Jacobian product of the model whose derivatives are multipliers

The multiplier of an operation is Δout / Δin, of differences between the input x and the reference r, so that the values sum
to f(x) - f(r). DeepSHAP averages over references from a background.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32, einsum
from xaijax._core.parts import AtLayer, cut_inputs, explained, read_out, repeated, whole
from xaijax._core.rules import RuleLog, Rules, read_unknown
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, ModelLike, TargetLike
from xaijax._model import FunctionModel, Model
from xaijax.gradient._arguments import (
    Layout,
    read_baseline,
    read_layout,
    read_pair,
    read_part,
    read_weights,
    require_derivative,
)
from xaijax.gradient._differences import Differences, UserRule, at_input
from xaijax.gradient._parts import RULES, Compared
from xaijax.gradient._slopes import pulled, sum_in_blocks, times, trailing


def deep_lift(
    model: ModelLike,
    x: ArrayOrSequence,
    baseline: ArrayOrSequence = 0.0,
    *,
    target: TargetLike = None,
    rule: str = "rescale",
    rules: Mapping[str, UserRule] | None = None,
    unknown: str = "error",
    weights: ArrayOrSequence | None = None,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the contributions of the input's difference from a reference, by multipliers of every operation (DeepLIFT).

    Why: an attribution to every feature or pixel that sums to f(x) - f(baseline) exactly, for about one and a half gradients.
    It sees through saturated units, whose gradients vanish. The rules are applied to the operations of the model's trace, so
    that sums, products, attention, normalization, reused layers and loops need no modules of a certain type.

    Rules: linear operations keep their factors. An elementwise function of one array multiplies by Δout / Δin, or by its
    derivative where Δin is so small that the quotient is rounding error. Products, of matrices too, use the midpoint of the
    other factor, and other elementwise functions of several arrays average two orders, as Shapley values do. Windows of
    max-pooling give all to the element with the larger maximum, as shap does; other maxima give a share to both elements,
    so that softmax does not depend on the maximum that it subtracts. Values behind `jax.lax.stop_gradient`, comparisons and
    rounding change the output, and count.

    rule="reveal_cancel" keeps positive and negative contributions to each difference apart, so that it sees those that
    cancel. Sums, matrix products and convolutions sort their terms by sign. An elementwise function averages the two orders
    in which both parts may come. Additions, reshapes and factors keep the parts, which negative factors exchange. Functions
    that are not defined for all numbers (logarithms, roots, reciprocals, powers) rescale both parts alike.

    Args:
      model: any differentiable model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      baseline: the reference: a number, one input [...], or rows [B, ...], over which the values are averaged; or a data
        frame, whose columns name the features. With `layer`, numbers and arrays of the layer's shape are activations, and
        inputs stand for their activations. Default 0, such as a black image.
      target: an int, ints [N], a callable from outputs to one number for each row, one of `xai.target`, "all" for every
        output [N, ..., K], or None for the top class. A callable is explained together with the model, by the same rules.
      rule: "rescale", or "reveal_cancel", which takes several times as long. Default "rescale".
      rules: your rules, by the names of JAX's operations: rule(compute, inputs, references, tangents) returns the tangent of
        the result (a list for several), linear in the operands' tangents. For the tangents inputs - references it must
        return compute(*inputs) - compute(*references). Default: none.
      unknown: "error" to refuse operations without a rule, such as argmax or the inverse of a matrix; "gradient" to use their
        own derivatives at x. Then the values need not add up; `attribution.without_rule` names these operations, and
        `attribution.rule_share` is the share of the others. Default "error".
      weights: [B] the weight of each reference, at least 0. Default: all the same.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer is computed from x. Default: x is explained.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation, those of the references included; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; base_value [N] the mean score of the references; rules, the
      operations that depend on x with the rule of each.

    Raises:
      TypeError, ValueError: if x or the baseline are not floating numbers, do not fit each other or hold NaN, the model has
        no derivative, an operation has no rule, a rule of yours returns another shape, or an argument is out of range.

    References:
      Shrikumar, Greenside & Kundaje (2017), Learning important features through propagating activation differences,
      arXiv:1704.02685, section 3.5.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> saturated = lambda x: jnp.minimum(x[:, 0] + x[:, 1], 1)
    >>> xai.gradient.deep_lift(saturated, jnp.array([[1.0, 1.0]])).values
    Array([[0.5, 0.5]], dtype=float32)
    """
    return _explain(
        model, x, baseline, weights, target, rule, rules, unknown, layer, channels, channel_axis, batch_size,
        name="baseline", method="DeepLIFT",
    )  # fmt: skip


def deep_shap(
    model: ModelLike,
    x: ArrayOrSequence,
    background: ArrayOrSequence,
    *,
    target: TargetLike = None,
    weights: ArrayOrSequence | None = None,
    rule: str = "rescale",
    rules: Mapping[str, UserRule] | None = None,
    unknown: str = "error",
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes DeepLIFT averaged over references from a background: fast approximate Shapley values (DeepSHAP).

    Why: where features have no natural zero, such as in tables, rows of the training set are the references. The values sum
    to the output minus the mean output over the background, exactly.

    Args:
      model: as in `xai.gradient.deep_lift`; likewise all other arguments.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      background: [B, ...] rows to compare with, such as 100 training rows; or a data frame, whose columns name the features.
      target: an int, ints [N], a callable, one of `xai.target`, "all", or None for the top class.
      weights: [B] the weight of each row, at least 0. Default: all the same.
      rule: "rescale" or "reveal_cancel". Default "rescale".
      rules: your rules, by the names of JAX's operations. Default: none.
      unknown: "error" or "gradient", for operations without a rule. Default "error".
      layer: the path of a layer whose activations are explained instead of x. Default: x is explained.
      channels: "sum" for values summed over the channels. Default: one value for each channel.
      channel_axis: the axis of the channels. Default: the last.
      batch_size: model rows in one evaluation, those of the background included; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; base_value [N] the mean score over the background; rules.

    Raises:
      TypeError, ValueError: as `xai.gradient.deep_lift`.

    References:
      Lundberg & Lee (2017), A unified approach to interpreting model predictions, arXiv:1705.07874, section 4.2.
      Chen, Lundberg & Lee (2022), Explaining a series of models by propagating Shapley values, Nature Communications 13:4512.
    """
    if isinstance(background, numbers.Number) or getattr(background, "shape", None) == ():
        raise TypeError(
            f"`background` must be rows [B, ...] like x, got {check.shown(background)}: pass training rows, or one baseline to "
            "`xai.gradient.deep_lift`."
        )
    return _explain(
        model, x, background, weights, target, rule, rules, unknown, layer, channels, channel_axis, batch_size,
        name="background", method="DeepSHAP",
    )  # fmt: skip


def _explain(
    model: Any,
    x: Any,
    references: Any,
    weights: Any,
    target: Any,
    rule: Any,
    rules: Any,
    unknown: Any,
    layer: Any,
    channels: Any,
    channel_axis: Any,
    batch_size: Any,
    *,
    name: str,
    method: str,
) -> Attribution:
    x, references, names = read_pair(name, x, references, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    references = read_baseline(x, references, like, name=name)
    weights = read_weights(weights, check.examples(references))
    layout = read_layout(like, channels, channel_axis, x)
    check.one_of("rule", rule, RULES)
    unknown = read_unknown(unknown)
    own = _read_rules(rules)
    attribution = _deep_lift(
        model, x, references, weights, bound, own,
        method=method, rule=rule, unknown=unknown, layout=layout, batch_size=check.batch_size(batch_size),
    )  # fmt: skip
    return attribution.with_names(names)


def _read_rules(rules: Any) -> dict[str, Model]:
    """Returns the user's rules by the names of operations; functions are kept like models, see `_core/compile.py`."""
    if rules is None:
        return {}
    if not isinstance(rules, Mapping) or not all(
        isinstance(name, str) and callable(own) for name, own in rules.items()
    ):
        raise TypeError(
            "`rules` must map names of operations to functions (compute, inputs, references, tangents) -> tangents, got "
            f"{check.shown(rules)}."
        )
    return {name: FunctionModel(own) for name, own in rules.items()}


@compiled(
    static_argnames=("method", "rule", "unknown", "layout", "batch_size"), title=lambda options: options["method"]
)
def _deep_lift(
    model: Model,
    x: Any,
    references: Any,
    shares: Float[Array, " B"],
    target: Target,
    own: dict[str, Model],
    *,
    method: str,
    rule: str,
    unknown: str,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    require_derivative(model, jax.eval_shape(cut_inputs, model, x), target)
    rows = model_rows(whole(model), x, batch_size)
    pairs = max(1, rows // 2)  # each is two model rows
    # A reference that is a constant of the program would be pushed through the model while compiling, in minutes.
    references = jax.lax.optimization_barrier(in_blocks(lambda block: read_out(model, block), references, rows))
    functions = {name: rule.content[0] for name, rule in own.items()}
    tables: list[Rules] = []

    def multiplied(x: Any, reference: Array, target: Target) -> tuple[Array, Array, Array, Target]:
        """Returns the values of what is explained [n, ...], its scores, those of the references, and the target."""
        log = RuleLog()
        rules = Differences(RULES[rule], unknown, functions, log)
        value = explained(x)

        def moved(tangent: Array) -> tuple[Array, Any]:
            """Returns the tangent of the scores."""
            start = rules.rule.start(tangent, value - reference)
            outputs = rules.model(model, x, Compared(value, reference, start))
            resolved = target.resolve(at_input(outputs))
            scores = rules.scores(resolved, outputs)
            return rules.rule.total(scores.parts), (scores.value, scores.reference, resolved)

        _, pull, (scores, base, resolved) = jax.vjp(moved, jnp.zeros_like(value), has_aux=True)
        log.check(unknown)
        tables.append(log.table())
        multipliers = pulled(scores, lambda cotangents: pull(cotangents)[0])
        values = times(multipliers, at_least_float32(value) - at_least_float32(reference))
        undefined = (jnp.isnan(scores) | jnp.isnan(base)).reshape(
            len(value), *[1] * (value.ndim - 1), *scores.shape[1:]
        )
        return jnp.where(undefined, jnp.nan, values), scores, base, resolved

    def of_rows(block: tuple[Any, Any]) -> tuple[Any, ...]:
        x, (index, arguments) = block
        x = cut_inputs(model, x)
        own_target = dataclasses.replace(target, index=index, arguments=arguments)
        reference = jnp.broadcast_to(references, explained(x).shape)
        values, scores, base, resolved = multiplied(x, reference, own_target)
        return layout.finish(values), scores, base, resolved.index, layout.inputs(x)

    def explain_one(example: Example, target: Target) -> Fields:
        def terms(numbers: Int[Array, " n"]) -> Array:
            """Returns the values for some of the references, times their weights."""
            some = references[numbers]
            own = jnp.broadcast_to(explained(example.x), some.shape)
            values, *_ = multiplied(repeated(example.x, own), some, target)
            return values * trailing(shares[numbers], values).astype(values.dtype)

        values = sum_in_blocks(terms, len(references), pairs)
        score = lambda rows: target.select(model(repeated(example.x, rows)))  # noqa: E731
        at_rows = in_blocks(score, references, rows) if at_references is None else target.select(at_references)
        return {"values": layout.finish(values[None])[0], "base_value": einsum("b,b...->...", shares, at_rows)}

    if len(references) == 1:
        values, scores, base, index, inputs = in_blocks(of_rows, (x, target.per_example), pairs)
        bad = check.rows_with_nan(x)
        if not target.every:
            bad = bad | jnp.isnan(scores)  # NaN: there is no such class
        fields = check.nan_where(bad, {"values": values, "output": scores, "base_value": base})
    else:
        x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
        at_references = None if isinstance(x, AtLayer) else in_blocks(model, references, rows)
        at_once = min(pairs, len(references))
        fields, resolved = explain_examples(
            explain_one, model, x, target, key=None, ids=None, rows=pairs, rows_per_example=at_once
        )
        index, inputs = resolved.index, layout.inputs(x)
    return Attribution(
        **fields,
        target=index,
        inputs=inputs,
        axes=layout.axes(target),
        method=method,
        efficient=all(used for _, used, _ in tables[-1]),
        choices=((rule, ""),),
        rules=tables[-1],
    )
