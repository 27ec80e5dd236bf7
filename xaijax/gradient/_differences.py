"""Evaluates a trace at the input and at the reference in one pass, and moves tangents by the multipliers of DeepLIFT.

A tangent is moved by each operation with the factors that turn the operands' differences into the result's, instead of
with its derivatives. JAX transposes this linear function of the tangent, so that one backward pass gives all multipliers:
attributions are (x - reference) times a vector-Jacobian product.

Operations that are linear keep their factors; products use the midpoints of both factors, which is the average of both
orders; elementwise functions of one array use rescale or RevealCancel; other elementwise operations average two orders.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.convolutions import compute
from xaijax._core.jaxpr import body_of_derivative, constants_and_carry, evaluate, make_jaxpr, trace, within
from xaijax._core.parts import replaced
from xaijax._core.rules import RuleLog
from xaijax._core.target import Target
from xaijax._core.typing import Array
from xaijax._model import Model
from xaijax.gradient._arguments import refuse_loop
from xaijax.gradient._elementwise import (
    CONTRACTIONS,
    DECOMPOSED,
    LINEAR,
    LINEAR_ALONE,
    SAME,
    SIGNS,
    SUMS,
    is_elementwise,
    is_partial,
)
from xaijax.gradient._multipliers import (
    Point,
    at_points,
    both_orders,
    midpoint,
    of_choice,
    of_division,
    of_maximum,
    of_order,
    of_pooling,
    of_running_maximum,
    real,
    zero_if_undefined,
)
from xaijax.gradient._parts import Compared, Curve, Indices, Rescale, compared, settled

UserRule = Callable[..., Any]  # rule(compute, inputs, references, tangents) -> tangents of the results


@dataclasses.dataclass(frozen=True)
class Differences:
    """A rule for `evaluate`: operations on compared arrays.

    rule: how tangents move through elementwise operations. unknown: what becomes of operations without a rule. own: rules of
    the user, by the names of operations.
    """

    rule: Rescale
    unknown: str = "error"
    own: Mapping[str, UserRule] = dataclasses.field(default_factory=dict)
    log: RuleLog = dataclasses.field(default_factory=RuleLog)

    def model(self, model: Model, x: Any, own: Compared) -> Any:
        """Returns the outputs of a model, a PyTree of arrays and compared arrays.

        x: what the model is evaluated at, of which `own` is the explained part: x itself, or the activations of a layer.
        """
        closed, structure = trace(model, x)
        leaves = jax.tree.leaves(replaced(x, own), is_leaf=lambda leaf: isinstance(leaf, Compared))  # pyright: ignore[reportArgumentType]
        return jax.tree.unflatten(structure, self.run(closed, [*jax.tree.leaves(model), *leaves]))

    def scores(self, target: Target, outputs: Any) -> Compared:
        """Returns the explained values of such outputs."""
        leaves = jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, Compared))
        closed, _ = make_jaxpr(lambda target, outputs: target.select(outputs), target, at_input(outputs))
        (scores,) = self.run(closed, [*jax.tree.leaves(target), *leaves])
        return self._constant(scores)

    def run(self, closed: Any, inputs: Sequence[Any]) -> list[Any]:
        """Returns the results of a trace, arrays or compared arrays."""
        results = evaluate(closed.jaxpr, [*closed.consts, *inputs], self)
        return [settled(self._used(result)) for result in results]

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name = equation.primitive.name
        inputs = list(map(self._used, inputs))
        if not any(map(_is_compared, inputs)):
            return compute(equation, inputs)
        if name in self.own:
            return self._by_own_rule(equation, list(map(settled, inputs)))
        if name in SAME:
            self.log.add(equation, "linear")
            return inputs
        if is_elementwise(equation, list(map(_is_compared, inputs))):
            return [self._elementwise(equation, inputs)]
        body = equation.params["jaxpr"] if name == "composite" else body_of_derivative(equation)
        if body is not None:
            with within(equation):
                return evaluate(body.jaxpr, [*body.consts, *inputs], self)
        return self._settled(equation, list(map(settled, inputs)))

    def _settled(self, equation: Any, inputs: list[Any]) -> list[Any]:
        """Computes an operation that is not elementwise."""
        name = equation.primitive.name
        moving = [number for number, value in enumerate(inputs) if isinstance(value, Compared)]
        if name in CONTRACTIONS:
            return [self._contraction(equation, inputs)]
        if name in SUMS:
            self.log.add(equation, "linear")
            (operand,) = inputs
            add = functools.partial(_alone, equation)
            return [compared(add(operand.value), add(operand.reference), self.rule.summed(add, operand))]
        if name in LINEAR and set(moving) <= set(LINEAR[name] or moving):
            return self._linear(equation, inputs)
        if name in ("mul", "square", "integer_pow") and (name != "integer_pow" or equation.params["y"] == 2):
            return self._linear(equation, inputs)  # of complex numbers
        if name in DECOMPOSED:
            return self._decomposed(equation, inputs)
        if name in ("scan", "cond"):
            computed = (self._scan if name == "scan" else self._cond)(equation, inputs)
            if computed is not None:
                return computed
        push = self._maximum(equation, inputs)
        if push is not None:
            self.log.add(equation, "maximum")
            operand = inputs[0]
            values, references = (compute(equation, [_end(v, end) for v in inputs]) for end in ("value", "reference"))
            first = compared(values[0], references[0], self.rule.moved(push, [operand]))
            return [first, *map(functools.partial(Indices, equation), values[1:], references[1:])]
        return self._without_rule(equation, inputs)

    # Elementwise operations

    def _elementwise(self, equation: Any, inputs: list[Any]) -> Any:
        """Extends the curve of one array, or combines several arrays."""
        name, shape = equation.primitive.name, equation.outvars[0].aval.shape
        inputs = [_broadcast(value, shape) if _is_compared(value) else value for value in inputs]
        moving = [number for number, value in enumerate(inputs) if _is_compared(value)]
        roots = {id(_root(inputs[number])): _root(inputs[number]) for number in moving}
        operation = functools.partial(_alone, equation)
        if len(roots) == 1:
            (root,) = roots.values()
            is_linear = name in LINEAR_ALONE and len(moving) == 1 and (name != "div" or moving == [0])
            self.log.add(equation, "linear" if is_linear else self.rule.name)
            starts = self.rule.points(root)
            at = [[_point(value, number, starts) for value in inputs] for number in range(len(starts))]
            points = [at_points(operation, operands) for operands in at]
            everywhere = all(not isinstance(value, Curve) or value.everywhere for value in inputs)
            return Curve(self.rule, root, points, everywhere and not is_partial(equation, moving))
        given = [settled(value) for value in inputs]
        operands = [given[number] for number in moving]
        values, references = ([getattr(each, end) for each in operands] for end in ("value", "reference"))
        if name == "select_n" and moving[0] > 0:
            return self._linear(equation, given)[0]
        if name == "select_n" and moving != [0]:
            if len(given) > 3:
                return self._without_rule(equation, given)[0]
            return self._selected(equation, given[0], given[1:])
        fill = dict(zip(moving, range(len(moving)), strict=True))

        def of_moving(*moved: Array) -> Array:
            return operation(*(moved[fill[k]] if k in fill else value for k, value in enumerate(given)))

        if name in ("add", "add_any", "sub"):
            weights, kind = [1.0, -1.0 if name == "sub" else 1.0], "linear"
        elif name == "mul":
            weights, kind = [midpoint(*ends) for ends in zip(values, references, strict=True)][::-1], "product"
        elif name == "div":
            weights, kind = of_division(values, references), "product"
        else:
            weights, kind = both_orders(of_moving, values, references), "both orders"
        self.log.add(equation, kind)
        return self._weighted(of_moving, operands, weights)

    def _weighted(
        self, operation: Callable[..., Array], operands: Sequence[Compared], weights: Sequence[Any]
    ) -> Compared:
        value, reference = (operation(*(getattr(each, end) for each in operands)) for end in ("value", "reference"))
        weights = [zero_if_undefined(weight, value, reference) for weight in weights]
        return compared(value, reference, self.rule.weighted(weights, operands))

    def _selected(self, equation: Any, choice: Compared, cases: Sequence[Any]) -> Compared:
        """Computes a choice between two cases that itself depends on x.

        It is the product (1 - p) a + p b of a number p that is 0 or 1, whose jumps count like other differences.
        """
        self.log.add(equation, "product")
        p = _broadcast(choice, jnp.shape(_end(cases[0], "value")))
        values, references = ([_end(case, end) for case in cases] for end in ("value", "reference"))
        of_p, *weights = of_choice((p.value, p.reference), values, references)
        moving = [(case, weight) for case, weight in zip(cases, weights, strict=True) if isinstance(case, Compared)]

        def choose(p: Array, *moved: Array) -> Array:
            left = iter(moved)
            return jax.lax.select_n(p, *(next(left) if isinstance(case, Compared) else case for case in cases))

        return self._weighted(choose, [p, *(case for case, _ in moving)], [of_p, *(weight for _, weight in moving)])

    # Linear operations and products

    def _linear(self, equation: Any, inputs: Sequence[Any]) -> list[Any]:
        """Computes an operation whose derivative at the midpoint gives the difference: linear or quadratic ones."""
        moving = [number for number, value in enumerate(inputs) if isinstance(value, Compared)]
        operands = [inputs[number] for number in moving]
        is_linear = equation.primitive.name in LINEAR
        self.log.add(equation, "linear" if is_linear else "product")
        own = [operand.value if is_linear else midpoint(operand.value, operand.reference) for operand in operands]
        others = list(inputs)
        if not all(jnp.issubdtype(operand.value.dtype, jnp.inexact) for operand in operands):
            allowed = LINEAR.get(equation.primitive.name) or range(len(inputs))
            others = [real(value) if k in allowed and k not in moving else value for k, value in enumerate(inputs)]
            own = list(map(real, own))

        def results(ends: Sequence[Array], rest: Sequence[Any]) -> list[Array]:
            fill = dict(zip(moving, ends, strict=True))
            return compute(equation, [fill.get(number, value) for number, value in enumerate(rest)])

        values, references = (results([getattr(e, end) for e in operands], inputs) for end in ("value", "reference"))
        answers = []
        for number, (value, reference) in enumerate(zip(values, references, strict=True)):

            def push(*tangents: Array, number: int = number) -> Array:
                given = [t.astype(at.dtype) for t, at in zip(tangents, own, strict=True)]
                return jax.jvp(lambda *ends: results(ends, others)[number], own, given)[1]

            answers.append(compared(value, reference, self.rule.moved(push, operands)))
        return answers

    def _contraction(self, equation: Any, inputs: Sequence[Any]) -> Compared:
        """Computes a product of matrices or a convolution; of two compared arrays, each with the other's midpoint."""
        moving = [number for number, value in enumerate(inputs) if isinstance(value, Compared)]
        self.log.add(equation, "linear" if len(moving) == 1 else "product")
        value, reference = (_alone(equation, *(_end(v, end) for v in inputs)) for end in ("value", "reference"))
        if not jnp.issubdtype(value.dtype, jnp.inexact) and "preferred_element_type" in equation.params:
            equation = equation.replace(params=equation.params | {"preferred_element_type": None})
        terms = []
        for number in moving:
            other = inputs[1 - number]
            kernel = midpoint(other.value, other.reference) if isinstance(other, Compared) else other
            multiply = functools.partial(_product, equation, number)
            terms.append((multiply, inputs[number], kernel))
        return compared(value, reference, self.rule.contracted(terms))

    def _maximum(self, equation: Any, inputs: Sequence[Any]) -> Callable[[Array], Array] | None:
        """Returns how tangents move through a maximum, a minimum or a sort; None where there is no rule."""
        name, parameters = equation.primitive.name, equation.params
        operand, *others = inputs
        if not isinstance(operand, Compared) or any(isinstance(value, Compared) for value in others):
            return None
        value, reference = operand.value, operand.reference
        prefix, _, suffix = name.rpartition("_")
        if prefix == "reduce" and suffix in SIGNS:
            return of_maximum(value, reference, parameters["axes"], SIGNS[suffix])
        if name in ("reduce_window_max", "reduce_window_min"):
            return of_pooling(value, reference, SIGNS[suffix], parameters)
        if name in ("cummax", "cummin"):
            sign = 1 if name == "cummax" else -1
            return of_running_maximum(value, reference, parameters["axis"], parameters["reverse"], sign)
        if name == "sort" and parameters["num_keys"] == 1:
            axis = parameters["dimension"]
            i, j = (jnp.argsort(end, axis=axis) for end in (value, reference))
            return of_order(value, reference, i, j, axis, -1)
        if name == "top_k":
            i, j = (compute(equation, [end])[1] for end in (value, reference))
            return of_order(value, reference, i, j, parameters["axis"], 1)
        return None

    # Calls, loops and operations without a rule

    def _decomposed(self, equation: Any, inputs: Sequence[Any]) -> list[Any]:
        """Computes an operation as several that have rules."""
        (operand,) = inputs
        function = functools.partial(DECOMPOSED[equation.primitive.name], **equation.params)
        closed, _ = make_jaxpr(function, operand.value)
        with within(equation):
            return evaluate(closed.jaxpr, [*closed.consts, operand], self)

    def _scan(self, equation: Any, inputs: Sequence[Any]) -> list[Any]:
        """Computes a loop whose body is evaluated by the rules."""
        parameters = equation.params
        body, (num_consts, num_carry) = parameters["jaxpr"], constants_and_carry(parameters)
        constants, carry = inputs[:num_consts], list(inputs[num_consts : num_consts + num_carry])
        slices = list(inputs[num_consts + num_carry :])

        def step(rule: Differences, carry: Sequence[Any], slices: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            with within(equation):
                results = rule.run(body, [*constants, *carry, *slices])
            return results[:num_carry], results[num_carry:]

        while True:  # the carry depends on x as soon as the body makes it so
            unlogged = dataclasses.replace(self, log=RuleLog())
            one = jax.tree.map(lambda leaf: leaf[0], slices) if parameters["length"] else slices
            shapes, _ = jax.eval_shape(functools.partial(step, unlogged), carry, one)
            depends = [
                isinstance(shape, Compared) and not _is_compared(own) for shape, own in zip(shapes, carry, strict=True)
            ]
            if not any(depends):
                break
            carry = [self._constant(own) if new else own for own, new in zip(carry, depends, strict=True)]

        def next_step(own: Any, slices: Any) -> tuple[list[Any], list[Any]]:
            new, results = step(self, own, slices)
            moves = map(_is_compared, own)
            return [
                self._constant(value) if moving else value for value, moving in zip(new, moves, strict=True)
            ], results

        options = {name: parameters[name] for name in ("length", "reverse", "unroll")}
        carry, results = jax.lax.scan(next_step, carry, slices, **options)
        return [*carry, *results]

    def _cond(self, equation: Any, inputs: Sequence[Any]) -> list[Any] | None:
        """Computes a branch by the rules; where the choice depends on x, all branches, of which one is selected."""
        index, *operands = inputs
        branches = equation.params["branches"]

        def of_branch(branch: Any, operands: Sequence[Any]) -> list[Any]:
            with within(equation):
                return self.run(branch, operands)

        if not isinstance(index, Compared):
            runs = [lambda operands, b=b: list(map(self._constant, of_branch(b, operands))) for b in branches]
            return jax.lax.switch(index, runs, operands)
        if len(branches) != 2:
            return None
        results = [of_branch(branch, operands) for branch in branches]
        choice = compared(index.value != 0, index.reference != 0, index.parts)
        return [self._selected(equation, choice, cases) for cases in zip(*results, strict=True)]

    def _used(self, value: Any) -> Any:
        """Returns an operand; the indices of a sort, once they are used, make it an operation without a rule."""
        if not isinstance(value, Indices):
            return value
        self.log.add(value.equation, "")
        return compared(value.value, value.reference, (jnp.zeros(()),) * self.rule.num_parts)

    def _constant(self, value: Any) -> Compared:
        """Returns an array that does not depend on x as a compared one."""
        if isinstance(value, Compared):
            return value
        value = jnp.asarray(value)
        return compared(value, value, (jnp.zeros(()),) * self.rule.num_parts)

    def _by_own_rule(self, equation: Any, inputs: Sequence[Any]) -> list[Any]:
        """Computes an operation by a rule of the user, whose result is checked."""
        name = equation.primitive.name
        self.log.add(equation, "own rule")
        given, references = ([_end(value, end) for value in inputs] for end in ("value", "reference"))
        values, others = compute(equation, given), compute(equation, references)
        several = equation.primitive.multiple_results

        def results(*operands: Array) -> Any:
            computed = compute(equation, list(operands))
            return computed if several else computed[0]

        parts = []
        for number in range(self.rule.num_parts):
            own = [v.parts[number] if isinstance(v, Compared) else jnp.zeros_like(real(jnp.asarray(v))) for v in inputs]
            moved = self.own[name](results, given, references, own)
            moved = list(moved) if several else [moved]
            shapes, wanted = [list(jnp.shape(part)) for part in moved], [list(value.shape) for value in values]
            if shapes != wanted:
                raise ValueError(
                    f"`rules[{name!r}]` must return one array for each result, of the shapes {wanted}, got {shapes}: it maps "
                    "the tangents of the operands to those of the results."
                )
            parts.append(moved)
        return [compared(v, o, own) for v, o, *own in zip(values, others, *parts, strict=True)]

    def _without_rule(self, equation: Any, inputs: Sequence[Any]) -> list[Any]:
        """Computes an operation with its own derivative at the input, and lists it."""
        self.log.add(equation, "")
        values, references = (compute(equation, [_end(v, end) for v in inputs]) for end in ("value", "reference"))
        moving = [
            k for k, v in enumerate(inputs) if isinstance(v, Compared) and jnp.issubdtype(v.value.dtype, jnp.inexact)
        ]
        if self.unknown == "error" or not moving:  # the error follows, with all such operations
            zeros = (jnp.zeros(()),) * self.rule.num_parts
            return [compared(value, other, zeros) for value, other in zip(values, references, strict=True)]
        refuse_loop(equation)

        def of_moving(*ends: Array) -> list[Array]:
            fill = dict(zip(moving, ends, strict=True))
            return compute(equation, [fill.get(k, _end(v, "value")) for k, v in enumerate(inputs)])

        own = [inputs[k].value for k in moving]
        moved = [
            jax.jvp(of_moving, own, [inputs[k].parts[part] for k in moving])[1] for part in range(self.rule.num_parts)
        ]
        parts = [[t if t.dtype != jax.dtypes.float0 else jnp.zeros(()) for t in tangents] for tangents in moved]
        return [compared(v, o, own) for v, o, *own in zip(values, references, *parts, strict=True)]


def at_input(outputs: Any) -> Any:
    """Returns a PyTree of arrays and compared arrays at the input."""
    return jax.tree.map(lambda leaf: _end(leaf, "value"), outputs, is_leaf=lambda leaf: isinstance(leaf, Compared))


def _is_compared(value: Any) -> bool:
    return isinstance(value, Compared | Curve)


def _root(value: Compared | Curve) -> Compared:
    return value.root if isinstance(value, Curve) else value


def _shape(value: Compared | Curve) -> tuple[int, ...]:
    return jnp.shape(value.points[0].value if isinstance(value, Curve) else value.value)


def _point(value: Any, number: int, starts: Sequence[Point]) -> Point:
    """Returns an operand of a function of one array at one of its points."""
    if isinstance(value, Curve):
        return value.points[number]
    return starts[number] if isinstance(value, Compared) else Point(value)


def _end(value: Any, end: str) -> Any:
    """Returns an operand at the input ("value") or at the reference ("reference")."""
    return getattr(value, end) if isinstance(value, Compared) else value


def _broadcast(operand: Compared | Curve, shape: tuple[int, ...]) -> Any:
    """Returns an operand, such as a bound of a clamp, in the shape of the result of an elementwise operation."""
    if _shape(operand) == shape:
        return operand
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, shape), settled(operand))


def _alone(equation: Any, *inputs: Array) -> Array:
    """Computes an operation with one result."""
    return compute(equation, list(inputs))[0]


def _product(equation: Any, number: int, tangent: Array, kernel: Array) -> Array:
    """Computes a product with the tangent as the operand of this number."""
    tangent, kernel = real(tangent), real(jnp.asarray(kernel))
    return _alone(equation, *((tangent, kernel) if number == 0 else (kernel, tangent)))
