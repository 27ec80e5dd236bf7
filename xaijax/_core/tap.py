"""Idea 2: a tap reaches inside a model.

The model is traced once with its values named (see `_model/_tag.py`), and the trace is cut at the named value.
Operations that do not depend on this value are computed with the inputs. The others become `head`, the outputs as a
function of the activation. Only this tail of the network is differentiated or evaluated again, for every framework.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.bodies import differentiable, opened
from xaijax._core.convolutions import compute
from xaijax._core.grid import ChannelAxis
from xaijax._core.jaxpr import arguments, evaluate, operations, trace
from xaijax._core.layout import Layout, read_layouts
from xaijax._core.typing import Array
from xaijax._model import Model, as_model, module_in_closure, tag


class UnknownLayer(ValueError):
    """A model has no layer with the given name."""


class NoSpatialLayer(ValueError):
    """A model has no layer with spatial axes."""


class Layer(NamedTuple):
    """A value inside a model that can be tapped."""

    path: str
    shape: tuple[int, ...]
    dtype: Any


class Layers(tuple[Layer, ...]):
    """The layers of a model in the order of evaluation; prints as a table."""

    def __repr__(self) -> str:
        width = max((len(layer.path) for layer in self), default=0)
        return "\n".join(f"{layer.path:<{width}}  {layer.dtype.name}{list(layer.shape)}" for layer in self)


def layers(model: Any, x: Any) -> Layers:
    """Lists the values inside a model that can be tapped, for a sample input.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function with tagged values.
      x: [N, ...] a sample input (arrays, or `jax.ShapeDtypeStruct`s: nothing is computed).

    Returns:
      The layers in the order of evaluation: `path` to give as `layer=`, `shape` and `dtype` of the activation. A
      module that is called several times is listed once for each call, as "path:0", "path:1", ... A module within
      `jax.lax.scan` (`nn.scan`, `nnx.scan`) is listed once for each step, as "path[0]", "path[1]", ... One within
      `jax.lax.while_loop` is listed for step 0, and has any other step too; JAX has no gradients through such loops.
      Where a branch is not taken or a step not reached, the activation is NaN. A function with a derivative of its own
      (`jax.custom_vjp`) is differentiated through its body for a layer within it.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: xai.tag(jnp.tanh(x), "hidden").sum(axis=1)
    >>> xai.layers(model, jnp.ones((2, 3)))
    hidden  float32[2, 3]
    """
    check.examples(x)
    shapes = jax.tree.map(_shape_of, x)
    closed, _ = trace(as_model(model), shapes)
    return _listing(_values(opened(closed).jaxpr))


def _shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
    if not isinstance(leaf, jax.ShapeDtypeStruct | jax.Array):
        leaf = check.numeric_array("x", leaf)
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def compose(features: Any, head: Any) -> Model:
    """Makes a model of two functions, `head(features(x))`, whose features can be tapped as the layer "features".

    Why: for a model that comes as a backbone and a head, or for a cut that is not a module's output.

    Args:
      features: any model from x[N, ...] to activations [N, ..., C].
      head: any model from these activations to outputs [N, K].

    Returns:
      A model that every explainer takes; its only layer is called "features".

    Raises:
      TypeError: if a part is not a model.
    """
    return as_model(jax.tree_util.Partial(_composed, as_model(features, "features"), as_model(head, "head")))


def _composed(features: Model, head: Model, x: Any) -> Any:
    return head(tag(features(x), "features"))


class Tap(NamedTuple):
    """A model cut at a layer.

    activations: [N, ..., C] of the layer.
    head: the outputs as a function of them; `head(activations)` equals `model(x)`.
    layout: where the layer's axes come from; inputs: the same for the arrays of x.
    """

    activations: Array
    head: Callable[[Array], Any]
    layout: Layout
    inputs: list[Layout]


def tap(model: Model, x: Any, layer: str | None, channel_axis: ChannelAxis | None = None) -> Tap:
    """Cuts a model at a layer.

    Args:
      model: the model.
      x: [N, ...] inputs.
      layer: a path from `layers`, or None for the last value of the shape of the last layer with spatial axes.
      channel_axis: the axis of the channels, which is not spatial. Default: the last.
    """
    closed, outputs, index = _located(model, x, layer, channel_axis or ChannelAxis())
    (layout,), inputs = read_layouts(closed, len(jax.tree.leaves(x)), [index])
    return Tap(*_cut_trace(closed, outputs, model, x, index), layout, inputs)


def cut(model: Model, x: Any, layer: str) -> tuple[Array, Callable[[Array], Any]]:
    """Returns the activations of a layer, and the outputs as a function of them, like `tap` without layouts."""
    closed, outputs, index = _located(model, x, layer, ChannelAxis())
    return _cut_trace(closed, outputs, model, x, index)


def _located(model: Model, x: Any, layer: str | None, channel_axis: ChannelAxis) -> tuple[Any, Any, int]:
    """Returns a trace, the structure of its outputs, and the index of a layer among its values.

    The default layer is searched for in loops and branches where no value outside of them has spatial axes.
    """
    closed, outputs = _trace_with(model, x, [layer])
    try:
        return closed, outputs, _index_of_layer(model, list(_values(closed.jaxpr)), layer, x, channel_axis)
    except NoSpatialLayer:
        closed = opened(closed)
        return closed, outputs, _index_of_layer(model, list(_values(closed.jaxpr)), layer, x, channel_axis)


def _cut_trace(closed: Any, outputs: Any, model: Model, x: Any, index: int) -> tuple[Array, Callable[[Array], Any]]:
    cut = _Cut(index)
    results = evaluate(closed.jaxpr, arguments(closed, model, x), cut)
    activation = cut.activation
    assert activation is not None, index  # the listing and the cut walk the same trace

    def head(activations: Array) -> Any:
        values = {activation: activations}
        for equation, inputs, pending in cut.deferred:
            computed = differentiable(equation, [_known(value, values) for value in inputs])
            values.update(zip(pending, computed, strict=True))
        return jax.tree.unflatten(outputs, [_known(value, values) for value in results])

    return activation.value, head


class Taps(NamedTuple):
    """A model tapped at several layers.

    shapes: of the layers' activations.
    run: run(bumps) returns the outputs with a bump added to each of these activations, and the activations. At bumps of
      zero, the gradient for a bump is that for its layer's activation.
    layouts: where the layers' axes come from; inputs: the same for the arrays of x.
    """

    shapes: list[jax.ShapeDtypeStruct]
    run: Callable[[Sequence[Array]], tuple[Any, list[Array]]]
    layouts: list[Layout]
    inputs: list[Layout]


def tap_several(model: Model, x: Any, paths: str | Sequence[str | None]) -> Taps:
    """Taps several layers at once, for one forward and one backward pass.

    Args:
      model: the model.
      x: [N, ...] inputs.
      paths: the layers, from `layers`; or one name, for all calls with that name.
    """
    closed, outputs = _trace_with(model, x, [paths] if isinstance(paths, str) else paths)
    values = list(_values(closed.jaxpr))
    paths = _calls(values, paths) if isinstance(paths, str) else paths
    indices = [_index_of_layer(model, values, path, x, ChannelAxis()) for path in paths]
    layouts, of_inputs = read_layouts(closed, len(jax.tree.leaves(x)), indices)
    shapes = [jax.ShapeDtypeStruct(values[index].aval.shape, values[index].aval.dtype) for index in indices]

    def run(bumps: Sequence[Array]) -> tuple[Any, list[Array]]:
        counter = iter(range(len(values)))
        activations: dict[int, Array] = {}

        def bump(equation: Any, inputs: list[Any]) -> list[Any]:
            results, index = differentiable(equation, inputs), next(counter)
            if index in indices:
                (activations[index],) = results = [results[0] + bumps[indices.index(index)]]
            return results

        results = evaluate(closed.jaxpr, arguments(closed, model, x), bump)
        return jax.tree.unflatten(outputs, results), [activations[index] for index in indices]

    return Taps(shapes, run, layouts, of_inputs)


def _trace_with(model: Model, x: Any, paths: Sequence[str | None]) -> tuple[Any, Any]:
    """Returns a model's trace that has these layers; only the bodies that may hold one are opened."""
    closed, outputs = trace(model, x)
    wanted = [path for path in paths if isinstance(path, str)]
    result = opened(closed, wanted)
    names = {name for path, *_ in _listing(_values(result.jaxpr)) for name in (path, _without_call(path))}
    return (result if names.issuperset(wanted) else opened(closed)), outputs  # all layers, for the error's list


class _Value(NamedTuple):
    """The result of an operation; without `aval` for operations with several results."""

    name: str | None
    aval: Any


def _values(jaxpr: Any) -> Iterator[_Value]:
    for equation in operations(jaxpr):
        name = equation.params["name"] if equation.primitive.name == "name" else None
        yield _Value(name, equation.outvars[0].aval if len(equation.outvars) == 1 else None)


def _listing(values: Iterable[_Value]) -> Layers:
    named = [value for value in values if value.name is not None]
    total = collections.Counter(value.name for value in named)
    calls: collections.Counter[str | None] = collections.Counter()
    listing = []
    for name, aval in named:
        path = f"{name}:{calls[name]}" if total[name] > 1 else str(name)
        calls[name] += 1
        listing.append(Layer(path, tuple(aval.shape), jnp.dtype(aval.dtype)))
    return Layers(listing)


def _calls(values: list[_Value], name: str) -> list[str]:
    """Returns the paths of all calls with a name."""
    paths = [path for path, _, _ in _listing(values)]
    calls = [path for path in paths if path == name or _without_call(path) == name]
    if not calls:
        raise UnknownLayer(f"`layer` must be the name of a layer, got {name!r}{check.did_you_mean(name, paths)}.")
    return calls


def _without_call(path: str) -> str:
    """Returns a path without the number of the call, or the numbers of the steps of loops: "attention" for "attention[3]"."""
    return re.sub(r"(:\d+|(\[\d+\])+)$", "", path)


def _index_of_layer(model: Model, values: list[_Value], layer: str | None, x: Any, channel_axis: ChannelAxis) -> int:
    """Returns the index among the values of the layer with this path, or of the default layer for None."""
    if layer is None:
        return _index_of_last_spatial(model, values, x, channel_axis)
    if not isinstance(layer, str):
        raise TypeError(f"`layer` must be the path of a layer from xai.layers, got {check.shown(layer)}.")
    paths = [path for path, _, _ in _listing(values)]
    if layer in paths:
        return [index for index, value in enumerate(values) if value.name is not None][paths.index(layer)]
    if not paths:
        raise UnknownLayer(f"`layer` must be a layer of the model, got {layer!r}, but {_no_layers(model)}.")
    calls = [path for path in paths if _without_call(path) == layer]
    if calls:
        raise UnknownLayer(f"`layer` must name one of {len(calls)} calls, got {layer!r}: choose one of {calls}.")
    listed = paths if len(paths) <= 12 else [*paths[:5], "...", *paths[-5:]]
    raise UnknownLayer(f"`layer` must be one of {listed}, got {layer!r}{check.did_you_mean(layer, paths)}.")


def _no_layers(model: Model) -> str:
    """Explains why a model has no layers, and how to name some."""
    return (
        model.no_layers
        or module_in_closure(model)
        or (
            "the model calls no Flax module and tags no value: name a value with xai.tag(value, name), or use "
            "xai.compose(features, head)"
        )
    )


def _index_of_last_spatial(model: Model, values: list[_Value], x: Any, channel_axis: ChannelAxis) -> int:
    """Returns the index of the last value that has the shape of the last layer with spatial axes.

    This is the layer's output after functions that are not modules, such as the ReLU: the activations of a layer in the
    paper of Grad-CAM, and the values that a network for CAM pools.
    """

    examples = check.examples(x)

    def is_spatial(aval: Any) -> bool:
        shape = getattr(aval, "shape", ())
        fits = not channel_axis.layers_alike or -len(shape) < channel_axis.layers < len(shape)
        return len(shape) >= 3 and shape[0] == examples and fits and max(channel_axis.layer_sides(shape, x)) > 1

    spatial = [index for index, value in enumerate(values) if is_spatial(value.aval)]
    named = [index for index in spatial if values[index].name is not None]
    if not named:
        paths = [layer.path for layer in _listing(values)]
        reason = f"none of {paths} has: name a value that has with xai.tag(value, name)" if paths else _no_layers(model)
        raise NoSpatialLayer(f"`layer` must have spatial axes [N, ..., C], got None, the default, but {reason}.")
    shape = values[named[-1]].aval.shape
    return [index for index in spatial if values[index].aval.shape == shape][-1]


@dataclasses.dataclass(eq=False)
class _Pending:
    """A value that depends on the activation, and is unknown until the head is called."""

    value: Any = None  # of the activation itself, at the cut


class _Cut:
    """A rule that defers every operation that depends on the value with this index."""

    def __init__(self, index: int):
        self.index = index
        self.seen = 0
        self.activation: _Pending | None = None
        self.deferred: list[tuple[Any, list[Any], list[_Pending]]] = []

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        self.seen += 1
        if self.seen == self.index + 1:
            self.activation = _Pending(compute(equation, inputs)[0])
            return [self.activation]
        if any(isinstance(value, _Pending) for value in inputs):
            pending = [_Pending() for _ in equation.outvars]
            self.deferred.append((equation, inputs, pending))
            return pending
        return compute(equation, inputs)


def _known(value: Any, values: dict[_Pending, Any]) -> Any:
    return values[value] if isinstance(value, _Pending) else value
