"""Explains errors inside the user's model: which call evaluated it, with which shapes, and the likely fix."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import operator
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.errors import (
    ConcretizationTypeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
)

from xaijax._core import calls, check

_OUTSIDE_JAX = ("sklearn", "xgboost", "lightgbm", "catboost", "torch", "tensorflow", "onnxruntime", "statsmodels")

_LONGEST_SEARCH = 10.0  # seconds of tracing a model with changed inputs

CALLBACK = "pass xai.callback(predict), where predict maps NumPy arrays [n, ...] to numbers [n, K]"


@contextlib.contextmanager
def noted(model: Any, x: Any) -> Iterator[None]:
    """Adds a note to errors from within a model; they keep their type and traceback.

    Raises:
      TypeError: in place of JAX's error, if the model converts traced arrays to NumPy.
    """
    try:
        yield
    except Exception as error:
        if _is_own(error) or any(note.startswith(calls.NOTE) for note in getattr(error, "__notes__", ())):
            raise
        role, name = model.static.role, _name(model)
        library = _library(model)
        cause = _cause_in_tracing(error)
        if isinstance(cause, TracerArrayConversionError) or library:
            reason = f"which uses {library}" if library else "which converts its input to NumPy"
            raise TypeError(
                f"`{role}` must be written in JAX, got {name}, {reason}: use jax.numpy, or {CALLBACK}."
            ) from error
        explainer = calls.explainer_name() or "xaijax"
        fix = _likely_fix(cause, model, x)
        error.add_note(f"{calls.NOTE}{explainer} evaluated `{role}`, {name}, with {_shapes(x)}. {fix}")
        raise


def refuse_outside_jax(model: Any, role: str) -> None:
    """Raises one sentence for models of other frameworks."""
    library = _of_library(model)
    if library:
        raise TypeError(f"`{role}` must be written in JAX, got {check.shown(model)} of {library}: {CALLBACK}.")


def is_estimator(model: Any) -> bool:
    """Returns whether an object predicts and is none that JAX could call."""
    has_predict = hasattr(model, "predict") or hasattr(model, "predict_proba")
    return has_predict and not isinstance(model, type) and (not callable(model) or _of_library(model) is not None)


def is_method_of_library(model: Any) -> bool:
    """Returns whether a callable is a method of a model of another framework, such as forest.predict_proba."""
    return callable(model) and _of_library(getattr(model, "__self__", None)) is not None


def module_in_closure(model: Any) -> str | None:
    """Says which NNX module a model's function only closes over, and how to pass it; None if there is none.

    The layers of such a module have no names, its parameters are constants, and its state cannot be changed.
    """
    if "flax" not in sys.modules:
        return None
    from flax import nnx

    for variable, value in _variables(model):
        if isinstance(value, nnx.Module):
            return (
                f"{_name(model)} closes over the NNX module {variable!r}, whose layers are not visible: pass the module "
                f"itself as the model, {variable} or functools.partial({variable}, ...)"
            )
    return None


def _is_own(error: Exception) -> bool:
    """Returns whether an error was raised by a check of this package.

    Arguments that do not fit the signature of the user's function are reported by Python at the call, in `_call` or the
    `_outputs` that it shares with `_call_tagged`.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    is_call = frame.f_code.co_name in ("_call", "_outputs") and isinstance(error, TypeError)
    return calls.is_of_package(frame) and not is_call


def _cause_in_tracing(error: BaseException) -> BaseException:
    """Returns JAX's error about a traced array that caused an error, which NumPy replaces by its own; else the error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConcretizationTypeError, TracerArrayConversionError, TracerIntegerConversionError)):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def _function(model: Any) -> Any:
    """Returns the user's function or object of a model."""
    model = model.innermost
    content = model.content
    bound = [option for option in model.static.options if callable(option)]  # a Linen module, apart from its variables
    function = bound[0] if bound else content[0] if isinstance(content, tuple) and content else content
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _name(model: Any) -> str:
    function = _function(model)
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if code is None:
        return f"a model of type {type(function).__name__}"
    return f"the function {code.co_qualname} ({code.co_filename}:{code.co_firstlineno})"


def _shapes(x: Any) -> str:
    leaves = [check.shown(jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))) for leaf in jax.tree.leaves(x)]
    many = f" and {len(leaves) - 4} more" if len(leaves) > 4 else ""
    container = "" if isinstance(x, jax.Array) else f"a {type(x).__name__} of "
    return f"x {container}{', '.join(leaves[:4])}{many}"


def _library(model: Any) -> str | None:
    """Returns the name of a framework outside JAX that a model's function uses, or None."""
    return next((library for _, value in _variables(model) if (library := _of_library(value))), None)


def _of_library(value: Any) -> str | None:
    if value is None:
        return None
    names = [cls.__module__.partition(".")[0] for cls in type(value).__mro__]
    return next((name for name in names if name in _OUTSIDE_JAX), None)


def _variables(model: Any) -> list[tuple[str, Any]]:
    """Returns the variables that a model's function reads from its surroundings, by name."""
    function = _function(model)
    bound = getattr(function, "__self__", None)
    function = inspect.unwrap(getattr(function, "__func__", function)) if callable(function) else function
    try:
        closure = inspect.getclosurevars(function)
    except TypeError:
        return []
    return [("self", bound), *closure.nonlocals.items(), *closure.globals.items()]


def _likely_fix(error: BaseException, model: Any, x: Any) -> str:
    """Returns the change of the call that lets the model accept x: tries a few of them on shapes alone."""
    hidden = module_in_closure(model)
    if hidden:
        return f"Likely fix: {hidden}."
    if isinstance(error, TracerBoolConversionError):
        return "Likely fix: replace Python control flow on array values by jnp.where or jax.lax.cond."
    if isinstance(error, (ConcretizationTypeError, TracerIntegerConversionError)):
        return (
            "Likely fix: keep arrays as arrays, without int(), float(), .item(), .tolist() or Python lists indexed by their "
            "values."
        )
    rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), x)
    end = time.monotonic() + _LONGEST_SEARCH
    for fix, call in _changes(model, rows):
        if time.monotonic() > end:
            break
        with contextlib.suppress(Exception):
            jax.eval_shape(call, rows)
            return f"Likely fix: {fix}."
    missing = re.search(r"missing \d+ required .*arguments?: (.*)", str(error))
    if missing:
        given = ", ".join(f"{name}=..." for name in re.findall(r"'(\w+)'", missing[1]))
        is_linen = type(model.innermost).__name__ == "LinenModel"
        bind = (
            f"xai.linen(module, variables, {given})" if is_linen else f"functools.partial({model.static.role}, {given})"
        )
        return f"Likely fix: bind the other arguments, pass {bind}."
    return _CONTRACTS.get(model.static.role, _CONTRACTS["model"])


_CONTRACTS = {
    "model": "A model must map any number of rows, x[N, ...], to as many rows of outputs.",
    "target": "A target must map outputs [N, ...] to one number for each example, [N].",
    "value": "A game must map coalitions [S, M] to as many outputs, [S] or [S, K].",
}


class _Change(NamedTuple):
    """A change of a call: why it may be needed, what to pass, and the changed input or model."""

    reason: str
    passed: str
    apply: Callable[[Any], Any]


def _changes(model: Any, x: Any) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Yields changes of a call that are often missing, in the order of likelihood, then pairs of them."""
    of_model, (batch_axis, *of_x) = _changes_of_model(model), _changes_of_input(x)
    if (vectorized := _vectorized_by_vmap(model)) is not None:  # it comes first, since x[None] would be accepted, too
        yield _sentence(of_model[0]), vectorized
    yield _sentence(batch_axis), lambda x: model._call(batch_axis.apply(x))
    for change in of_model:
        yield _sentence(change), change.apply
    for change in of_x:
        yield _sentence(change), lambda x, change=change: model._call(change.apply(x))
    if isinstance(x, dict):
        role = model.static.role
        yield f"the model takes keyword arguments, pass lambda x: {role}(**x)", lambda x: _spread(model, x)
    for first, second in itertools.product((batch_axis, *of_x), of_model):
        yield _sentence(first, second), lambda x, first=first, second=second: second.apply(first.apply(x))


def _sentence(*changes: _Change) -> str:
    reasons, passed = zip(*((change.reason, change.passed) for change in changes), strict=True)
    return f"{' and '.join(reasons)}, pass {' and '.join(passed)}"


def _changes_of_model(model: Any) -> list[_Change]:
    call, role = model._call, model.static.role
    row = jax.vmap(lambda x: call(jax.tree.map(lambda leaf: leaf[None], x))[0])
    changes = [
        _Change("the model takes one row at a time", f"jax.vmap(lambda row: {role}(row[None])[0])", row),
        _Change("the model takes one example", f"jax.vmap({role})", jax.vmap(call)),
    ]
    vectorized = _vectorized_by_vmap(model)
    if vectorized is not None:
        changes.insert(0, _Change("the model takes batches already", "it without jax.vmap", vectorized))
    return changes


def _changes_of_input(x: Any) -> list[_Change]:
    def each(reason: str, passed: str, function: Callable[[Any], Any]) -> _Change:
        return _Change(reason, passed, lambda x: jax.tree.map(function, x))

    leaves = jax.tree.leaves(x)
    changes = [each("x is one example without its batch axis", "x[None]", lambda leaf: leaf[None])]
    if any(leaf.dtype != jnp.float32 for leaf in leaves):
        integers = any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in leaves)
        takes = "the model takes floating numbers" if integers else "the model takes float32"
        changes.append(each(takes, "x.astype(jnp.float32)", lambda leaf: leaf.astype(jnp.float32)))
    if not any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in leaves):
        changes.append(each("the model takes integers", "x.astype(jnp.int32)", lambda leaf: leaf.astype(jnp.int32)))
    if isinstance(x, (list, tuple)):
        changes.append(_Change("x is a sequence of arrays", "jnp.stack(x)", jnp.stack))
    if isinstance(x, dict):
        changes += [_Change("the model takes one array", f"x[{name!r}]", operator.itemgetter(name)) for name in x]
    if len(leaves) == 1 and leaves[0].ndim >= 3:
        for order, one, many in (("last", (0, -1), (1, -1)), ("first", (-1, 0), (-1, 1))):
            reason = f"the model takes channels {order}"
            changes.append(each(reason, f"jnp.moveaxis(x, {many[0]}, {many[1]})", functools.partial(_moved, axes=many)))
            changes.append(
                each(
                    f"x is one example, while {reason}",
                    f"jnp.moveaxis(x, {one[0]}, {one[1]})[None]",
                    lambda leaf, axes=one: _moved(leaf, axes)[None],
                )
            )
    return changes


def _moved(leaf: Any, axes: tuple[int, int]) -> Any:
    return jnp.moveaxis(leaf, *axes)


def _vectorized_by_vmap(model: Any) -> Callable[..., Any] | None:
    """Returns the function that jax.vmap made a model of, under jax.jit or not; None for other models."""
    content = model.content
    function = content[0] if isinstance(content, tuple) and len(content) == 3 and not any(content[1:]) else None
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        outer, function = function, inner
        if (outer.__doc__ or "").startswith("Vectorized version of"):  # as jax.vmap documents what it returns
            return inspect.unwrap(function)
    return None


def _spread(model: Any, x: dict[str, Any]) -> Any:
    function, parameters, options = model.content
    return function(*parameters, **x, **options)
