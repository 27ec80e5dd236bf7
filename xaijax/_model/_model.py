"""Idea 1: a model is a callable PyTree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class _Static:
    """What of a model is not an array: the structure, the other leaves and the options. Compared, never traced."""

    treedef: Any
    leaves: tuple[Hashable, ...]
    options: tuple[Hashable, ...]


class Model:
    """A model as every explainer sees it: arrays that are traced, and everything else, which is compared.

    The arrays of `content` travel as arguments of compiled programs, so updated parameters never recompile and
    gradients flow to them; its other leaves (functions, names, whole numbers) and the `options` are static and must be
    hashable. Subclasses say how to call the content; there is one per framework.

    `model(x)` maps x[N, ...] to outputs y[N, K], or [N] for a model of one output.
    """

    arrays: tuple[Any, ...]
    static: _Static

    def __init__(self, content: Any, *options: Hashable):
        leaves, treedef = jax.tree.flatten(content)
        self.arrays = tuple(leaf for leaf in leaves if _is_array(leaf))
        others = tuple(_ARRAY if _is_array(leaf) else leaf for leaf in leaves)
        for leaf in (*others, *options):
            try:
                hash(leaf)
            except TypeError:
                raise TypeError(
                    f"the model holds {leaf!r} of type {type(leaf).__name__}, which is neither an array nor hashable: "
                    "make it an array if it is a parameter, or a tuple, string or number if it is a setting."
                ) from None
        self.static = _Static(treedef, others, options)

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_node(cls, _flatten, lambda static, arrays: _unflatten(cls, static, arrays))

    @property
    def content(self) -> Any:
        """The user's object, rebuilt around the present arrays: a fresh copy at each call."""
        arrays = iter(self.arrays)
        leaves = [next(arrays) if leaf is _ARRAY else leaf for leaf in self.static.leaves]
        return jax.tree.unflatten(self.static.treedef, leaves)

    def __call__(self, x: Any) -> Any:
        raise TypeError(f"{type(self).__name__} does not say how to call its content.")

    def tagged(self, x: Any) -> Any:
        """Like calling it, with the output of every module tagged by its path. Plain functions tag for themselves."""
        return self(x)

    def parameters(self, path: str) -> dict[str, Any]:
        """The parameters of the module at `path`, by name."""
        raise ValueError(
            f"there is no module {path!r} to take parameters from in {self!r}: only Flax models address their "
            "parameters by path; leave the argument out to have them found by differentiation."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.arrays)} arrays)"


class _Array:
    """Stands for an array among the static leaves."""

    def __repr__(self):
        return "<array>"


_ARRAY = _Array()


def _is_array(leaf: Any) -> bool:
    # Python floats are parameters (a change must not recompile); whole numbers, booleans and strings are settings.
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, complex))


def _flatten(model: Model) -> tuple[tuple[Any, ...], _Static]:
    return model.arrays, model.static


def _unflatten(cls: type[Model], static: _Static, arrays: Any) -> Model:
    model = object.__new__(cls)
    model.arrays, model.static = tuple(arrays), static
    return model


class FunctionModel(Model):
    """A function, or any callable PyTree (Equinox modules, `jax.tree_util.Partial`), with leading arguments bound."""

    def __init__(self, function: Callable[..., Any], *parameters: Any, **options: Any):
        super().__init__((function, parameters, options))

    def __call__(self, x: Any) -> Any:
        function, parameters, options = self.content
        return function(*parameters, x, **options)


def function(function: Callable[..., Any], *parameters: Any, **options: Any) -> Model:
    """Makes a model of a function with parameters: `model(x) = function(*parameters, x, **options)`.

    Why: weights that a function merely closes over become constants of the compiled program, so that every update of
    them recompiles. Bound here they are arguments, and gradients of explanations flow to them.

    Args:
      function: maps (*parameters, x[N, ...]) to outputs [N, K] or [N].
      *parameters: PyTrees of arrays; their other leaves are static.
      **options: keyword arguments, bound likewise.

    Returns:
      A model that every explainer takes.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0]))
    >>> model(jnp.array([[3.0, 4.0]]))
    Array([11.], dtype=float32)
    """
    if not callable(function):
        raise TypeError(f"function must be callable as function(*parameters, x), but it is {function!r}.")
    return FunctionModel(function, *parameters, **options)
