"""Layer-wise relevance propagation (Bach et al. 2015; Montavon et al. 2019).

The output is shared among the inputs, layer by layer, in proportion to what each input contributes to each output. The rules
of a composite say what counts as a contribution. See `_relevance.py` for how a program is evaluated with relevance.
"""

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
from xaijax._core.jaxpr import arguments, make_jaxpr, trace
from xaijax._core.parts import cut_inputs, explained, whole
from xaijax._core.rules import read_unknown
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import Layout, read_input, read_layout, read_part, require_derivative
from xaijax.gradient._nodes import Flow, Report
from xaijax.gradient._relevance import Settings, propagated
from xaijax.gradient._slopes import pulled
from xaijax.gradient.composites import Composite, check_words, read_composite


def propagate(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    composite: Composite | None = None,
    target: TargetLike = None,
    layer: str | None = None,
    unknown: str = "error",
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes layer-wise relevance propagation (LRP): the output shared among the inputs, layer by layer.

    R_i = sum_j (z_ij / sum_i' z_i'j) R_j,  with contributions z_ij that the rule of each layer defines

    Why: one pass backward gives maps with less noise than gradients, whose sum is the output where the rules conserve it.

    The model is read operation by operation, for every framework alike. A composite chooses the rules of dense layers,
    convolutions, sums over positions and affine operations. Constants around a linear operation (bias, batch normalization)
    belong to it. The other rules are fixed: functions f of one number, such as activations, pass relevance on, but for the
    part of f(0), a constant; sums of two values share it by their contributions; products of two values split it in half;
    the root of the variance in a normalization is a constant; softmax passes relevance on by its own derivative; maxima give
    it to the largest value; loops, branches and functions with derivatives of their own are entered.

    Relevance propagation is patented by its inventors in some countries. It is free for research; check before commercial
    use.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      composite: one of `xai.gradient.composites`. Default: `epsilon_plus()`.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for every output [N, ..., K], or None for the top
        class. The relevance of the output is the explained score, before any softmax. A callable is explained together
        with the model, by the same rules.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer counts as constant. Default: x is explained.
      unknown: what happens at operations without a rule: "error", or "gradient" to share relevance by the operation's own
        derivative there. Default "error".
      channels: "sum" for values summed over the channels; for the output of an embedding, values [N, T] of the tokens.
        Default: one value for each channel.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; base_value [N], 0: `completeness_gap` is the relevance
      that was not conserved, such as that of biases; `rules`, `rule_share` and `without_rule`: which rule each operation
      had.

    Raises:
      TypeError, ValueError: if x is not of floating numbers or holds NaN, an operation has no rule (the error names it and
        its module), x reaches the output through a `while` loop, the composite is none, a rule returns another shape, or
        the output or the score does not depend on x by floating numbers.

    References:
      Bach et al. (2015), On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
      propagation; Montavon et al. (2019), Layer-wise relevance propagation: An overview; Achtibat et al. (2024), AttnLRP,
      arXiv:2402.05602, for transformers.
    """
    x, names = read_input(x, model, layer)
    composite = read_composite(composite)
    model, bound, like = read_part(model, x, target, layer)
    layout = read_layout(like, channels, channel_axis, x)
    attribution = _propagate(
        model,
        x,
        bound,
        composite,
        unknown=read_unknown(unknown),
        layout=layout,
        batch_size=check.batch_size(batch_size),
    )
    return attribution.with_names(names)


@compiled(static_argnames=("unknown", "layout", "batch_size"))
def _propagate(
    model: Model,
    x: Any,
    target: Target,
    composite: Composite,
    *,
    unknown: str,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    reports: list[Report] = []

    def of_rows(block: tuple[Any, Any]) -> tuple[Any, ...]:
        """Returns values, scores, explained classes and the explained features."""
        x, (index, arguments) = block
        x = cut_inputs(model, x)
        own = dataclasses.replace(target, index=index, arguments=arguments)
        outputs, pull = _with_relevance(model, x, own, Settings(composite, unknown), reports)
        own = own.resolve(outputs)
        scores, pull_scores = jax.vjp(own.select if own.score is None else lambda scores: scores, outputs)
        values = pulled(scores, lambda cotangents: pull(*pull_scores(cotangents)))
        return layout.finish(values), scores, own.index, layout.inputs(x)

    rows = model_rows(whole(model), x, batch_size)
    values, scores, index, inputs = in_blocks(of_rows, (x, target.per_example), rows)
    check_words(composite, reports[-1].words)
    bad = check.rows_with_nan(x)
    if not target.every:
        bad = bad | jnp.isnan(scores)  # NaN: there is no such class
    return Attribution(
        **check.nan_where(bad, {"values": values, "output": scores, "base_value": jnp.zeros_like(scores)}),
        target=index,
        inputs=inputs,
        axes=layout.axes(target),
        method="LRP",
        rules=reports[-1].log.table(),
    )


def _with_relevance(model: Model, x: Any, target: Target, settings: Settings, reports: list[Report]) -> tuple[Any, Any]:
    """Returns the outputs of a model, and a function from gradients of a class for them to relevance: of x, or of the layer.

    For a callable target its scores take the place of the outputs.
    """
    closed, structure = trace(model, x)
    values = arguments(closed, model, x)
    own = len(values) - len(jax.tree.leaves(x))  # the explained part comes first

    def carried(carrier: Array) -> tuple[list[Array], list[Array]]:
        report = Report()
        inputs = [Flow(value, carrier if number == own else None) for number, value in enumerate(values)]
        flows = propagated(closed.jaxpr, inputs, settings, report)
        if not any(flow.carrier is not None for flow in flows):
            shapes = [jax.typeof(flow.value) for flow in flows]
            listed = ", ".join(f"{aval.dtype}{list(aval.shape)}" for aval in shapes)
            raise ValueError(
                f"`model` must have floating outputs that depend on x, got {listed}, to which no relevance flows, as of "
                "classes, comparisons and constants: return the scores before them."
            )
        if target.score is not None:
            flows = [scored(flows, report)]
        reports.append(report)
        carriers = [jnp.zeros_like(each.value) if each.carrier is None else each.carrier for each in flows]
        return carriers, [each.value for each in flows]

    def scored(flows: list[Flow], report: Report) -> Flow:
        outputs = jax.tree.unflatten(structure, [flow.value for flow in flows])
        closed, _ = make_jaxpr(lambda target, outputs: target.select(outputs), target, outputs)
        known = map(Flow, [*closed.consts, *jax.tree.leaves(target)])
        (scores,) = propagated(closed.jaxpr, [*known, *flows], dataclasses.replace(settings, is_score=True), report)
        if scores.carrier is None:
            require_derivative(model, x, target)
            raise ValueError(
                "`target` must return scores that depend on the outputs by floating numbers, got scores to which no relevance "
                "flows, as of constants and complex numbers: return a function of the outputs themselves."
            )
        return scores

    _, pull, results = jax.vjp(carried, jnp.zeros_like(explained(x)), has_aux=True)
    outputs = jax.tree.unflatten(structure, results) if target.score is None else results[0]

    def relevance(gradients: Any) -> Array:
        """The relevance of an output is its part of the score, y ∂score/∂y."""
        slopes = jax.tree.leaves(gradients)
        shares = [
            jnp.zeros(jnp.shape(value), jax.dtypes.float0)
            if not jnp.issubdtype(value.dtype, jnp.floating)
            else jnp.where(slope == 0, 0, value * slope).astype(value.dtype)
            for value, slope in zip(results, slopes, strict=True)
        ]
        return pull(shares)[0]

    return outputs, relevance
