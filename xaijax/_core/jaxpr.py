"""Evaluates a model's trace one operation after another, each by a rule.

The tap cuts a trace, FullGrad collects its additive constants, guided backpropagation replaces its ReLUs: each of these
is a rule for one operation, passed to `evaluate`.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

# Calls whose bodies are plain sequences of operations; evaluation enters them.
_TRANSPARENT = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_vmap_call")

Rule = Callable[[Any, list[Any]], list[Any]]  # (operation, its inputs) -> its results

# The module path of the call whose body is evaluated now.
_path: contextvars.ContextVar[str] = contextvars.ContextVar("path", default="")


def trace(model: Any, x: Any) -> tuple[Any, Any]:
    """Returns the model's operations with named values, as a closed jaxpr, and the structure of its outputs."""
    closed, outputs = make_jaxpr(lambda model, x: model.tagged(x), model, x)
    return closed, jax.tree.structure(outputs)


def make_jaxpr(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """Returns a function's operations as a closed jaxpr, and the shapes of its outputs.

    JAX sees the arguments as a list of arrays: it would keep their structure, and with it the user's functions.
    """
    leaves, structure = jax.tree.flatten(arguments)
    of_leaves = lambda *leaves: function(*jax.tree.unflatten(structure, leaves))  # noqa: E731
    return jax.make_jaxpr(of_leaves, return_shape=True)(*leaves)


def arguments(closed: Any, model: Any, x: Any) -> list[Any]:
    """Returns the arguments at which a trace is evaluated, its constants first."""
    return [*closed.consts, *jax.tree.leaves(model), *jax.tree.leaves(x)]


def operations(jaxpr: Any) -> Iterator[Any]:
    """Yields all operations in the order of evaluation, those within calls included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in _TRANSPARENT:
            yield from operations(_body(equation)[0])
        else:
            yield equation


def evaluate(jaxpr: Any, arguments: Sequence[Any], rule: Rule) -> list[Any]:
    """Returns the results of a trace at `arguments` (its constants first), with each operation computed by `rule`."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        if equation.primitive.name in _TRANSPARENT:
            body, constants = _body(equation)
            with within(equation):
                results = evaluate(body, (*constants, *inputs), rule)
        else:
            results = rule(equation, inputs)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


@contextlib.contextmanager
def within(equation: Any) -> Iterator[None]:
    """Prefixes the module paths of operations that are evaluated within, the body of a call or a loop, by that of the call."""
    token = _path.set(path_of(equation))
    try:
        yield
    finally:
        _path.reset(token)


def path_of(equation: Any) -> str:
    """Returns the module path of an operation, such as "Net/block_1/attention"; "" where the framework names no modules."""
    return "/".join(part for part in (_path.get(), str(equation.source_info.name_stack)) if part)


def apply(equation: Any, inputs: list[Any]) -> list[Any]:
    """Computes the operation unchanged."""
    parameters = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        results = equation.primitive.bind(*inputs, **parameters)
    return results if equation.primitive.multiple_results else [results]


def is_relu(equation: Any) -> bool:
    """Returns whether an operation is max(x, 0), plain or as `jax.nn.relu` with its own derivative."""
    if equation.primitive.name == "custom_jvp_call":
        inner = list(operations(equation.params["call_jaxpr"].jaxpr))
        return len(inner) == 1 and is_relu(inner[0]) and len(equation.invars) == 1
    if equation.primitive.name != "max":
        return False
    literals = [variable.val for variable in equation.invars if isinstance(variable, core.Literal)]
    return any(not jnp.shape(value) and value == 0 for value in literals)


def body_of_derivative(equation: Any) -> Any:
    """Returns the body of a call with a derivative of its own, as a closed jaxpr; None for any other operation."""
    if not equation.primitive.name.startswith(("custom_jvp_call", "custom_vjp_call")):
        return None
    for value in equation.params.values():
        if isinstance(value, core.ClosedJaxpr) and len(value.jaxpr.invars) == len(equation.invars):
            return value
    return None


def constants_and_carry(scan: dict[str, Any]) -> tuple[int, int]:
    """Returns how many constants and how many carried values a scan has, which are its first inputs, from its parameters."""
    if "num_consts" in scan:  # of JAX 0.10
        return scan["num_consts"], scan["num_carry"]
    constants, carry, _ = scan["ft_in"].unpack()
    return len(constants), len(carry)


def _body(equation: Any) -> tuple[Any, Any]:
    """Returns the jaxpr of a call and its constants."""
    inner = next(equation.params[name] for name in ("jaxpr", "call_jaxpr", "call") if name in equation.params)
    return (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
