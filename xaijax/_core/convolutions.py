"""Rewrites convolutions for CPUs: depthwise ones as shifted products, and others in loops in the layout of fast kernels."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.extend import core

from xaijax._core.depthwise import is_faster_shifted, shift_depthwise
from xaijax._core.jaxpr import Rule, apply, evaluate, make_jaxpr, operations

# Operations with bodies, and whether these are loops. The derivative of a custom one stays the user's.
_BODIES = {"scan": True, "while": True, "cond": False, "custom_jvp_call": False, "custom_vjp_call": False}

# Whether the models that are traced now are part of a program of this package.
_in_program: contextvars.ContextVar[bool] = contextvars.ContextVar("in_program", default=False)


@contextlib.contextmanager
def fast_models() -> Iterator[None]:
    """Rewrites all models that are called within."""
    token = _in_program.set(True)
    try:
        yield
    finally:
        _in_program.reset(token)


def of_model(call: Callable[[Any], Any], x: Any) -> Any:
    """Calls a model, rewritten for CPUs within `fast_models`. Models without depthwise convolutions stay as they are."""
    if not _in_program.get() or not _is_cpu() or not _is_traced(x):
        return call(x)
    closed, shapes = make_jaxpr(call, x)
    leaves = jax.tree.leaves(x)
    if _has_depthwise(closed.jaxpr):
        results = evaluate(closed.jaxpr, [*closed.consts, *leaves], compute)
    else:
        results = core.jaxpr_as_fun(closed)(*leaves)
    return jax.tree.unflatten(jax.tree.structure(shapes), results)


def with_fast_convolutions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the same function with convolutions that are fast in the bodies of loops.

    XLA transposes convolutions to the layout of its fast CPU kernels, inputs [N, ..., C] and kernels [..., I, O], but not
    within loops. Gradients of convolutions have transposed kernels, and would run several times slower there, so the
    function itself is rewritten with explicit transposes. On other devices it is returned unchanged.
    """
    if not _is_cpu():
        return function

    def run(*arguments: Any) -> Any:
        closed, shapes = make_jaxpr(function, *arguments)
        results = evaluate(closed.jaxpr, [*closed.consts, *jax.tree.leaves(arguments)], _compute_in_loop)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return run


def compute(equation: Any, inputs: list[Any]) -> list[Any]:
    """Computes an operation in the way that is fast on the device: a rule for `evaluate`."""
    if not _is_cpu():
        return apply(equation, inputs)
    if equation.primitive.name in _BODIES:
        return _with_bodies(equation, inputs, compute)
    return shift_depthwise(equation, inputs)


def _compute_in_loop(equation: Any, inputs: list[Any]) -> list[Any]:
    if equation.primitive.name in _BODIES:
        return _with_bodies(equation, inputs, _compute_in_loop)
    is_convolution = equation.primitive is lax.conv_general_dilated_p and equation.params["batch_group_count"] == 1
    if not is_convolution or is_faster_shifted(equation):
        return shift_depthwise(equation, inputs)
    given = equation.params["dimension_numbers"]
    axes = len(given.lhs_spec)
    space = tuple(range(1, axes - 1))
    fast = lax.ConvDimensionNumbers(
        (0, axes - 1, *space), (axes - 1, axes - 2, *range(axes - 2)), (0, axes - 1, *space)
    )
    if given == fast:
        return apply(equation, inputs)
    batch, channels, *sides = given.lhs_spec
    images = jnp.transpose(inputs[0], (batch, *sides, channels))
    outputs, depth, *sides = given.rhs_spec
    kernels = jnp.transpose(inputs[1], (*sides, depth, outputs))
    convolved = lax.conv_general_dilated_p.bind(images, kernels, **equation.params | {"dimension_numbers": fast})
    back = [0] * axes
    for position, axis in enumerate((given.out_spec[0], *given.out_spec[2:], given.out_spec[1])):
        back[axis] = position
    return [jnp.transpose(convolved, back)]


def _with_bodies(equation: Any, inputs: list[Any], rule: Rule) -> list[Any]:
    """Computes an operation with bodies, such as a loop, whose depthwise convolutions are rewritten."""
    if not any(_has_depthwise(body.jaxpr) for body in _bodies(equation)):
        return apply(equation, inputs)
    rule = _compute_in_loop if _BODIES[equation.primitive.name] else rule
    return apply(rewrite_bodies(equation, rule), inputs)


def rewrite_bodies(equation: Any, rule: Rule) -> Any:
    """Returns an operation, such as a loop, whose bodies are evaluated by a rule."""
    return equation.replace(params={name: _rewritten(value, rule) for name, value in equation.params.items()})


def _rewritten(value: Any, rule: Rule) -> Any:
    """Rewrites a parameter that is a body, or several; others stay as they are."""
    if isinstance(value, tuple):
        return tuple(_rewritten(part, rule) for part in value)
    if not isinstance(value, core.ClosedJaxpr):
        return value
    arguments = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type) for aval in value.in_avals]
    run = lambda *inputs: evaluate(value.jaxpr, [*value.consts, *inputs], rule)  # noqa: E731
    return jax.make_jaxpr(run)(*arguments)


def _has_depthwise(jaxpr: Any) -> bool:
    """Returns whether there is something to rewrite, in bodies too."""
    return any(
        is_faster_shifted(equation) or any(_has_depthwise(body.jaxpr) for body in _bodies(equation))
        for equation in operations(jaxpr)
    )


def _bodies(equation: Any) -> list[Any]:
    if equation.primitive.name not in _BODIES:
        return []
    return [leaf for leaf in jax.tree.leaves(list(equation.params.values())) if isinstance(leaf, core.ClosedJaxpr)]


def _is_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _is_traced(x: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))
