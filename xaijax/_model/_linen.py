"""Flax Linen modules as models."""

from __future__ import annotations

from typing import Any

import flax.errors
import flax.linen as nn

from xaijax._core.check import did_you_mean
from xaijax._model._model import Model
from xaijax._model._tag import tag_outputs

_NOT_INFERENCE = (flax.errors.ModifyScopeVariableError, flax.errors.InvalidRngError)


class LinenModel(Model):
    """A Linen module (static) with its variables (arrays) and call options (static)."""

    def __init__(self, module: nn.Module, variables: Any, **options: Any):
        super().__init__(variables, module, tuple(sorted(options.items())))

    def __call__(self, x: Any) -> Any:
        module: Any = self.static.options[0]
        options: Any = self.static.options[1]
        try:
            return module.apply(self.content, x, **dict(options))
        except _NOT_INFERENCE as error:
            raise ValueError(
                "the Linen module is not in inference mode (it wants to update statistics or to draw random numbers): "
                "give the call option that turns this off, such as xai.linen(module, variables, train=False) or "
                f"deterministic=True. Flax said: {error}"
            ) from error

    def tagged(self, x: Any) -> Any:
        with nn.intercept_methods(_tag_method):
            return self(x)

    def parameters(self, path: str) -> dict[str, Any]:
        here = self.content.get("params", {})
        for name in path.split("/"):
            if not hasattr(here, "keys") or name not in here:
                known = [] if not hasattr(here, "keys") else sorted(here)
                raise ValueError(
                    f"the Linen model has no parameters at {path!r}: at {name!r} there is {known}"
                    f"{did_you_mean(name, known)}."
                )
            here = here[name]
        return dict(here)


def _tag_method(next_method: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    outputs = next_method(*args, **kwargs)
    path, method = "/".join(context.module.path), context.method_name
    if not path or method == "setup" or (method.startswith("_") and method != "__call__"):
        return outputs  # the root's output is the model's output, not something inside it
    return tag_outputs(outputs, path if method == "__call__" else f"{path}.{method}")


def linen(module: nn.Module, variables: Any, **options: Any) -> Model:
    """Makes a model of a Flax Linen module: `model(x) = module.apply(variables, x, **options)`.

    Why: a Linen module does not hold its variables. Here they become the leaves of a callable PyTree, so that updated
    variables never recompile an explainer and gradients of explanations flow to them.

    Args:
      module: the module, not bound to variables.
      variables: what `module.init` returned, or the trained version: `{"params": ..., "batch_stats": ...}`.
      **options: keyword arguments of the module's call, static; put it into inference mode with them
        (`train=False`, `deterministic=True`, `use_running_average=True`, whatever the module calls it).

    Returns:
      A model that every explainer takes.

    Raises:
      TypeError: if `module` is no Linen module or `variables` is no mapping with a "params" collection.
      ValueError: when called, if the module is not in inference mode.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a flax.linen.Module, but it is {type(module).__name__}.")
    if not hasattr(variables, "keys"):
        raise TypeError(f"variables must be what module.init returns, but it is {type(variables).__name__}.")
    if "params" not in variables and module.scope is None and variables:
        raise TypeError(
            f"variables must hold the collection 'params', but its keys are {sorted(variables)}: "
            "pass {'params': params} if these are the parameters alone."
        )
    return LinenModel(module, variables, **options)
