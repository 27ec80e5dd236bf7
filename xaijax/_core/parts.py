"""Models cut at a layer: the part up to it, whose output is explained, and the part from it on, whose input is.

Both are models like any other. The part from a layer on takes `AtLayer`: the activations, and the inputs of the whole model,
from which it computes what reaches its outputs past the layer, such as skip connections and masks. What it does not need of
these is not evaluated in a compiled program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.tap import cut
from xaijax._core.target import apply
from xaijax._core.typing import Array
from xaijax._model import Model, WrappedModel


class AtLayer(NamedTuple):
    """What a model from a layer on is evaluated at.

    activations: [N, ...] of the layer.
    inputs: x [N, ...] of the whole model, an array or a PyTree of arrays.
    """

    activations: Array
    inputs: Any


class Inputs(NamedTuple):
    """Inputs of the whole model, which stand for the activations that they have at the layer.

    rows: [B, ...], an array or a PyTree of arrays.
    """

    rows: Any


class _Part(WrappedModel):
    """One of the two parts of a model."""

    def __init__(self, model: Model, layer: str):
        super().__init__(model, layer)

    @property
    def layer(self) -> str:
        """The layer at which the model is cut."""
        return str(self.static.options[0])


class UpToLayer(_Part):
    """A model up to a layer: x -> the activations of the layer."""

    def _call(self, x: Any) -> Array:
        return cut(self.inner, x, self.layer)[0]


class FromLayer(_Part):
    """A model from a layer on: `AtLayer` -> the outputs of the whole model."""

    @property
    def before(self) -> UpToLayer:
        """The part up to the layer."""
        return UpToLayer(self.inner, self.layer)

    def _call(self, x: AtLayer) -> Any:
        return cut(self.inner, x.inputs, self.layer)[1](x.activations)


def check_layer(model: Model, x: Any, layer: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape and the dtype of a layer's activations, which must be floating numbers of every example.

    Raises:
      ValueError: if there is no such layer, or its activations cannot be explained.
    """
    if not isinstance(layer, str):
        raise TypeError(f"`layer` must be the path of a layer from xai.layers, got {check.shown(layer)}.")
    like = apply.eval_shape(UpToLayer(model, layer), x)  # cached
    if like.ndim < 2 or like.shape[0] != check.examples(x) or not jnp.issubdtype(like.dtype, jnp.floating):
        raise ValueError(
            f"`layer` must have floating activations [N, ...] with one row for each of the {check.examples(x)} examples, got "
            f"{layer!r} of {like.dtype}{list(like.shape)}: choose another one from xai.layers."
        )
    return like


def whole(model: Model) -> Model:
    """Returns the model that a part belongs to; other models are whole."""
    return model.inner if isinstance(model, FromLayer) else model


def cut_inputs(model: Model, x: Any) -> Any:
    """Returns what a model is evaluated at for inputs x of the whole model: x itself, or the layer's activations with x."""
    return AtLayer(model.before(x), x) if isinstance(model, FromLayer) else x


def read_out(model: Model, rows: Any) -> Array:
    """Returns explained values [B, ...]: those of `Inputs` at the model's layer, or the rows themselves."""
    if not isinstance(rows, Inputs):
        return rows
    assert isinstance(model, FromLayer), "only rows of a layer come as inputs"
    return model.before(rows.rows)


def explained(x: Any) -> Array:
    """Returns the explained part of what a model is evaluated at: the activations of its layer, or x itself."""
    return x.activations if isinstance(x, AtLayer) else x


def replaced(x: Any, values: Array) -> Any:
    """Returns what a model is evaluated at with other values [N, ...] of the explained part."""
    return AtLayer(values, x.inputs) if isinstance(x, AtLayer) else values


def repeated(x: Any, values: Array) -> Any:
    """Returns what a model is evaluated at for many values [n, ...] of the explained part of one example x, without N."""
    if not isinstance(x, AtLayer):
        return values
    rows = lambda leaf: jnp.broadcast_to(leaf[None], (len(values), *leaf.shape))  # noqa: E731
    return AtLayer(values, jax.tree.map(rows, x.inputs))
