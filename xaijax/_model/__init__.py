"""Idea 1: a model is a callable PyTree. Only this folder knows about frameworks.

Flax is imported when it is needed first: exported explainers, games and plain functions work without it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from xaijax._core import check
from xaijax._model._errors import module_in_closure, refuse_outside_jax
from xaijax._model._model import FunctionModel, Model, function, unflatten
from xaijax._model._tag import tag

if TYPE_CHECKING:
    from xaijax._model._attention import tagged_attention
    from xaijax._model._linen import linen

__all__ = [
    "FunctionModel",
    "Model",
    "as_model",
    "function",
    "linen",
    "module_in_closure",
    "tag",
    "tagged_attention",
    "unflatten",
]

_OF_FLAX = {"linen": "_linen", "tagged_attention": "_attention"}


def __getattr__(name: str) -> Any:
    """Imports an adapter of Flax on its first use."""
    if name in _OF_FLAX:
        return getattr(importlib.import_module(f"xaijax._model.{_OF_FLAX[name]}"), name)
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
    refuse_outside_jax(model, role)
    if "flax" in sys.modules:  # otherwise no object of Flax exists
        flax_model = _of_flax(model, arguments, options)
        if flax_model is not None:
            return flax_model
    if inspect.ismethod(model):
        return _with_role(FunctionModel(model.__func__, model.__self__, *arguments, **options), role)
    if not callable(model) or isinstance(model, type):
        raise TypeError(f"`{role}` must be callable as {role}(x[N, ...]), got {check.shown(model)}.")
    return _with_role(FunctionModel(model, *arguments, **options), role)


def _with_role(model: FunctionModel, role: str) -> FunctionModel:
    model.static = dataclasses.replace(model.static, role=role)
    return model


def _of_flax(model: Any, arguments: Any, options: dict[str, Any]) -> Model | None:
    """Returns a model of a Flax module or of a method of one; None for anything else."""
    import flax.linen as nn
    from flax import nnx

    from xaijax._model._linen import LinenModel
    from xaijax._model._nnx import NnxModel

    if isinstance(model, nn.Module):
        if model.scope is None:
            raise TypeError(
                f"`model` must come with its variables, got the Linen module {type(model).__name__} alone: pass "
                "xai.linen(module, variables)."
            )
        module, variables = model.unbind()
        return LinenModel(module, variables, **options)
    if isinstance(model, nnx.Module):
        return NnxModel(model, "__call__", *arguments, **options)
    if inspect.ismethod(model) and isinstance(model.__self__, nnx.Module):
        return NnxModel(model.__self__, model.__name__, *arguments, **options)
    return None
