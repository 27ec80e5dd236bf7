"""Flax Linen modules as models."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import flax.errors
import flax.linen as nn
import jax
import numpy as np

from xaijax._core import check
from xaijax._model._model import Model, path_name
from xaijax._model._tag import tag_outputs

_NOT_INFERENCE = (flax.errors.ModifyScopeVariableError, flax.errors.InvalidRngError)


class LinenModel(Model):
    """A Linen module (static) with its variables and call options; options that hold arrays are no static ones."""

    def __init__(self, module: nn.Module, variables: Any, **options: Any):
        arrays = {name: value for name, value in options.items() if _holds_arrays(value)}
        static = {name: value for name, value in options.items() if name not in arrays}
        super().__init__((variables, arrays), module, tuple(sorted(static.items())))

    @property
    def content(self) -> Any:
        """The variables."""
        variables, _ = super().content
        return variables

    def _call(self, x: Any) -> Any:
        variables, arrays = super().content
        module, static = cast("tuple[nn.Module, tuple[tuple[str, Any], ...]]", self.static.options)
        try:
            return module.apply(variables, x, **arrays, **dict(static))
        except _NOT_INFERENCE as error:
            raise ValueError(
                "`model` must be a Linen module in inference mode, got one that updates statistics or draws random "
                "numbers: add its call option, such as xai.linen(module, variables, train=False) or deterministic=True. "
                f"Flax reports: {error}"
            ) from error

    def _call_tagged(self, x: Any) -> Any:
        with tagging():
            return self._call(x)

    def _parameter_name(self, keys: Any) -> str | None:
        """Parameters are the collection "params" of the variables."""
        return path_name(keys[2:]) if path_name(keys[:2]) == "0/params" else None

    def parameters(self, path: str) -> dict[str, Any]:
        level = self.content.get("params", {})
        for name in path.split("/"):
            known = sorted(level) if hasattr(level, "keys") else []
            if name not in known:
                raise ValueError(
                    f"`head` must be the path of a module with parameters, got {path!r}: at {name!r} the Linen model has "
                    f"{known}{check.did_you_mean(name, known)}."
                )
            level = level[name]
        return dict(level)


def _holds_arrays(option: Any) -> bool:
    return any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(option))


def tagging() -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which the outputs of modules are tagged by the modules' paths."""
    return nn.intercept_methods(_tag_method)


def _tag_method(next_method: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    outputs = next_method(*args, **kwargs)
    path, method = "/".join(context.module.path), context.method_name
    if not path or method == "setup" or (method.startswith("_") and method != "__call__"):
        return outputs  # the root's output is the model's output, not a layer
    return tag_outputs(outputs, path if method == "__call__" else f"{path}.{method}")


def adapt(model: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> LinenModel | None:
    """Returns a model of a bound Linen module; None for anything else."""
    if not isinstance(model, nn.Module):
        return None
    if model.scope is None:
        raise TypeError(
            f"`model` must come with its variables, got the Linen module {type(model).__name__} alone: pass "
            "xai.linen(module, variables)."
        )
    module, variables = model.unbind()
    return LinenModel(module, variables, **options)


def linen(module: nn.Module, variables: Any, **options: Any) -> Model:
    """Makes a model of a Flax Linen module: `model(x) = module.apply(variables, x, **options)`.

    Why: a Linen module does not hold its variables. Here they become the leaves of a callable PyTree, so that updated
    variables never recompile an explainer and gradients of explanations flow to them.

    Args:
      module: the module, not bound to variables.
      variables: the result of `module.init`, or its trained version: `{"params": ..., "batch_stats": ...}`.
      **options: keyword arguments of the module's call, such as a cache or positions, or of `module.apply`, such as method
        and rngs. Their arrays are arguments of compiled programs, the others are static. They must select inference mode,
        under the name that the module uses: `train=False`, `deterministic=True` or `use_running_average=True`.

    Returns:
      A model that every explainer takes.

    Raises:
      TypeError: if `module` is not a Linen module, or `variables` is not a mapping with the collection "params".
      ValueError: when called, if the module is not in inference mode.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"`module` must be a flax.linen.Module, got {check.shown(module)}.")
    if not hasattr(variables, "keys"):
        raise TypeError(f"`variables` must be the result of module.init, got {check.shown(variables)}.")
    if "params" not in variables and module.scope is None and variables:
        raise TypeError(
            f"`variables` must hold the collection 'params', got the keys {sorted(variables)}: pass {{'params': params}} "
            "if these are the parameters alone."
        )
    return LinenModel(module, variables, **options)
