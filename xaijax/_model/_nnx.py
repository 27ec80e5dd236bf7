"""Flax NNX modules as models."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx

from xaijax._core import calls, check
from xaijax._model._model import Model, is_array, path_name
from xaijax._model._tag import tag_outputs

_TRAINING = {"deterministic": False, "use_running_average": False}


class NnxModel(Model):
    """An NNX module, explained in inference mode through one of its methods, with bound arguments."""

    def __init__(self, module: nnx.Module, method: str, *parameters: Any, **options: Any):
        super().__init__((module, parameters, options), method)

    def _call(self, x: Any) -> Any:
        return self._outputs(x, tagged=False)

    def _call_tagged(self, x: Any) -> Any:
        return self._outputs(x, tagged=True)

    def _outputs(self, x: Any, *, tagged: bool) -> Any:
        module, parameters, options = self.content
        module = prepared(module, "", tagged=tagged)
        (method,) = self.static.options
        return getattr(module, str(method))(*parameters, x, **options)

    def parameter_names(self) -> tuple[str | None, ...]:
        return names_of_variables(self._tree(), super().parameter_names())

    def _parameter_name(self, keys: Any) -> str | None:
        """Parameters belong to the module, the first part of the content."""
        return path_name(keys[1:]) if path_name(keys[:1]) == "0" else None

    def parameters(self, path: str) -> dict[str, Any]:
        module, _, _ = self.content
        modules = {"/".join(map(str, parts)): part for parts, part in nnx.iter_modules(module)}
        if path not in modules:
            raise ValueError(
                f"`head` must be the path of a module, got {path!r}{check.did_you_mean(path, modules)}: the NNX model has "
                f"{sorted(name for name in modules if name)}."
            )
        return {name: value[...] for name, value in vars(modules[path]).items() if isinstance(value, nnx.Param)}


def names_of_variables(tree: Any, names: Sequence[str | None]) -> tuple[str | None, ...]:
    """Returns the names of the arrays in a tree, in which those of variables have names only if these are `nnx.Param`."""
    renamed, remaining = [], iter(names)
    for node in jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, nnx.Variable)):
        for _ in filter(is_array, jax.tree.leaves(node)):
            name = next(remaining)
            if isinstance(node, nnx.Variable):
                name = name.removesuffix("/value") if name and isinstance(node, nnx.Param) else None
            renamed.append(name)
    return tuple(renamed)


def is_module(node: Any) -> bool:
    """Returns whether a node of a PyTree is a module of NNX."""
    return isinstance(node, nnx.Module)


def prepared(module: nnx.Module, prefix: str, *, tagged: bool) -> nnx.Module:
    """Returns a module, a copy of the user's, in inference mode, with outputs that are tagged by path if asked for."""
    paths = {"/".join([*[prefix] * bool(prefix), *map(str, path)]): part for path, part in nnx.iter_modules(module)}
    training = [
        path or type(part).__name__
        for path, part in paths.items()
        if any(getattr(part, name, None) is value for name, value in _TRAINING.items())
    ]
    if training:
        calls.warn(
            f"the NNX model is in training mode at {training}: it is explained in inference mode "
            "(model.eval()), where dropout is off and batch normalization uses its running statistics."
        )
        module.eval()
    if tagged:
        for path, part in paths.items():
            if path and callable(part):
                part.__class__ = _tagging(type(part), path)
    return module


@functools.lru_cache(maxsize=4096)
def _tagging(cls: type[nnx.Module], path: str) -> type[nnx.Module]:
    """Returns a subclass of a module's class that tags the output by the module's path.

    It becomes the class of a copy, so the user's module is not patched. One class per (class, path) keeps the copies
    equal as PyTrees from one trace to the next.
    """

    original: Any = cls.__call__

    def call(self, *args, **kwargs):
        return tag_outputs(original(self, *args, **kwargs), path)

    metaclass: Any = type(cls)
    return metaclass(cls.__name__, (cls,), {"__call__": call, "__module__": cls.__module__})


def adapt(model: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> NnxModel | None:
    """Returns a model of an NNX module or of a method of one; None for anything else."""
    if isinstance(model, nnx.Module):
        return NnxModel(model, "__call__", *arguments, **options)
    if inspect.ismethod(model) and isinstance(model.__self__, nnx.Module):
        return NnxModel(model.__self__, model.__name__, *arguments, **options)
    return None
