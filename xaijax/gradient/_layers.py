"""Linear layers as relevance propagation sees them: y = linear(x, kernel) + bias, by any operations.

The additions and products of constants after a linear operation belong to it: biases, and batch normalization by running
statistics. Those before it do as well: y = W (s x + t) + b has the kernel W s and the bias W t + b.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from xaijax._core.convolutions import compute
from xaijax._core.typing import Array

Onto = Callable[[Array], Array | None]  # lays a scale [1, ..., C] out like the kernel; None where that is impossible

DENSE, CONVOLUTION, POOLING, AFFINE, OTHER = "dense", "convolution", "pooling", "affine", "other"
KINDS = (DENSE, CONVOLUTION, POOLING, AFFINE, OTHER)


@dataclasses.dataclass(frozen=True)
class Layer:
    """A linear operation with its bias, as a rule gets it: `layer(x)` is its output.

    kind: "dense" (products of matrices), "convolution", "pooling" (sums over positions, average pooling), "affine" (a
      product with constants, plus constants, next to no linear operation), or "other" (any operation that is no layer).
    linear: linear(x, kernel) -> the output without the bias, linear in x and in the kernel.
    kernel: the weights; one number for all, 1, where an operation has none.
    bias: what is added, of a shape that fits the output; 0 where there is none.
    has_bias: whether there is one.
    """

    kind: str
    linear: Callable[[Array, Array], Array]
    kernel: Array
    bias: Array
    has_bias: bool = False
    onto_outputs: Onto = lambda scale: None
    onto_inputs: Onto = lambda scale: None

    def __call__(self, x: Array) -> Array:
        y = self.linear(x, self.kernel)
        return y + self.bias.astype(y.dtype) if self.has_bias else y

    @property
    def is_weighted(self) -> bool:
        """Whether it is a dense layer or a convolution."""
        return self.kind in (DENSE, CONVOLUTION)

    def times(self, scale: Array) -> Layer | None:
        """Returns the layer whose output is multiplied by constants, or None where these do not belong to a kernel."""
        laid_out = self.onto_outputs(scale)
        if laid_out is None:
            return None
        return dataclasses.replace(self, kernel=self.kernel * laid_out, bias=self.bias * scale)

    def plus(self, shift: Array) -> Layer:
        """Returns the layer to whose output constants are added."""
        return dataclasses.replace(self, bias=self.bias + shift, has_bias=True)

    def after(self, affine: Layer, like: Array) -> Layer | None:
        """Returns this layer, without a bias, on the input of an affine one; like: what that one returns."""
        laid_out = self.onto_inputs(affine.kernel)
        if laid_out is None:
            return None
        layer = dataclasses.replace(self, kernel=self.kernel * laid_out)
        shift = jnp.broadcast_to(affine.bias.astype(like.dtype), like.shape)
        return layer.plus(self.linear(shift, self.kernel)) if affine.has_bias else layer


def dense(equation: Any, inputs: Sequence[Array], position: int) -> Layer:
    """Returns a product of matrices as a layer; position: that of the input among the two operands."""
    contracted, batch = equation.params["dimension_numbers"]
    other = 1 - position
    ranks = [jnp.ndim(value) for value in inputs]
    free = [[axis for axis in range(ranks[side]) if axis not in (*contracted[side], *batch[side])] for side in range(2)]
    of_outputs: list[int | None] = [None] * ranks[other]
    of_inputs: list[int | None] = [None] * ranks[other]
    first = len(batch[0]) + (len(free[0]) if other == 1 else 0)
    for number, axis in enumerate(free[other]):
        of_outputs[axis] = first + number
    for number, axis in enumerate(batch[other]):
        of_outputs[axis], of_inputs[axis] = number, batch[position][number]
    for number, axis in enumerate(contracted[other]):
        of_inputs[axis] = contracted[position][number]

    def linear(x: Array, kernel: Array) -> Array:
        (y,) = compute(equation, [x, kernel] if position == 0 else [kernel, x])
        return y

    return _layer(DENSE, linear, inputs[other], _along(of_outputs), _along(of_inputs))


def convolution(equation: Any, inputs: Sequence[Array]) -> Layer:
    """Returns a convolution with constant kernels as a layer."""
    numbers, groups = equation.params["dimension_numbers"], equation.params["feature_group_count"]
    outputs_axis, inputs_axis = numbers.rhs_spec[:2]
    of_outputs: list[int | None] = [None] * jnp.ndim(inputs[1])
    of_outputs[outputs_axis] = numbers.out_spec[1]
    count, depth = inputs[1].shape[outputs_axis], inputs[1].shape[inputs_axis]

    def onto_inputs(scale: Array) -> Array | None:
        if scale.size == 1:
            return scale.reshape(())
        if scale.size != scale.shape[numbers.lhs_spec[1]]:
            return None
        by_output = jnp.repeat(scale.reshape(groups, depth), count // groups, axis=0)  # [O, I]
        axes = [axis for axis in range(jnp.ndim(inputs[1])) if axis not in (outputs_axis, inputs_axis)]
        return jnp.expand_dims(by_output if outputs_axis < inputs_axis else by_output.T, axes)

    linear = lambda x, kernel: compute(equation, [x, kernel])[0]  # noqa: E731
    if equation.params["batch_group_count"] > 1:
        return _layer(CONVOLUTION, linear, inputs[1], lambda _: None, lambda _: None)
    return _layer(CONVOLUTION, linear, inputs[1], _along(of_outputs), onto_inputs)


def pooling(equation: Any, dtype: Any) -> Layer:
    """Returns a sum over positions as a layer; the division by their number becomes its kernel."""
    linear = lambda x, kernel: compute(equation, [x])[0] * kernel  # noqa: E731
    return _layer(POOLING, linear, jnp.ones((), dtype), lambda scale: scale, _number)


def affine(dtype: Any) -> Layer:
    """Returns the identity as a layer, which products with constants and additions of constants extend."""
    return _layer(AFFINE, lambda x, kernel: x * kernel, jnp.ones((), dtype), lambda scale: scale, lambda scale: scale)


def other(run: Callable[[Array], Array], dtype: Any) -> Layer:
    """Returns any operation of one input as a layer for a rule that was made for it."""
    return _layer(OTHER, lambda x, kernel: run(x) * kernel, jnp.ones((), dtype), lambda _: None, lambda _: None)


def is_per_channel(scale: Array) -> bool:
    """Returns whether a scale is one number, or varies along one axis."""
    return scale.size == max([1, *scale.shape])


def _layer(kind: str, linear: Any, kernel: Array, onto_outputs: Onto, onto_inputs: Onto) -> Layer:
    return Layer(kind, linear, kernel, jnp.zeros((), kernel.dtype), False, onto_outputs, onto_inputs)


def _number(scale: Array) -> Array | None:
    return scale.reshape(()) if scale.size == 1 else None


def _along(axes: Sequence[int | None]) -> Onto:
    """Returns a function that lays a scale out so that its axis axes[k] becomes axis k."""
    chosen = [axis for axis in axes if axis is not None]

    def lay_out(scale: Array) -> Array | None:
        if scale.size == 1:
            return scale.reshape(())
        rest = [axis for axis in range(scale.ndim) if axis not in chosen]
        if any(scale.shape[axis] > 1 for axis in rest):
            return None
        sizes = [1 if axis is None else scale.shape[axis] for axis in axes]
        return jnp.transpose(scale, (*chosen, *rest)).reshape(sizes)

    return lay_out
