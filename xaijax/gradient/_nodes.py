"""The values of a program that relevance flows through, as its trace is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from xaijax._core.convolutions import compute
from xaijax._core.rules import RuleLog
from xaijax.gradient import _operations as operations
from xaijax.gradient._layers import Layer

Axes = tuple[int | None, ...]
_MOST_ROOTS = 64  # values that an elementwise function is followed back to


@dataclasses.dataclass
class Flow:
    """A value with its carrier, and the number of layers before it; without a carrier it passes no relevance on."""

    value: Any
    carrier: Any = None
    depth: int = 0


@dataclasses.dataclass
class Report:
    """What was evaluated with carriers: the rules of operations, and the words of the composite that some layer met."""

    log: RuleLog = dataclasses.field(default_factory=RuleLog)
    words: set[str] = dataclasses.field(default_factory=set)

    def add(self, other: Report) -> None:
        """Adds what was evaluated elsewhere."""
        self.log.update(other.log)
        self.words |= other.words


class Powers(NamedTuple):
    """Values that are exp(x) times constants.

    exponent: the node of x. part: the values, 0 at positions that a mask replaces by constants.
    """

    exponent: Node
    part: Any


@dataclasses.dataclass(eq=False)
class Node:
    """A value that depends on the input through operations that pass relevance on.

    value: of the program. equation: the operation that computes it; None for inputs. operands: of this operation, nodes and
      arrays. path: that of its module.
    sources: the nodes whose carriers make up its own.
    carry: from their carriers to its own; None for a layer, whose rule the composite chooses. rule: the name of the rule;
      "" for an operation without one, whose `carry` is by its own derivative.
    layer: the linear operation that computes it, with the constants around it; origin: the node of this operation.
    roots: the values that it is a function of at each position, itself first.
    role: see `role_in_normalization`.
    powers: where the value is exp(x) times constants, except for masked positions.
    shifted: x and a shape, where it is x minus a value of this shape.
    sums: the node that it sums up, and for each axis of the value the same axis of this node, or None.
    depth: the number of dense layers and convolutions before it. is_followed: whether such a layer follows.
    """

    value: Any
    equation: Any = None
    path: str = ""
    operands: Sequence[Any] = ()
    sources: tuple[Node, ...] = ()
    carry: Callable[..., Any] | None = None
    rule: str = ""
    layer: Layer | None = None
    origin: Node | None = None
    roots: tuple[Node, ...] = ()
    role: str | None = None
    powers: Powers | None = None
    shifted: tuple[Node, tuple[int, ...]] | None = None
    sums: tuple[Node, Axes] | None = None
    depth: int = 0
    is_followed: bool = False

    def __post_init__(self) -> None:
        self.roots = (self, *self.roots)[:_MOST_ROOTS]
        self.origin = self.origin or self

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.equation.primitive.name


def common_root(nodes: list[Node], shape: tuple[int, ...]) -> Node | None:
    """Returns the last value of this shape that all of the nodes are functions of at each position, or None."""
    known = set(nodes[0].roots).intersection(*(node.roots for node in nodes[1:]))
    return next((root for root in nodes[0].roots if root in known and root.value.shape == shape), None)


def at_zero(node: Node, root: Node) -> Any:
    """Returns what a function of `root` at each position, whose result is `node`, is where the root is 0.

    Choices between branches stay those of the root itself.
    """
    members, constants = [], []

    def collect(value: Any) -> None:
        if not isinstance(value, Node):
            constants.append(value)
        elif value is not root and value not in members:
            for operand in value.operands:
                collect(operand)
            members.append(value)

    collect(node)
    is_scalar = all(jnp.ndim(constant) == 0 for constant in constants)
    shape = (1,) * root.value.ndim if is_scalar else root.value.shape
    values: dict[Node, Any] = {root: jnp.zeros(shape, root.value.dtype)}
    for member in members:
        given = [values[value] if isinstance(value, Node) else value for value in member.operands]
        (values[member],) = compute(member.equation, given)
    return values[node]


def normalized(name: str, operands: list[Node]) -> Node | None:
    """Returns the operand that is multiplied or divided by a normalization's factor, such as sqrt(variance), or None."""
    factors = [node for node in operands if node.role == operations.FACTOR]
    if len(factors) != 1 or (name == "div" and operands[0] is factors[0]):
        return None
    return operands[1] if operands[0] is factors[0] else operands[0]
