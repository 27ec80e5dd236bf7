"""Layer fusion: maps of several layers as one map (RefineCAM, Domeniconi et al. 2026)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.grid import LayerInputs, check_inputs, find_grid
from xaijax._core.numerics import at_least_float32
from xaijax._core.tap import UnknownLayer, tap_several
from xaijax._core.target import Target
from xaijax._core.typing import Array, Inputs, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.cam._gradient_maps import layer_cam
from xaijax.cam._map import (
    Finish,
    LayerOptions,
    Tapped,
    axes_of,
    resize,
    to_unit_range,
)
from xaijax.cam._one_pass import Equation, MapLike, read_equation
from xaijax.cam._options import layer_options, read_arguments, read_finish

_JOIN = {
    "product": lambda maps: functools.reduce(jnp.multiply, maps),
    "mean": lambda maps: functools.reduce(jnp.add, maps) / len(maps),
    "max": lambda maps: functools.reduce(jnp.maximum, maps),
}


def fuse(
    model: ModelLike,
    x: Inputs,
    layers: Sequence[str],
    *,
    method: MapLike = layer_cam,
    how: Literal["product", "mean", "max"] = "product",
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """Joins the maps of several layers, each resized to one size and brought to [0, 1].

    L = product (or mean, or maximum) over the layers l of s(Up(L_l))

    Why: late layers know the class, early layers know the position. The product keeps the positions on which all layers
    agree (RefineCAM); the mean and the maximum also keep those that some layers show (layer fusion). All layers share
    one forward and one backward pass.

    Args:
      model: any model.
      x: [N, ...] inputs, or a PyTree of them.
      layers: the paths of two or more layers, from `xai.layers(model, x)`; sizes may differ.
      method: the one-pass map of each layer; with options as in `xai.cam.several`. Default `xai.cam.layer_cam`, made for
        early layers too.
      how: "product" (RefineCAM), "mean" or "max". Default "product".
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class. Default None.
      grid: the sides (h, w) of layers of tokens.
      channel_axis: the axis of the channels, 1 for channels first; two axes where the layer's differs from the input's.
      relu: keep only positive evidence in the map of each layer. Default on. Off: the least value of a signed map becomes 0.
      upsample: resize the maps of the layers to the size of the input, or to a size (h, w), before they are joined.
        Default off: the size of the largest layer.
      normalize: bring the joined map to [0, 1] by its least and largest value. Default off: the joined values, which lie
        in [0, 1] already.

    Returns:
      values [N, h, w], output [N] the explained scores, target [N].

    Raises:
      TypeError, ValueError: if a layer is unknown or has no spatial axes, or the maps differ in the number of axes.

    References:
      Domeniconi et al. (2026), How to evaluate and refine your CAM, arXiv:2605.14641 (the product of normalized maps);
      Jiang et al. (2021), LayerCAM, section III-C (the maximum, there of maps scaled by tanh).
    """
    if not check.is_list(layers) or len(layers) < 2 or not all(isinstance(layer, str) for layer in layers):
        raise ValueError(
            f"`layers` must be two or more paths of layers, got {check.shown(layers)}: see xai.layers(model, x)."
        )
    check.one_of("how", how, _JOIN)
    equation = read_equation("method", method, {"relu": relu})
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    try:
        return _fuse(
            model,
            x,
            target,
            layers=tuple(layer_options(str(layer), grid, channel_axis) for layer in layers),
            equation=equation,
            how=how,
            finish=read_finish(True, upsample, normalize),
        )
    except UnknownLayer as error:
        raise UnknownLayer(str(error).replace("`layer`", "`layers`")) from None


@compiled(static_argnames=("layers", "equation", "how", "finish"))
def _fuse(
    model: Model,
    x: Any,
    target: Target,
    *,
    layers: tuple[LayerOptions, ...],
    equation: Equation,
    how: str,
    finish: Finish,
) -> Attribution:
    layers = tuple(layer.of(model) for layer in layers)
    shapes, run, layouts, inputs = tap_several(model, x, [layer.layer for layer in layers])
    check_inputs(x, inputs, layers[0].channel_axis)
    seen = [LayerInputs(x, layout.inputs, layers[0].channel_axis) for layout in layouts]
    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    outputs, pull_back, activations = jax.vjp(run, zeros, has_aux=True)
    target, scores, (gradients,) = target.pull_back(outputs, pull_back)

    def of_layer(number: int) -> Array:
        raw = activations[number]
        layer = layers[number]
        grid = find_grid(raw, x, layouts[number], layer.layer, layer.grid, layer.channel_axis)

        def score(values: Array) -> Array:
            changed = grid.put(raw, values.astype(raw.dtype)) - raw
            return target.select(run([*zeros[:number], changed, *zeros[number + 1 :]])[0])

        here, slopes = (at_least_float32(grid.take(part)) for part in (raw, gradients[number]))
        return equation.finish(equation(Tapped(here, slopes, scores, score)), seen[number])

    maps = [of_layer(number) for number in range(len(layers))]
    axes = {map.ndim - 1 for map in maps}
    sees = LayerInputs(x, frozenset().union(*(inputs.seen for inputs in seen)), layers[0].channel_axis)
    if len(axes) > 1:
        raise ValueError(
            f"`layers` must have maps with the same number of spatial axes, got {sorted(axes)}: give grid=(h, w) for layers "
            "of tokens."
        )
    largest = max((map.shape[1:] for map in maps), key=math.prod)
    size = finish.size(axes.pop(), sees) if finish.upsample else largest
    joined = _JOIN[how]([to_unit_range(resize(map, size)) for map in maps])
    values = dataclasses.replace(finish, upsample=False)(joined, sees)
    values = check.nan_where(jnp.isnan(scores), values)  # a NaN score: the class does not exist
    return Attribution(
        values=values,
        output=scores,
        target=target.index,
        axes=axes_of(len(size)),
        method=equation.title,
        choices=((f"{how} of {len(layers)} layers", ""),),
    )
