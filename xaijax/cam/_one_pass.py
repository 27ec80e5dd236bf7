"""Maps that cost one forward pass and the gradient of the tail: what turns an equation into an explainer."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution, axes_of_map
from xaijax._core.blocks import in_blocks, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.target import Target, TargetLike
from xaijax._core.typing import Array
from xaijax._model import Model
from xaijax.cam._map import Finish, Tapped, differentiate, read_arguments, read_finish, read_shape, tap_places

_ARGUMENTS = """\
  model: any model: `xai.linen(...)`, an NNX module, a function with tagged values, `xai.compose(features, head)`.
  x: [N, ...] inputs, or a PyTree of them.
  layer: the path of the layer, from `xai.layers(model, x)`. Default: the last one with spatial axes, where concepts
    are highest and places still there. (Where a class token is read, the patches after the last attention have no
    influence and the map is zero: name a layer before it.)
  target: an int, ints [N], a callable from outputs to one number for each example, one of `xai.target`, "all" for a
    map of every class [N, h, w, K], or None for the top class.
  grid: the places (h, w) of a layer of tokens [N, T, C]; class and register tokens before them are dropped. Default:
    inferred where the input is an image.
  relu: keep only what speaks for the target; turn off for signed maps. Default: as in the paper.
  upsample: resize the maps linearly to the size of the input, or to a size (h, w). Default off: as the layer sees it.
  normalize: bring each map to [0, 1]. Default off: raw values can be compared between examples.
"""
_RETURNS = """\

Returns:
  values [N, h, w] (or as many spatial axes as the layer has), output [N] the explained scores, target [N].

Raises:
  TypeError, ValueError: if the layer is unknown or has no spatial axes, the target is out of range, x holds NaN or
    does not fit the model.
"""


class OnePassMap(Protocol):
    """An explainer made of an equation; `xai.cam.several` and `xai.cam.fuse` take the equation from it."""

    __name__: str
    equation: Callable[..., Array]
    title: str
    relu: bool

    def __call__(
        self,
        model: Any,
        x: Any,
        *,
        layer: str | None = None,
        target: TargetLike = None,
        grid: tuple[int, ...] | None = None,
        relu: bool = ...,
        upsample: bool | tuple[int, ...] = False,
        normalize: bool = False,
        **options: Any,
    ) -> Attribution: ...


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation with its options, to be compared by value: what a compiled explainer is made for."""

    function: Callable[..., Array]
    title: str
    finish: Finish
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, tapped: Tapped) -> Array:
        return self.function(tapped, **dict(self.options))


def one_pass(title: str, *, relu: bool) -> Callable[[Callable[..., Array]], OnePassMap]:
    """Turns the equation of a map, tapped -> map [N, *space], into an explainer (model, x, ...) -> Attribution.

    The equation's own keyword arguments become static options of the explainer; relu is the paper's choice.
    """

    def decorate(equation: Callable[..., Array]) -> OnePassMap:
        def explain(
            model: Any,
            x: Any,
            *,
            layer: str | None = None,
            target: TargetLike = None,
            grid: tuple[int, ...] | None = None,
            relu: bool = relu,
            upsample: bool | tuple[int, ...] = False,
            normalize: bool = False,
            **options: Any,
        ) -> Attribution:
            chosen = Equation(equation, title, read_finish(relu, upsample, normalize), _read_options(equation, options))
            (attribution,) = run(model, x, (chosen,), layer, target, grid)
            return attribution

        explain.__name__ = explain.__qualname__ = equation.__name__
        explain.__module__ = equation.__module__
        explain.__doc__ = _document(equation)
        explain.__signature__ = _signature(explain, equation)  # pyright: ignore[reportFunctionMemberAccess]
        for name, value in {"equation": equation, "title": title, "relu": relu}.items():
            setattr(explain, name, value)
        return cast(OnePassMap, explain)

    return decorate


def several(
    model: Any,
    x: Any,
    maps: Sequence[OnePassMap],
    *,
    layer: str | None = None,
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    relu: bool | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> dict[str, Attribution]:
    """Several maps of one layer for the price of one: they share the forward pass and the gradient of the tail.

    Args:
      model: any model.
      x: [N, ...] inputs.
      maps: one-pass maps, such as [xai.cam.grad_cam, xai.cam.hires_cam, xai.cam.layer_cam].
      layer: the path of the layer. Default: the last one with spatial axes.
      target: as for each of the maps.
      grid: the places (h, w) of a layer of tokens.
      relu: default, for each map as in its paper.
      upsample: resize the maps to the size of the input, or to a size.
      normalize: bring each map to [0, 1].

    Returns:
      An attribution for each map, by its name, each with the numbers that the map alone gives.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)) ** 2)
    >>> found = xai.cam.several(model, jnp.ones((1, 2, 2, 3)), [xai.cam.grad_cam, xai.cam.hires_cam])
    >>> {name: attribution.values[0, 0, 0].item() for name, attribution in found.items()}
    {'grad_cam': 8.0, 'hires_cam': 8.0}
    """
    chosen = []
    for number, one in enumerate(maps):
        if not hasattr(one, "equation"):
            raise TypeError(
                f"maps must be one-pass maps such as xai.cam.grad_cam, but number {number} is {one!r}: maps that are "
                "evaluated on changed inputs share no pass; call them by themselves."
            )
        chosen.append(
            Equation(one.equation, one.title, read_finish(one.relu if relu is None else relu, upsample, normalize))
        )
    answers = run(model, x, tuple(chosen), layer, target, grid)
    return {one.__name__: answer for one, answer in zip(maps, answers, strict=True)}


def run(
    model: Any, x: Any, equations: tuple[Equation, ...], layer: str | None, target: TargetLike, grid: Any
) -> list[Attribution]:
    model, x, target = read_arguments(model, x, target)
    return _explain(model, x, target, equations=equations, layer=layer, grid=read_shape("grid", grid))


@compiled(
    static_argnames=("equations", "layer", "grid"),
    title=lambda options: ", ".join(one.title for one in options["equations"]),
)
def _explain(
    model: Model,
    x: Any,
    target: Target,
    *,
    equations: tuple[Equation, ...],
    layer: str | None,
    grid: tuple[int, ...] | None,
) -> list[Attribution]:
    activations, tail = tap_places(model, x, layer, grid)
    if target.every:
        maps, scores = _every_class(activations, tail, x, equations)
    else:
        tapped, target = differentiate(activations, tail, target)
        scores = tapped.scores
        maps = [equation.finish(equation(tapped), x) for equation in equations]
        maps = check.nan_where(jnp.isnan(scores), maps)  # NaN: there is no such class
    return [
        Attribution(
            values=values,
            output=scores,
            target=target.index,
            axes=" ".join(["N", axes_of_map(values.ndim - 1 - target.every), *["K"] * target.every]),
            method=equation.title,
        )
        for equation, values in zip(equations, maps, strict=True)
    ]


def _every_class(
    activations: Array, tail: Callable[[Array], Any], x: Any, equations: tuple[Equation, ...]
) -> tuple[list[Array], Array]:
    """Maps [N, *space, K] of all K classes: the features once, the tail once, its backward for each class."""
    outputs, pull_back = jax.vjp(tail, activations)
    every = Target(every=True)
    scores, pull_scores = jax.vjp(every.select, outputs)

    def of_class(number: Array) -> list[Array]:
        (gradients,) = pull_back(*pull_scores(jnp.zeros_like(scores).at[:, number].set(1)))
        tapped = Tapped(activations, gradients, scores[:, number], lambda values: every.select(tail(values))[:, number])
        return [equation.finish(equation(tapped), x) for equation in equations]

    classes_at_once = rows_at_once(None, activations.nbytes)
    maps = in_blocks(jax.vmap(of_class), jnp.arange(scores.shape[1]), classes_at_once)
    return [jnp.moveaxis(values, 0, -1) for values in maps], scores


def _read_options(equation: Callable[..., Array], options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    known = [
        name
        for name, parameter in inspect.signature(equation).parameters.items()
        if parameter.kind == parameter.KEYWORD_ONLY
    ]
    for name in options:
        if name not in known:
            raise TypeError(f"{equation.__name__}() has no option {name!r}; its own options are {known}.")
    return tuple(sorted(options.items()))


def _signature(explain: Any, equation: Callable[..., Array]) -> inspect.Signature:
    """The explainer's signature with the equation's own options in the place of **options."""
    shared = list(inspect.signature(explain).parameters.values())[:-1]
    own = [one for one in inspect.signature(equation).parameters.values() if one.kind == one.KEYWORD_ONLY]
    return inspect.Signature([*shared, *own], return_annotation=Attribution)


def _document(equation: Callable[..., Array]) -> str:
    """The equation's docstring with the sections that all maps share before its references."""
    summary, _, references = inspect.cleandoc(equation.__doc__ or "").partition("\n\nReferences:")
    if "\nArgs:" not in summary:
        summary += "\n\nArgs:"
    text = f"{summary}\n{_ARGUMENTS}{_RETURNS}\nReferences:{references}\n"
    return textwrap.indent(text, "    ").replace("    ", "", 1)
