"""What DeepLIFT knows about JAX's operations: which are elementwise, which are linear, and which are several others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from xaijax._core.typing import Array

# The operations that act on each element by itself.
_ELEMENTWISE = frozenset((
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e",
    "bessel_i1e", "cbrt", "ceil", "clamp", "convert_element_type", "cos", "cosh", "digamma", "div", "eq", "erf",
    "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "igamma", "igammac", "integer_pow", "is_finite",
    "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or",
    "polygamma", "pow", "reduce_precision", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt",
    "square", "sub", "tan", "tanh", "xor", "zeta",
))  # fmt: skip
# Those of them that are not defined for all numbers; quotients and powers are, of their first operand.
_PARTIAL = frozenset((
    "acos", "acosh", "asin", "atanh", "digamma", "erf_inv", "lgamma", "log", "log1p", "rsqrt", "sqrt", "zeta",
    "igamma", "igammac",
))  # fmt: skip
SAME = frozenset({"stop_gradient", "name", "copy", "copy_p", "optimization_barrier"})

# Linear operations: the indices of the operands that they are linear in; None for all.
LINEAR: dict[str, tuple[int, ...] | None] = dict.fromkeys((
    "broadcast_in_dim", "complex", "concatenate", "conj", "convert_element_type", "device_put", "fft", "imag", "pad", "pvary",
    "real", "reshape", "rev", "sharding_constraint", "slice", "split", "squeeze", "stack", "tile", "transpose",
    "unstack", "add", "add_any", "sub", "neg", "mesh_cast", "reshard",
))  # fmt: skip
LINEAR |= {"gather": (0,), "dynamic_slice": (0,), "dynamic_update_slice": (0, 1), "scatter": (0, 2)}
LINEAR |= {"scatter-add": (0, 2), "select_n": tuple(range(1, 64)), "div": (0,), "triangular_solve": (1,)}
LINEAR_ALONE = frozenset({"add", "add_any", "convert_element_type", "div", "mul", "neg", "sub"})  # in one operand
SUMS = frozenset({"reduce_sum", "reduce_window_sum", "cumsum"})
CONTRACTIONS = frozenset({"dot_general", "conv_general_dilated", "depthwise_convolution"})
SIGNS = {"max": 1, "min": -1, "or": 1, "and": -1}  # of reductions, by the ends of their names


def is_elementwise(equation: Any, moving: Sequence[bool]) -> bool:
    """Returns whether an operation acts on each real element of its moving operands by itself."""
    if len(equation.outvars) != 1:
        return False
    avals = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    if any(jnp.issubdtype(aval.dtype, jnp.complexfloating) for aval in avals):
        return False
    if equation.primitive.name == "custom_jvp_call":
        return _has_elementwise_body(equation.params["call_jaxpr"].jaxpr, moving, equation.outvars[0].aval.shape)
    return equation.primitive.name in _ELEMENTWISE


def _has_elementwise_body(jaxpr: Any, moving: Sequence[bool], shape: tuple[int, ...]) -> bool:
    """Returns whether all that depends on the moving operands of a jaxpr is elementwise."""
    depends = {variable for variable, moves in zip(jaxpr.invars, moving, strict=True) if moves}
    if any(variable.aval.shape != shape for variable in depends):
        return False
    for equation in jaxpr.eqns:
        own = [not isinstance(v, core.Literal) and v in depends for v in equation.invars]
        if not any(own):
            continue
        bodies = [value for value in equation.params.values() if isinstance(value, core.ClosedJaxpr)]
        if bodies and equation.primitive.name in ("jit", "pjit", "custom_jvp_call"):
            if not _has_elementwise_body(bodies[0].jaxpr, own, shape):
                return False
        elif equation.primitive.name not in _ELEMENTWISE | SAME:
            return False
        if any(variable.aval.shape != shape for variable in equation.outvars):
            return False
        depends.update(equation.outvars)
    return True


def is_partial(equation: Any, moving: Sequence[int]) -> bool:
    """Returns whether an elementwise function is not defined for all values of its moving operands."""
    name = equation.primitive.name
    return name in _PARTIAL or name == "pow" or (name == "div" and 1 in moving) or equation.params.get("y", 1) < 0


def _product_of_all(array: Array, *, axes: Sequence[int], **_: Any) -> Array:
    """Computes the product over axes by products of halves."""
    kept = [axis for axis in range(array.ndim) if axis not in axes]
    flat = jnp.transpose(array, (*kept, *axes)).reshape(*(array.shape[axis] for axis in kept), -1)
    while flat.shape[-1] > 1:
        half = flat.shape[-1] // 2
        flat = jnp.concatenate([flat[..., :half] * flat[..., half : 2 * half], flat[..., 2 * half :]], axis=-1)
    return flat[..., 0] if flat.shape[-1] else jnp.ones(flat.shape[:-1], array.dtype)


def _running(combine: Callable[[Array, Array], Array], array: Array, *, axis: int, reverse: bool) -> Array:
    return jax.lax.associative_scan(combine, array, axis=axis, reverse=reverse)


# Operations that are computed as several others.
DECOMPOSED: dict[str, Callable[..., Array]] = {
    "reduce_prod": _product_of_all,
    "cumprod": functools.partial(_running, jnp.multiply),
    "cumlogsumexp": functools.partial(_running, jnp.logaddexp),
    "abs": lambda z: jnp.sqrt(jnp.real(z) ** 2 + jnp.imag(z) ** 2),
}
