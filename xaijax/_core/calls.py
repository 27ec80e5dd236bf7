"""Calls users' functions by the names of their arguments, and finds the user's call in the stack for warnings and notes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import sys
import sysconfig
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NOTE = "xaijax: "  # begins every note about an error of the user's code

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(
    f"{os.sep}site-packages{os.sep}{name}{os.sep}" for name in ("jax", "jaxlib", "flax", "beartype", "jaxtyping")
)
_STANDARD = sysconfig.get_paths()["stdlib"] + os.sep


def user_line() -> tuple[str, int, types.FrameType] | None:
    """Returns the file, the line and the frame of the innermost code outside this package, or None without one."""
    for frame in _frames():
        if not _is_internal(frame):
            return frame.f_code.co_filename, frame.f_lineno, frame
    return None


def explainer_name() -> str | None:
    """Returns the name of the outermost public function of this package that is being called, such as "xai.shap.values"."""
    name = None
    for frame in _frames():
        if not _is_internal(frame):
            break
        name = _public_name(frame) or name
    return name


def is_of_package(frame: types.FrameType) -> bool:
    """Returns whether a frame is code of this package."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


def call_noted(role: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Calls a user's function. Errors from within it get a note that says so; they keep their type and traceback."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        of_check = len(frames) > 1 and is_of_package(frames[-1])  # a single frame is this one, of a builtin function
        if not of_check and not any(note.startswith(NOTE) for note in getattr(error, "__notes__", ())):
            name = getattr(function, "__qualname__", type(function).__name__)
            error.add_note(f"{NOTE}{explainer_name() or 'xaijax'} called `{role}`, {name}, which raised this error.")
        raise


def accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the given arguments that a function names, or all where it takes any.

    None is left out where the function has a default. Arguments that `functools.partial` or `jax.tree_util.Partial` has
    bound are left as they are.
    """
    required = {name for name, parameter in free_parameters(function).items() if is_required(parameter)}
    return {
        name: value
        for name, value in given.items()
        if takes(function, name) and (value is not None or name in required)
    }


def takes(function: Callable[..., Any], name: str) -> bool:
    """Returns whether a function names an argument, or takes any, and the argument is not bound."""
    parameters = free_parameters(function)
    takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    return name in parameters or (takes_any and name not in _bound_names(function))


def free_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a function by name, without those that are bound; {} of callables without a signature."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    bound = _bound_names(function)
    return {name: parameter for name, parameter in parameters.items() if name not in bound}


def is_required(parameter: inspect.Parameter) -> bool:
    """Returns whether a parameter must be given."""
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable


def _bound_names(function: Any) -> set[str]:
    """Returns the names of the arguments that `functools.partial` or `jax.tree_util.Partial` has bound."""
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound, function = bound | function.keywords.keys(), function.func
    return bound


@contextlib.contextmanager
def noted(note: str) -> Iterator[None]:
    """Adds a note to errors that are raised within the block."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def warn(message: str) -> None:
    """Raises a UserWarning that names the user's line."""
    line = user_line()
    if line is None:
        warnings.warn(message, UserWarning, stacklevel=2)
        return
    file, number, frame = line
    scope = frame.f_globals
    module, registry = scope.get("__name__", "__main__"), scope.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, UserWarning, file, number, module, registry)


def _frames() -> Iterator[types.FrameType]:
    """Yields the frames of the stack from the caller of this module outward."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_internal(frame: types.FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith((_PACKAGE, "<")) and not file.startswith(("<stdin", "<ipython", "<string", "<doctest")):
        return True
    if any(library in file for library in _LIBRARIES):
        return True
    return file.startswith(_STANDARD) and "site-packages" not in file and frame.f_globals.get("__name__") != "__main__"


def _public_name(frame: types.FrameType) -> str | None:
    """Returns the public name of a frame's function, or None for private ones and for other packages.

    Decorated functions share the code of their wrapper, which closes over the function itself.
    """
    candidates = [(str(frame.f_globals.get("__name__", "")), frame.f_code.co_qualname)]
    for variable in frame.f_code.co_freevars:
        function = frame.f_locals.get(variable)
        if isinstance(function, types.FunctionType):
            candidates.append((str(function.__module__), function.__qualname__))
    for module, name in candidates:
        package, *parts = module.split(".")
        if package != "xaijax":
            continue
        namespace = list(itertools.takewhile(lambda part: not part.startswith("_"), parts))
        owner = sys.modules.get(".".join(["xaijax", *namespace]))
        if name in getattr(owner, "__all__", ()):
            return ".".join(["xai", *namespace, name])
    return None
