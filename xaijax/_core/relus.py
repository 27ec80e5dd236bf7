"""Evaluates a model with another derivative for its ReLUs, which are read from its trace.

Guided backpropagation passes a gradient on where both the gradient and the ReLU's input are positive; deconvolution where
the gradient is, at inputs of any sign. Values do not change, and neither does the model.

ReLUs in the bodies of scans and of branches are replaced there. A function with a derivative of its own that holds ReLUs is
replaced by its body, and is differentiated through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.extend.core import jaxprs_in_params

from xaijax._core.convolutions import compute, rewrite_bodies
from xaijax._core.jaxpr import apply, arguments, body_of_derivative, evaluate, is_relu, trace
from xaijax._core.typing import Array
from xaijax._model import Model


def with_relus(model: Model, relu: Callable[[Array], Array]) -> Callable[[Array], Any]:
    """Returns the model as a function of x, with `relu` in the place of its ReLUs.

    Raises:
      ValueError: when it is called, if the model has no ReLU.
    """

    def rule(equation: Any, inputs: list[Any]) -> list[Any]:
        if _is_relu(equation):
            return [
                relu(operand) for operand, variable in zip(inputs, equation.invars, strict=True) if _varies(variable)
            ]
        if not any(map(_has_relus, jaxprs_in_params(equation.params))):
            return compute(equation, inputs)
        if equation.primitive.name in ("scan", "cond"):
            return apply(rewrite_bodies(equation, rule), inputs)
        body = body_of_derivative(equation)
        return compute(equation, inputs) if body is None else evaluate(body.jaxpr, [*body.consts, *inputs], rule)

    def evaluated(x: Array) -> Any:
        closed, structure = trace(model, x)
        if not _has_relus(closed.jaxpr):
            raise ValueError(
                "`model` must have ReLUs, whose gradients guided backpropagation and deconvolution change, got none: use "
                "xai.gradient.saliency, or xai.cam.grad_cam."
            )
        return jax.tree.unflatten(structure, evaluate(closed.jaxpr, arguments(closed, model, x), rule))

    return evaluated


def _is_relu(equation: Any) -> bool:
    """Returns whether an operation is a ReLU of floating numbers: max(i, 0) of integers, such as indices, is none."""
    is_floating = jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating) if equation.outvars else False
    return is_floating and is_relu(equation) and sum(map(_varies, equation.invars)) == 1


def _varies(variable: Any) -> bool:
    return not isinstance(variable, core.Literal)


def _has_relus(jaxpr: Any) -> bool:
    """Returns whether there are ReLUs in a jaxpr or in the bodies of its operations."""
    return any(_is_relu(equation) or any(map(_has_relus, jaxprs_in_params(equation.params))) for equation in jaxpr.eqns)


def _relu_with(derivative: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    """Returns max(x, 0) whose derivative is derivative(x, gradient)."""
    relu = jax.custom_vjp(lambda x: jnp.maximum(x, 0))
    relu.defvjp(lambda x: (jnp.maximum(x, 0), x), lambda x, gradient: (derivative(x, gradient),))
    return relu


# Springenberg et al. (2015), section 3.4.
guided_relu = _relu_with(lambda x, gradient: jnp.where(x > 0, jnp.maximum(gradient, 0), 0))
# Zeiler & Fergus (2014), section 2.1.
deconvolved_relu = _relu_with(lambda _x, gradient: jnp.maximum(gradient, 0))
