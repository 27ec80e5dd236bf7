"""Idea 2: a tap reaches inside a model.

The model is traced once with its values named (see `_model/_tag.py`); the trace is then cut at the named value. All
that does not depend on it is computed with the inputs, all that does becomes `head`, the outputs as a function of the
activation. So only the tail of the network is ever differentiated or evaluated again, for every framework alike.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.jaxpr import apply, arguments, evaluate, operations, trace
from xaijax._core.typing import Array
from xaijax._model import Model, as_model, tag


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
    """Lists what can be tapped in a model, for a sample input.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function with tagged values.
      x: [N, ...] a sample input (arrays, or `jax.ShapeDtypeStruct`s: nothing is computed).

    Returns:
      The layers in the order of evaluation: `path` to give as `layer=`, `shape` and `dtype` of the activation. A
      module that is called several times is listed once for each call, as "path:0", "path:1", ...

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: xai.tag(jnp.tanh(x), "hidden").sum(axis=1)
    >>> xai.layers(model, jnp.ones((2, 3)))
    hidden  float32[2, 3]
    """
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), x)
    return _listing(_values(trace(as_model(model), shapes)[0].jaxpr))


def compose(features: Any, head: Any) -> Model:
    """Makes a model of two functions, `head(features(x))`, whose features can be tapped as layer "features".

    Why: where a model comes as a backbone and a head, or where the cut is not a module's output.

    Args:
      features: any model from x[N, ...] to activations [N, ..., C].
      head: any model from these activations to outputs [N, K].

    Returns:
      A model that every explainer takes; its one layer is called "features".
    """
    return as_model(jax.tree_util.Partial(_composed, as_model(features), as_model(head)))


def _composed(features: Model, head: Model, x: Any) -> Any:
    return head(tag(features(x), "features"))


def tap(model: Model, x: Any, layer: str | None) -> tuple[Array, Callable[[Array], Any]]:
    """The activation at a layer, and the outputs as a function of it.

    Args:
      model: the model.
      x: [N, ...] inputs.
      layer: a path from `layers`, or None for the last value of the shape of the last layer with spatial axes.

    Returns:
      activations [N, ..., C] and head, with `head(activations)` equal to `model(x)`.
    """
    closed, outputs = trace(model, x)
    cut = _Cut(_site(list(_values(closed.jaxpr)), layer, check.examples(x)))
    results = evaluate(closed.jaxpr, arguments(closed, model, x), cut)
    activation = cut.activation
    assert activation is not None, layer  # the listing and the cut walk the same trace

    def head(activations: Array) -> Any:
        values = {activation: activations}
        for equation, inputs, pending in cut.deferred:
            answers = apply(equation, [_known(value, values) for value in inputs])
            values.update(zip(pending, answers, strict=True))
        return jax.tree.unflatten(outputs, [_known(value, values) for value in results])

    return activation.value, head


def tap_several(
    model: Model, x: Any, paths: str | Sequence[str]
) -> tuple[list[jax.ShapeDtypeStruct], Callable[[Sequence[Array]], tuple[Any, list[Array]]]]:
    """Several layers at once, for one forward and one backward pass.

    Args:
      model: the model.
      x: [N, ...] inputs.
      paths: the layers, from `layers`; or one name, for all calls with that name.

    Returns:
      The shapes of their activations, and `run(bumps)`: the outputs with a bump added to each of these activations,
      and the activations themselves. At bumps of zero, the gradient for a bump is the one for its layer's activation.
    """
    closed, outputs = trace(model, x)
    values = list(_values(closed.jaxpr))
    paths = _calls(values, paths) if isinstance(paths, str) else paths
    sites = [_site(values, path, check.examples(x)) for path in paths]
    shapes = [jax.ShapeDtypeStruct(values[site].aval.shape, values[site].aval.dtype) for site in sites]

    def run(bumps: Sequence[Array]) -> tuple[Any, list[Array]]:
        places = iter(range(len(values)))
        found: dict[int, Array] = {}

        def bump(equation: Any, inputs: list[Any]) -> list[Any]:
            answers, place = apply(equation, inputs), next(places)
            if place in sites:
                (found[place],) = answers = [answers[0] + bumps[sites.index(place)]]
            return answers

        results = evaluate(closed.jaxpr, arguments(closed, model, x), bump)
        return jax.tree.unflatten(outputs, results), [found[site] for site in sites]

    return shapes, run


class _Value(NamedTuple):
    """The result of one operation, or of several at once, in the order of evaluation."""

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
    found = []
    for name, aval in named:
        path = f"{name}:{calls[name]}" if total[name] > 1 else str(name)
        calls[name] += 1
        found.append(Layer(path, tuple(aval.shape), jnp.dtype(aval.dtype)))
    return Layers(found)


def _site(values: list[_Value], layer: str | None, examples: int) -> int:
    """The place among the values of a layer, or of the one that is meant where none is named."""
    return _last_spatial(values, examples) if layer is None else _named_site(values, layer)


def _calls(values: list[_Value], name: str) -> list[str]:
    """The paths of all calls with a name."""
    paths = [path for path, _, _ in _listing(values)]
    found = [path for path in paths if path == name or path.rpartition(":")[0] == name]
    if not found:
        raise ValueError(f"no layer of the model is named {name!r}{check.did_you_mean(name, paths)}.")
    return found


def _named_site(values: list[_Value], layer: str) -> int:
    """The place among the values of the layer with this path."""
    listing = _listing(values)
    paths = [path for path, _, _ in listing]
    if layer in paths:
        return [place for place, value in enumerate(values) if value.name is not None][paths.index(layer)]
    if not paths:
        raise ValueError(
            f"the model has no layer {layer!r}: no Flax module is called in it and no value is tagged; "
            "name a value with xai.tag(value, name), or use xai.compose(features, head)."
        )
    calls = [path for path in paths if path.rpartition(":")[0] == layer]
    if calls:
        raise ValueError(f"layer {layer!r} is called {len(calls)} times: say which call, one of {calls}.")
    shown = paths if len(paths) <= 12 else [*paths[:5], "...", *paths[-5:]]
    raise ValueError(f"the model has no layer {layer!r}{check.did_you_mean(layer, paths)}; its layers are {shown}.")


def _last_spatial(values: list[_Value], examples: int) -> int:
    """The place of the last value with spatial axes, of the shape of the last layer that has them.

    That is the layer's output after what follows it without being a module, the ReLU above all: what the paper of
    Grad-CAM calls the activations of a layer, and what a network for CAM pools.
    """

    def is_spatial(aval: Any) -> bool:
        shape = getattr(aval, "shape", ())
        return len(shape) >= 3 and shape[0] == examples and max(shape[1:-1]) > 1

    spatial = [place for place, value in enumerate(values) if is_spatial(value.aval)]
    named = [place for place in spatial if values[place].name is not None]
    if not named:
        raise ValueError(
            "no layer of the model has spatial axes [N, ..., C]: its layers are "
            f"{[layer.path for layer in _listing(values)]}; name a value that has with xai.tag(value, name)."
        )
    shape = values[named[-1]].aval.shape
    return [place for place in spatial if values[place].aval.shape == shape][-1]


@dataclasses.dataclass(eq=False)
class _Pending:
    """A value that depends on the activation, and so is not known until the head is called."""

    value: Any = None  # of the activation alone: what it was at the cut


class _Cut:
    """A rule that defers every operation that depends on the value at place `site`."""

    def __init__(self, site: int):
        self.site = site
        self.seen = 0
        self.activation: _Pending | None = None
        self.deferred: list[tuple[Any, list[Any], list[_Pending]]] = []

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        self.seen += 1
        if self.seen == self.site + 1:
            self.activation = _Pending(apply(equation, inputs)[0])
            return [self.activation]
        if any(isinstance(value, _Pending) for value in inputs):
            pending = [_Pending() for _ in equation.outvars]
            self.deferred.append((equation, inputs, pending))
            return pending
        return apply(equation, inputs)


def _known(value: Any, values: dict[_Pending, Any]) -> Any:
    return values[value] if isinstance(value, _Pending) else value
