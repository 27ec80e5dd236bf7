"""Values at the input and at the reference, and how tangents move with them by the rules of DeepLIFT.

A tangent is any linear function of the change of x: of x itself, or of some unit's multiplier when JAX transposes it. The
tangent that starts as x - reference is at each operation the difference there. The rules are those of Shrikumar, Greenside
& Kundaje (2017): rescale (section 3.5.2) and RevealCancel (section 3.5.3).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array
from xaijax.gradient._multipliers import Point, difference, middle, quotient

Parts = tuple[Array, ...]  # tangents that move alike


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """An array at the input and at the reference, and the parts of its tangent."""

    value: Array
    reference: Array
    parts: Parts

    @property
    def difference(self) -> Array:
        """The difference between the value and that at the reference, as a floating number."""
        return difference(self.value, self.reference)


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """An elementwise function of one compared array, whose multiplier is computed when it is asked for.

    root: the array. points: the function at the input, at the reference, and at the points that the rule asks for.
    everywhere: whether the function is defined for all numbers.
    """

    rule: Rescale
    root: Compared
    points: Sequence[Point]
    everywhere: bool = True

    @functools.cached_property
    def compared(self) -> Compared:
        """The function as an array with tangents."""
        value, reference = self.points[0].value, self.points[1].value
        return compared(value, reference, self.rule.along(self))


@dataclasses.dataclass(frozen=True, eq=False)
class Indices:
    """The order of a sort at the input and at the reference, which has no tangent."""

    equation: Any
    value: Array
    reference: Array


def compared(value: Array, reference: Array, parts: Sequence[Array]) -> Compared:
    """Returns an array with tangents of its shape and dtype; those of integers and booleans are floating numbers."""
    dtype = value.dtype if jnp.issubdtype(value.dtype, jnp.inexact) else jnp.result_type(float)
    return Compared(value, reference, tuple(jnp.broadcast_to(part, value.shape).astype(dtype) for part in parts))


def settled(value: Any) -> Any:
    """Returns a curve as an array with tangents; others unchanged."""
    return value.compared if isinstance(value, Curve) else value


class Rescale:
    """Multiplies the tangent by Δout / Δin at each elementwise operation."""

    name = "rescale"
    num_parts = 1

    def start(self, tangent: Array, delta: Array) -> Parts:
        """Returns the parts of the tangent of x."""
        return (tangent,)

    def total(self, parts: Parts) -> Array:
        """Returns the tangent of an output from its parts."""
        return parts[0]

    def points(self, root: Compared) -> list[Point]:
        """Returns the points at which elementwise functions of an array are evaluated."""
        return [Point(root.value), Point(root.reference), middle(root.value, root.reference)]

    def along(self, curve: Curve) -> Parts:
        """Returns the parts of an elementwise function of an array."""
        at, reference, between = curve.points
        multiplier = quotient(curve.root.difference, at.value, reference.value, between.slope)
        return (multiplier * curve.root.parts[0],)

    def moved(self, push: Callable[..., Array], operands: Sequence[Compared]) -> Parts:
        """Moves the parts by a linear operation whose factors are not negative: each by itself."""
        return tuple(push(*parts) for parts in zip(*(operand.parts for operand in operands), strict=True))

    def summed(self, add: Callable[[Array], Array], operand: Compared) -> Parts:
        """Moves the parts by a sum over elements."""
        return (add(operand.parts[0]),)

    def weighted(self, weights: Sequence[Array], operands: Sequence[Compared]) -> Parts:
        """Moves the parts of elementwise operands by one factor for each."""
        return (sum(w * operand.parts[0] for w, operand in zip(weights, operands, strict=True)),)  # pyright: ignore[reportReturnType]

    def contracted(self, terms: Sequence[tuple[Callable[[Array, Array], Array], Compared, Array]]) -> Parts:
        """Moves the parts by products with kernels: terms (multiply, operand, kernel)."""
        return (sum(multiply(operand.parts[0], kernel) for multiply, operand, kernel in terms),)  # pyright: ignore[reportReturnType]


class RevealCancel(Rescale):
    """Keeps the positive and the negative contributions to each difference apart.

    The parts are (t⁺, t⁻, Δ⁺, Δ⁻), where Δ⁺ and Δ⁻ are what t⁺ and t⁻ are for the tangent x - reference.
    """

    name = "reveal_cancel"
    num_parts = 4

    def start(self, tangent: Array, delta: Array) -> Parts:
        share = _share_positive(delta)
        return share * tangent, (1 - share) * tangent, share * delta, (1 - share) * delta

    def total(self, parts: Parts) -> Array:
        return parts[0] + parts[1]

    def points(self, root: Compared) -> list[Point]:
        if not jnp.issubdtype(root.value.dtype, jnp.floating):
            return [Point(root.value), Point(root.reference)]
        ones = jnp.ones_like(root.value)
        ends = [Point(root.value, ones), Point(root.reference, ones)]
        return [*ends, Point(root.reference + root.parts[2]), Point(root.reference + root.parts[3])]

    def along(self, curve: Curve) -> Parts:
        """Δy⁺ is the mean of f(r + Δ⁺) - f(r) and f(x) - f(r + Δ⁻); Δy⁻ likewise.

        Functions that are not defined for all numbers, such as logarithms, roots and reciprocals, rescale both parts alike:
        r + Δ⁻ may be where they are not defined. So do values that overflow there.
        """
        root, (at, reference, *alone) = curve.root, curve.points
        together = quotient(root.difference, at.value, reference.value, at.slope)
        multipliers = [together, together]
        if alone and curve.everywhere:
            for number, (delta, own, other) in enumerate(zip(root.parts[2:], alone, reversed(alone), strict=True)):
                first = quotient(delta, own.value, reference.value, reference.slope)
                last = quotient(delta, at.value, other.value, at.slope)
                apart = (first + last) / 2
                multipliers[number] = jnp.where(jnp.isfinite(own.value) & jnp.isfinite(other.value), apart, together)
        return tuple(multiplier * part for multiplier, part in zip(multipliers * 2, root.parts, strict=True))

    def summed(self, add: Callable[[Array], Array], operand: Compared) -> Parts:
        """The linear rule: an element counts as positive where its difference is."""
        share = _share_positive(operand.difference)

        def move(number: int) -> tuple[Array, Array]:
            tangent = operand.parts[number] + operand.parts[number + 1]
            return add(share * tangent), add((1 - share) * tangent)

        return (*move(0), *move(2))

    def weighted(self, weights: Sequence[Array], operands: Sequence[Compared]) -> Parts:
        """A factor below 0 turns positive contributions into negative ones."""
        signed = [(jnp.maximum(weight, 0), jnp.minimum(weight, 0)) for weight in map(jnp.asarray, weights)]

        def move(number: int) -> tuple[Array, Array]:
            pairs = [operand.parts[number : number + 2] for operand in operands]
            terms = list(zip(signed, pairs, strict=True))
            plus = sum(up * p + down * m for (up, down), (p, m) in terms)
            minus = sum(up * m + down * p for (up, down), (p, m) in terms)
            return plus, minus  # pyright: ignore[reportReturnType]

        return (*move(0), *move(2))

    def contracted(self, terms: Sequence[tuple[Callable[[Array, Array], Array], Compared, Array]]) -> Parts:
        """The linear rule (section 3.5.1): a product w Δx counts as positive where it is."""

        def move(number: int) -> tuple[Array, Array]:
            plus, minus = 0, 0
            for multiply, operand, kernel in terms:
                share = _share_positive(operand.difference)
                tangent = operand.parts[number] + operand.parts[number + 1]
                rising, falling = share * tangent, (1 - share) * tangent
                up, down = jnp.maximum(kernel, 0), jnp.minimum(kernel, 0)
                plus = plus + multiply(rising, up) + multiply(falling, down)
                minus = minus + multiply(rising, down) + multiply(falling, up)
            return plus, minus  # pyright: ignore[reportReturnType]

        return (*move(0), *move(2))


RULES = {rule.name: rule for rule in (Rescale(), RevealCancel())}


def _share_positive(delta: Array) -> Array:
    """Returns 1 where a difference is positive, 0 where it is negative, and a half where it is 0."""
    return ((1 + jnp.sign(delta)) / 2).astype(delta.dtype)
