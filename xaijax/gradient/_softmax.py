"""Recognizes softmax in a program, exp(x) / sum(exp(x)), masked or not, from the nodes of its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from xaijax._core.convolutions import compute
from xaijax._core.numerics import ratio
from xaijax._core.typing import Array
from xaijax.gradient._nodes import Axes, Node, Powers
from xaijax.gradient._shares import of_softmax

Carry = Callable[[Array], Array]  # see `Node.carry`

# Operations that multiply their operand by constants at each position, or choose between it and constants.
_KEEPING = ("copy", "convert_element_type", "mul", "div", "neg", "select_n")


def powers_of(equation: Any, inputs: Sequence[Any], result: Any) -> Powers | None:
    """Returns the powers that an operation's result consists of, or None."""
    name = equation.primitive.name
    positions = [number for number, value in enumerate(inputs) if isinstance(value, Node)]
    if len(positions) != 1:
        return None
    (position,) = positions
    source = inputs[position]
    if name == "exp":
        return Powers(source, result)
    is_kept = name in _KEEPING and jnp.shape(result) == source.value.shape and (name != "div" or position == 0)
    if source.powers is None or not is_kept:
        return None
    if name != "select_n":
        given = [source.powers.part if number == position else value for number, value in enumerate(inputs)]
    else:  # other cases are constants
        choice, *cases = inputs
        given = [choice, *(source.powers.part if case is source else jnp.zeros_like(source.value) for case in cases)]
    return Powers(source.powers.exponent, compute(equation, given)[0])


def sums_of(equation: Any, inputs: Sequence[Any], result: Any) -> tuple[Node, Axes] | None:
    """Returns the node that an operation's result sums up, and which of its axes each axis of the result is, or None."""
    name, parameters, source = equation.primitive.name, equation.params, inputs[0]
    if not isinstance(source, Node):
        return None
    if name == "reduce_sum":
        kept = range(source.value.ndim)
        return source, tuple(axis for axis in kept if axis not in parameters["axes"])
    if source.sums is None:
        return None
    summed, axes = source.sums
    sizes, shape = source.value.shape, jnp.shape(result)
    if name in ("convert_element_type", "copy"):
        return summed, axes
    if name == "transpose":
        return summed, tuple(axes[axis] for axis in parameters["permutation"])
    if name == "broadcast_in_dim":
        before = dict(zip(parameters["broadcast_dimensions"], range(len(sizes)), strict=True))
        same = [axis in before and sizes[before[axis]] == size for axis, size in enumerate(shape)]
        return summed, tuple(axes[before[axis]] if is_same else None for axis, is_same in enumerate(same))
    long = [axis for axis, size in zip(axes, sizes, strict=True) if size != 1]
    if name in ("reshape", "squeeze", "expand_dims") and [size for size in sizes if size != 1] == [
        size for size in shape if size != 1
    ]:
        left = iter(long)
        return summed, tuple(None if size == 1 else next(left) for size in shape)
    return None


def softmax_of(numerator: Node, denominator: Node, result: Any) -> tuple[Node, Carry] | None:
    """Returns x and the carriers of softmax(x) by those of x where a quotient is exp(x) / sum(exp(x)), or None."""
    powers = numerator.powers
    if powers is None or denominator.sums is None:
        return None
    summed, kept = denominator.sums
    kept = kept or (None,) * jnp.ndim(result)  # a sum over all axes
    is_aligned = len(kept) == jnp.ndim(result) and all(own in (axis, None) for axis, own in enumerate(kept))
    if summed.powers is None or summed.powers.exponent is not powers.exponent or not is_aligned:
        return None
    source, axes = powers.exponent, [axis for axis, own in enumerate(kept) if own is None]
    while source.shifted is not None:
        before, shape = source.shifted
        if shape and any(shape[axis] != 1 for axis in axes):
            break
        source = before  # minus the largest value, of which softmax is independent
    if summed is numerator and powers.part is numerator.value:
        return source, of_softmax(source.value, result, 1, result, axes)
    own, weights = ratio(powers.part, numerator.value), ratio(summed.powers.part, denominator.value)
    return source, of_softmax(source.value, result, own, weights, axes)
