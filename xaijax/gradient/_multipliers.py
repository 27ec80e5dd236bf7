"""Multipliers of DeepLIFT (Shrikumar, Greenside & Kundaje 2017): factors m with m · Δin = Δout, for one operation.

Δ is the difference between the value at the input and that at the reference. An operation of several operands gets one
factor for each, and their products with the operands' differences sum to Δout, up to rounding.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array

Push = Callable[[Array], Array]  # tangents of an operand -> tangents of the result, linear

_ROUNDINGS = 4  # of a value: differences that are smaller say nothing


class Point(NamedTuple):
    """The value of a function at a point, and its derivative there; None for 0, and where it is not asked for."""

    value: Array
    slope: Array | None = None


def at_points(function: Callable[..., Array], operands: Sequence[Point]) -> Point:
    """Returns an elementwise function of functions of one variable at a point, with its derivative by that variable."""
    values = [operand.value for operand in operands]
    moving = [number for number, operand in enumerate(operands) if operand.slope is not None]
    if not moving:
        return Point(function(*values))

    def of_moving(*moved: Array) -> Array:
        return function(*(dict(zip(moving, moved, strict=True)).get(number, v) for number, v in enumerate(values)))

    try:
        value, slope = jax.jvp(of_moving, [values[k] for k in moving], [operands[k].slope for k in moving])
    except NotImplementedError:  # an operation without a derivative
        return Point(function(*values))
    return Point(value, slope if is_floating(value) else None)


def is_floating(value: Any) -> bool:
    """Returns whether an array holds real floating numbers."""
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)


def real(value: Array) -> Array:
    """Returns integers and booleans as floating numbers; others unchanged."""
    return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(jnp.result_type(float))


def difference(value: Array, reference: Array) -> Array:
    """Returns value - reference, and 0 for two equal infinite values."""
    value, reference = real(value), real(reference)
    return jnp.where(value == reference, 0, value - reference)


def midpoint(value: Array, reference: Array) -> Array:
    """Returns (value + reference) / 2."""
    value, reference = real(value), real(reference)
    return value / 2 + reference / 2


def quotient(delta: Array, value: Array, reference: Array, slope: Array | None) -> Array:
    """Returns (value - reference) / delta, or the slope where that explains the difference up to rounding.

    The quotient is exact, but noise where delta is tiny; there a smooth function has its slope, at a point between.
    """
    out = difference(value, reference)
    delta = delta.astype(out.dtype)
    slope = jnp.zeros((), out.dtype) if slope is None else slope
    noise = _ROUNDINGS * jnp.finfo(out.dtype).eps * jnp.maximum(jnp.abs(real(value)), jnp.abs(real(reference)))
    factor = jnp.where(jnp.abs(slope * delta - out) <= noise, slope, out / jnp.where(delta == 0, 1, delta))
    return zero_if_undefined(factor, value, reference)


def zero_if_undefined(factor: Any, value: Array, reference: Array) -> Array:
    """Returns a multiplier of a result, and 0 where the result is NaN at the input or at the reference.

    A score that is a number does not use such a result there, as in a branch that is not taken, but zero times NaN is NaN.
    """
    return jnp.where(jnp.isnan(value) | jnp.isnan(reference), 0, factor)


def secant(function: Callable[[Array], Array], value: Array, reference: Array) -> Array:
    """Returns the rescale multiplier of an elementwise function of one variable (section 3.5.2 of the paper)."""
    slope = at_points(function, [middle(value, reference)]).slope
    return quotient(difference(value, reference), function(value), function(reference), slope)


def middle(value: Array, reference: Array) -> Point:
    """Returns the midpoint as a variable, with slope 1; a constant for integers and booleans."""
    if not is_floating(value):
        return Point(value)
    between = midpoint(value, reference)
    return Point(between, jnp.ones_like(between))


def both_orders(function: Callable[..., Array], values: Sequence[Array], references: Sequence[Array]) -> list[Array]:
    """Returns the multipliers of an elementwise function of several variables.

    The variables move from the reference to the value one after the other, in their order and in the reverse one; the
    secants of both are averaged. For two variables these are the Shapley values divided by the differences.
    """
    count = len(values)
    total: list[Any] = [0.0] * count
    for order in (range(count), reversed(range(count))):
        point = list(references)
        for moving in order:
            others = list(point)

            def alone(v: Array, moving: int = moving, others: list[Array] = others) -> Array:
                return function(*others[:moving], v, *others[moving + 1 :])

            total[moving] = total[moving] + secant(alone, values[moving], references[moving]) / 2
            point[moving] = values[moving]
    return total


def of_division(values: Sequence[Array], references: Sequence[Array]) -> list[Array]:
    """Returns the multipliers of a / b: those of both orders, in closed form."""
    (a, b), (own_a, own_b) = values, references
    return [(1 / b + 1 / own_b) / 2, -midpoint(a, own_a) / b / own_b]


def of_choice(choices: tuple[Array, Array], values: Sequence[Array], references: Sequence[Array]) -> list[Array]:
    """Returns the multipliers of (1 - p) a + p b for a choice p that is 0 or 1: those of p, a and b.

    Where p jumps and a case is NaN at the end that does not use it, the whole difference counts for p.
    """
    p, own_p = choices
    a, b = (midpoint(jnp.asarray(case), jnp.asarray(own)) for case, own in zip(values, references, strict=True))
    change = difference(jax.lax.select_n(p, *values), jax.lax.select_n(own_p, *references))
    whole = change * difference(p, own_p).astype(change.dtype)  # p changes by 1 or -1
    jumps = p != own_p
    undefined = jumps & jnp.isnan(b - a)
    half = midpoint(p, own_p)
    weights = [jnp.where(undefined, 0, weight) for weight in (1 - half, half)]
    return [jnp.where(undefined, whole, jnp.where(jumps, b - a, 0)), *weights]


def of_maximum(value: Array, reference: Array, axes: Sequence[int], sign: int) -> Push:
    """Returns how tangents of an operand become those of its maximum over axes, or of its minimum for sign -1.

    With the largest element i of the input and j of the reference, Δmax = λ Δ_i + (1 - λ) Δ_j for
    λ = g / (g + g'), g = x_i - x_j, g' = x'_j - x'_i. The factors sum to 1: a shift of all elements shifts the maximum,
    so that softmax does not depend on the shift that it subtracts.
    """
    kept = [axis for axis in range(value.ndim) if axis not in axes]

    def flat(array: Array) -> Array:
        return jnp.transpose(array, (*kept, *axes)).reshape(*(array.shape[axis] for axis in kept), -1)

    def take(array: Array, index: Array) -> Array:
        return jnp.take_along_axis(array, index[..., None], axis=-1)[..., 0]

    own, other = (sign * flat(real(array)) for array in (value, reference))
    i, j = jnp.argmax(own, axis=-1), jnp.argmax(other, axis=-1)
    share = _lead(take(own, i), take(own, j), take(other, j), take(other, i))
    return lambda tangent: share * take(flat(tangent), i) + (1 - share) * take(flat(tangent), j)


def of_running_maximum(value: Array, reference: Array, axis: int, reverse: bool, sign: int) -> Push:
    """Returns the same for the maximum of all elements up to each one."""
    own, other = (sign * real(array) for array in (value, reference))

    def records(array: Array) -> Array:
        """Returns the index of the largest element so far."""
        numbers = jax.lax.broadcasted_iota(jnp.int32, array.shape, axis)
        is_record = array == jax.lax.cummax(array, axis=axis, reverse=reverse)
        if reverse:
            return jax.lax.cummin(jnp.where(is_record, numbers, array.shape[axis] - 1), axis=axis, reverse=True)
        return jax.lax.cummax(jnp.where(is_record, numbers, 0), axis=axis)

    i, j = records(own), records(other)
    take = functools.partial(jnp.take_along_axis, axis=axis)
    share = _lead(take(own, i), take(own, j), take(other, j), take(other, i))
    return lambda tangent: share * take(tangent, i) + (1 - share) * take(tangent, j)


def of_order(value: Array, reference: Array, i: Array, j: Array, axis: int, sign: int) -> Push:
    """Returns the same for sorted elements, with the indices i of the input's order and j of the reference's.

    The sum of the k smallest elements is a minimum over sets, and an element the difference of two such sums.
    """
    take = functools.partial(jnp.take_along_axis, axis=axis)

    def sums(array: Array, index: Array) -> Array:
        return jnp.cumsum(take(array, index), axis=axis)

    own, other = (sign * real(array) for array in (value, reference))
    share = _lead(sums(own, i), sums(own, j), sums(other, j), sums(other, i))

    def push(tangent: Array) -> Array:
        total = share * sums(tangent, i) + (1 - share) * sums(tangent, j)
        return jnp.diff(total, axis=axis, prepend=jnp.zeros_like(jax.lax.slice_in_dim(total, 0, 1, axis=axis)))

    return push


def _lead(best: Array, at_other: Array, other_best: Array, other_at: Array) -> Array:
    """Returns the share λ of the input's winner: its lead at the input in the sum of both leads."""
    most = jnp.finfo(best.dtype).max / 4
    own, other = (jnp.clip(lead, 0, most) for lead in (best - at_other, other_best - other_at))
    return jnp.where(own + other > 0, own / jnp.where(own + other > 0, own + other, 1), 0.5)


def of_pooling(value: Array, reference: Array, sign: int, parameters: Mapping[str, Any]) -> Push:
    """Returns how tangents become those of the maxima over windows: the larger maximum's element gets all, as in shap.

    Its own difference is at least as large as that of the maxima, so its factor Δout / Δin is in [0, 1].

    parameters: those of XLA's reduction over windows.
    """
    lowest = -jnp.inf
    (out, own), (other, others) = (_winner(_windows(sign * end, lowest, parameters)) for end in (value, reference))
    winner = jnp.where(out >= other, own, others)

    def picked(array: Array) -> Array:
        return sum(jnp.where(winner == number, each, 0) for number, each in enumerate(_windows(array, 0, parameters)))  # pyright: ignore[reportReturnType]

    moved = picked(difference(value, reference))
    share = jnp.where(moved == 0, 1, sign * difference(out, other) / jnp.where(moved == 0, 1, moved))
    return lambda tangent: share * picked(tangent)


def _winner(elements: Iterable[Array]) -> tuple[Array, Array]:
    """Returns the largest of the elements of each window, and its number."""
    best, winner = None, jnp.zeros((), jnp.int32)
    for number, element in enumerate(elements):
        is_better = True if best is None else element > best
        best = element if best is None else jnp.where(is_better, element, best)
        winner = jnp.where(is_better, jnp.full(element.shape, number, jnp.int32), winner)
    assert best is not None  # windows have elements
    return best, winner


def _windows(array: Array, fill: float, parameters: Mapping[str, Any]) -> Iterator[Array]:
    """Yields the first elements of all windows, then the second ones, and so on: slices, which XLA fuses."""
    sides, strides, dilations = (parameters[f"window_{name}"] for name in ("dimensions", "strides", "dilation"))
    padding = [(*pads, step - 1) for pads, step in zip(parameters["padding"], parameters["base_dilation"], strict=True)]
    array = jax.lax.pad(array, jnp.asarray(fill, array.dtype), padding)
    extents = [(side - 1) * dilation + 1 for side, dilation in zip(sides, dilations, strict=True)]
    counts = [(n - extent) // stride + 1 for n, extent, stride in zip(array.shape, extents, strides, strict=True)]
    for index in itertools.product(*map(range, sides)):
        starts = [position * dilation for position, dilation in zip(index, dilations, strict=True)]
        ends = [start + (count - 1) * stride + 1 for start, count, stride in zip(starts, counts, strides, strict=True)]
        yield jax.lax.slice(array, starts, ends, strides)
