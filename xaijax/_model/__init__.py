"""Idea 1: a model is a callable PyTree. Only this folder knows about frameworks, with one adapter per file.

A framework is imported when it is needed first: exported explainers, games and plain functions work without it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from xaijax._core import check
from xaijax._core.typing import ModelLike
from xaijax._model._callback import CallbackModel, callback, of_estimator, run_watched
from xaijax._model._equal_functions import compute_the_same
from xaijax._model._errors import is_estimator, is_method_of_library, module_in_closure, refuse_outside_jax
from xaijax._model._function import FunctionModel, function, function_of_several
from xaijax._model._model import Model, OutputModel, WrappedModel, unflatten
from xaijax._model._output import Output, read_output, several
from xaijax._model._replay import ReplayedModel
from xaijax._model._tag import tag

if TYPE_CHECKING:
    from xaijax._model._attention import tagged_attention
    from xaijax._model._equinox import equinox
    from xaijax._model._haiku import haiku
    from xaijax._model._keras import keras
    from xaijax._model._linen import linen

__all__ = [
    "CallbackModel",
    "FunctionModel",
    "Model",
    "ReplayedModel",
    "WrappedModel",
    "as_model",
    "callback",
    "compute_the_same",
    "equinox",
    "function",
    "function_of_several",
    "haiku",
    "keras",
    "linen",
    "model",
    "module_in_closure",
    "run_watched",
    "several",
    "tag",
    "tagged_attention",
    "unflatten",
]

# The adapters: the framework whose objects they recognize, and their module, which has `adapt(model, arguments, options)`.
# A framework that is not imported has no objects, and its adapter is not imported either. A new adapter is one line here.
_ADAPTERS = [("flax", "_linen"), ("flax", "_nnx"), ("equinox", "_equinox"), ("keras", "_keras"), ("haiku", "_haiku")]
_OF_ROWS = ("target", "value")  # functions of many rows, also where they are modules
_ON_FIRST_USE = {
    "equinox": "_equinox",
    "haiku": "_haiku",
    "keras": "_keras",
    "linen": "_linen",
    "tagged_attention": "_attention",
}


def __getattr__(name: str) -> Any:
    """Imports an adapter on its first use."""
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(f"xaijax._model.{_ON_FIRST_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def as_model(model: Any, role: str = "model") -> Model:
    """Returns any model that a user may pass as the one PyTree type that the explainers work with.

    role: the name of the argument, for error messages; functions passed as targets and as games are models too.
    """
    if isinstance(model, Model):
        return model
    arguments, options = (), {}
    if isinstance(model, functools.partial):  # model options: functools.partial(nnx_module, train=False)
        model, arguments, options = model.func, model.args, model.keywords
    for framework, adapter in _ADAPTERS:
        if framework in sys.modules and not (framework == "equinox" and role in _OF_ROWS):
            adapted = importlib.import_module(f"xaijax._model.{adapter}").adapt(model, arguments, options)
            if adapted is not None:
                return adapted
    if is_estimator(model) and not arguments and not options:
        return of_estimator(model)
    if is_method_of_library(model) and not options and not arguments:
        return callback(model)
    refuse_outside_jax(model, role)
    if inspect.ismethod(model):
        return _with_role(FunctionModel(model.__func__, model.__self__, *arguments, **options), role)
    if not callable(model) or isinstance(model, type):
        raise TypeError(f"`{role}` must be callable as {role}(x[N, ...]), got {check.shown(model)}.")
    return _with_role(FunctionModel(model, *arguments, **options), role)


def model(model: ModelLike, *, output: Output = None) -> Model:
    """Makes a model of anything that explainers take, and chooses which of its outputs is explained.

    Why: many networks return several outputs: a dict, a dataclass, or a tuple such as (logits, cache). Explainers explain
    one array. The other outputs may be anything, such as None or arrays without an axis of examples, and are not computed.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, `xai.function(...)`, or a function x[N, ...] -> outputs.
      output: the output that is explained. A key of a dict, a name in a dataclass or named tuple, an index into a tuple,
        negative ones from the end, or a function of the outputs, such as `lambda outputs: outputs["heads"][0]`. Default
        None: all, for models that return one array and for targets that are functions of all outputs.

    Returns:
      A model that every explainer takes, with the same parameters and layers.

    Raises:
      TypeError: if `model` is no model, or `output` is none of the above.
      ValueError: when it is called, if it has no such output; the sentence lists its outputs.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> network = lambda x: {"logits": x @ jnp.array([1.0, 2.0]), "hidden": x}
    >>> xai.model(network, output="logits")(jnp.array([[3.0, 4.0]]))
    Array([11.], dtype=float32)
    """
    read = as_model(model)
    return read if output is None else OutputModel((read, read_output(output)))


def _with_role(model: FunctionModel, role: str) -> FunctionModel:
    model.static = dataclasses.replace(model.static, role=role)
    return model
