"""Evaluates a trace with the relevance that flows through it.

Next to each value of the program runs a carrier of the same shape, which is 0. The carriers of an operation's results are
linear in those of its operands, and the matrix of this map holds the shares of the operands: transposed by JAX, it takes the
relevance of the outputs to the inputs. So there is no backward pass of our own, and compilation, vectorization, loops and
derivatives of relevance come for free.

The trace is read first (`_reader.py`): operations that depend on the input become nodes. Only the nodes that the outputs
need are evaluated with carriers (`_shares.py`), layers among them by the rules of the composite.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from xaijax._core.jaxpr import evaluate
from xaijax.gradient._arguments import refuse_loop
from xaijax.gradient._layers import AFFINE
from xaijax.gradient._nodes import Flow, Node, Report
from xaijax.gradient._reader import Reader
from xaijax.gradient._shares import by_contributions, by_position, by_rule, name_of
from xaijax.gradient.composites import Composite, Operation


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to evaluate a program.

    composite: the rules of layers. unknown: "error" or "gradient". is_followed: whether layers follow the program.
    is_score: whether it is a score of a model's outputs, where softmax is no attention and keeps its derivative.
    """

    composite: Composite
    unknown: str
    is_followed: bool = False
    is_score: bool = False


def propagated(jaxpr: Any, inputs: Sequence[Flow], settings: Settings, report: Report) -> list[Flow]:
    """Returns the results of a trace at `inputs` (its constants first), with their carriers."""
    composite, of_bodies = settings.composite, dataclasses.replace(settings, is_followed=True)

    def run_body(jaxpr: Any, flows: Sequence[Flow], report: Report) -> list[Flow]:
        return propagated(jaxpr, flows, of_bodies, report)

    softmax = "gradient" if settings.is_score else composite.softmax
    reader = Reader(softmax, composite.stabilizer, run_body, report)
    nodes = [reader.input(flow) if flow.carrier is not None else flow.value for flow in inputs]
    results = evaluate(jaxpr, nodes, reader)
    needed = _needed(reader.nodes, [result for result in results if isinstance(result, Node)], settings.is_followed)
    steps = [(node, _carry(node, settings, report)) for node in needed if node.sources]
    report.log.check(settings.unknown)
    carriers = {node: flow.carrier for node, flow in zip(nodes, inputs, strict=True) if isinstance(node, Node)}
    for node, carry in steps:
        refuse_loop(node.equation)
        carriers[node] = carry(*(carriers[source] for source in node.sources))
    return [
        Flow(result.value, carriers[result], result.depth) if isinstance(result, Node) else Flow(result)
        for result in results
    ]


def _needed(nodes: list[Node], outputs: list[Node], is_followed: bool) -> list[Node]:
    """Returns the nodes that the outputs' carriers need, in the order of evaluation."""
    wanted = set(outputs)
    for node in outputs:
        node.is_followed = is_followed
    for node in reversed(nodes):
        if node in wanted:
            wanted.update(node.sources)
            is_weighted = node.layer is not None and node.layer.is_weighted
            for source in node.sources:
                source.is_followed |= node.is_followed or is_weighted
    return [node for node in nodes if node in wanted]


def _carry(node: Node, settings: Settings, report: Report) -> Callable[..., Any]:
    """Returns how the carriers of a node's sources become its own, and reports the rule."""
    layer, origin, carry, name = node.layer, node.origin or node, node.carry, node.rule
    if layer is not None:
        (source,) = node.sources
        if layer.kind == AFFINE and not layer.has_bias:
            carry, name = by_position(node.value), "pass"
        else:
            depth, path = source.depth, origin.path
            operation = Operation(layer.kind, origin.name, path, depth, depth == 0, not node.is_followed)
            rule = settings.composite.rule_of(operation, report.words)
            if rule is not None:
                title = f"for {origin.name}" + (f" in {path}" if path else "")
                carry, name = by_rule(layer, source.value, rule, node.value, title), name_of(rule)
            elif carry is None:
                carry = by_contributions(layer, [source.value], node.value, 0.0)
    report.log.add(origin.equation, name, origin.path)
    assert carry is not None
    return carry
