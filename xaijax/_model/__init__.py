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
from xaijax._model._callback import CallbackModel, callback, of_estimator, run_watched
from xaijax._model._errors import is_estimator, is_method_of_library, module_in_closure, refuse_outside_jax
from xaijax._model._model import FunctionModel, Model, function, unflatten
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
    "as_model",
    "callback",
    "equinox",
    "function",
    "haiku",
    "keras",
    "linen",
    "module_in_closure",
    "run_watched",
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


def _with_role(model: FunctionModel, role: str) -> FunctionModel:
    model.static = dataclasses.replace(model.static, role=role)
    return model
