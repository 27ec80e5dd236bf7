"""Convolutions in loops, laid out as the CPU's fast kernels take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xaijax._core.jaxpr import apply, evaluate


def with_fast_convolutions(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, for bodies of loops.

    XLA brings convolutions into the layout of its fast CPU kernels, places [N, ..., C] and kernels [..., I, O], but does
    not look into loops: the gradients of convolutions, whose kernels come transposed, run seven times slower there. Here
    the layout is brought about by transposing in the function itself. Elsewhere than on CPUs nothing is changed.
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
    places = tuple(range(1, axes - 1))
    fast = lax.ConvDimensionNumbers(
        (0, axes - 1, *places), (axes - 1, axes - 2, *range(axes - 2)), (0, axes - 1, *places)
    )
    if given == fast:
        return apply(equation, inputs)
    batch, channels, *space = given.lhs_spec
    outputs, depth, *sides = given.rhs_spec
    images = jnp.transpose(inputs[0], (batch, *space, channels))
    kernels = jnp.transpose(inputs[1], (*sides, depth, outputs))
    convolved = lax.conv_general_dilated_p.bind(images, kernels, **equation.params | {"dimension_numbers": fast})
    back = [0] * axes
    for place, axis in enumerate((given.out_spec[0], *given.out_spec[2:], given.out_spec[1])):
        back[axis] = place
    return [jnp.transpose(convolved, back)]
