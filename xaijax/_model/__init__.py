"""Idea 1: a model is a callable PyTree. Nothing outside this folder knows about frameworks."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import flax.linen as nn
from flax import nnx

from xaijax._model._attention import tagged_attention
from xaijax._model._linen import LinenModel, linen
from xaijax._model._model import FunctionModel, Model, function
from xaijax._model._nnx import NnxModel
from xaijax._model._tag import tag

__all__ = ["FunctionModel", "Model", "as_model", "function", "linen", "tag", "tagged_attention"]


def as_model(model: Any) -> Model:
    """Any model that a user may pass, as the one PyTree type the explainers work with."""
    if isinstance(model, Model):
        return model
    arguments, options = (), {}
    if isinstance(model, functools.partial):  # model options: functools.partial(nnx_module, train=False)
        model, arguments, options = model.func, model.args, model.keywords
    if isinstance(model, nn.Module):
        if model.scope is None:
            raise TypeError(
                f"model is the Linen module {type(model).__name__} without its variables: "
                "pass xai.linen(module, variables)."
            )
        module, variables = model.unbind()
        return LinenModel(module, variables, **options)
    if isinstance(model, nnx.Module):
        return NnxModel(model, "__call__", *arguments, **options)
    if inspect.ismethod(model):
        owner = model.__self__
        if isinstance(owner, nnx.Module):
            return NnxModel(owner, model.__name__, *arguments, **options)
        return FunctionModel(model.__func__, owner, *arguments, **options)
    if not callable(model):
        raise TypeError(f"model must be callable as model(x[N, ...]), but it is {type(model).__name__}.")
    return FunctionModel(model, *arguments, **options)
