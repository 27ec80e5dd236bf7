"""Idea 1: a model is a callable PyTree. Nothing outside this folder knows about frameworks.

Flax is imported when it is needed first: explainers that were exported, games and plain functions do without.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from xaijax._model._model import FunctionModel, Model, function
from xaijax._model._tag import tag

if TYPE_CHECKING:
    from xaijax._model._attention import tagged_attention
    from xaijax._model._linen import linen

__all__ = ["FunctionModel", "Model", "as_model", "function", "linen", "tag", "tagged_attention"]

_OF_FLAX = {"linen": "_linen", "tagged_attention": "_attention"}


def __getattr__(name: str) -> Any:
    if name in _OF_FLAX:
        return getattr(importlib.import_module(f"xaijax._model.{_OF_FLAX[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def as_model(model: Any) -> Model:
    """Any model that a user may pass, as the one PyTree type the explainers work with."""
    if isinstance(model, Model):
        return model
    arguments, options = (), {}
    if isinstance(model, functools.partial):  # model options: functools.partial(nnx_module, train=False)
        model, arguments, options = model.func, model.args, model.keywords
    if "flax" in sys.modules:  # otherwise it is nothing of Flax
        made = _of_flax(model, arguments, options)
        if made is not None:
            return made
    if inspect.ismethod(model):
        return FunctionModel(model.__func__, model.__self__, *arguments, **options)
    if not callable(model):
        raise TypeError(f"model must be callable as model(x[N, ...]), but it is {type(model).__name__}.")
    return FunctionModel(model, *arguments, **options)


def _of_flax(model: Any, arguments: Any, options: dict[str, Any]) -> Model | None:
    """A module, or a method of one, as a model; None for anything else."""
    import flax.linen as nn
    from flax import nnx

    from xaijax._model._linen import LinenModel
    from xaijax._model._nnx import NnxModel

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
    if inspect.ismethod(model) and isinstance(model.__self__, nnx.Module):
        return NnxModel(model.__self__, model.__name__, *arguments, **options)
    return None
