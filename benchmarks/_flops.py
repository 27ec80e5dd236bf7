"""Floating-point operations of a program, by XLA's cost analysis, and the peak of the device.

XLA counts the body of a loop once, and nothing within the libraries that compute convolutions and matrix products.
Therefore the program is counted after lowering, before XLA compiles it, and the bodies of loops of known length are
multiplied by their iterations. The count omits factorizations and all but one iteration of loops that end by a condition,
and underestimates random bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from benchmarks._timing import seconds
from xaijax._core.jaxpr import apply, evaluate


def flops(run: Callable[[], Any]) -> float | None:
    """Returns the operations of run() as one program, or None if XLA has no cost analysis."""
    closed = jax.make_jaxpr(run)()
    try:
        return _once(closed) + _repeated(closed.jaxpr)
    except _Unknown:
        return None


def peak_flops(side: int | None = None, repeats: int = 5) -> float:
    """Returns the operations per second of the fastest of several float32 products [side, side] at the default precision.

    side: default 1,536 on CPUs, which takes about a tenth of a second, and 8,192 on accelerators.
    """
    if side is None:
        side = 1536 if jax.default_backend() == "cpu" else 8192
    matrix = jax.random.normal(jax.random.key(0), (side, side), jnp.float32)
    multiply = jax.jit(jnp.matmul)
    seconds(lambda: multiply(matrix, matrix))
    return 2 * side**3 / min(seconds(lambda: multiply(matrix, matrix)) for _ in range(repeats))


class _Unknown(Exception):
    """The backend has no cost analysis."""


def _once(closed: core.ClosedJaxpr) -> float:
    """Returns the operations with the body of every loop counted once."""
    jaxpr = closed.jaxpr
    # Constants become arguments, so that the program contains none of them.
    shapes = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in (*jaxpr.constvars, *jaxpr.invars)]
    costs: Any = jax.jit(lambda *arguments: evaluate(jaxpr, arguments, apply)).lower(*shapes).cost_analysis()
    if not costs:
        raise _Unknown
    return float(costs.get("flops", 0.0))


def _repeated(jaxpr: core.Jaxpr) -> float:
    """Returns the operations of the iterations of all loops after the first."""
    more = 0.0
    for equation in jaxpr.eqns:
        inner = list(_within(equation))
        if equation.primitive.name == "scan":
            (body,) = inner
            once, deeper = _once(body), _repeated(body.jaxpr)
            more += equation.params["length"] * (once + deeper) - once
        elif equation.primitive.name == "cond":
            more += max(_repeated(each.jaxpr) for each in inner)
        else:
            more += sum(_repeated(each.jaxpr) for each in inner)
    return more


def _within(equation: Any) -> Iterator[core.ClosedJaxpr]:
    """Yields the programs within an operation."""
    for parameter in equation.params.values():
        for program in parameter if isinstance(parameter, (tuple, list)) else (parameter,):
            if isinstance(program, core.ClosedJaxpr):
                yield program
            elif isinstance(program, core.Jaxpr):
                yield core.ClosedJaxpr(program, ())
