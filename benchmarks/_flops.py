"""Floating-point operations of a program, by XLA's cost analysis, and how many of them the device can do in a second.

XLA counts the body of a loop once, however often it runs, and nothing within the calls of libraries to which compiled
programs hand convolutions and matrix products. So the program is counted as it is lowered, before XLA compiles it, and
the bodies of loops of known length are counted as often as they run. What remains uncounted: factorizations, loops that
end by a condition (once), and random bits, which are counted low.
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
    """The operations of run() as one program; None where XLA does not say."""
    closed = jax.make_jaxpr(run)()
    try:
        return _once(closed) + _repeated(closed.jaxpr)
    except _Unknown:
        return None


def peak_flops(side: int | None = None, repeats: int = 5) -> float:
    """The fastest of several products of two float32 matrices, [side, side], at the default precision.

    side: default 1,536 on CPUs, a tenth of a second or so, and 8,192 on accelerators.
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
    """With the body of every loop counted once."""
    jaxpr = closed.jaxpr
    # Constants are arguments here, so that none is written into the program.
    shapes = [jax.ShapeDtypeStruct(one.aval.shape, one.aval.dtype) for one in (*jaxpr.constvars, *jaxpr.invars)]
    costs: Any = jax.jit(lambda *given: evaluate(jaxpr, given, apply)).lower(*shapes).cost_analysis()
    if not costs:
        raise _Unknown
    return float(costs.get("flops", 0.0))


def _repeated(jaxpr: core.Jaxpr) -> float:
    """What the bodies of the loops add beyond the first time."""
    more = 0.0
    for equation in jaxpr.eqns:
        inner = list(_within(equation))
        if equation.primitive.name == "scan":
            (body,) = inner
            once, deeper = _once(body), _repeated(body.jaxpr)
            more += equation.params["length"] * (once + deeper) - once
        elif equation.primitive.name == "cond":
            more += max(_repeated(one.jaxpr) for one in inner)
        else:
            more += sum(_repeated(one.jaxpr) for one in inner)
    return more


def _within(equation: Any) -> Iterator[core.ClosedJaxpr]:
    """The programs that an operation is made of."""
    for parameter in equation.params.values():
        for one in parameter if isinstance(parameter, (tuple, list)) else (parameter,):
            if isinstance(one, core.ClosedJaxpr):
                yield one
            elif isinstance(one, core.Jaxpr):
                yield core.ClosedJaxpr(one, ())
