"""Equinox modules as models."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_batching import custom_vmap

from xaijax._core import calls, check
from xaijax._model._lazy import LazyModule
from xaijax._model._model import Model, path_name

if TYPE_CHECKING:
    import equinox as eqx
else:
    eqx = LazyModule("equinox", "pip install equinox")

_OF_BATCHES = ("_VmapWrapper", "Partial")  # callables of Equinox that are modules, but no networks of one example


class EquinoxModel(Model):
    """An Equinox module with its state and bound arguments, called for each example, in inference mode."""

    def __init__(self, module: eqx.Module, state: Any, batched: bool, *parameters: Any, **options: Any):
        module = _in_inference(module)
        if _needs_key(module) and "key" not in options:
            options["key"] = jax.random.key(0)  # that inference mode does not use
        super().__init__((module, state, parameters, options), batched)

    @property
    def channel_axis(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The convolutions of Equinox have their channels first."""
        module, *_ = self.content
        return 1 if any(isinstance(part, (eqx.nn.Conv, eqx.nn.ConvTranspose)) for _, part in _modules(module)) else None

    def _call(self, x: Any) -> Any:
        return self._outputs(self.content, x)

    def _call_tagged(self, x: Any) -> Any:
        module, *others = self.content
        return self._outputs((_tagged(module, ""), *others), x)

    def _parameter_name(self, keys: Any) -> str | None:
        """Parameters belong to the module, the first part of the content."""
        return path_name(keys[1:]) if path_name(keys[:1]) == "0" else None

    def _outputs(self, content: Any, x: Any) -> Any:
        module, state, parameters, options = content
        (batched,) = self.static.options
        states = () if state is None else (state,)

        def of_example(x: Any) -> Any:
            outputs = module(*parameters, x, *states, **options)
            return outputs if state is None else outputs[0]

        return of_example(x) if batched else jax.vmap(of_example)(x)


def equinox(module: eqx.Module, *, state: Any = None, batched: bool = False, **options: Any) -> Model:
    """Makes a model of an Equinox module: `model(x) = jax.vmap(lambda row: module(row, **options))(x)`.

    Why: an Equinox module takes one example, and explainers take batches. Its arrays are arguments of compiled programs,
    so new parameters never recompile. The outputs of the modules in it are layers, named by their paths in the tree, such
    as "layers/0"; where there are convolutions, channels come first. Modules are wrapped by themselves wherever a model is
    passed; call this function for a state or options.

    Args:
      module: the module. In training mode it is explained in inference mode, with a warning. A call that requires a `key`
        gets a fixed one, which inference mode does not use.
      state: the state of its stateful layers, from `eqx.nn.make_with_state`; then the module is called as
        module(row, state, **options) and the state that it returns is dropped. Default: there is none.
      batched: whether the module takes batches x[N, ...] itself. Default False.
      **options: keyword arguments of the call, such as key. Their arrays are arguments too.

    Returns:
      A model that every explainer takes.

    Raises:
      TypeError: if `module` is not a callable Equinox module, or `state` is no state.
      ImportError: if Equinox is not installed.
    """
    if not isinstance(module, eqx.Module) or not callable(module):
        raise TypeError(f"`module` must be a callable equinox.Module, got {check.shown(module)}.")
    if state is not None and not isinstance(state, eqx.nn.State):
        raise TypeError(
            f"`state` must be an equinox.nn.State or None, got {check.shown(state)}: see eqx.nn.make_with_state."
        )
    return EquinoxModel(module, state, check.flag("batched", batched), **options)


def adapt(model: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Model | None:
    """Returns a model of an Equinox module of one example; None for anything else."""
    if not isinstance(model, eqx.Module) or not callable(model):
        return None
    if type(model).__name__ in _OF_BATCHES:  # eqx.filter_vmap(module) takes batches
        return None  # functions of batches
    return EquinoxModel(model, None, False, *arguments, **options)


def _modules(module: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields a module and the modules in it, each with its path in the tree."""
    yield path, module
    is_inner = lambda node: isinstance(node, eqx.Module) and node is not module  # noqa: E731
    for keys, part in jax.tree_util.tree_leaves_with_path(module, is_leaf=is_inner):
        if is_inner(part):
            name = jax.tree_util.keystr(keys, simple=True, separator="/")
            yield from _modules(part, f"{path}/{name}" if path else name)


def is_module(node: Any) -> bool:
    """Returns whether a node of a PyTree is a module of Equinox."""
    return isinstance(node, eqx.Module) and type(node).__name__ not in _OF_BATCHES


def prepared(module: eqx.Module, prefix: str, *, tagged: bool) -> eqx.Module:
    """Returns a module, a copy of the user's, in inference mode, with outputs that are tagged by path if asked for."""
    module = _in_inference(module)
    return _tagged(module, prefix) if tagged else module


def _in_inference(module: eqx.Module) -> eqx.Module:
    training = [path or type(part).__name__ for path, part in _modules(module) if _is_in_training(part)]
    if not training:
        return module
    calls.warn(
        f"the Equinox model is in training mode at {training}: it is explained in inference mode "
        "(eqx.nn.inference_mode(model)), where dropout is off and batch normalization uses its running statistics."
    )
    return eqx.nn.inference_mode(module)


def _tagged(module: eqx.Module, prefix: str) -> eqx.Module:
    """Changes the classes of a copy, so that the user's module is not changed."""
    for path, part in list(_modules(module, prefix)):
        if path and callable(part):
            object.__setattr__(part, "__class__", _tagging(type(part), path))
    return module


def _is_in_training(part: Any) -> bool:
    return getattr(part, "inference", None) is False


def _needs_key(module: Any) -> bool:
    key = inspect.signature(type(module).__call__).parameters.get("key")
    return key is not None and key.default is key.empty


@functools.lru_cache(maxsize=4096)
def _tagging(cls: type[eqx.Module], path: str) -> type[eqx.Module]:
    """Returns a subclass of a module's class that tags the output by the module's path; see the NNX adapter."""
    original: Any = cls.__call__

    def call(self, *args, **kwargs):
        outputs = original(self, *args, **kwargs)
        is_state = lambda node: isinstance(node, eqx.nn.State)  # noqa: E731
        leaves, structure = jax.tree_util.tree_flatten_with_path(outputs, is_leaf=is_state)
        tagged = [
            _tag(leaf, path + jax.tree_util.keystr(keys)) if isinstance(leaf, jax.Array) else leaf
            for keys, leaf in leaves
        ]
        return jax.tree.unflatten(structure, tagged)

    metaclass: Any = type(cls)
    return metaclass(cls.__name__, (cls,), {"__call__": call, "__module__": cls.__module__})


def _tag(value: jax.Array, name: str) -> jax.Array:
    """Names an array such that the axes of `jax.vmap` come first, whichever axes they are within the computation."""

    @custom_vmap
    def tagged(value: jax.Array) -> jax.Array:
        return checkpoint_name(value, name)

    @tagged.def_vmap
    def of_batch(_axis_size: int, _in_batched: list[bool], value: jax.Array) -> tuple[jax.Array, bool]:
        return _tag(value, name), True

    return tagged(value)
