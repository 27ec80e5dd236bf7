"""A hash of anything that changes answers, the same in every process: arrays, settings, functions and what holds them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import re
import sysconfig
import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._model import Model

SIMPLE = (bool, int, float, str, type(None))
_PLACE = re.compile(r" at 0x[0-9a-f]+")
_INSTALLED = tuple({path for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib", "stdlib")})


def digest(thing: Any) -> str:
    """A hash of arrays, settings, functions and whatever holds them, the same in every process."""
    return _Digests().of(thing).hex()


def is_array(leaf: Any) -> bool:
    # Numbers of Python and NumPy are settings, which explainers want to know when they compile.
    return isinstance(leaf, (jax.Array, np.ndarray))


class _Digests:
    """The hash of a thing is that of its type and of the hashes of its parts; each thing is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # with the things, so that no other gets the place of one

    def of(self, thing: Any) -> bytes:
        if id(thing) in self._known:
            return self._known[id(thing)][1]
        self._known[id(thing)] = thing, b"within itself"
        state = hashlib.blake2b(digest_size=16)
        state.update(f"{type(thing).__module__}.{type(thing).__qualname__}:".encode())
        if is_array(thing) or isinstance(thing, np.generic):
            _add_array(state, thing)
        elif (name := _name(thing)) is not None:
            state.update(name.encode())
        else:
            for part in _parts(thing):
                state.update(self.of(part))
        self._known[id(thing)] = thing, state.digest()
        return state.digest()


def _add_array(state: Any, array: Any) -> None:
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        state.update(str(jax.random.key_impl(array)).encode())
        array = jax.random.key_data(array)
    array = np.asarray(array)
    state.update(f"{array.dtype}{array.shape}".encode())
    state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _name(thing: Any) -> str | None:
    """What things are called that are no more than that; None for those that consist of others."""
    if isinstance(thing, (*SIMPLE, complex, bytes, np.dtype)):
        return repr(thing)
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    if isinstance(thing, type):
        return f"{thing.__module__}.{thing.__qualname__}"
    if isinstance(thing, logging.Logger):  # whose parts are all other loggers
        return thing.name
    return None


def _parts(thing: Any) -> list[Any]:
    """What a thing consists of, in an order that does not change."""
    if isinstance(thing, types.FunctionType):
        return _parts_of_function(thing)
    if isinstance(thing, types.CodeType):
        return [thing.co_code, thing.co_names, thing.co_consts]
    if isinstance(thing, types.MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, functools.partial):
        return [thing.func, thing.args, thing.keywords]
    if isinstance(thing, Mapping):
        return [part for name in sorted(thing, key=repr) for part in (name, thing[name])]
    if isinstance(thing, (list, tuple)):
        return list(thing)
    if isinstance(thing, (set, frozenset)):
        return sorted(thing, key=repr)
    if isinstance(thing, Model):
        return [thing.arrays, thing.static.leaves, thing.static.options, _plain(thing.static.treedef)]
    if hasattr(thing, "__wrapped__"):  # jax.jit
        return [thing.__wrapped__]
    leaves, structure = jax.tree.flatten(thing)
    if len(leaves) != 1 or leaves[0] is not thing:
        return [*leaves, _plain(structure)]
    if dataclasses.is_dataclass(thing):
        return [getattr(thing, field.name) for field in dataclasses.fields(thing)]
    if getattr(thing, "__dict__", None):
        return [vars(thing)]
    shown = repr(thing)
    return [] if _PLACE.search(shown) else [shown]  # such as locks, which say nothing but where they are


def _parts_of_function(function: types.FunctionType) -> list[Any]:
    """Its name, its defaults, the variables around it; and its code, and what that reads of its module.

    Functions of installed packages go by their names: what they read there (caches, displays) may change at any time.
    """
    parts = [f"{function.__module__}.{function.__qualname__}", function.__defaults__, function.__kwdefaults__]
    parts += [_content(cell) for cell in function.__closure__ or ()]
    if not _is_installed(function.__globals__.get("__name__", ""), function.__code__.co_filename):
        parts.append(function.__code__)
        parts += [function.__globals__.get(name) for name in _global_names(function.__code__)]
    return parts


def _is_installed(module: str, file: str) -> bool:
    """Whether this is the code of a package, rather than of the user; xaijax may be installed from anywhere."""
    return module.split(".")[0] == "xaijax" or file.startswith(_INSTALLED)


def _global_names(code: types.CodeType) -> list[str]:
    within = [name for one in code.co_consts if isinstance(one, types.CodeType) for name in _global_names(one)]
    return sorted({*code.co_names, *within})


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _plain(thing: Any) -> str:
    """How a thing shows itself, without its place in memory."""
    return _PLACE.sub("", repr(thing))
