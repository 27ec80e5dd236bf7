"""Depthwise convolutions as sums of shifted products, which XLA fuses into one pass over the image.

    out[n, p, c] = sum_q x[n, p S + q D, c] w[q, c]        (S the strides, D the dilation of the kernel w)

XLA's CPU backend computes grouped convolutions one group after another instead, and their gradients even more slowly.
The operation here has the parameters of XLA's convolution, and differs in its program for CPUs alone. Its derivatives
and its vectorization are those of XLA's convolution: the gradient for the input is again a depthwise convolution, that
for the kernel a convolution with groups in its batch.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from xaijax._core.jaxpr import apply, evaluate, make_jaxpr
from xaijax._core.typing import Array

# More products than these compile slowly, and were no faster on the CPUs that were measured.
_MOST_PRODUCTS = 128
# Outputs for one input channel, or inputs for one output channel: XLA is fast where groups have many channels.
_MOST_CHANNELS = 4


def shift_depthwise(equation: Any, inputs: list[Any]) -> list[Any]:
    """Computes an operation, a depthwise convolution as a sum of shifted products where that is faster on CPUs."""
    if not is_faster_shifted(equation):
        return apply(equation, inputs)
    with equation.ctx.manager:
        return [depthwise_p.bind(*inputs, **equation.params)]


def is_faster_shifted(equation: Any) -> bool:
    """Returns whether an operation is a depthwise convolution that a sum of shifted products computes faster."""
    if equation.primitive is not lax.conv_general_dilated_p:
        return False
    images, kernels = (variable.aval for variable in equation.invars)
    (out,) = (variable.aval for variable in equation.outvars)
    if not all(jnp.issubdtype(array.dtype, jnp.floating) for array in (images, kernels, out)):
        return False
    return _form(images, kernels, out, equation.params) is not None


def _form(images: Any, kernels: Any, out: Any, parameters: dict[str, Any]) -> str | None:
    """Returns by which sum arrays of these shapes are convolved, or None if XLA is faster or shapes are not known."""
    numbers = parameters["dimension_numbers"]
    rows, inputs, *space = (images.shape[axis] for axis in numbers.lhs_spec)
    outputs, depth, *sides = (kernels.shape[axis] for axis in numbers.rhs_spec)
    positions = [out.shape[axis] for axis in numbers.out_spec[2:]]
    if not all(isinstance(size, int) and size > 0 for size in (inputs, *space, outputs, depth, *sides, *positions)):
        return None  # the number of rows alone may be open

    def is_small(groups: int, channels: tuple[int, int], count: list[int]) -> bool:
        is_depthwise = groups > 1 and min(channels) == 1 and max(channels) <= _MOST_CHANNELS
        return is_depthwise and math.prod(count) <= _MOST_PRODUCTS

    if parameters["batch_group_count"] > 1:
        groups = parameters["batch_group_count"]
        return "kernel" if is_small(groups, (rows // groups, outputs // groups), positions) else None
    groups = parameters["feature_group_count"]
    if is_small(groups, (depth, outputs // groups), sides):
        return "image"
    is_swappable = max(parameters["window_strides"]) == 1 and math.prod(sides) > math.prod(space)
    return "swapped" if is_swappable and isinstance(rows, int) and is_small(groups, (depth, rows), space) else None


depthwise_p = Primitive("depthwise_convolution")


def _shifted(images: Array, kernels: Array, **parameters: Any) -> Array:
    """Computes a convolution with any layout, as its parameters say."""
    numbers = parameters["dimension_numbers"]
    out, _ = lax.conv_general_dilated_p.abstract_eval(jax.typeof(images), jax.typeof(kernels), **parameters)
    form = _form(images, kernels, out, parameters)
    precise = jnp.promote_types(out.dtype, jnp.float32)  # sums of half-precision products are kept in float32
    images = jnp.transpose(images, (*numbers.lhs_spec[:1], *numbers.lhs_spec[2:], *numbers.lhs_spec[1:2]))
    kernels = jnp.transpose(kernels, (*numbers.rhs_spec[2:], *numbers.rhs_spec[1::-1]))  # [..., I, O]
    images, kernels = images.astype(precise), kernels.astype(precise)
    padding, own_dilation, dilation = (parameters[name] for name in ("padding", "lhs_dilation", "rhs_dilation"))
    groups = parameters["feature_group_count"]
    if form == "swapped":
        images, kernels, padding = _swap(images, kernels, groups, padding, own_dilation, dilation)
        own_dilation, dilation = dilation, own_dilation
    steps = [(low, high, step - 1) for (low, high), step in zip(padding, own_dilation, strict=True)]
    images = lax.pad(images, jnp.zeros((), precise), [(0, 0, 0), *steps, (0, 0, 0)])
    sums = _kernel_sums if form == "kernel" else _image_sums
    total = sums(images, kernels, parameters["window_strides"], dilation).astype(out.dtype)
    if form == "swapped":
        total = _exchanged(total, groups)
    order = (numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1])
    return jnp.transpose(total, [order.index(axis) for axis in range(total.ndim)])


def _swap(
    images: Array, kernels: Array, groups: int, padding: Any, of_images: Any, of_kernels: Any
) -> tuple[Array, Array, list[tuple[int, int]]]:
    """Exchanges images and kernels, each reversed: x * w = w * x, where small images have large kernels.

    The gradient of a kernel's gradient is such a convolution. of_images, of_kernels: the dilations.
    """
    space, sides = images.shape[1:-1], kernels.shape[:-2]
    axes = zip(padding, space, of_images, sides, of_kernels, strict=True)
    exchanged = [
        (low + (size - 1) * own - (side - 1) * other, high + (size - 1) * own - (side - 1) * other)
        for (low, high), size, own, side, other in axes
    ]
    turned = [jnp.flip(images, range(1, images.ndim - 1)), jnp.flip(kernels, range(kernels.ndim - 2))]
    by_group = turned[0].reshape(*images.shape[:-1], groups, -1)  # [N, *space, G, I]
    new_kernels = jnp.moveaxis(jnp.moveaxis(by_group, 0, -1), -2, -3)  # [*space, I, G, N]
    by_group = turned[1].reshape(*kernels.shape[:-1], groups, -1)  # [*sides, I, G, O / G]
    new_images = jnp.moveaxis(jnp.moveaxis(by_group, -1, 0), -2, -1)  # [O / G, *sides, G, I]
    return (
        new_images.reshape(*new_images.shape[:-2], -1),
        new_kernels.reshape(*new_kernels.shape[:-2], -1),
        exchanged,
    )


def _exchanged(total: Array, groups: int) -> Array:
    """Turns [O / G, *space, G N] into [N, *space, O]."""
    by_group = total.reshape(*total.shape[:-1], groups, -1)
    by_group = jnp.moveaxis(jnp.moveaxis(by_group, -1, 0), 1, -1)
    return by_group.reshape(*by_group.shape[:-2], -1)


def _image_sums(images: Array, kernels: Array, strides: Any, dilations: Any) -> Array:
    """Computes images [N, *space, G I], kernels [*sides, I, O] -> [N, *space', O], for G groups with I = 1 or O = G."""
    *sides, depth, outputs = kernels.shape
    channels = max(images.shape[-1], outputs)  # of the products
    images = jnp.repeat(images, channels // images.shape[-1], axis=-1)
    kernels = jnp.swapaxes(kernels, -1, -2).reshape(*sides, channels)
    counts = _num_steps(images.shape[1:-1], sides, strides, dilations)
    total: Any = 0
    for index in itertools.product(*map(range, sides)):
        starts = [position * dilation for position, dilation in zip(index, dilations, strict=True)]
        total = total + _window(images, starts, counts, strides, first=1) * kernels[index]
    return total.reshape(*total.shape[:-1], outputs, -1).sum(axis=-1) if depth > 1 else total


def _kernel_sums(images: Array, kernels: Array, strides: Any, dilations: Any) -> Array:
    """Computes images [G I, *space, N], kernels [*sides, N, O] -> [I, *space', O], for G groups with I = 1 or O = G.

    This is the gradient for a depthwise kernel, out[q, c] = sum_n sum_p images[c, q S + p D, n] kernels[p, n, c]. The
    products of a line of p are summed up line by line, in a loop. XLA's sums over all positions are several times slower.
    """
    *sides, batch, outputs = kernels.shape
    depth, channels = max(1, images.shape[0] // outputs), max(images.shape[0], outputs)  # channels of the products
    images = jnp.repeat(jnp.moveaxis(images, 0, -1), channels // images.shape[0], axis=-1)  # [*space, N, channels]
    kernels = jnp.repeat(kernels, channels // outputs, axis=-1)
    images, kernels = jnp.moveaxis(images, -2, 0), jnp.moveaxis(kernels, -2, 0)
    counts = _num_steps(images.shape[1:-1], sides, strides, dilations)
    lines = (batch, *sides[:-1])
    extents = [(count - 1) * stride + 1 for count, stride in zip(counts[:-1], strides[:-1], strict=True)]

    def add_line(total: Array, number: Array) -> tuple[Array, None]:
        example, *rows = jnp.unravel_index(number, lines)
        starts = [row * dilation for row, dilation in zip(rows, dilations[:-1], strict=True)]
        part = lax.dynamic_slice(images, (example, *starts, 0, 0), (1, *extents, *images.shape[-2:]))[0]
        line = lax.dynamic_slice(kernels, (example, *rows, 0, 0), (1,) * len(lines) + kernels.shape[-2:])
        line = line.reshape(kernels.shape[-2:])
        products = []
        for index in itertools.product(*map(range, counts)):
            begins = [position * stride for position, stride in zip(index, strides, strict=True)]
            picked = _window(part, begins, (1,) * (len(sides) - 1) + (sides[-1],), dilations, first=0)
            products.append(picked.reshape(line.shape) * line)
        return total + jnp.stack(products), None

    start = jnp.zeros((math.prod(counts), *kernels.shape[-2:]), images.dtype)
    total, _ = lax.scan(add_line, start, jnp.arange(math.prod(lines)))
    return jnp.moveaxis(total.sum(axis=1).reshape(*counts, outputs, depth), -1, 0)


def _num_steps(space: Any, sides: Any, strides: Any, dilations: Any) -> tuple[int, ...]:
    """Returns the number of positions of a window along each axis."""
    axes = zip(space, sides, strides, dilations, strict=True)
    return tuple((size - (side - 1) * dilation - 1) // stride + 1 for size, side, stride, dilation in axes)


def _window(array: Array, starts: Any, counts: Any, strides: Any, *, first: int) -> Array:
    """Returns `counts` entries along each spatial axis, from the axis `first` on."""
    ends = [start + (count - 1) * stride + 1 for start, count, stride in zip(starts, counts, strides, strict=True)]
    others = array.shape[:first], array.shape[first + len(starts) :]
    return lax.slice(
        array,
        (*(0 for _ in others[0]), *starts, *(0 for _ in others[1])),
        (*others[0], *ends, *others[1]),
        (*(1 for _ in others[0]), *strides, *(1 for _ in others[1])),
    )


def _rewritten(function: Callable[..., Any], *arguments: Any) -> Any:
    """Evaluates a function of arrays with its depthwise convolutions as shifted products."""
    closed, _ = make_jaxpr(function, *arguments)
    (result,) = evaluate(closed.jaxpr, [*closed.consts, *arguments], shift_depthwise)
    return result


def _transpose_images(cotangent: Array, images: Any, kernels: Array, **parameters: Any) -> Array:
    def pull(cotangent: Array, kernels: Array) -> Array:
        convolve = functools.partial(lax.conv_general_dilated_p.bind, **parameters)
        return jax.linear_transpose(lambda images: convolve(images, kernels), images.aval)(cotangent)[0]

    return _rewritten(pull, cotangent, kernels)


def _transpose_kernels(cotangent: Array, images: Array, kernels: Any, **parameters: Any) -> Array:
    def pull(cotangent: Array, images: Array) -> Array:
        convolve = functools.partial(lax.conv_general_dilated_p.bind, **parameters)
        return jax.linear_transpose(lambda kernels: convolve(images, kernels), kernels.aval)(cotangent)[0]

    return _rewritten(pull, cotangent, images)


def _batch(arguments: Any, axes: Any, **parameters: Any) -> tuple[Array, int]:
    convolve = functools.partial(lax.conv_general_dilated_p.bind, **parameters)
    return _rewritten(jax.vmap(convolve, in_axes=axes), *arguments), 0


@functools.partial(jax.jit, static_argnames="parameters")
def _compiled(images: Array, kernels: Array, *, parameters: tuple[tuple[str, Any], ...]) -> Array:
    return depthwise_p.bind(images, kernels, **dict(parameters))


depthwise_p.def_impl(lambda *arrays, **parameters: _compiled(*arrays, parameters=tuple(parameters.items())))
depthwise_p.def_effectful_abstract_eval(lax.conv_general_dilated_p.abstract_eval)
ad.defbilinear(depthwise_p, _transpose_images, _transpose_kernels)
batching.primitive_batchers[depthwise_p] = _batch
mlir.register_lowering(depthwise_p, mlir.lower_fun(lax.conv_general_dilated_p.bind, multiple_results=False))
mlir.register_lowering(depthwise_p, mlir.lower_fun(_shifted, multiple_results=False), platform="cpu")
