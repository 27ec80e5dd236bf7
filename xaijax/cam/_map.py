"""What all activation maps share: the tap with its gradient, and what is done to a finished map."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax import _check
from xaijax._model import Model, as_model
from xaijax._tap import tap
from xaijax._target import Target, TargetLike, as_target, output_shapes
from xaijax._typing import Array, Float


@dataclasses.dataclass(frozen=True)
class Tapped:
    """One forward pass, cut at a layer.

    activations: [N, ..., C] A, in float32 or more.
    gradients: [N, ..., C] the gradient of each example's score with respect to its activations, dy/dA.
    scores: [N] the explained outputs y.
    target: the target with the top classes found.
    head: the outputs as a function of the activations in the layer's own type, `layer_type`.
    """

    activations: Float[Array, "N *space C"]
    gradients: Float[Array, "N *space C"]
    scores: Float[Array, " N"]
    target: Target
    head: Callable[[Array], Any]
    layer_type: Any


def differentiate_tail(model: Model, x: Any, layer: str | None, target: Target) -> Tapped:
    """Activations at a layer and the gradient of the score there: one forward pass and the backward of the tail."""
    activations, head = tap(model, x, layer)
    if activations.ndim < 3 or activations.shape[0] != _check.examples(x):
        raise ValueError(
            f"layer {layer!r} has no spatial axes: a map needs activations [N, ..., C], but its shape is "
            f"{list(activations.shape)}; xai.layers(model, x) lists all layers with their shapes."
        )
    if not jnp.issubdtype(activations.dtype, jnp.floating):
        raise ValueError(f"layer {layer!r} is of type {activations.dtype}, which has no gradients.")
    outputs, pull_back = jax.vjp(head, activations)
    target = target.resolve(outputs)
    scores, pull_scores = jax.vjp(target.select, outputs)
    (gradients,) = pull_back(*pull_scores(jnp.ones_like(scores)))
    return Tapped(_float(activations), _float(gradients), scores, target, head, activations.dtype)


def finish(maps: Float[Array, "N *space"], x: Any, *, upsample: bool, normalize: bool) -> Array:
    """Resizes maps to the input's size and brings them to [0, 1], each if asked for; NaN where an input holds NaN."""
    if upsample:
        size = jax.tree.leaves(x)[0].shape[1 : maps.ndim]
        if len(size) != maps.ndim - 1:
            raise ValueError(
                f"upsample needs inputs with the {maps.ndim - 1} spatial axes of the map, but x has shape "
                f"{jax.tree.map(jnp.shape, x)}: leave it off and resize the map yourself."
            )
        maps = jax.image.resize(maps, (len(maps), *size), method="linear")
    if normalize:
        maps = _to_unit_range(maps)
    return _check.nan_where(_check.rows_with_nan(x), maps)


def _to_unit_range(maps: Float[Array, "N *space"]) -> Float[Array, "N *space"]:
    """(map - min) / (max - min) for each example; a constant map becomes all zero, with zero gradient."""
    axes = tuple(range(1, maps.ndim))
    least, most = maps.min(axis=axes, keepdims=True), maps.max(axis=axes, keepdims=True)
    constant = most == least
    return jnp.where(constant, 0, maps - least) / jnp.where(constant, 1, most - least)


def read_arguments(model: Any, x: Any, target: TargetLike) -> tuple[Model, Any, Target]:
    """Validates at the door what all maps take."""
    model = as_model(model)
    x = jax.tree.map(lambda leaf: _check.numeric_array("x", leaf), x)
    num_examples = _check.examples(x)
    for leaf in jax.tree.leaves(x):
        _check.no_nan("x", leaf)
    outputs = output_shapes(model, x, num_examples)
    return model, x, as_target(target, outputs, num_examples, all_allowed=False)


def spatial_axes(activations: Array) -> tuple[int, ...]:
    return tuple(range(1, activations.ndim - 1))


def _float(values: Array) -> Array:
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
