"""Reads what metrics of changed inputs share: the model, its inputs, the explained class, and the values over the inputs."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.numerics import at_least_float32
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Array, Float, Int
from xaijax._model import Model, as_model
from xaijax.metrics._players import check_targets


def read_explained(model: Any, x: Array, attribution: Any, target: Any) -> tuple[Model, Target]:
    """Checks an attribution of inputs [N, ...], and returns the model and the target: by default what was explained."""
    num_examples = check.examples(x)
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            f"`x` must have at least one example and one feature, [N, ...], got shape {list(x.shape)}: pass x[None] for one "
            "example."
        )
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    if attribution.all_outputs:
        raise ValueError(
            f"`attribution` must explain one output of each example, got outputs of shape "
            f"{list(attribution.output.shape)}: take one of them by attribution.of_output(k)."
        )
    if attribution.num_examples != num_examples:
        got = "one example alone" if attribution.num_examples is None else f"{attribution.num_examples} examples"
        raise ValueError(f"`attribution` must explain the {num_examples} examples of `x`, got {got}.")
    own = attribution.target
    model, bound = bind_target(as_model(model), x, own if target is None else target, num_examples, all_allowed=False)
    check_targets(bound.index, own)
    return model, bound


def read_channels(x: Array, channel_axis: Any) -> int | None:
    """Returns the axis of the channels of x [N, *space, C], counted from the front; None for tables [N, D]."""
    if x.ndim > 3:
        return check.channel_axis("x", x.shape, channel_axis)
    axis = -1 if channel_axis is None else check.any_axis(channel_axis)
    if not -x.ndim < axis < x.ndim:
        raise ValueError(
            f"`channel_axis` must be an axis of x, of shape {list(x.shape)}, other than the first, got {axis}."
        )
    return axis % x.ndim if x.ndim == 3 else None


def space_of(shape: tuple[int, ...], channels: int | None) -> tuple[int, ...]:
    """Returns the sides of one of the inputs [N, ...], without the channels."""
    return tuple(side for axis, side in enumerate(shape) if axis not in (0, channels))


def over_inputs(
    attribution: Attribution, shape: tuple[int, ...], channels: int | None, *, shared: bool
) -> Float[Array, "N *input"]:
    """Returns a value for every entry of the inputs [N, ...].

    Args:
      attribution: values like x; values [N, M] of all entries in order; values of regions; or maps [N, *space], which are
        resized linearly where they are smaller or larger.
      shape: of x.
      channels: the axis of the channels, or None.
      shared: whether the entries of a region, a pixel's channels, or a cell of a smaller map share its value, so that the
        sum stays what it is. If not, each of them has the value.
    """
    values = at_least_float32(attribution.values)
    if attribution.regions is None and values.size == math.prod(shape) and values.ndim == 2:
        return values.reshape(shape)
    if attribution.regions is not None:
        laid_out = jax.vmap(lambda values, regions: _laid_out(values, regions, shared))
        values = laid_out(values, attribution.regions)
    if values.shape == shape:
        return values
    sides = (shape[0], *space_of(shape, channels))
    of_map = attribution.regions is not None or not attribution.of_players
    if channels is not None and of_map and values.ndim == len(sides):
        if values.shape != sides:
            cells = math.prod(values.shape)
            values = jax.image.resize(values, sides, method="linear")
            values = values * (cells / math.prod(sides)) if shared else values
        values = jnp.expand_dims(values, channels)
        return jnp.broadcast_to(values / shape[channels] if shared else values, shape)
    maps = f", or maps over its positions, {list(sides)}" if channels is not None else ""
    raise ValueError(
        f"`attribution` must have one value for each entry of `x`, {list(shape)}{maps}, got shape {list(values.shape)}: explain "
        "the same inputs."
    )


def _laid_out(values: Float[Array, " M"], regions: Int[Array, "..."], shared: bool) -> Array:
    """Returns the value of the region of each position, or its share of it; 0 where there is none, at -1."""
    if shared:
        indices = jnp.where(regions < 0, len(values), regions).reshape(-1)
        sizes = jax.ops.segment_sum(jnp.ones(indices.shape, values.dtype), indices, len(values) + 1)[:-1]
        values = values / jnp.maximum(sizes, 1)
    return jnp.where(regions < 0, 0, values[regions])
