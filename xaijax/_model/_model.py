"""Idea 1: a model is a callable PyTree."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, settings
from xaijax._core.convolutions import of_model
from xaijax._model._errors import noted
from xaijax._model._output import select, several
from xaijax._model._tag import tags_outputs


@dataclasses.dataclass(frozen=True)
class _Static:
    """The part of a model that is not arrays: its structure, its other leaves and its options. Compared, never traced.

    throwaway: the functions and objects that code may make anew at every call, see `_is_throwaway`, and functions on the
      host.
    role: the name of the argument that the model was passed as, for error messages.
    function: the function that was passed, where an earlier one that computes the same is among the leaves.
    """

    treedef: Any
    leaves: tuple[Hashable, ...]
    options: tuple[Hashable, ...]
    throwaway: tuple[Hashable, ...] = dataclasses.field(default=(), compare=False)
    role: str = "model"
    function: Any = dataclasses.field(default=None, compare=False)


class Model:
    """A model as every explainer sees it: arrays, which are traced, and a static part, which is compared.

    The arrays of `content` are arguments of compiled programs, so new parameters never recompile and gradients flow to
    them. Its other leaves (functions, names, integers) and the `options` are static and must be hashable. There is one
    subclass per framework, which implements `_call` and, if its modules can be named, `_call_tagged`.

    `model(x)` maps x[N, ...] to outputs y[N, K], or [N] for a model of one output.
    """

    arrays: tuple[Any, ...]
    static: _Static
    no_layers: str | None = None  # why no model of this class has layers
    channel_axis: int | None = None  # of images, where the framework says so
    columns: Any = None  # of the data frame that the model was fitted to
    output_names: tuple[str, ...] | None = None  # such as classes, where the model knows them

    def __init__(self, content: Any, *options: Hashable):
        leaves, treedef = jax.tree.flatten(content)
        self.arrays = tuple(leaf for leaf in leaves if is_array(leaf))
        others = tuple(_ARRAY if is_array(leaf) else leaf for leaf in leaves)
        for leaf in (*others, *options):
            try:
                hash(leaf)
            except TypeError:
                raise TypeError(
                    f"`model` must hold arrays and hashable settings, got {check.shown(leaf)} in it: make it an array "
                    "if it is a parameter, or a tuple, string or number if it is a setting."
                ) from None
        self.static = _Static(treedef, others, options, _throwaway(content))

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_node(cls, _flatten, lambda static, arrays: unflatten(cls, static, arrays))

    @property
    def innermost(self) -> Model:
        """The model of the user: itself, or the one that it was made of."""
        return self

    @property
    def content(self) -> Any:
        """The user's object, rebuilt around the present arrays: a new copy at each access."""
        return self._tree()

    def _tree(self) -> Any:
        arrays = iter(self.arrays)
        leaves = [next(arrays) if leaf is _ARRAY else leaf for leaf in self.static.leaves]
        return jax.tree.unflatten(self.static.treedef, leaves)

    def parameter_names(self) -> tuple[str | None, ...]:
        """Returns the path of each of the arrays in the model, such as "blocks/0/kernel"; None for those not trained.

        Arrays that training does not change by gradients, such as running statistics, bound inputs and states, have no name.
        """
        leaves = jax.tree_util.tree_leaves_with_path(self._tree())
        return tuple(self._parameter_name(keys) for keys, leaf in leaves if is_array(leaf))

    def _parameter_name(self, keys: Any) -> str | None:
        """Returns the name of the parameter at a path in the content; None for other arrays."""
        return path_name(keys)

    def __call__(self, x: Any) -> Any:
        with noted(self, x), settings.of_user(), tags_outputs(False):
            outputs = of_model(lambda x: _arrays(self, self._call(x)), x)
        if not _lost_its_rows(x, outputs):
            return outputs
        # Models that squeeze their outputs lose the axis of a single row, so this row is evaluated twice.
        two = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), x)
        if _shapes_of_two(self, two) is None:
            return outputs  # refused by the check of the outputs
        return jax.tree.map(lambda leaf: leaf[:1], self._call(two))

    def tagged(self, x: Any) -> Any:
        """Evaluates the model with the output of every module tagged by its path. Plain functions tag for themselves."""
        with noted(self, x), settings.of_user(), tags_outputs(True):
            outputs = _arrays(self, self._call_tagged(x))
        if not _lost_its_rows(x, outputs):
            return outputs
        # Not evaluated twice: the taps must see a single row.
        shapes = _shapes_of_two(self, jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), x))
        if shapes is None:
            return outputs
        return jax.tree.map(lambda leaf, shape: leaf.reshape(1, *shape.shape[1:]), outputs, shapes)

    def _call(self, x: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must implement _call(x).")

    def _call_tagged(self, x: Any) -> Any:
        return self._call(x)

    def observe(self, x: Any) -> None:
        """Shows a model inputs with values, before it is traced, for models on the host that must see some."""

    def parameters(self, path: str) -> dict[str, Any]:
        """Returns the parameters of the module at `path`, by name."""
        raise ValueError(
            f"`head` must be omitted for this model, got {path!r}: only Flax models address parameters by path; without "
            "it the parameters are derived by differentiation."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.arrays)} arrays)"

    def __reduce__(self) -> Any:
        return _made, (type(self), self.content, self.static.options, self.static.role)


def _made(cls: type[Model], content: Any, options: tuple[Any, ...], role: str) -> Model:
    """Returns a model of this class with this content, as pickle keeps it."""
    model = object.__new__(cls)
    Model.__init__(model, content, *options)
    model.static = dataclasses.replace(model.static, role=role)
    return model


def path_name(keys: Any) -> str:
    """Returns a path in a PyTree in words, such as "blocks/0/kernel"."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


class _Array:
    """Marks the position of an array among the static leaves."""

    def __repr__(self):
        return "<array>"


_ARRAY = _Array()


def is_array(leaf: Any) -> bool:
    """Returns whether a leaf of a model is one of its arrays."""
    # Python floats are parameters (a new value must not recompile); integers, booleans and strings are settings.
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, complex))


def _flatten(model: Model) -> tuple[tuple[Any, ...], _Static]:
    return model.arrays, model.static


def unflatten(cls: type[Model], static: _Static, arrays: Any) -> Model:
    """Returns a model of this class with these parts."""
    model = object.__new__(cls)
    model.arrays, model.static = tuple(arrays), static
    return model


def _throwaway(content: Any) -> tuple[Hashable, ...]:
    """Returns the throwaway functions and objects in a model's content, those of nested models included."""
    is_holder = lambda node: isinstance(node, (Model, jax.tree_util.Partial))  # noqa: E731
    functions: list[Hashable] = []
    for node in jax.tree.leaves(content, is_leaf=is_holder):
        if isinstance(node, Model):
            functions.extend(node.static.throwaway)
        elif isinstance(node, jax.tree_util.Partial):
            functions.extend(_throwaway((node.func, node.args, node.keywords)))
        elif _is_throwaway(node):
            functions.append(node)
    return tuple(functions)


def _is_throwaway(leaf: Any) -> bool:
    """Returns whether a static leaf is a lambda, a function defined within a function, or an object without equality.

    Code may make such leaves anew at every call, each of which compiles; see `_core/compile.py`. Functions on the host
    count as such, as they may hold models of any size.
    """
    if getattr(leaf, "is_on_host", False):
        return True
    if isinstance(leaf, (type, types.ModuleType, types.BuiltinFunctionType, _Array)):
        return False
    function = inspect.unwrap(leaf) if callable(leaf) else leaf
    if isinstance(function, types.FunctionType):
        return function.__closure__ is not None or "<" in function.__qualname__
    return type(leaf).__hash__ is object.__hash__


def _arrays(model: Model, outputs: Any) -> Any:
    """Checks that a model returned arrays."""
    leaves = jax.tree.leaves(outputs, is_leaf=lambda leaf: leaf is None)
    wrong = [leaf for leaf in leaves if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, int, float))]
    if wrong or not leaves:
        choice = several(outputs)
        if choice and model.static.role == "model" and len(wrong) < len(leaves):
            raise TypeError(choice)
        raise TypeError(
            f"`{model.static.role}` must return arrays, got {check.shown(wrong[0] if wrong else outputs)}: return an "
            "array with one row for each row of its argument."
        )
    return outputs


def _lost_its_rows(x: Any, outputs: Any) -> bool:
    """Returns whether a model of one row returned anything but one row."""
    rows = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
    return rows == {(1,)} and any(np.shape(leaf)[:1] != (1,) for leaf in jax.tree.leaves(outputs))


def _shapes_of_two(model: Model, two: Any) -> Any:
    """Returns the shapes of the outputs for two rows, or None if these are not two rows."""
    try:
        shapes = jax.eval_shape(model._call, two)
    except Exception:
        return None
    return shapes if all(leaf.shape[:1] == (2,) for leaf in jax.tree.leaves(shapes)) else None


class WrappedModel(Model):
    """A model made of another one; its content is that model, or a tuple that begins with it."""

    @property
    def inner(self) -> Model:
        content = self.content
        return content[0] if isinstance(content, tuple) else content

    @property
    def innermost(self) -> Model:
        return self.inner.innermost

    @property
    def no_layers(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.no_layers

    @property
    def channel_axis(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.channel_axis

    def observe(self, x: Any) -> None:
        self.inner.observe(x)

    def parameters(self, path: str) -> dict[str, Any]:
        return self.inner.parameters(path)

    def parameter_names(self) -> tuple[str | None, ...]:
        names = self.inner.parameter_names()
        return (*names, *[None] * (len(self.arrays) - len(names)))


class OutputModel(WrappedModel):
    """A model of which one output is explained: its content is the model and the key, index or function of the output."""

    def _call(self, x: Any) -> Any:
        model, output = self.content
        return select(model._call(x), output)

    def _call_tagged(self, x: Any) -> Any:
        model, output = self.content
        return select(model._call_tagged(x), output)
