"""Unrolls the loops of a trace that hold named values, so that the values of each step can be tapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import jaxprs_in_params

from xaijax._core.jaxpr import apply, evaluate


def has_named_loops(jaxpr: Any) -> bool:
    """Returns whether a scan of the trace holds named values."""
    return any(
        (equation.primitive.name == "scan" and _has_names(inner)) or has_named_loops(inner)
        for equation in jaxpr.eqns
        for inner in jaxprs_in_params(equation.params)
    )


def unrolled(closed: Any) -> Any:
    """Returns the same trace with each scan of named values as the sequence of its steps.

    A value that is called "attention" in the body of the loop is called "attention[3]" in step 3, and "attention[3][1]" in
    step 1 of a loop within it. Loops without names stay loops.
    """
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]
    unroll = _Unroll("")
    return jax.make_jaxpr(lambda *arguments: evaluate(closed.jaxpr, [*closed.consts, *arguments], unroll))(*shapes)


class _Unroll:
    """A rule that computes scans step by step; the names in them get the suffix of the step."""

    def __init__(self, suffix: str):
        self.suffix = suffix

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        if equation.primitive.name == "name" and self.suffix:
            return [checkpoint_name(inputs[0], equation.params["name"] + self.suffix)]
        if equation.primitive.name == "scan" and _has_names(equation.params["jaxpr"].jaxpr):
            return self._steps(inputs, **equation.params)
        return apply(equation, inputs)

    def _steps(
        self,
        inputs: Sequence[Any],
        *,
        jaxpr: Any,
        length: int,
        reverse: bool,
        num_consts: int,
        num_carry: int,
        **_: Any,
    ) -> list[Any]:
        constants, carry = list(inputs[:num_consts]), list(inputs[num_consts : num_consts + num_carry])
        slices = inputs[num_consts + num_carry :]
        outputs: dict[int, list[Any]] = {}
        for step in reversed(range(length)) if reverse else range(length):
            given = [*jaxpr.consts, *constants, *carry, *(leaf[step] for leaf in slices)]
            results = evaluate(jaxpr.jaxpr, given, _Unroll(f"{self.suffix}[{step}]"))
            carry, outputs[step] = list(results[:num_carry]), list(results[num_carry:])
        stacked = zip(*(outputs[step] for step in range(length)), strict=True)
        return [*carry, *map(jnp.stack, stacked)]


def _has_names(jaxpr: Any) -> bool:
    return any(
        equation.primitive.name == "name" or any(map(_has_names, jaxprs_in_params(equation.params)))
        for equation in jaxpr.eqns
    )
