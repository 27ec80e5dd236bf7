"""Lays out convolutions within loops for the fast kernels of CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xaijax._core.jaxpr import apply, evaluate


def with_fast_convolutions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the same function with convolutions that are fast in the bodies of loops.

    XLA transposes convolutions to the layout of its fast CPU kernels, inputs [N, ..., C] and kernels [..., I, O], but not
    within loops. Gradients of convolutions have transposed kernels, and would run several times slower there, so the
    function itself is rewritten with explicit transposes. On other devices it is returned unchanged.
    """
    if jax.default_backend() != "cpu":
        return function

    def run(*arguments: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = evaluate(closed.jaxpr, [*closed.consts, *jax.tree.leaves(arguments)], _convolve)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return run


def _convolve(equation: Any, inputs: list[Any]) -> list[Any]:
    if equation.primitive is not lax.conv_general_dilated_p or equation.params["batch_group_count"] > 1:
        return apply(equation, inputs)
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
