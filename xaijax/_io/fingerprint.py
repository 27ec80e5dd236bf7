"""Hashes that tell whether stored results still belong to a computation. They are the same in every process.

`program_digest` hashes a traced program: its operations, shapes and constants, which decide what it computes. `digest`
hashes arrays, settings, functions and the objects that contain them, for code that JAX does not trace. A function is its code, the
variables around it, and the globals that it reads; a class of the user is its methods and attributes. Code of installed
packages counts by its name alone, as caches and displays in it may change at any time.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

SIMPLE = (bool, int, float, str, type(None))
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_INSTALLED = tuple({path for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib", "stdlib")})
_NOT_OF_A_CLASS = {
    *(
        "__module__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotate_func__",
        "__annotations_cache__",
    ),
    *(
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
        "__orig_bases__",
        "__parameters__",
    ),
}


def digest(value: Any) -> str:
    """Returns a hash of arrays, settings, functions and the objects that contain them."""
    return _Digests().of(value).hex()


def program_digest(function: Callable[..., Any], *arguments: Any, code: str) -> str:
    """Returns a hash of what a function computes for arguments of such shapes: of its traced program.

    The program counts with its operations, their parameters, shapes and constants. Names of variables and the rules of
    derivatives are left out, as they change no answer.

    Args:
      function: any function that JAX can trace.
      *arguments: arrays or their shapes.
      code: a hash of the code as far as it can be followed. JAX keeps traces of inner functions and does not see that the
        classes behind their arguments were edited in the same process; with other code it traces them again.
    """
    with set_xla_metadata(xaijax_code=code):
        program = jax.make_jaxpr(function)(*arguments)
    return _Programs().of(program.jaxpr, program.consts).hex()


def is_array(leaf: Any) -> bool:
    """Returns whether a leaf is an array. Numbers of Python and NumPy are settings, which compiled programs contain."""
    return isinstance(leaf, (jax.Array, np.ndarray))


class _Digests:
    """The hash of a value is that of its class and of the hashes of its parts; each object is visited once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # with the objects, which keeps their ids from being reused

    def of(self, value: Any) -> bytes:
        if id(value) in self._known:
            return self._known[id(value)][1]
        self._known[id(value)] = value, b"within itself"
        state = _hash(f"{type(value).__module__}.{type(value).__qualname__}:".encode())
        if (is_array(value) or isinstance(value, np.generic)) and value.dtype != object:
            _add_array(state, value)
        elif (name := _name(value)) is not None:
            state.update(name.encode())
        else:
            parts = _parts_of_class(value) if isinstance(value, type) else _parts(value)
            if not isinstance(value, type) and not _is_installed_class(type(value)):
                parts = [type(value), *parts]
            for part in parts:
                state.update(self.of(part))
        self._known[id(value)] = value, state.digest()
        return state.digest()


class _Programs:
    """The hashes of programs and of those inside them; each is visited once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._digests = _Digests()

    def of(self, jaxpr: Jaxpr, constants: Any = ()) -> bytes:
        if id(jaxpr) not in self._known:
            self._known[id(jaxpr)] = jaxpr, self._of_operations(jaxpr)
        state = _hash(self._known[id(jaxpr)][1])
        for constant in constants:
            _add_array(state, constant)
        return state.digest()

    def _of_operations(self, jaxpr: Jaxpr) -> bytes:
        state = _hash(b"program:")
        numbers: dict[Any, int] = {}

        def defined(variables: Any) -> None:
            for variable in variables:
                numbers[variable] = len(numbers)
                state.update(f"{variable.aval};".encode())

        def used(variables: Any) -> None:
            for variable in variables:
                if isinstance(variable, Literal):
                    _add_array(state, variable.val)
                else:
                    state.update(f"{numbers[variable]},".encode())

        defined([*jaxpr.constvars, *jaxpr.invars])
        for operation in jaxpr.eqns:
            state.update(f"\n{operation.primitive.name}(".encode())
            used(operation.invars)
            runs_python = "callback" in operation.primitive.name
            for name, value in sorted(operation.params.items()):
                state.update(f"{name}=".encode() + self._of_parameter(value, runs_python))
            defined(operation.outvars)
        used(jaxpr.outvars)
        return state.digest()

    def _of_parameter(self, value: Any, runs_python: bool) -> bytes:
        if isinstance(value, ClosedJaxpr):
            return self.of(value.jaxpr, value.consts)
        if isinstance(value, Jaxpr):
            return self.of(value)
        if runs_python:
            return self._digests.of(value)
        if is_array(value) or isinstance(value, np.generic):
            state = _hash()
            _add_array(state, value)
            return state.digest()
        if isinstance(value, (list, tuple)):
            return _hash(b"[", *(self._of_parameter(part, False) for part in value)).digest()
        if isinstance(value, Mapping):
            parts = sorted((repr(name), self._of_parameter(part, False)) for name, part in value.items())
            return _hash(*(name.encode() + part for name, part in parts)).digest()
        if callable(value) or type(value).__name__ == "WrappedFun":  # the rules of derivatives, which are not run
            return b"function"
        return _hash(_plain(value).encode()).digest()


def _hash(*parts: bytes) -> Any:
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part)
    return state


def _add_array(state: Any, array: Any) -> None:
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        state.update(str(jax.random.key_impl(array)).encode())
        array = jax.random.key_data(array)
    if np.ma.isMaskedArray(array):
        _add_array(state, np.ma.getmaskarray(array))
    array = np.asarray(array)
    state.update(f"{array.dtype}{array.shape}".encode())
    if array.dtype.names:  # field by field, without the undefined bytes between them
        for name in array.dtype.names:
            _add_array(state, array[name])
    elif array.dtype.hasobject:
        state.update(repr(array.tolist()).encode())
    else:
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _name(value: Any) -> str | None:
    """The name of a value that has no other state; None for those that consist of parts."""
    if isinstance(value, (*SIMPLE, complex, bytes, np.dtype)):
        return repr(value)
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type) and _is_installed_class(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, logging.Logger):  # its parts are all other loggers
        return value.name
    return None


def _parts(value: Any) -> list[Any]:
    """The parts of a value, in an order that does not change."""
    if isinstance(value, np.ndarray):  # of objects
        return [value.shape, value.tolist()]
    if isinstance(value, types.FunctionType):
        return _parts_of_function(value)
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, value.co_consts]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, (staticmethod, classmethod)):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, jax.tree_util.PyTreeDef):
        return [value.node_data(), value.children()]
    if isinstance(value, Mapping):
        return [part for name in sorted(value, key=repr) for part in (name, value[name])]
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if hasattr(value, "__wrapped__"):  # jax.jit
        return [value.__wrapped__]
    leaves, structure = jax.tree.flatten(value)
    if len(leaves) != 1 or leaves[0] is not value:
        return [*leaves, structure]
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    if getattr(value, "__dict__", None):
        return [vars(value)]
    shown = repr(value)
    return _pickled_parts(value) if _ADDRESS.search(shown) else [shown]


def _pickled_parts(value: Any) -> list[Any]:
    """What pickle keeps of an object that shows nothing but its address, such as a tree of scikit-learn.

    Pickle refuses locks and sockets, which have no parts.
    """
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:
        return []
    return list(reduced[1:3]) if isinstance(reduced, tuple) else []


def _parts_of_function(function: types.FunctionType) -> list[Any]:
    """Its name, its defaults and the variables around it; and, for code of the user, its code and the globals that it reads."""
    parts = [f"{function.__module__}.{function.__qualname__}", function.__defaults__, function.__kwdefaults__]
    parts += [_content(cell) for cell in function.__closure__ or ()]
    if not _is_installed(function.__globals__.get("__name__", ""), function.__code__.co_filename):
        names = _names_read(function.__code__)
        parts.append(function.__code__)
        for name in names:
            value = function.__globals__.get(name)
            parts += [value, *_read_of_module(value, names)]
    return parts


def _read_of_module(value: Any, names: list[str]) -> list[Any]:
    """The attributes of a module of the user that code with these names may read, as in settings.SCALE."""
    if not isinstance(value, types.ModuleType) or _is_installed(value.__name__, getattr(value, "__file__", "") or ""):
        return []
    return [vars(value)[name] for name in names if name in vars(value)]


def _parts_of_class(cls: type) -> list[Any]:
    """Its bases, methods and attributes."""
    own = {name: value for name, value in vars(cls).items() if name not in _NOT_OF_A_CLASS}
    return [f"{cls.__module__}.{cls.__qualname__}", cls.__bases__, own]


def _is_installed_class(cls: type) -> bool:
    package = cls.__module__
    while package not in sys.modules and "." in package:  # classes of compiled modules may name one that is not there
        package = package.rpartition(".")[0]
    return _is_installed(cls.__module__, getattr(sys.modules.get(package), "__file__", None) or "")


def _is_installed(module: str, file: str) -> bool:
    """Whether this is the code of a package, rather than of the user; xaijax may be installed from anywhere."""
    root = module.split(".")[0]
    return root == "xaijax" or (file.startswith(_INSTALLED) if file else root in sys.stdlib_module_names)


def _names_read(code: types.CodeType) -> list[str]:
    within = [name for part in code.co_consts if isinstance(part, types.CodeType) for name in _names_read(part)]
    return sorted({*code.co_names, *within})


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _plain(value: Any) -> str:
    """How a value shows itself, without its address in memory."""
    return _ADDRESS.sub("", repr(value))
