"""A unit inside the network as the target: what makes this neuron fire?"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.numerics import at_least_float32
from xaijax._core.parts import UpToLayer
from xaijax._core.target import ExampleScore, Target
from xaijax._core.typing import Array
from xaijax._model import FunctionModel, Model


class UnitScore(ExampleScore):
    """The activation of a unit of a layer, made by `xai.target.unit`."""

    def __init__(self, layer: str, index: tuple[int, ...]):
        self.layer, self.index = layer, index

    def of_model(self, model: Model) -> Model:
        return UpToLayer(model, self.layer)

    def bind(self, outputs: Any, num_examples: int) -> Target:
        sizes = outputs.shape[1:]
        fits = len(self.index) in (1, len(sizes))
        sizes = sizes[-1:] if len(self.index) == 1 else sizes
        if not fits or any(not -size <= own < size for own, size in zip(self.index, sizes, strict=True)):
            raise ValueError(
                f"`index` must name a unit of the layer {self.layer!r}, whose activations have the shape "
                f"{list(outputs.shape)}: one int for each axis but the first, or one for a channel on the last, got "
                f"{check.shown(list(self.index))}."
            )
        index = tuple(np.asarray(own % size, np.int32) for own, size in zip(self.index, sizes, strict=True))
        return Target(score=FunctionModel(_activation, index))


def unit(layer: str, index: int | Sequence[int]) -> UnitScore:
    """Explains the activation of a unit inside the network (neuron attribution): its score is a_index of a layer.

    Why: to see what a neuron or a channel responds to. Every explainer takes it: `xai.gradient.saliency` gives the gradient
    of the neuron, `xai.gradient.integrated_gradients` its integrated gradients, `xai.shap.values` its Shapley values.

    Args:
      layer: the path of the layer, from `xai.layers(model, x)`.
      index: the position in the activations [N, ...] without the first axis: one int for each axis, such as (3, 4, 17) for
        row 3, column 4 and channel 17. One int alone is a channel on the last axis, summed over all positions of the layer.
        Negative ints count from the end.

    Returns:
      A target.

    Raises:
      TypeError, ValueError: if the index is no int or sequence of ints; when explaining, if there is no such layer or unit.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: xai.tag(x * jnp.array([1.0, 4.0]), "hidden").sum(axis=1)
    >>> xai.gradient.saliency(model, jnp.ones((1, 2)), target=xai.target.unit("hidden", 1)).values.tolist()
    [[0.0, 4.0]]
    """
    if not isinstance(layer, str):
        raise TypeError(f"`layer` must be the path of a layer from xai.layers, got {check.shown(layer)}.")
    indices: tuple[Any, ...] = (index,) if isinstance(index, int) or not check.is_list(index) else tuple(index)
    if not indices or any(isinstance(each, bool) or not isinstance(each, numbers.Integral) for each in indices):
        raise TypeError(f"`index` must be an int or a sequence of ints, got {check.shown(index)}.")
    return UnitScore(layer, tuple(map(int, indices)))


def _activation(index: tuple[Array, ...], activations: Array) -> Array:
    """Returns the unit's activations [n]; of a channel, their sums over all positions."""
    chosen = at_least_float32(activations)[(..., *index)]
    return chosen.sum(axis=tuple(range(1, jnp.ndim(chosen))))
