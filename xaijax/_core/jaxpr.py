"""Evaluating a model's trace, one operation after another, with a say in each.

The tap cuts a trace, FullGrad finds the additive constants in it, guided backpropagation changes its ReLUs: each is a
rule for one operation, given to `evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

# Calls whose bodies are plain sequences of operations: they are looked into.
_TRANSPARENT = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint")

Rule = Callable[[Any, list[Any]], list[Any]]  # (operation, its inputs) -> its results


def trace(model: Any, x: Any) -> tuple[Any, Any]:
    """The model's operations with named values, closed over nothing, and the structure of its outputs."""
    closed, outputs = jax.make_jaxpr(lambda model, x: model.tagged(x), return_shape=True)(model, x)
    return closed, jax.tree.structure(outputs)


def arguments(closed: Any, model: Any, x: Any) -> list[Any]:
    """What the trace is evaluated at."""
    return [*closed.consts, *jax.tree.leaves(model), *jax.tree.leaves(x)]


def operations(jaxpr: Any) -> Iterator[Any]:
    """All operations in the order of evaluation, those within calls included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in _TRANSPARENT:
            yield from operations(_body(equation)[0])
        else:
            yield equation


def evaluate(jaxpr: Any, arguments: Sequence[Any], rule: Rule) -> list[Any]:
    """The results of a trace at `arguments` (those of its constants first), each operation computed by `rule`."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        if equation.primitive.name in _TRANSPARENT:
            body, constants = _body(equation)
            answers = evaluate(body, (*constants, *inputs), rule)
        else:
            answers = rule(equation, inputs)
        known.update(zip(equation.outvars, answers, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def apply(equation: Any, inputs: list[Any]) -> list[Any]:
    """The rule that changes nothing: the operation itself."""
    parameters = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        answers = equation.primitive.bind(*inputs, **parameters)
    return answers if equation.primitive.multiple_results else [answers]


def is_relu(equation: Any) -> bool:
    """max(x, 0), as it stands or as `jax.nn.relu` with its own derivative."""
    if equation.primitive.name == "custom_jvp_call":
        inner = list(operations(equation.params["call_jaxpr"].jaxpr))
        return len(inner) == 1 and is_relu(inner[0]) and len(equation.invars) == 1
    if equation.primitive.name != "max":
        return False
    return any(isinstance(one, core.Literal) and not jnp.shape(one.val) and one.val == 0 for one in equation.invars)


def _body(equation: Any) -> tuple[Any, Any]:
    """The jaxpr of a call and its constants."""
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
