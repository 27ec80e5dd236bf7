"""Opens the operations of a trace whose bodies hold named values, so that these values can be tapped.

Afterwards the values are results of operations of the trace itself:

- A scan becomes the sequence of its steps.
- A branch of `cond` or `switch` gives its named values one after another, each as the result of a `cond` that takes those
  before it. The last one gives the results. Values of branches that are not taken are NaN.
- A `while` loop gives the values of its steps likewise; those of steps that it does not reach are NaN.
- A function with a derivative of its own is replaced by its body, and is differentiated through it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.core import Tracer
from jax.extend.core import jaxprs_in_params

from xaijax._core.convolutions import compute
from xaijax._core.jaxpr import apply, body_of_derivative, constants_and_carry, evaluate, operations


def opened(closed: Any, paths: Sequence[str] | None = None) -> Any:
    """Returns the same trace with the named values of its bodies as values of its own.

    A value that is called "attention" in the body of a loop is called "attention[3]" in step 3, and "attention[3][1]" in
    step 1 of a loop within it.

    Args:
      closed: the trace of a model.
      paths: the layers that are wanted; other bodies stay closed. None for all: then a `while` loop, whose number of steps
        is not known, shows step 0.
    """
    rule = _Open("", paths)
    bodies = [
        body
        for equation in operations(closed.jaxpr)
        for body in jaxprs_in_params(equation.params)
        if rule.has_wanted(body)
    ]
    return _traced(closed, rule) if bodies else closed


def differentiable(equation: Any, inputs: list[Any]) -> list[Any]:
    """Computes an operation; the gradient of a `while` loop is refused in a sentence.

    Raises:
      ValueError: when a loop with an unknown number of steps is differentiated.
    """
    if equation.primitive.name != "while":
        return compute(equation, inputs)

    @jax.custom_vjp
    def run(*inputs: Any) -> Any:
        return compute(equation, list(inputs))

    def forward(*primals: Any) -> Any:
        if any(primal.perturbed for primal in primals):
            raise ValueError(
                "`layer` must lie behind the `while` loops of the model for a method that differentiates, got one within or "
                "before such a loop, which JAX cannot differentiate backward: use `lax.scan`, or `lax.fori_loop` with a known "
                "number of steps, or a method without gradients, such as xai.cam.score_cam or xai.shap.values."
            )
        return run(*(primal.value for primal in primals)), None

    run.defvjp(forward, lambda _, gradients: (None,) * len(inputs), symbolic_zeros=True)
    return list(run(*inputs))


class _Open:
    """A rule that opens operations. The names in them get a suffix, such as that of a step.

    paths: the layers that are wanted; None for all.
    """

    def __init__(self, suffix: str, paths: Sequence[str] | None):
        self.suffix, self.paths = suffix, paths

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name == "name" and self.suffix:
            return [checkpoint_name(inputs[0], equation.params["name"] + self.suffix)]
        if not any(map(self.has_wanted, jaxprs_in_params(equation.params))):
            return apply(equation, inputs)
        if name in _BODIES:
            return _BODIES[name](self, inputs, **equation.params)
        body = body_of_derivative(equation)
        return apply(equation, inputs) if body is None else evaluate(body.jaxpr, [*body.consts, *inputs], self)

    def within(self, step: int) -> _Open:
        """Returns the rule for a step of a loop."""
        return _Open(f"{self.suffix}[{step}]", self.paths)

    def has_wanted(self, jaxpr: Any) -> bool:
        """Returns whether a jaxpr, or a body in it, holds a named value that is wanted."""
        return any(
            (equation.primitive.name == "name" and self.wants(equation.params["name"]))
            or any(map(self.has_wanted, jaxprs_in_params(equation.params)))
            for equation in jaxpr.eqns
        )

    def wants(self, name: str) -> bool:
        return self.paths is None or any(_extends(path, name) or _extends(name, path) for path in self.paths)

    def named(self, closed: Any) -> Iterator[tuple[int, str, Any]]:
        """Yields the number, the name and the type of the named values of a trace that are wanted."""
        named = [equation for equation in operations(closed.jaxpr) if equation.primitive.name == "name"]
        for number, equation in enumerate(named):
            if self.wants(equation.params["name"]):
                yield number, equation.params["name"], equation.outvars[0].aval


def _extends(longer: str, shorter: str) -> bool:
    """Returns whether a name is another one, or a step or call of it."""
    return longer.startswith(shorter) and longer[len(shorter) : len(shorter) + 1] in ("", "[", ":")


def _steps(
    rule: _Open,
    inputs: Sequence[Any],
    *,
    jaxpr: Any,
    length: int,
    reverse: bool,
    **others: Any,
) -> list[Any]:
    num_consts, num_carry = constants_and_carry(others)
    constants, carry = list(inputs[:num_consts]), list(inputs[num_consts : num_consts + num_carry])
    slices = inputs[num_consts + num_carry :]
    outputs: dict[int, list[Any]] = {}
    for step in reversed(range(length)) if reverse else range(length):
        given = [*jaxpr.consts, *constants, *carry, *(leaf[step] for leaf in slices)]
        results = evaluate(jaxpr.jaxpr, given, rule.within(step))
        carry, outputs[step] = list(results[:num_carry]), list(results[num_carry:])
    if not length:
        return [*carry, *(jnp.zeros((0, *aval.shape), aval.dtype) for aval in jaxpr.out_avals[num_carry:])]
    stacked = zip(*(outputs[step] for step in range(length)), strict=True)
    return [*carry, *map(jnp.stack, stacked)]


def _branches(rule: _Open, inputs: Sequence[Any], *, branches: Sequence[Any], **_: Any) -> list[Any]:
    index, *operands = inputs
    if not isinstance(index, Tracer):  # known while tracing
        branch = branches[min(max(int(index), 0), len(branches) - 1)]
        return evaluate(branch.jaxpr, [*branch.consts, *operands], rule)
    traces = [_traced(branch, rule) for branch in branches]
    known: list[dict[int, Any]] = [{} for _ in traces]
    for taken, trace in enumerate(traces):
        for number, name, aval in rule.named(trace):
            value_of = functools.partial(_value, trace, dict(known[taken]), number)
            unknown = lambda *_, aval=aval: _not_a_number(aval)  # noqa: E731
            choices = [value_of if other == taken else unknown for other in range(len(traces))]
            known[taken][number] = checkpoint_name(lax.switch(index, choices, *operands), name)
    results = [functools.partial(_results, trace, own) for trace, own in zip(traces, known, strict=True)]
    return lax.switch(index, results, *operands)


def _iterations(
    rule: _Open,
    inputs: Sequence[Any],
    *,
    cond_nconsts: int,
    cond_jaxpr: Any,
    body_nconsts: int,
    body_jaxpr: Any,
    **_: Any,
) -> list[Any]:
    of_condition, others = inputs[:cond_nconsts], inputs[cond_nconsts:]
    constants, carry = others[:body_nconsts], list(others[body_nconsts:])
    numbers = (
        {0} if rule.paths is None else {int(step) for path in rule.paths for step in re.findall(r"\[(\d+)\]", path)}
    )
    traces = {step: _traced(body_jaxpr, rule.within(step)) for step in sorted(numbers)}
    known: dict[int, dict[int, Any]] = {step: {} for step in traces}

    def run(value: Any, asked: int, value_of: Callable[..., Any]) -> Any:
        """Runs the loop with the known values in it, and returns the value of the step that is asked for and the results."""

        def body(state: Any) -> Any:
            step, value, carry = state
            value = lax.cond(step == asked, value_of, lambda *_: value, *constants, *carry)
            index = sum(((step == own) * number for number, own in enumerate(known, start=1)), jnp.zeros((), jnp.int32))
            plain = functools.partial(_results, body_jaxpr, {})
            choices = [plain, *(functools.partial(_results, traces[own], dict(known[own])) for own in known)]
            return step + 1, value, lax.switch(index, choices, *constants, *carry)

        def proceeds(state: Any) -> Any:
            (answer,) = _results(cond_jaxpr, {}, *of_condition, *state[2])
            return answer

        _, value, results = lax.while_loop(proceeds, body, (jnp.zeros((), jnp.int32), value, carry))
        return value, results

    for own, trace in traces.items():
        for number, name, aval in rule.named(trace):
            value_of = functools.partial(_value, trace, dict(known[own]), number)
            value, _ = run(_not_a_number(aval), own, value_of)
            known[own][number] = checkpoint_name(value, name)
    _, results = run(jnp.zeros(()), -1, lambda *_: jnp.zeros(()))
    return results


_BODIES: dict[str, Callable[..., list[Any]]] = {"scan": _steps, "cond": _branches, "while": _iterations}


class _Replace:
    """A rule that replaces named values by known ones, by their numbers, and keeps all of them."""

    def __init__(self, known: dict[int, Any]):
        self.known, self.values = known, []

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        if equation.primitive.name != "name":
            return apply(equation, inputs)
        self.values.append(self.known.get(len(self.values), inputs[0]))
        return [self.values[-1]]


def _value(closed: Any, known: dict[int, Any], number: int, *arguments: Any) -> Any:
    """Returns a named value of a trace, computed from those that are known."""
    rule = _Replace(known)
    evaluate(closed.jaxpr, [*closed.consts, *arguments], rule)
    return rule.values[number]


def _results(closed: Any, known: dict[int, Any], *arguments: Any) -> list[Any]:
    return evaluate(closed.jaxpr, [*closed.consts, *arguments], _Replace(known))


def _not_a_number(aval: Any) -> Any:
    return jnp.full(aval.shape, jnp.nan if jnp.issubdtype(aval.dtype, jnp.inexact) else 0, aval.dtype)


def _traced(closed: Any, rule: _Open) -> Any:
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]
    return jax.make_jaxpr(lambda *arguments: evaluate(closed.jaxpr, [*closed.consts, *arguments], rule))(*shapes)
