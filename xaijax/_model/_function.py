"""Functions as models, with the layers of the modules that they call."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Callable
from typing import Any

import jax

from xaijax._core import check
from xaijax._core.calls import call_noted
from xaijax._model._equal_functions import earlier_function, note_call
from xaijax._model._model import Model, path_name

# The frameworks whose modules a function may apply, and the adapters that have `tagging()`, a context that names layers.
_APPLIED = {"flax": "_linen", "haiku": "_haiku"}
# Those whose modules hold their parameters and may be bound, and the adapters that have `is_module` and `prepared`.
_BOUND = {"flax": "_nnx", "equinox": "_equinox"}
_STATISTICS = "batch_stats"  # the collection of variables of Linen


class FunctionModel(Model):
    """A function, or any callable PyTree (Equinox modules, `jax.tree_util.Partial`), with leading arguments bound."""

    def __init__(self, function: Callable[..., Any], *parameters: Any, **options: Any):
        earlier = earlier_function(function)
        super().__init__((earlier, parameters, options))
        if earlier is not function:  # variables that the function reads may change before it is called
            throwaway = (function, *self.static.throwaway[1:])
            self.static = dataclasses.replace(self.static, throwaway=throwaway, function=function)

    def _call(self, x: Any) -> Any:
        note_call(self.static.function or self.static.leaves[0])
        return self._outputs(x, tagged=False)

    def _call_tagged(self, x: Any) -> Any:
        note_call(self.static.function or self.static.leaves[0])
        with contextlib.ExitStack() as stack:
            for framework, adapter in _APPLIED.items():
                if framework in sys.modules:
                    stack.enter_context(_adapter(adapter).tagging())
            return self._outputs(x, tagged=True)

    def parameter_names(self) -> tuple[str | None, ...]:
        names = super().parameter_names()
        return _adapter("_nnx").names_of_variables(self._tree(), names) if "flax" in sys.modules else names

    def _parameter_name(self, keys: Any) -> str | None:
        """Parameters are all that is bound, but the statistics of Linen; a single one needs no index."""
        _, parameters, _ = self.static.treedef.children()
        is_single = len(parameters.children()) == 1 and path_name(keys[:2]) == "1/0" and len(keys) > 2
        return None if _STATISTICS in path_name(keys).split("/") else path_name(keys[2 if is_single else 1 :])

    def _outputs(self, x: Any, *, tagged: bool) -> Any:
        function, parameters, options = self.content
        for framework, adapter in _BOUND.items():
            if framework in sys.modules:
                parameters, options = _prepared(_adapter(adapter), (parameters, options), tagged=tagged)
        return (self.static.function or function)(*parameters, x, **options)


def _adapter(name: str) -> Any:
    return importlib.import_module(f"xaijax._model.{name}")


def _prepared(adapter: Any, arguments: Any, *, tagged: bool) -> Any:
    """Returns (parameters, options) with the modules of a framework in inference mode, and tagged if asked for.

    The layers of a single module are named by their paths in it; those of several by the module's path in the arguments too.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(arguments, is_leaf=adapter.is_module)
    several = sum(adapter.is_module(leaf) for _, leaf in leaves) > 1

    def prepared(keys: Any, leaf: Any) -> Any:
        if not adapter.is_module(leaf):
            return leaf
        prefix = jax.tree_util.keystr(keys[1:], simple=True, separator="/") if several else ""
        return adapter.prepared(leaf, prefix, tagged=tagged)

    return jax.tree.unflatten(structure, [prepared(keys, leaf) for keys, leaf in leaves])


def function(function: Callable[..., Any], *parameters: Any, **options: Any) -> Model:
    """Makes a model of a function with parameters: `model(x) = function(*parameters, x, **options)`.

    Why: weights that a function only closes over become constants of the compiled program, so every update of them
    recompiles. Bound here they are arguments, and gradients of explanations flow to them. Networks that are called with
    more than their input (positions, a cache, a mask, keys) or that return more than one array become models in a few
    lines. Modules of NNX and Equinox among the parameters, and those of Linen and Haiku that the function applies, have
    layers.

    Args:
      function: maps (*parameters, x[N, ...]) to outputs [N, K] or [N].
      *parameters: PyTrees of arrays; their other leaves are static. Modules of NNX and Equinox
        among them are called in inference mode.
      **options: keyword arguments, bound likewise.

    Returns:
      A model that every explainer takes.

    Raises:
      TypeError: if `function` is not callable, or a parameter is neither an array nor hashable.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0]))
    >>> model(jnp.array([[3.0, 4.0]]))
    Array([11.], dtype=float32)

    A transformer of NNX that returns (logits, cache), explained at its last token:

    >>> def next_token(net, ids):
    ...     positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    ...     logits, _ = net(ids, positions, None, ids != 0)
    ...     return logits[:, -1]
    >>> # model = xai.function(next_token, net)
    """
    if not callable(function):
        raise TypeError(f"`function` must be callable as function(*parameters, x), got {check.shown(function)}.")
    return FunctionModel(function, *parameters, **options)


def function_of_several(name: str, signature: str, function: Any) -> FunctionModel:
    """Returns a user's function of several arguments as a model of a tuple of them.

    name: of the argument that the function was passed as. signature: how it is called, for the error.
    """
    if isinstance(function, FunctionModel):
        function, parameters, options = function.content
        model = FunctionModel(_spread, name, function, *parameters, **options)
    elif callable(function) and not isinstance(function, type | Model):
        model = FunctionModel(_spread, name, function)
    else:
        raise TypeError(f"`{name}` must be a function {signature}, got {check.shown(function)}.")
    model.static = dataclasses.replace(model.static, role=name)
    return model


def _spread(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    *parameters, inputs = arguments
    return call_noted(name, function, *parameters, *inputs, **options)
