"""Relevance through loops and branches, whose bodies are evaluated with carriers like the program around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.jaxpr import constants_and_carry
from xaijax.gradient._nodes import Flow, Report

Run = Callable[[Any, Sequence[Flow], Report], list[Flow]]  # of a body, at its inputs
Entered = tuple[list[int], list[int], Callable[..., list[Any]]]


def entered(equation: Any, flows: list[Flow], run: Run, report: Report) -> Entered:
    """Returns which results of a loop or of branches carry relevance, their depths, and how to compute their carriers.

    flows: the inputs, with a carrier where they carry relevance. report: gets what the body evaluates.
    """
    return (_scan if equation.primitive.name == "scan" else _cond)(equation, flows, run, report)


def _shapes(flows: Sequence[Flow], jaxpr: Any, run: Run, report: Report) -> list[Flow]:
    """Returns the results of a body without computing them; only their carriers' presence and depths have a meaning."""
    kept: list[Flow] = []
    carried = [flow.carrier is not None for flow in flows]

    def body(values: list[Any]) -> None:
        given = [
            Flow(value, jnp.zeros_like(value) if has else None, flow.depth)
            for flow, value, has in zip(flows, values, carried, strict=True)
        ]
        kept.extend(run(jaxpr.jaxpr, [*(Flow(each) for each in jaxpr.consts), *given], report))

    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in jaxpr.in_avals]
    jax.eval_shape(body, shapes)
    return kept


def _scan(equation: Any, flows: list[Flow], run: Run, report: Report) -> Entered:
    jaxpr, (num_consts, num_carry) = equation.params["jaxpr"], constants_and_carry(equation.params)
    first, last = num_consts, num_consts + num_carry
    sliced = [dataclasses.replace(flow) for flow in flows]  # what one step gets
    seen, results = Report(), []
    for _ in range(num_carry + 1):  # a value of the state carries relevance once a step's result does
        seen = Report()
        results = _shapes(sliced, jaxpr, run, seen)
        grown = False
        for number in range(num_carry):
            own, after = sliced[first + number], results[number]
            if after.carrier is not None and own.carrier is None:
                own.carrier, grown = own.value, True
            if after.carrier is not None:
                own.depth = max(own.depth, min(after.depth, own.depth + 1))
        if not grown:
            break
    report.add(seen)
    state = [number for number in range(num_carry) if sliced[first + number].carrier is not None]
    flowing = [*state, *(number for number in range(num_carry, len(results)) if results[number].carrier is not None)]
    depths = [results[number].depth if results[number].carrier is not None else 0 for number in flowing]
    given = [number for number, flow in enumerate(flows) if flow.carrier is not None]

    def changes(*carriers: Any) -> list[Any]:
        own = dict(zip(given, carriers, strict=True))

        def flow_of(number: int, value: Any, carrier: Any) -> Flow:
            return Flow(value, carrier, sliced[number].depth)

        def step(carried: Any, slices: Any) -> tuple[Any, Any]:
            values, moving = carried
            of_slices, moving_slices = slices
            inputs = [flow_of(number, flows[number].value, own.get(number)) for number in range(first)]
            inputs += [flow_of(first + at, values[at], moving.get(at)) for at in range(num_carry)]
            inputs += [flow_of(last + at, of_slices[at], moving_slices.get(at)) for at in range(len(of_slices))]
            after = run(jaxpr.jaxpr, [*map(Flow, jaxpr.consts), *inputs], Report())
            new = {at: _carrier(after[at]) for at in moving}
            outputs = [after[number].carrier for number in flowing if number >= num_carry]
            return ([each.value for each in after[:num_carry]], new), outputs

        values = [flow.value for flow in flows[first:last]]
        moving = {at: own.get(first + at, jnp.zeros_like(values[at])) for at in state}
        slices = [flow.value for flow in flows[last:]]
        moving_slices = {at: own[last + at] for at in range(len(slices)) if last + at in own}
        (_, moved), outputs = jax.lax.scan(
            step, (values, moving), (slices, moving_slices),
            length=equation.params["length"], reverse=equation.params["reverse"],
        )  # fmt: skip
        return [*(moved[at] for at in state), *outputs]

    return flowing, depths, changes


def _cond(equation: Any, flows: list[Flow], run: Run, report: Report) -> Entered:
    branches, (index, *operands) = equation.params["branches"], flows
    results = [_shapes(operands, branch, run, report) for branch in branches]
    flowing = [
        number for number, each in enumerate(zip(*results, strict=True)) if any(one.carrier is not None for one in each)
    ]
    depths = [max(result[number].depth for result in results) for number in flowing]
    given = [number for number, flow in enumerate(operands) if flow.carrier is not None]

    def changes(*carriers: Any) -> list[Any]:
        def taken(branch: Any) -> Callable[..., list[Any]]:
            def evaluated(carriers: Any) -> list[Any]:
                own = dict(zip(given, carriers, strict=True))
                inputs = [Flow(flow.value, own.get(number), flow.depth) for number, flow in enumerate(operands)]
                after = run(branch.jaxpr, [*map(Flow, branch.consts), *inputs], Report())
                return [_carrier(after[number]) for number in flowing]

            return evaluated

        return jax.lax.switch(index.value, [taken(branch) for branch in branches], carriers)

    return flowing, depths, changes


def _carrier(flow: Flow) -> Any:
    return jnp.zeros_like(flow.value) if flow.carrier is None else flow.carrier
