"""Integrated Hessians (Janizek, Sturmfels & Lee 2021): which pairs of features act jointly.

Γ_ij = d_i d_j · ∫∫ ab ∂²f/∂x_i∂x_j (x(ab)) da db, and Γ_ii with d_i · ∫∫ ∂f/∂x_i (x(ab)) da db in addition,

with d = x - b and x(t) = b + t d: the integrated gradients of integrated gradients. As a and b occur as t = ab alone, whose
density is -ln t, one integral is left: ∫∫ g(ab) da db = ∫ g(t) (-ln t) dt.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Interactions
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32
from xaijax._core.parts import cut_inputs, explained, read_out, repeated, whole
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import (
    Layout,
    read_baseline,
    read_layout,
    read_pair,
    read_part,
    require_derivative,
)
from xaijax.gradient._slopes import slopes, sum_in_blocks, times, trailing

_MOST_PAIRS = 2**24  # of features, for one example


def integrated_hessians(
    model: ModelLike,
    x: ArrayOrSequence,
    baseline: ArrayOrSequence = 0.0,
    *,
    target: TargetLike = None,
    num_steps: int = 32,
    layer: str | None = None,
    channels: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Interactions:
    """Computes how much each pair of features contributes jointly, by second derivatives along the path from a baseline.

    Why: integrated gradients share what two features do jointly between them; this shows it. For smooth models, as second
    derivatives of ReLU networks are 0 almost everywhere: evaluate these with softplus in place of ReLU, as in the paper.

    Args:
      model: any model with second derivatives.
      x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      baseline: what the path starts from: a number, one input [...], or a data frame of one row. Default 0.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for every output, or None for the top class.
      num_steps: S points of the path, at most 200. The rule is Gauss's for the weight -ln t: exact for models that are
        polynomials of degree 2 S + 1 along the path. Default 32.
      layer: the path of a layer whose activations are explained instead of x, such as an embedding.
      channels: "sum" for the sums over the channels: for the output of an embedding, values [N, T] of the tokens and pairs
        [N, T, T]. Default: one value for each channel.
      channel_axis: the axis of the channels. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, Γ_ii; pairs [N, ..., ...], Γ_ij + Γ_ji, with 0 on the diagonal. The values and the pairs, each
      counted once, sum to output minus base_value; `attribution.completeness_gap` says how closely. A feature's value and half
      of its pairs sum to its integrated gradients. num_evaluations [N] Hessian-vector products: S for each feature.

    Raises:
      TypeError, ValueError: if x or the baseline are not floating numbers, do not fit each other or hold NaN, there are more
        than 4,096 features, the model has no derivative, or an argument is out of range.

    References:
      Janizek, Sturmfels & Lee (2021), Explaining explanations: axiomatic feature interactions for deep networks,
      arXiv:2002.04138, section 3.
    """
    x, baseline, names = read_pair("baseline", x, baseline, model, layer)
    model, bound, like = read_part(model, x, target, layer)
    baseline = read_baseline(x, baseline, like)
    if check.examples(baseline) > 1:
        raise ValueError(
            f"`baseline` must be a number or one input, got {check.examples(baseline)} rows: average the results of several."
        )
    layout = read_layout(like, channels, channel_axis, x)
    num_features = int(np.prod(like.shape[1:]))
    if num_features**2 > _MOST_PAIRS:
        raise ValueError(
            f"`x` must have at most {int(_MOST_PAIRS**0.5):,} features for integrated Hessians, got {num_features:,}: "
            "choose a layer= with fewer."
        )
    num_steps = check.positive_int("num_steps", num_steps, most=200)
    attribution = _integrated_hessians(
        model, x, baseline, bound, num_steps=num_steps, layout=layout, batch_size=check.batch_size(batch_size)
    )
    return attribution.with_names(names)


@compiled(static_argnames=("num_steps", "layout", "batch_size"))
def _integrated_hessians(
    model: Model, x: Any, baseline: Any, target: Target, *, num_steps: int, layout: Layout, batch_size: int | None
) -> Interactions:
    rows = model_rows(whole(model), x, batch_size)
    x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
    start = at_least_float32(read_out(model, baseline)[0])
    require_derivative(model, x, target)
    num_features = start.size
    positions, weights = (jnp.asarray(part, start.dtype) for part in log_nodes(num_steps))

    def explain_one(example: Example, target: Target) -> Fields:
        own = explained(example.x)
        steps = at_least_float32(own) - start
        score = lambda values: target.select(model(repeated(example.x, values)))  # noqa: E731

        def points(nodes: Int[Array, " n"]) -> Float[Array, "n *input"]:
            return (start[None] + trailing(positions[nodes], steps[None]) * steps[None]).astype(own.dtype)

        def weighted(terms: Float[Array, "n ..."], shares: Float[Array, " n"]) -> Float[Array, "n ..."]:
            return times(terms, steps[None]) * trailing(shares, terms)

        def alone(nodes: Int[Array, " n"]) -> Float[Array, "n ..."]:
            return weighted(slopes(score, points(nodes)), weights[nodes])

        def jointly_with(feature: Int[Array, ""]) -> Float[Array, "..."]:
            """Returns Γ_ij of one feature j and all features i, without the first derivatives."""
            direction = jnp.where(jnp.arange(num_features) == feature, steps.reshape(-1), 0).reshape(steps.shape)

            def terms(nodes: Int[Array, " n"]) -> Float[Array, "n ..."]:
                at = points(nodes)
                along = jnp.broadcast_to(direction[None], at.shape).astype(at.dtype)
                _, changes = jax.jvp(lambda values: slopes(score, values), (at,), (along,))
                return weighted(changes, weights[nodes] * positions[nodes])

            return sum_in_blocks(terms, num_steps, rows)

        first = sum_in_blocks(alone, num_steps, rows)
        second = in_blocks(each(jointly_with), jnp.arange(num_features), max(1, rows // num_steps))
        second = second.reshape(*steps.shape, *second.shape[1:])  # [..., ...] or [..., ..., K]
        values, pairs = _summed(first, second, layout)
        base = score(start[None].astype(own.dtype))[0]
        return {"values": values, "pairs": pairs, "base_value": base}

    fields, target = explain_examples(
        explain_one,
        model,
        x,
        target,
        key=None,
        ids=None,
        rows=rows,
        rows_per_example=min(rows, num_steps * num_features),
    )
    return Interactions(
        **fields,
        target=target.index,
        num_evaluations=jnp.full(check.examples(x), num_steps * num_features, jnp.int32),
        inputs=layout.inputs(x),
        axes=layout.axes(target),
        method="integrated Hessians",
        index="integrated Hessians",
    )


def _summed(first: Array, second: Array, layout: Layout) -> tuple[Array, Array]:
    """Returns values Γ_ii and pairs Γ_ij + Γ_ji of the players, with their channels summed where that is asked for."""
    if layout.summed:
        assert layout.channels is not None
        axis = layout.channels - 1
        first = first.sum(axis=axis)
        second = second.sum(axis=(axis, axis + layout.num_axes))
    space = first.shape[: layout.num_axes - layout.summed]
    count = int(np.prod(space))
    matrix = second.reshape(count, count, *second.shape[2 * len(space) :])
    matrix = (matrix + jnp.swapaxes(matrix, 0, 1)) / 2  # equal but for rounding errors
    diagonal = jnp.einsum("ii...->i...", matrix).reshape(first.shape)
    off = ~jnp.eye(count, dtype=bool).reshape(count, count, *[1] * (matrix.ndim - 2))
    pairs = jnp.where(off, 2 * matrix, 0).reshape(*space, *space, *matrix.shape[2:])
    return first + diagonal, pairs


@functools.lru_cache(maxsize=32)
def log_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nodes on [0, 1] and the weights, of sum 1, of Gauss's rule for the weight -ln t, in float64.

    The coefficients of the orthogonal polynomials come from modified moments (Gautschi 2004, Orthogonal polynomials, section
    2.1.7): ∫ p_k (-ln t) dt = (-1)^k k!² / (k (k + 1) (2k)!) for the monic shifted Legendre polynomials p_k.
    """
    numbers = np.arange(1, 2 * count)
    ratios = numbers / (2 * (2 * numbers - 1))  # of k!² / (2k)!
    moments = np.append(1.0, (-1.0) ** numbers * np.cumprod(ratios) / (numbers * (numbers + 1)))
    own = np.append(1.0, numbers**2 / (4 * (4 * numbers**2 - 1)))  # of the Legendre polynomials
    centers, squares = np.full(count, 0.5), np.ones(count)
    centers[0] += moments[1]
    earlier, last = np.zeros(2 * count), moments
    for k in range(1, count):
        span = np.arange(k, 2 * count - k)
        new = np.zeros(2 * count)
        new[span] = (
            last[span + 1]
            - (centers[k - 1] - 0.5) * last[span]
            - squares[k - 1] * earlier[span]
            + own[span] * last[span - 1]
        )
        centers[k] = 0.5 + new[k + 1] / new[k] - last[k] / last[k - 1]
        squares[k] = new[k] / last[k - 1]
        earlier, last = last, new
    matrix = np.diag(centers) + np.diag(np.sqrt(squares[1:]), 1) + np.diag(np.sqrt(squares[1:]), -1)
    positions, vectors = np.linalg.eigh(matrix)
    return positions, vectors[0] ** 2
