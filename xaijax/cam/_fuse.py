"""Maps of several layers as one (layer fusion; RefineCAM, Domeniconi et al. 2026)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution, axes_of_map
from xaijax._core.compile import compiled
from xaijax._core.places import find_places
from xaijax._core.tap import tap_several
from xaijax._core.target import Target, TargetLike
from xaijax._core.typing import Array
from xaijax._model import Model
from xaijax.cam._layer_cam import layer_cam
from xaijax.cam._map import (
    Finish,
    Tapped,
    at_least_float32,
    input_size,
    read_arguments,
    read_shape,
    resize,
    to_unit_range,
)
from xaijax.cam._one_pass import Equation, OnePassMap

_JOIN = {
    "product": lambda maps: functools.reduce(jnp.multiply, maps),
    "mean": lambda maps: functools.reduce(jnp.add, maps) / len(maps),
    "max": lambda maps: functools.reduce(jnp.maximum, maps),
}


def fuse(
    model: Any,
    x: Any,
    layers: Sequence[str],
    *,
    method: OnePassMap = layer_cam,
    how: str = "product",
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    size: tuple[int, ...] | None = None,
) -> Attribution:
    """Maps of several layers, each brought to [0, 1] and to one size, joined: fine as the early, sure as the late ones.

    Why: late layers know what, early layers know where. The product keeps the places on which all agree (RefineCAM),
    the mean and the maximum those that some name (layer fusion). All layers are tapped in one forward pass and
    differentiated in one backward pass.

    Args:
      model: any model.
      x: [N, ...] inputs, or a PyTree of them.
      layers: the paths of two or more layers, from `xai.layers(model, x)`; sizes may differ.
      method: the one-pass map that is made of each layer. Default `xai.cam.layer_cam`, made for early layers too.
      how: "product" (RefineCAM), "mean" or "max".
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.
      grid: the places (h, w) of layers of tokens.
      size: of the fused map. Default: the input's places.

    Returns:
      values [N, *size] between 0 and 1, output [N] the explained scores, target [N].

    Raises:
      ValueError: if a layer is unknown or has no spatial axes, or their maps have not the same number of axes.

    References:
      Domeniconi et al. (2026), How to evaluate and refine your CAM, arXiv:2605.14641 (the product of normalized maps);
      Jiang et al. (2021), LayerCAM, section III-C (the maximum, there of maps scaled by tanh).
    """
    if isinstance(layers, str) or len(layers) < 2:
        raise ValueError(f"layers must be two or more paths of layers, but it is {layers!r}.")
    if not hasattr(method, "equation"):
        raise TypeError(f"method must be a one-pass map such as xai.cam.layer_cam, but it is {method!r}.")
    check.one_of("how", how, _JOIN)
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    equation = Equation(method.equation, method.title, Finish(method.relu, False, False))
    places = read_shape("grid", grid)
    return _fuse(
        model, x, target, layers=tuple(layers), equation=equation, how=how, grid=places, size=read_shape("size", size)
    )


@compiled(static_argnames=("layers", "equation", "how", "grid", "size"))
def _fuse(
    model: Model,
    x: Any,
    target: Target,
    *,
    layers: tuple[str, ...],
    equation: Equation,
    how: str,
    grid: tuple[int, ...] | None,
    size: tuple[int, ...] | None,
) -> Attribution:
    shapes, run = tap_several(model, x, layers)
    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    outputs, pull_back, activations = jax.vjp(run, zeros, has_aux=True)
    target, scores, (gradients,) = target.pull_back(outputs, pull_back)

    def of_layer(number: int) -> Array:
        raw = activations[number]
        places = find_places(raw, x, layers[number], grid)

        def score(values: Array) -> Array:
            changed = places.put(raw, values.astype(raw.dtype)) - raw
            return target.select(run([*zeros[:number], changed, *zeros[number + 1 :]])[0])

        here, slopes = (at_least_float32(places.take(part)) for part in (raw, gradients[number]))
        return equation.finish(equation(Tapped(here, slopes, scores, score)), x)

    maps = [of_layer(number) for number in range(len(layers))]
    axes = {one.ndim - 1 for one in maps}
    if len(axes) > 1:
        raise ValueError(f"the maps of the layers must have the same number of spatial axes, but they have {axes}.")
    size = size or input_size(x, axes.pop())
    values = _JOIN[how]([to_unit_range(resize(one, size)) for one in maps])
    title = f"{equation.title}, {how} of {len(layers)} layers"
    return Attribution(
        values=values, output=scores, target=target.index, axes=f"N {axes_of_map(values.ndim - 1)}", method=title
    )
