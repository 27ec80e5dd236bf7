"""Functions that code makes anew at every call, such as lambdas, share a compiled program where they are the same.

A program belongs to the function that it was compiled for. `xai.lime.fit(xai.game(lambda x: model.apply(params, x), ...))`
makes a new lambda whenever the line runs. It computes what the lambda before computed if its code, its defaults and every
value that it reads from outside are the same. The earlier function is then used in its stead.

Values count as the same only where nothing can change them unseen: numbers, strings, arrays of JAX, functions of known
packages, modules of Linen, and containers, functions and classes made of these, which are compared by what they hold now. Other
functions are compiled anew, as are those that read files, clocks, random numbers or names that the code does not show, and
those that call back to Python. Nothing here keeps a function from being freed, nor an array of JAX.
"""

from __future__ import annotations

import abc
import dis
import enum
import functools
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

# Packages whose functions and modules stay as they are. Not Haiku: its transformed functions are never the same.
_KNOWN_PACKAGES = {"jax", "jaxlib", "numpy", "flax", "optax", "einops", "math", "operator", "functools", "xaijax"}
_UNKNOWN_MODULES = ("numpy.random", "flax.io", "flax.serialization", "flax.training", "jax.experimental.io_callback")
_OF_PYTHON = {"builtins", "abc", "typing"}  # modules whose classes stay as they are
# Names of functions whose results depend on more than their arguments, or that call functions of Python later.
_READ_ANYTHING = {
    "globals", "locals", "vars", "eval", "exec", "__import__", "open", "input", "compile", "breakpoint", "getattr", "dir",
    "attrgetter", "methodcaller", "__dict__", "__globals__", "__builtins__", "__getattribute__", "__subclasses__",
    "load", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap", "DataSource",
    "callback", "debug_callback", "pure_callback", "io_callback", "buffer_callback",
}  # fmt: skip
_WRITE = {"STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME"}
_MOST_BYTES = 2**16  # of the NumPy arrays and texts of a function, which are compared by their content
_MOST_PARTS = 8192  # values that a function reads, those within others included
_DEEPEST = 12  # containers and functions within each other

# What `dataclasses` and Python itself write into classes, and Linen into its own.
_WRITTEN = {
    "__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__", "__setattr__", "__delattr__",
    "__replace__", "__getstate__", "__setstate__",
}  # fmt: skip
_OF_ALL_CLASSES = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__match_args__",
    "__dataclass_params__", "__dataclass_fields__", "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__",
    "__static_attributes__", "__firstlineno__", "__annotate__", "__annotate_func__", "__annotations_cache__",
}  # fmt: skip
_OF_LINEN = {"parent", "scope", "_state", "_parent_ref", "_id"}

_JITTED = type(jax.jit(lambda: None))
_CUSTOM = (jax.custom_jvp, jax.custom_vjp)

_first_of: weakref.WeakValueDictionary[Any, Callable[..., Any]] = weakref.WeakValueDictionary()
_firsts: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()  # the values of `_first_of`
_state_of: weakref.WeakKeyDictionary[Callable[..., Any], Any] = weakref.WeakKeyDictionary()  # None: never shared
_lock = threading.RLock()


class _Unknown(Exception):
    """Raised where a value may change unseen."""


class _Same:
    """Compares an object by identity. Refers to it weakly, but for the few types of known packages that do not allow it."""

    __slots__ = ("_id", "_reference")

    def __init__(self, value: Any):
        self._id = id(value)
        try:
            self._reference = weakref.ref(value)
        except TypeError:
            self._reference = lambda: value

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, _Same) or self._id != other._id:
            return False
        value = self._reference()
        return value is not None and value is other._reference()


def earlier_function(function: Any) -> Any:
    """Returns a function that was passed before and computes the same, or the function itself."""
    if not isinstance(function, types.FunctionType) or function.__dict__:
        return function
    if function.__closure__ is None and "<" not in function.__qualname__:
        return function  # of a module: there is one of it
    if function in _firsts or (function in _state_of and _state_of.get(function) is None):
        return function
    state = _state(function)
    with _lock:
        # Where it changed since it was first passed, so did what programs of it were compiled for.
        if _state_of.setdefault(function, state) != state or state is None:
            return function
        earlier = _first_of.setdefault(state, function)
        if earlier is function:
            _firsts.add(function)
            return function
    return earlier if _state(earlier) == state else function


def note_call(function: Any) -> None:
    """Notes that a function is called. One that has changed since it was first passed stands for no other from now on."""
    if not isinstance(function, types.FunctionType) or _state_of.setdefault(function, None) is None:
        return  # never shared, or passed before `xai.clear_caches`
    state = _state(function)
    with _lock:
        noted = _state_of.get(function)
        if state is None or state != noted:
            _firsts.discard(function)
            if _first_of.get(noted) is function:
                del _first_of[noted]
            _state_of[function] = None


def compute_the_same(function: Any, other: Any) -> bool:
    """Returns whether a program that was compiled for a function also computes another one that was passed in its stead."""
    if function is other or not isinstance(function, types.FunctionType) or not isinstance(other, types.FunctionType):
        return True  # compared by the user's own equality
    state = _state(other)
    return state is not None and state == _state_of.get(function) and state == _state(function)


def _forget() -> None:
    """Frees the values that functions had when they were first passed."""
    with _lock:
        _firsts.clear()
        _first_of.clear()
        _state_of.clear()


earlier_function.cache_clear = _forget  # pyright: ignore[reportFunctionMemberAccess]  # for `xai.clear_caches`


def _state(function: types.FunctionType) -> Any:
    """Returns all that a function's result depends on apart from its arguments, as a hashable value; None if unknown."""
    try:
        linen = sys.modules.get("flax.linen.module")
        if linen is not None and linen._global_interceptor_stack:
            return None  # `nn.intercept_methods` changes what modules compute
        return _Reader().function(function, 0)
    except Exception:  # objects of users may raise anything when they are looked at
        return None


class _Reader:
    """Describes the values that one function reads."""

    def __init__(self) -> None:
        self.parts = self.bytes = 0
        self.within: list[Any] = []  # functions and classes that are being described

    def value(self, value: Any, depth: int) -> Any:
        of = type(value)
        self.parts += 1
        if self.parts > _MOST_PARTS or depth > _DEEPEST:
            raise _Unknown
        if _is_array(of):
            if value.is_deleted():
                raise _Unknown  # calls raise an error
            return _Same(value)
        if value is None or of is bool or of is int:
            return of, value
        if of is float or of is complex:
            return of, repr(value)  # which tells 0.0 from -0.0
        if of is str or of is bytes:
            self.count(len(value))
            return of, value
        if of is tuple or of is list:
            return of, *[self.value(item, depth + 1) for item in value]
        if of is dict:
            keys = [key if type(key) is str else self.value(key, depth + 1) for key in value]
            return of, *keys, *[self.value(item, depth + 1) for item in value.values()]
        if of is np.ndarray or (isinstance(value, np.generic) and of.__module__.startswith(("numpy", "ml_dtypes"))):
            self.count(value.nbytes)
            if value.dtype.hasobject:
                raise _Unknown
            return of, value.dtype, value.shape, value.tobytes()
        return self.definition(value, depth)

    def count(self, number: int) -> None:
        self.bytes += number
        if self.bytes > _MOST_BYTES:
            raise _Unknown

    def definition(self, value: Any, depth: int) -> Any:
        """Describes functions, classes and modules of Linen."""
        of: Any = type(value)
        if of is _JITTED:
            return _Same(value)  # keeps what it read when it was traced first
        if of is types.FunctionType:
            return self.function(value, depth)
        if isinstance(value, type):
            return self.cls(value, depth)
        if issubclass(of, np.dtype) or (issubclass(of, enum.Enum) and _is_known(of.__module__)):
            return of, value
        if (
            of is types.BuiltinFunctionType
            and isinstance(value.__self__, types.ModuleType)
            and _is_known(value.__module__)
        ):
            return self.known(value)
        if issubclass(of, (*_CUSTOM, np.ufunc)) and _is_of_its_package(value):
            return self.known(value)
        linen = sys.modules.get("flax.linen")
        if linen is not None and isinstance(value, linen.Module) and value.scope is None:
            fields = {name: field for name, field in vars(value).items() if name not in _OF_LINEN}
            return _Same(value), self.cls(of, depth), self.value(fields, depth + 1)
        raise _Unknown

    def known(self, value: Any) -> Any:
        """Describes what a known package defines: the object, and the rules of derivatives that it holds."""
        if getattr(value, "__name__", "") in _READ_ANYTHING or _module_of(value).startswith(_UNKNOWN_MODULES):
            raise _Unknown
        rules = ("jvp", "fwd", "bwd") if isinstance(value, _CUSTOM) else ()
        return _Same(value), *[_Same(rule) for name in rules if (rule := getattr(value, name, None)) is not None]

    def function(self, function: types.FunctionType, depth: int) -> Any:
        if function in self.within:
            return "itself", self.within.index(function)
        is_known = _is_known(_module_of(function))
        if is_known and (function.__closure__ is None or _is_of_its_package(function)):
            return self.known(function)
        names = () if is_known else _names_read(function.__code__)
        if names is None:
            raise _Unknown
        self.within.append(function)
        scope = function.__globals__
        cells = [
            cell.cell_contents for cell in function.__closure__ or ()
        ]  # ValueError: a variable without a value yet
        outside = [(name, scope[name]) for name in names if name in scope]
        parts = [
            self.module(part, names, ()) if isinstance(part, types.ModuleType) else self.value(part, depth + 1)
            for part in (*cells, *[part for _, part in outside], function.__defaults__, function.__kwdefaults__)
        ]
        attributes = self.value(function.__dict__, depth + 1)
        self.within.pop()
        read = tuple(name for name, _ in outside)
        return function.__code__, function.__qualname__, id(scope), read, attributes, *parts

    def module(self, module: types.ModuleType, names: tuple[str, ...], within: tuple[Any, ...]) -> Any:
        """Describes a module of a known package, with those of its values that a code with these names may read."""
        if not _is_known(module.__name__) or module.__name__.startswith(_UNKNOWN_MODULES):
            raise _Unknown
        parts = []
        for name in names:
            part = vars(module).get(name)
            if isinstance(part, types.ModuleType):
                if part is not module and part not in within:
                    parts.append((name, self.module(part, names, (*within, module))))
            elif isinstance(part, types.FunctionType) and not _is_known(_module_of(part)):
                parts.append((name, self.function(part, 0)))  # put there by the user
            elif part is jax.config:
                raise _Unknown
            elif part is not None:
                parts.append((name, self.cls(part, 0) if isinstance(part, type) else self.known(part)))
        return _Same(module), *parts

    def cls(self, cls: type, depth: int) -> Any:
        """Describes the methods and constants of a class of the user, and of those that it derives from."""
        if cls in self.within:
            return "itself", self.within.index(cls)
        if _is_of_its_package(cls):
            return _Same(cls), *[_Same(vars(base)["__call__"]) for base in cls.__mro__ if "__call__" in vars(base)]
        if type(cls) not in (type, abc.ABCMeta):
            raise _Unknown  # may read anything
        self.within.append(cls)
        linen = sys.modules.get("flax.linen")
        left_out = _OF_ALL_CLASSES | (_OF_LINEN if linen is not None and issubclass(cls, linen.Module) else set())
        parts = []
        for base in cls.__mro__:
            if _is_of_its_package(base):
                parts.append((_Same(base), _Same(vars(base).get("__call__", base))))
                continue
            for name, part in vars(base).items():
                if name not in left_out:
                    parts.append((name, self.member(name, part, depth)))
        self.within.pop()
        return _Same(cls), *parts

    def member(self, name: str, part: Any, depth: int) -> Any:
        if isinstance(part, staticmethod | classmethod):
            return type(part), self.member(name, part.__func__, depth)
        if type(part) is property:
            return property, self.member(name, part.fget, depth)
        while isinstance(part, types.FunctionType) and _is_known(_module_of(part)) and "__wrapped__" in vars(part):
            part = vars(part)["__wrapped__"]  # as Linen wraps methods
        is_function = isinstance(part, types.FunctionType)
        if is_function and name in _WRITTEN and part.__code__.co_filename == "<string>":
            return _Same(part), _Same(part.__code__)
        return self.value(part, depth + 1)


@functools.lru_cache(maxsize=64)
def _is_array(cls: type) -> bool:
    return issubclass(cls, jax.Array) and not issubclass(cls, Tracer)


def _is_known(module: Any) -> bool:
    return str(module).partition(".")[0].lstrip("_") in _KNOWN_PACKAGES


def _module_of(value: Any) -> str:
    """Returns the name of the module that defines a value; for functions the true one, which decorators may hide."""
    if isinstance(value, types.FunctionType):
        return str(value.__globals__.get("__name__", ""))
    return str(getattr(value, "__module__", "") or "")


def _is_of_its_package(value: Any) -> bool:
    """Returns whether a known package holds a value under its name. Others are made of functions of the user."""
    module = getattr(value, "__module__", None) or "numpy"
    name = getattr(value, "__qualname__", None) or value.__name__
    return (_is_known(module) or module in _OF_PYTHON) and getattr(sys.modules.get(module), name, None) is value


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
