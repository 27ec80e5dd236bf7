"""Expected gradients (Erion et al. 2021), known as GradientSHAP.

phi_i = E over b of the background, a of [0, 1] of (x_i - b_i) · ∂f/∂x_i (b + a (x - b))

These are integrated gradients (Sundararajan, Taly & Yan 2017) averaged over baselines: Aumann-Shapley values, which are
Shapley values of the game in which all features move from b to x at once.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32
from xaijax._core.parts import cut_inputs, explained, read_out, repeated, whole
from xaijax._core.running import add
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Ids, Int, Key, KeyLike, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import (
    Layout,
    read_background,
    read_layout,
    read_pair,
    read_part,
    require_derivative,
)
from xaijax.gradient._slopes import slopes, sum_in_blocks, times

_REPLICATES = 16  # independent draws, whose spread gives the standard errors
_MOST_SAMPLES = 2**20


def expected_gradients(
    model: ModelLike,
    x: ArrayOrSequence,
    background: ArrayOrSequence,
    *,
    key: KeyLike,
    target: TargetLike = None,
    num_samples: int = 256,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes gradients averaged over the paths from background rows to the input (GradientSHAP), with standard errors.

    Why: an attribution to every feature or pixel for a few hundred gradients, regardless of the number of features, where
    Shapley values need several evaluations for each. For differentiable models.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      background: [B, ...] rows that the paths start from, such as training rows, or one black image; or a data frame of
        numbers, whose columns name the features. With `layer`, rows of inputs stand for their activations, and rows of the
        layer's shape are activations.
      key: a JAX random key. Each example's samples depend on the key and its id alone.
      target: an int, ints [N], a callable from outputs to one number for each row, one of `xai.target`, "all" for every
        output [N, ..., K], or None for the top class.
      num_samples: S gradients for each example, in 16 independent replicates, within which the positions on the path are
        stratified. At most 1,048,576. Default 256.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer is computed from x. Default: x is explained.
      channels: "sum" for values summed over the channels, whose standard errors are those of the sums. Default: one value
        for each channel.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, or [N, ..., K], whose sum is output minus base_value up to their errors; std_errors alike; base_value the
      mean output over the background; output.

    Raises:
      TypeError, ValueError: if x or the background are not floating numbers, do not fit each other or hold NaN, or an
        argument is out of range.

    References:
      Erion, Janizek, Sturmfels, Lundberg & Lee (2021), Improving performance of deep learning models with axiomatic
      attribution priors and expected gradients, arXiv:1906.10670.
    """
    x, background, names = read_pair("background", x, background, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    background = read_background(x, background, like)
    layout = read_layout(like, channels, channel_axis, x)
    num_samples = check.positive_int("num_samples", num_samples, least=2 * _REPLICATES, most=_MOST_SAMPLES)
    attribution = _expected_gradients(
        model, x, background, bound, check.random_key(key), check.example_ids(ids, check.examples(x)),
        num_samples=num_samples, layout=layout, batch_size=check.batch_size(batch_size),
    )  # fmt: skip
    return attribution.with_names(names)


@compiled(static_argnames=("num_samples", "layout", "batch_size"))
def _expected_gradients(
    model: Model,
    x: Any,
    background: Any,
    target: Target,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    num_samples: int,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    rows = model_rows(whole(model), x, batch_size)
    num_examples = check.examples(x)
    x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
    background = in_blocks(lambda block: read_out(model, block), background, rows)
    require_derivative(model, x, target)
    length = num_samples // _REPLICATES
    replicates_at_once = max(1, rows // length)

    def explain_one(example: Example, target: Target) -> Fields:
        own, key = explained(example.x), example.key
        score = lambda values: target.select(model(repeated(example.x, values)))  # noqa: E731

        def replicate(number: Int[Array, ""]) -> tuple[Array, Array]:
            """Returns positions on the paths, strata of [0, 1] in random order, and random background rows."""
            position_key, order_key, row_key = jax.random.split(jax.random.fold_in(key, number), 3)
            strata = jax.random.permutation(order_key, length).astype(jnp.float32)
            positions = (strata + random.uniform(position_key, (length,))) / length
            return positions, jax.random.randint(row_key, (length,), 0, len(background))

        def products(positions: Float[Array, " n"], numbers: Int[Array, " n"]) -> Float[Array, "n ..."]:
            steps = own[None] - background[numbers]
            positions = positions.reshape(-1, *[1] * own.ndim).astype(own.dtype)
            gradients = slopes(score, background[numbers] + positions * steps)
            return layout.finish(times(gradients, at_least_float32(steps)))

        def mean_of(positions: Float[Array, " n"], numbers: Int[Array, " n"]) -> Float[Array, "..."]:
            return sum_in_blocks(lambda each: products(positions[each], numbers[each]), length, rows) / length

        def sample(numbers: Int[Array, " R"]) -> Float[Array, "R ..."]:
            drawn = jax.vmap(replicate)(numbers)
            if length > rows:  # one replicate at a time, in blocks
                return jax.lax.map(lambda draw: mean_of(*draw), drawn)
            each = products(*(part.reshape(-1) for part in drawn))
            return each.reshape(len(numbers), length, *each.shape[1:]).mean(axis=1)

        running = add(None, sample, 0, _REPLICATES, replicates_at_once)
        base = in_blocks(score, background, rows).mean(axis=0)
        return {"values": running.means(), "std_errors": running.std_errors(), "base_value": base}

    fields, target = explain_examples(
        explain_one,
        model,
        x,
        target,
        key=key,
        ids=ids,
        rows=rows,
        rows_per_example=min(rows, replicates_at_once * length),
    )
    return Attribution(
        **fields,
        target=target.index,
        num_evaluations=jnp.full(num_examples, _REPLICATES * length, jnp.int32),
        inputs=layout.inputs(x),
        axes=layout.axes(target),
        method="expected gradients",
    )
