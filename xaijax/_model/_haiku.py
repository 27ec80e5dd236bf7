"""Haiku's transformed functions as models."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from xaijax._core import check
from xaijax._model._lazy import LazyModule
from xaijax._model._model import Model, path_name
from xaijax._model._tag import tag_outputs

if TYPE_CHECKING:
    import haiku as hk
else:
    hk = LazyModule("haiku", "pip install dm-haiku")


class HaikuModel(Model):
    """A transformed function (static) with its parameters and state (arrays) and call options (static)."""

    def __init__(self, transformed: Any, parameters: Any, state: Any, **options: Any):
        takes_key = "rng" in inspect.signature(transformed.apply).parameters  # not after hk.without_apply_rng
        super().__init__((transformed.apply, parameters, state), takes_key, tuple(sorted(options.items())))

    def _call(self, x: Any) -> Any:
        apply, parameters, state = self.content
        takes_key, options = self.static.options
        states = () if state is None else (state,)
        keys = (None,) if takes_key else ()
        outputs = apply(parameters, *states, *keys, x, **dict(options))  # pyright: ignore[reportArgumentType, reportCallIssue]
        return outputs if state is None else outputs[0]

    def _parameter_name(self, keys: Any) -> str | None:
        """Parameters are the second part of the content."""
        return path_name(keys[1:]) if path_name(keys[:1]) == "1" else None

    def _call_tagged(self, x: Any) -> Any:
        with tagging():
            return self._call(x)


def haiku(transformed: Any, parameters: Any, state: Any = None, **options: Any) -> Model:
    """Makes a model of a function transformed by Haiku: `model(x) = transformed.apply(parameters, None, x, **options)`.

    Why: Haiku keeps parameters apart from the function. Here they are the leaves of a callable PyTree, so that new ones
    never recompile, and the outputs of the modules are layers, named as in the parameters, such as "net/~/conv".

    Args:
      transformed: from `hk.transform`, or `hk.transform_with_state`; with or without `hk.without_apply_rng`.
      parameters: from `transformed.init`, or their trained version.
      state: for `hk.transform_with_state`. The state that a call returns is dropped.
      **options: keyword arguments of the function, static. They must select inference mode, such as is_training=False: the
        function gets no random key.

    Returns:
      A model that every explainer takes.

    Raises:
      TypeError: if `transformed` is not from Haiku, or the state is missing or one too many.
      ImportError: if Haiku is not installed.
    """
    if not isinstance(transformed, (hk.Transformed, hk.TransformedWithState)):
        raise TypeError(f"`transformed` must come from hk.transform, got {check.shown(transformed)}.")
    for name, value in [("parameters", parameters), ("state", state)]:
        if not hasattr(value, "keys") and not (name == "state" and value is None):
            raise TypeError(f"`{name}` must be a dict from transformed.init, got {check.shown(value)}.")
    if isinstance(transformed, hk.TransformedWithState) != (state is not None):
        needed = "given for hk.transform_with_state" if state is None else "None for hk.transform"
        raise TypeError(f"`state` must be {needed}, got {check.shown(state)}.")
    return HaikuModel(transformed, parameters, state, **options)


def adapt(model: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Model | None:
    """Refuses a transformed function without its parameters; None for anything else."""
    if isinstance(model, (hk.Transformed, hk.TransformedWithState)):
        raise TypeError(
            "`model` must come with its parameters, got a function of Haiku alone: pass xai.haiku(transformed, parameters)."
        )
    return None


def tagging() -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which the outputs of modules are tagged by the modules' paths."""
    return hk.intercept_methods(_tag_method)


def _tag_method(next_method: Any, args: Any, kwargs: Any, context: Any) -> Any:
    outputs = next_method(*args, **kwargs)
    path, method = context.module.module_name, context.method_name
    is_property = isinstance(getattr(type(context.module), method, None), property)
    if is_property or (method.startswith("_") and method != "__call__"):
        return outputs
    return tag_outputs(outputs, path if method == "__call__" else f"{path}.{method}")
