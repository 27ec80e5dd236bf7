"""The options that all maps share: types for editors, defaults and documentation, and checks at the door."""

from __future__ import annotations

import inspect
import textwrap
import typing
from collections.abc import Callable, Mapping
from typing import Any, Required, TypedDict

import jax

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.grid import read_channel_axis
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Ids, Inputs, KeyLike, ModelLike, TargetLike
from xaijax._model import Model, as_model
from xaijax.cam._map import Finish, LayerOptions


class MapOptions(TypedDict, total=False):
    """The options of every map."""

    layer: str | None
    target: TargetLike
    grid: tuple[int, ...] | None
    channel_axis: int | tuple[int, int] | None
    relu: bool
    upsample: bool | tuple[int, ...]
    normalize: bool


class EvaluatedOptions(MapOptions, total=False):
    """The options of the maps that evaluate the model on many variants of each example."""

    batch_size: int | None


class SampledOptions(EvaluatedOptions, total=False):
    """The options of the maps that also draw random numbers."""

    key: Required[KeyLike]
    ids: Ids


_DEFAULTS = {
    "layer": None, "target": None, "grid": None, "channel_axis": None, "upsample": False, "normalize": False, "batch_size": None, "ids": None,
}  # fmt: skip
_REQUIRED = inspect.Parameter.empty
_EVERY_CLASS = ', "all" for a map of every class [N, h, w, K],'
_FIRST = ("key", "layer", "target")  # of the options in signatures and documentation
_ARGUMENTS = {
    "model": "any model: `xai.linen(...)`, an NNX module, a function with tagged values, `xai.compose(features, head)`.",
    "x": "[N, ...] inputs, or a PyTree of them.",
    "key": "a JAX random key, `jax.random.key(0)`: the same key gives the same map.",
    "layer": "the path of the layer, from `xai.layers(model, x)`. Default: the last one with spatial axes, where the "
    "features are most abstract and still have positions. (If the head reads a class token, the patches behind the last "
    "attention have no influence and the map is zero: name an earlier layer.)",
    "target": "an int, ints [N], a callable from outputs to one number for each example, one of `xai.target`{every_class} "
    "or None for the top class. Default None.",
    "grid": "the sides (h, w) that the tokens of a layer [N, T, C] are laid out on; class and register tokens before "
    "them are dropped. Default: the grid of the patches that the model's trace shows, else a map [N, T] over the tokens.",
    "channel_axis": "the axis of the channels in the input and in layers with as many axes, 1 for channels first; two axes "
    "where the layer's differs from the input's. Layers of tokens [N, T, C] have their channels last. Default: the last, "
    "and an error where a convolution or the shape of x shows another one.",
    "relu": "keep only positive evidence for the target. Default {relu}, as in the paper.",
    "upsample": "resize the maps linearly to the size of the input that the layer depends on, or to a size (h, w). Default off: "
    "the layer's size.",
    "normalize": "divide each map by its largest absolute value, so that 0 stays 0; with relu, bring it to [0, 1] by its least "
    "and largest value. Default off: raw values can be compared between examples.",
    "batch_size": "the number of model rows in one evaluation. Default: as many as suit the device.",
    "ids": "ints [N] that name the examples for their randomness. Default: their positions.",
}
_RETURNS = """\

Returns:
  values [N, h, w] (or as many spatial axes as the layer has), output [N] the explained scores, target [N].

Raises:
  TypeError, ValueError: if the layer is unknown or has no spatial axes, the target is out of range, x holds NaN or
    does not fit the model.
"""


Explain = Callable[[Any, Any, dict[str, Any], dict[str, Any]], Attribution]  # (model, x, shared options, own options)


def explainer(
    equation: Callable[..., Any], explain: Explain, shared: type, *, relu: bool, every_class: bool = True
) -> Any:
    """Returns an explainer (model, x, *, ...) -> Attribution with the signature and the documentation of an equation.

    The explainer's options are those of `shared`, a TypedDict, and the equation's own keyword arguments.
    """
    own = _own_options(equation)
    types = typing.get_type_hints(shared)
    defaults = {name: {**_DEFAULTS, "relu": relu}.get(name, _REQUIRED) for name in types}
    optional = {name: None if default is _REQUIRED else default for name, default in defaults.items()}

    def explaining(model: Any, x: Any, **options: Any) -> Attribution:
        check_option_names(equation.__name__, options, [*types, *own])
        given = {name: options[name] for name in own if name in options}
        return explain(model, x, {**optional, **{name: options[name] for name in types if name in options}}, given)

    explaining.__name__ = explaining.__qualname__ = equation.__name__
    explaining.__module__ = equation.__module__
    explaining.__doc__ = _document(equation, list(types), relu=relu, every_class=every_class)
    arguments = [_parameter("model", Any, _REQUIRED), _parameter("x", Any, _REQUIRED)]
    options = {name: _parameter(name, types[name], defaults[name], inspect.Parameter.KEYWORD_ONLY) for name in types}
    before = [options.pop(name) for name in _FIRST if name in options]
    explaining.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [*arguments, *before, *own.values(), *options.values()], return_annotation=Attribution
    )
    return explaining


def _parameter(name: str, annotation: Any, default: Any, binding: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD) -> Any:
    return inspect.Parameter(name, binding, default=default, annotation=annotation)


def _own_options(equation: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the keyword arguments of an equation itself, without the shared ones."""
    parameters = inspect.signature(equation, eval_str=True).parameters
    return {name: parameter for name, parameter in parameters.items() if parameter.kind == parameter.KEYWORD_ONLY}


def check_option_names(name: str, options: Mapping[str, Any], known: list[str]) -> None:
    """Raises TypeError for an option that an explainer does not have."""
    for option in options:
        if option not in known:
            raise TypeError(
                f"{name}() has no option {option!r}{check.did_you_mean(option, known)}; its options are {known}."
            )


def _document(equation: Callable[..., Any], shared: list[str], *, relu: bool, every_class: bool) -> str:
    """Returns the equation's docstring with the documentation of the shared options before its references."""
    text, _, references = inspect.cleandoc(equation.__doc__ or "").partition("\n\nReferences:")
    summary, _, own = text.partition("\n\nArgs:\n")
    values = {"relu": "on" if relu else "off", "every_class": _EVERY_CLASS if every_class else ","}
    described = {name: _entry(name, _ARGUMENTS[name].format_map(values)) for name in ["model", "x", *shared]}
    before = [described.pop(name) for name in ("model", "x", *_FIRST) if name in described]
    arguments = [*before, *([own] if own else []), *described.values()]
    text = "\n".join([summary, "", "Args:", *arguments, _RETURNS, f"References:{references}", ""])
    return textwrap.indent(text, "    ").replace("    ", "", 1)


def _entry(name: str, text: str) -> str:
    return textwrap.fill(f"{name}: {text}", 116, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def read_arguments(
    model: ModelLike, x: Inputs, target: TargetLike, *, all_allowed: bool = True
) -> tuple[Model, Any, Target]:
    """Checks the arguments that all maps take."""
    model = as_model(model)
    x = jax.tree.map(lambda leaf: check.numeric_array("x", leaf), x)
    num_examples = check.examples(x)
    for leaf in jax.tree.leaves(x):
        check.no_nan("x", leaf)
    model, bound = bind_target(model, x, target, num_examples, all_allowed=all_allowed)
    return model, x, bound


def read_layer(options: Mapping[str, Any]) -> LayerOptions:
    """Reads the shared options that name a layer's activations."""
    return layer_options(options["layer"], options["grid"], options["channel_axis"])


def layer_options(layer: Any, grid: Any, channel_axis: Any) -> LayerOptions:
    """Checks the options that name a layer's activations."""
    if layer is not None and not isinstance(layer, str):
        raise TypeError(f"`layer` must be a path from xai.layers(model, x), got {check.shown(layer)}.")
    return LayerOptions(layer, read_sides("grid", grid), read_channel_axis(channel_axis))


def read_finish(relu: Any, upsample: Any, normalize: Any) -> Finish:
    """Checks the options of a finished map."""
    if isinstance(upsample, str) or upsample is None:
        raise TypeError(f"`upsample` must be True, False or a size such as (224, 224), got {check.shown(upsample)}.")
    size = upsample if isinstance(upsample, bool) else read_sides("upsample", upsample) or False
    return Finish(check.flag("relu", relu), size, check.flag("normalize", normalize))


def read_sides(name: str, value: Any) -> tuple[int, ...] | None:
    """Checks a static size, such as (14, 14)."""
    if value is None:
        return None
    sides = value if isinstance(value, tuple | list) else (value,)
    if not sides or isinstance(value, str):
        raise TypeError(f"`{name}` must be a tuple of ints such as (14, 14), got {check.shown(value)}.")
    return tuple(check.positive_int(name, side) for side in sides)
