"""Evaluates a model with another derivative for its ReLUs, which are read from its trace.

Guided backpropagation passes a gradient on where both the gradient and the ReLU's input are positive; deconvolution where
the gradient is, at inputs of any sign. Values do not change, and neither does the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.convolutions import compute
from xaijax._core.jaxpr import arguments, evaluate, is_relu, operations, trace
from xaijax._core.typing import Array
from xaijax._model import Model


def with_relus(model: Model, relu: Callable[[Array], Array]) -> Callable[[Array], Any]:
    """Returns the model as a function of x, with `relu` in the place of its ReLUs.

    Raises:
      ValueError: when it is called, if the model has no ReLU.
    """

    def rule(equation: Any, inputs: list[Any]) -> list[Any]:
        if is_relu(equation):
            (value,) = [operand for operand in inputs if jnp.ndim(operand)]
            return [relu(value)]
        return compute(equation, inputs)

    def evaluated(x: Array) -> Any:
        closed, structure = trace(model, x)
        if not any(is_relu(equation) for equation in operations(closed.jaxpr)):
            raise ValueError(
                "`model` must have ReLUs, whose gradients guided backpropagation and deconvolution change, got none: use "
                "xai.gradient.saliency, or xai.cam.grad_cam."
            )
        return jax.tree.unflatten(structure, evaluate(closed.jaxpr, arguments(closed, model, x), rule))

    return evaluated


def _relu_with(derivative: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    """Returns max(x, 0) whose derivative is derivative(x, gradient)."""
    relu = jax.custom_vjp(lambda x: jnp.maximum(x, 0))
    relu.defvjp(lambda x: (jnp.maximum(x, 0), x), lambda x, gradient: (derivative(x, gradient),))
    return relu


# Springenberg et al. (2015), section 3.4.
guided_relu = _relu_with(lambda x, gradient: jnp.where(x > 0, jnp.maximum(gradient, 0), 0))
# Zeiler & Fergus (2014), section 2.1.
deconvolved_relu = _relu_with(lambda _x, gradient: jnp.maximum(gradient, 0))
