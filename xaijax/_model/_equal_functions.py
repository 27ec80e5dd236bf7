"""Functions that code makes anew at every call, such as lambdas, share a compiled program where they are the same.

A program belongs to the function that it was compiled for. `xai.lime.fit(xai.game(lambda x: model.apply(params, x), ...))`
makes a new lambda whenever the line runs. It computes what the lambda before computed if its code, its defaults and every
value that it reads from outside are the same. The earlier function is then used in its stead.

Values count as the same only where nothing can change them unseen: numbers, strings, arrays of JAX, functions of known
packages, modules of Linen, and containers, functions and classes made of these, which are compared by what they hold now. Other
functions are compiled anew. Nothing here keeps a function alive.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

# Packages whose functions and modules stay as they are.
_KNOWN_PACKAGES = {
    "jax",
    "jaxlib",
    "numpy",
    "flax",
    "haiku",
    "optax",
    "einops",
    "math",
    "operator",
    "functools",
    "xaijax",
}
_READ_ANYTHING = {"globals", "locals", "vars", "eval", "exec", "__import__", "open", "input", "compile", "breakpoint"}
_WRITE = {"STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME"}
_LARGEST_ARRAY = 2**16  # bytes of a NumPy array, which is compared by its content
_DEEPEST = 12  # containers and functions within each other

_JITTED = type(jax.jit(lambda: None))
_DEFINITIONS = (
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, np.ufunc, jax.custom_jvp, jax.custom_vjp,
)  # fmt: skip

_first_of: weakref.WeakValueDictionary[Any, Callable[..., Any]] = weakref.WeakValueDictionary()
_firsts: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()  # the values of `_first_of`
_state_of: weakref.WeakKeyDictionary[Callable[..., Any], Any] = weakref.WeakKeyDictionary()


class _Unknown(Exception):
    """Raised where a value may change unseen."""


class _Same:
    """Compares an object by identity."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def earlier_function(function: Any) -> Any:
    """Returns a function that was passed before and computes the same, or the function itself."""
    if not isinstance(function, types.FunctionType) or function.__dict__:
        return function
    if function.__closure__ is None and "<" not in function.__qualname__:
        return function  # of a module: there is one of it
    if function in _firsts:
        return function
    state = _state(function)
    if state is None or _state_of.setdefault(function, state) != state:
        return function  # it changed since it was first passed, as did what programs of it were compiled for
    earlier = _first_of.setdefault(state, function)
    if earlier is function:
        _firsts.add(function)
    return earlier if earlier is function or _state(earlier) == state else function


def note_call(function: Any) -> None:
    """Notes that a function is being traced. One that has changed since it was first passed stands for no other from now on."""
    if isinstance(function, types.FunctionType) and function in _firsts and _state(function) != _state_of[function]:
        _firsts.discard(function)
        _first_of.pop(_state_of[function], None)
        _state_of[function] = None


def _forget() -> None:
    """Frees the values that functions had when they were first passed."""
    _firsts.clear()
    _first_of.clear()
    _state_of.clear()


earlier_function.cache_clear = _forget  # pyright: ignore[reportFunctionMemberAccess]  # for `xai.clear_caches`


def _state(function: types.FunctionType) -> Any:
    """Returns all that a function's result depends on apart from its arguments, as a hashable value; None if unknown."""
    try:
        return _described_function(function, 0, ())
    except _Unknown:
        return None


def _described(value: Any, depth: int, within: tuple[Any, ...]) -> Any:
    of = type(value)
    if value is None or of in (bool, int, str, bytes, float, complex):
        return of, repr(value)  # which tells 0.0 from -0.0
    if isinstance(value, Tracer) or depth > _DEEPEST:
        raise _Unknown
    if isinstance(value, jax.Array):
        return _Same(value)
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject or value.nbytes > _LARGEST_ARRAY:
            raise _Unknown
        return of, value.dtype, value.shape, value.tobytes()
    if of in (tuple, list):
        return of, *(_described(item, depth + 1, within) for item in value)
    if of is dict:
        items = (
            (_described(key, depth + 1, within), _described(item, depth + 1, within)) for key, item in value.items()
        )
        return of, *items
    if of is _JITTED:
        return _Same(value)  # keeps what it read when it was traced first
    module = _module_of(value)
    if module.partition(".")[0] in _KNOWN_PACKAGES and isinstance(value, _DEFINITIONS):
        return _Same(value)
    if of is types.FunctionType and not value.__dict__:
        return _described_function(value, depth, within)
    if isinstance(value, type):
        return _described_class(value, depth, within)
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(value, linen.Module) and value.scope is None:  # refuses to be changed
        return _Same(value), _described_class(of, depth, within)
    raise _Unknown


def _module_of(value: Any) -> str:
    """Returns the name of the module that defines a value; for functions the true one, which decorators may hide."""
    if isinstance(value, types.FunctionType):
        return str(value.__globals__.get("__name__", ""))
    return str((value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "")) or "")


def _described_function(function: types.FunctionType, depth: int, within: tuple[Any, ...]) -> Any:
    if function in within:
        return "itself", within.index(function)
    names = _names_read(function.__code__)
    if names is None:
        raise _Unknown
    within = (*within, function)
    scope = function.__globals__
    outside = [(name, scope[name]) for name in names if name in scope]
    try:
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell.cell_contents is not function]
    except ValueError:  # a variable without a value yet
        raise _Unknown from None
    read = (cells, function.__defaults__, function.__kwdefaults__, outside)
    parts = (_described(part, depth + 1, within) for part in read)
    return function.__code__, function.__qualname__, _Same(scope), *parts


def _described_class(cls: type, depth: int, within: tuple[Any, ...]) -> Any:
    """Describes the methods and constants of a class of the user, and of those that it derives from."""
    if cls in within or cls is object:
        return _Same(cls)
    within = (*within, cls)
    parts = []
    for base in cls.__mro__[:-1]:
        if base.__module__.partition(".")[0] in _KNOWN_PACKAGES:
            continue
        for name, part in vars(base).items():
            part = inspect.unwrap(part) if callable(part) else part
            if isinstance(part, types.FunctionType):
                if part.__code__.co_filename != "<string>":  # written by `dataclasses`
                    parts.append((name, _described_function(part, depth + 1, within)))
            elif not name.startswith("_") and name not in ("name", "parent"):
                parts.append((name, _described(part, depth + 1, within)))
    return _Same(cls), *parts


@functools.lru_cache(maxsize=256)
def _names_read(code: types.CodeType) -> tuple[str, ...] | None:
    """Returns the global names that a code may read, or None if it reads or writes others."""
    names = set(code.co_names)
    if any(instruction.opname in _WRITE for instruction in dis.get_instructions(code)) or names & _READ_ANYTHING:
        return None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _names_read(constant)
            if inner is None:
                return None
            names.update(inner)
    return tuple(sorted(names))
