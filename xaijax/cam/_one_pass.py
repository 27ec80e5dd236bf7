"""Maps from one forward pass and the gradient of the tail: turns an equation into an explainer."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.target import Target
from xaijax._core.typing import Array, Inputs, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.cam._map import Cut, Finish, LayerOptions, Tapped, axes_of, tap_layer
from xaijax.cam._options import (
    MapOptions,
    check_option_names,
    explainer,
    layer_options,
    read_arguments,
    read_finish,
    read_layer,
)

P = ParamSpec("P")


class _EquationMap(Protocol):
    """An explainer made from an equation; `xai.cam.several` and `xai.cam.fuse` read the equation from it."""

    __name__: str
    equation: Callable[..., Array]
    title: str
    relu: bool


class OnePassMap(_EquationMap, Protocol):
    """A map without options of its own."""

    def __call__(
        self,
        model: ModelLike,
        x: Inputs,
        *,
        layer: str | None = None,
        target: TargetLike = None,
        grid: tuple[int, ...] | None = None,
        channel_axis: int | tuple[int, int] | None = None,
        relu: bool = ...,
        upsample: bool | tuple[int, ...] = False,
        normalize: bool = False,
    ) -> Attribution: ...


class OnePassMapWithOptions(_EquationMap, Protocol[P]):
    """A map with options of its own."""

    def __call__(self, model: ModelLike, x: Inputs, *arguments: P.args, **options: P.kwargs) -> Attribution: ...


# A map, or one with options: functools.partial(xai.cam.kpca_cam, kernel="rbf") or (xai.cam.kpca_cam, {"kernel": "rbf"}).
MapLike = (
    OnePassMap | OnePassMapWithOptions[...] | functools.partial[Attribution] | tuple[_EquationMap, Mapping[str, Any]]
)


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation with its options and its finish, compared by value; a compiled explainer is made for it."""

    function: Callable[..., Array]
    title: str
    finish: Finish
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, tapped: Tapped) -> Array:
        return self.function(tapped, **dict(self.options))


def one_pass(title: str, *, relu: bool) -> Callable[[Callable[[Tapped], Array]], OnePassMap]:
    """Turns the equation of a map into an explainer with the options that all maps share.

    Why: for a map of your own from one forward pass. All classes at once, resizing, compilation, `xai.cam.several` and
    `xai.cam.fuse` come with it.

    Args:
      title: the name of the map, which its attributions have as `method`.
      relu: whether the map keeps positive evidence only, unless a caller says otherwise: the paper's choice.

    Returns:
      A decorator of a function from `xai.cam.Tapped` to maps [N, *space]. The explainer is called as
      (model, x, *, layer=..., target=..., ...), like `xai.cam.grad_cam`. Keyword-only arguments of the function after
      the first are options of the explainer: Python numbers or strings.

    Raises:
      TypeError: if an argument, or what is decorated, is of another type.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> @xai.cam.one_pass("Max-CAM", relu=True)
    ... def max_cam(tapped):
    ...     return tapped.weigh(tapped.gradients.max(axis=tapped.space))
    >>> model = xai.compose(lambda x: x, lambda a: a[:, 0, 0])
    >>> max_cam(model, jnp.ones((1, 2, 2, 3)), target=1).values.tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    if not isinstance(title, str) or not title:
        raise TypeError(f'`title` must be the name of the map, such as "Max-CAM", got {check.shown(title)}.')
    relu = check.flag("relu", relu)

    def decorate(equation: Callable[[Tapped], Array]) -> OnePassMap:
        if not callable(equation):
            raise TypeError(f"`equation` must be a function of `xai.cam.Tapped`, got {check.shown(equation)}.")
        return _explainer(equation, title=title, relu=relu)

    return decorate


def one_pass_with_options(
    title: str, *, relu: bool
) -> Callable[[Callable[Concatenate[Tapped, P], Array]], OnePassMapWithOptions[P]]:
    """Turns an equation with keyword arguments into an explainer, which has them as static options.

    `**_: Unpack[MapOptions]` among the equation's arguments tells type checkers the options that all maps share.
    """
    return functools.partial(_explainer, title=title, relu=relu)


def _explainer(equation: Callable[..., Array], *, title: str, relu: bool) -> Any:
    def explain(model: Any, x: Any, shared: dict[str, Any], own: dict[str, Any]) -> Attribution:
        finish = read_finish(shared["relu"], shared["upsample"], shared["normalize"])
        chosen = Equation(equation, title, finish, _static(own))
        model, x, target = read_arguments(model, x, shared["target"])
        (attribution,) = _explain(model, x, target, equations=(chosen,), layer=read_layer(shared))
        return attribution

    explaining = explainer(equation, explain, MapOptions, relu=relu)
    explaining.equation, explaining.title, explaining.relu = equation, title, relu
    return explaining


def several(
    model: ModelLike,
    x: Inputs,
    maps: Sequence[MapLike],
    *,
    layer: str | None = None,
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] | None = None,
    relu: bool | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> dict[str, Attribution]:
    """Computes several maps of one layer that share one forward pass and one gradient of the tail.

    Args:
      model: any model.
      x: [N, ...] inputs.
      maps: one-pass maps, such as [xai.cam.grad_cam, xai.cam.hires_cam, xai.cam.layer_cam]; with options as
        `functools.partial(xai.cam.kpca_cam, kernel="rbf")` or `(xai.cam.kpca_cam, {"kernel": "rbf"})`.
      layer: the path of the layer. Default: the last one with spatial axes.
      target: as for each of the maps.
      grid: the sides (h, w) of a layer of tokens.
      channel_axis: the axis of the channels, 1 for channels first; two axes where the layer's differs from the input's.
      relu: default None, for each map as in its paper.
      upsample: resize the maps to the size of the input, or to a size.
      normalize: divide each map by its largest absolute value; with relu, bring it to [0, 1].

    Returns:
      An attribution for each map by its name, equal to that of the map alone. The names of maps that are given more
      than once include their options, such as "kpca_cam(kernel='rbf')".

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)) ** 2)
    >>> maps = xai.cam.several(model, jnp.ones((1, 2, 2, 3)), [xai.cam.grad_cam, xai.cam.hires_cam])
    >>> {name: attribution.values[0, 0, 0].item() for name, attribution in maps.items()}
    {'grad_cam': 8.0, 'hires_cam': 8.0}
    """
    shared = {"upsample": upsample, "normalize": normalize} | ({} if relu is None else {"relu": relu})
    equations = tuple(
        read_equation(f"maps[{index}]", method, shared) for index, method in enumerate(_checked_list("maps", maps))
    )
    model, x, target = read_arguments(model, x, target)
    options = layer_options(layer, grid, channel_axis)
    attributions = _explain(model, x, target, equations=equations, layer=options)
    return dict(zip(_names(equations), attributions, strict=True))


def read_equation(name: str, method: Any, shared: dict[str, Any]) -> Equation:
    """Reads a one-pass map, alone or with options; the map's own options come before `shared`."""
    method, given = _without_options(name, method)
    if not hasattr(method, "equation"):
        raise TypeError(
            f"`{name}` must be a one-pass map such as xai.cam.grad_cam, got {check.shown(method)}: maps that evaluate changed "
            "inputs share no pass; call them separately."
        )
    finish = {"relu": method.relu, "upsample": False, "normalize": False}
    own = [option for option in inspect.signature(method.equation).parameters if option not in ("tapped", "_")]
    check_option_names(method.__name__, given, [*finish, *own])
    finish = read_finish(**{option: {**finish, **shared, **given}[option] for option in finish})
    options = {option: value for option, value in given.items() if option in own}
    return Equation(method.equation, method.title, finish, _static(options))


def _without_options(name: str, method: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(method, functools.partial) and not method.args:
        return method.func, method.keywords
    if isinstance(method, tuple) and len(method) == 2 and isinstance(method[1], Mapping):
        return method[0], dict(method[1])
    return method, {}


def _checked_list(name: str, values: Any) -> Sequence[Any]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise TypeError(
            f"`{name}` must be a list of one-pass maps such as [xai.cam.grad_cam], got {check.shown(values)}."
        )
    return values


def _static(options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Returns options as a tuple that compares by value."""
    for name, value in options.items():
        if isinstance(value, jax.Array) or not hasattr(type(value), "__hash__") or type(value).__hash__ is None:
            raise TypeError(f"`{name}` must be a Python number or string, got {check.shown(value)}.")
    return tuple(sorted(options.items()))


def _names(equations: Sequence[Equation]) -> list[str]:
    """Returns the equations' names, with options where a name is given twice."""
    short = [equation.function.__name__ for equation in equations]
    options = [", ".join(f"{option}={value!r}" for option, value in equation.options) for equation in equations]
    names = [f"{name}({given})" if short.count(name) > 1 and given else name for name, given in zip(short, options, strict=True)]  # fmt: skip
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"`maps` must differ in map or options, got {repeated[0]} more than once: leave one out.")
    return names


@compiled(
    static_argnames=("equations", "layer"),
    title=lambda options: ", ".join(equation.title for equation in options["equations"]),
)
def _explain(
    model: Model, x: Any, target: Target, *, equations: tuple[Equation, ...], layer: LayerOptions
) -> list[Attribution]:
    cut = tap_layer(model, x, layer)
    if target.every:
        maps, scores = _every_class(cut, equations)
    else:
        tapped, target = cut.differentiate(target)
        scores = tapped.scores
        maps = [equation.finish(equation(tapped), cut.inputs) for equation in equations]
        maps = check.nan_where(jnp.isnan(scores), maps)  # a NaN score: the class does not exist
    return [
        Attribution(
            values=values,
            output=scores,
            target=target.index,
            axes=axes_of(values.ndim - 1 - target.every, every_class=target.every),
            method=equation.title,
        )
        for equation, values in zip(equations, maps, strict=True)
    ]


def _every_class(cut: Cut, equations: tuple[Equation, ...]) -> tuple[list[Array], Array]:
    """Computes maps [N, *space, K] of all K classes: features and tail once, the tail's backward pass for each class."""
    activations, tail, inputs = cut
    outputs, pull_back = jax.vjp(tail, activations)
    every = Target(every=True)
    scores, pull_scores = jax.vjp(every.select, outputs)

    def of_class(index: Array) -> list[Array]:
        (gradients,) = pull_back(*pull_scores(jnp.zeros_like(scores).at[:, index].set(1)))
        tapped = Tapped(activations, gradients, scores[:, index], lambda values: every.select(tail(values))[:, index])
        return [equation.finish(equation(tapped), inputs) for equation in equations]

    classes_at_once = rows_at_once(None, activations.nbytes)
    maps = in_blocks(jax.vmap(of_class), jnp.arange(scores.shape[1]), classes_at_once)
    return [jnp.moveaxis(values, 0, -1) for values in maps], scores
