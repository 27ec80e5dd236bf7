"""Reads a trace as nodes: what passes relevance on to what, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.convolutions import compute
from xaijax._core.jaxpr import evaluate, path_of, within
from xaijax._core.numerics import ratio
from xaijax._core.typing import Array
from xaijax.gradient import _layers, _loops
from xaijax.gradient import _operations as operations
from xaijax.gradient._nodes import Flow, Node, Report, at_zero, common_root, normalized
from xaijax.gradient._shares import by_contributions, by_position, of_function
from xaijax.gradient._softmax import powers_of, softmax_of, sums_of

# Evaluates the body of a loop with carriers: (jaxpr, its inputs, report) -> its results.
RunBody = Callable[[Any, Sequence[Flow], Report], list[Flow]]


class Reader:
    """A rule for `evaluate` that makes nodes of the operations that depend on the input; other values stay arrays.

    softmax: "gradient" or "constant". stabilizer: of the denominators of sums and products. run_body: see `RunBody`.
    report: gets what the bodies of loops evaluate.
    """

    def __init__(self, softmax: str, stabilizer: Any, run_body: RunBody, report: Report):
        self.softmax, self.stabilizer, self.run_body, self.report = softmax, stabilizer, run_body, report
        self.nodes: list[Node] = []
        self.unnamed: list[Node] = []

    def input(self, flow: Flow) -> Node:
        """Returns the node of an input that carries relevance."""
        node = Node(flow.value, depth=flow.depth)
        self.nodes.append(node)
        return node

    def node(self, equation: Any, value: Any, sources: Sequence[Node], **fields: Any) -> Node:
        """Returns the node of an operation's result."""
        fields.setdefault("depth", max(source.depth for source in sources))
        node = Node(value, equation, path_of(equation), sources=tuple(sources), **fields)
        if node.layer is not None and node.origin is node:
            node.depth += node.layer.is_weighted
        self.nodes.append(node)
        self.unnamed.append(node)
        return node

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name == "name":  # the output of a module: what was computed since the last one belongs to the module
            for node in self.unnamed:
                node.path = equation.params["name"]
            self.unnamed = []
            return inputs
        operands = [value for value in inputs if isinstance(value, Node)]
        values = [value.value if isinstance(value, Node) else value for value in inputs]
        if not operands:
            return compute(equation, values)
        if name in ("custom_jvp_call", "custom_vjp_call"):
            inner = equation.params["call_jaxpr"]
            with within(equation):
                return evaluate(inner.jaxpr, [*inner.consts, *inputs], self)
        results = compute(equation, values)
        if name == "stop_gradient" or not any(map(_is_floating, results)):
            return results
        if name in ("scan", "cond"):
            return self._body(equation, inputs, values, results)
        if len(results) > 1 or name in operations.MOVING - operations.JOINING - operations.ELEMENTWISE:
            answers = self._moved(equation, inputs, values, results)
        else:
            answers = [self._single(equation, inputs, values, results[0])]
        if isinstance(answers[0], Node) and len(answers) == 1:
            answers[0].operands = inputs
            answers[0].powers = powers_of(equation, inputs, results[0])
            answers[0].sums = sums_of(equation, inputs, results[0])
            is_square = name == "mul" and len(operands) == 2 and operands[0] is operands[1]
            roles = [operand.role for operand in operands]
            answers[0].role = operations.role_in_normalization(name, equation.params, roles, is_square)
        return answers

    def _single(self, equation: Any, inputs: list[Any], values: list[Any], result: Any) -> Any:
        """Returns the node of an operation with one result."""
        name = equation.primitive.name
        positions = [number for number, value in enumerate(inputs) if isinstance(value, Node)]
        operands = [inputs[number] for number in positions]
        given = [values[number] for number in positions]
        run = _of_operands(equation, values, positions)
        if len(operands) > 1 and name in operations.JOINING:
            joined = self._joined(equation, operands, result)
            if joined is not None:
                return joined
        if name == "dot_general" or name in operations.CONVOLUTIONS:
            return self._product(equation, values, positions, result, operands)
        if len(operands) == 1:
            node = self._of_one(equation, values, positions[0], result, operands[0])
            if node is not None:
                return node
        if name in ("mul", "div"):
            return self.node(equation, result, operands, carry=by_position(result, 0.5), rule="half to each factor")
        if name in operations.SUMS:
            shifted = (operands[0], operands[1].value.shape) if name == "sub" and len(operands) == 2 else None
            carry = by_contributions(run, given, result, self.stabilizer)
            return self.node(equation, result, operands, carry=carry, rule="epsilon", shifted=shifted)
        if name in operations.MOVING:
            return self._moved(equation, inputs, values, [result])[0]
        layer = _layers.other(run, result.dtype) if len(operands) == 1 else None
        own = by_contributions(run, given, result, 0.0)
        return self.node(equation, result, operands, carry=own, layer=layer)

    def _joined(self, equation: Any, operands: list[Node], result: Any) -> Any:
        """Returns the node of a normalization, of softmax, or of several functions of the same value; None for others."""
        name = equation.primitive.name
        if name in ("mul", "div") and len(operands) == 2:
            source = normalized(name, operands)
            if source is not None:
                return self._passed(equation, result, source, "constant factor")
        softmax = softmax_of(operands[0], operands[1], result) if name == "div" else None
        if softmax is not None:
            source, carry = softmax
            if self.softmax == "constant":
                return result
            return self.node(equation, result, [source], carry=carry, rule="softmax")
        root = common_root(operands, result.shape)
        return None if root is None else self._function(equation, result, root)

    def _passed(self, equation: Any, value: Any, source: Node, rule: str = "pass") -> Node:
        """Returns the node of a product with constants, which passes relevance on at each position."""
        roots = source.roots if jnp.shape(value) == jnp.shape(source.value) else ()
        return self.node(equation, value, [source], carry=by_position(value), rule=rule, roots=roots)

    def _function(self, equation: Any, value: Any, root: Node) -> Node:
        """Returns the node of a function of one number, at each position."""
        node = self.node(equation, value, [root], rule="pass", roots=root.roots)
        node.carry = of_function(value, lambda: at_zero(node, root))
        return node

    def _of_one(self, equation: Any, values: list[Any], position: int, result: Any, source: Node) -> Node | None:
        """Returns the node of an operation of one value and constants; None if it moves numbers, or has no rule."""
        name = equation.primitive.name
        is_aligned = jnp.shape(result) == jnp.shape(source.value)
        if name == "neg" or (name == "mul") or (name == "div" and position == 0):
            return self._scaled(equation, values, position, result, source)
        if name in ("add", "add_any", "sub"):
            return self._shifted(equation, values, position, result, source) if is_aligned else None
        if name in operations.POOLING:
            return self.node(equation, result, [source], layer=_layers.pooling(equation, result.dtype))
        if (name in operations.ELEMENTWISE or name == "div") and is_aligned:
            return self._function(equation, result, source)
        return None

    def _product(
        self, equation: Any, values: list[Any], positions: list[int], result: Any, operands: list[Node]
    ) -> Node:
        """Returns the node of a matrix product or a convolution: a layer, or half and half for two operands."""
        run = _of_operands(equation, values, positions)
        if len(positions) == 2:
            carry = by_contributions(run, values, result, self.stabilizer, 0.5)
            return self.node(equation, result, operands, carry=carry, rule="half to each factor")
        (source,), (position,) = operands, positions
        if equation.primitive.name == "dot_general":
            layer = _layers.dense(equation, values, position)
        elif position == 0:
            layer = _layers.convolution(equation, values)
        else:  # filters that depend on the input, of constant images
            layer = dataclasses.replace(_layers.other(run, result.dtype), kind=_layers.CONVOLUTION)
        before = source.layer
        if before is not None and before.kind == _layers.AFFINE and jnp.ndim(before.kernel) in (0, source.value.ndim):
            merged = layer.after(before, source.value)
            if merged is not None:
                (source,), layer = source.sources, merged
        return self.node(equation, result, [source], layer=layer)

    def _scaled(self, equation: Any, values: list[Any], position: int, result: Any, source: Node) -> Node:
        """Returns the node of a product with constants, which belongs to the layer before it."""
        name = equation.primitive.name
        constant = jnp.asarray(-1 if name == "neg" else values[1 - position], result.dtype)
        scale = 1 / constant if name == "div" else constant
        layer, fields = self._open_layer(source, result)
        scaled = layer.times(scale) if _layers.is_per_channel(scale) else None
        if scaled is None or jnp.shape(result) != jnp.shape(source.value):
            return self._passed(equation, result, source)
        return self.node(equation, result, layer=scaled, **fields)

    def _shifted(self, equation: Any, values: list[Any], position: int, result: Any, source: Node) -> Node | None:
        """Returns the node of an addition of constants, which belongs to the layer before it."""
        constant = jnp.asarray(values[1 - position], result.dtype)
        is_difference = equation.primitive.name == "sub"
        layer, fields = self._open_layer(source, result)
        if is_difference and position == 1:
            layer = layer.times(jnp.full((), -1, result.dtype))
        if layer is None:
            return None
        shifted = (source, constant.shape) if is_difference and position == 0 else None
        layer = layer.plus(-constant if shifted else constant)
        return self.node(equation, result, layer=layer, shifted=shifted, **fields)

    def _open_layer(self, source: Node, result: Any) -> tuple[_layers.Layer, dict[str, Any]]:
        """Returns the layer that computes a value, or a new affine one, and the fields of the node that extends it."""
        layer, fields = source.layer, {"sources": source.sources, "origin": source.origin, "depth": source.depth}
        if layer is None or layer.kind == _layers.OTHER:
            layer, fields = _layers.affine(result.dtype), {"sources": (source,)}
        return layer, fields | {"roots": source.roots}

    def _moved(self, equation: Any, inputs: list[Any], values: list[Any], results: list[Any]) -> list[Any]:
        """Returns the results of an operation that moves numbers, or of one with several results without a rule."""
        positions = [number for number, value in enumerate(inputs) if isinstance(value, Node)]
        operands = [inputs[number] for number in positions]
        given = [values[number] for number in positions]
        is_known = equation.primitive.name in operations.MOVING
        flowing = [number for number, value in enumerate(results) if _is_floating(value)]

        def move(*operands: Array) -> list[Array]:
            known = dict(zip(positions, operands, strict=True))
            answers = compute(equation, [known.get(number, value) for number, value in enumerate(values)])
            return [answers[number] for number in flowing]

        def changes(*carriers: Array) -> list[Array]:
            scaled = carriers if is_known else [one * other for one, other in zip(given, carriers, strict=True)]
            answers, changed = jax.jvp(move, tuple(given), tuple(scaled))
            return list(changed) if is_known else [ratio(*pair) for pair in zip(changed, answers, strict=True)]

        return self._several(equation, results, flowing, operands, changes, "own derivative" if is_known else "")

    def _several(
        self,
        equation: Any,
        results: list[Any],
        flowing: Sequence[int],
        operands: list[Node],
        changes: Callable[..., list[Any]],
        rule: str,
    ) -> list[Any]:
        """Returns the results of an operation; `changes` computes the carriers of those numbered `flowing` at once."""
        computed: list[Any] = []

        def carry_of(position: int) -> Callable[..., Any]:
            def carry(*carriers: Any) -> Any:
                if not computed:
                    computed.extend(changes(*carriers))
                return computed[position]

            return carry

        answers = list(results)
        for position, number in enumerate(flowing):
            answers[number] = self.node(equation, results[number], operands, carry=carry_of(position), rule=rule)
        return answers

    def _body(self, equation: Any, inputs: list[Any], values: list[Any], results: list[Any]) -> list[Any]:
        """Returns the results of a loop or of branches, which are entered."""
        flows = [
            Flow(value, jnp.zeros_like(value), given.depth) if isinstance(given, Node) else Flow(value)
            for given, value in zip(inputs, values, strict=True)
        ]

        def run(jaxpr: Any, flows: Sequence[Flow], report: Report) -> list[Flow]:
            with within(equation):
                return self.run_body(jaxpr, flows, report)

        flowing, depths, changes = _loops.entered(equation, flows, run, self.report)
        operands = [value for value in inputs if isinstance(value, Node)]
        answers = self._several(equation, results, flowing, operands, changes, "entered")
        for number, depth in zip(flowing, depths, strict=True):
            answers[number].depth = depth
        return answers


def _is_floating(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _of_operands(equation: Any, values: list[Any], positions: list[int]) -> Callable[..., Any]:
    """Returns an operation of one result as a function of the operands at these positions."""

    def run(*operands: Array) -> Array:
        given = dict(zip(positions, operands, strict=True))
        return compute(equation, [given.get(number, value) for number, value in enumerate(values)])[0]

    return run
