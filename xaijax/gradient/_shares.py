"""How operations turn the carriers of their operands into those of their results: the shares of relevance, forward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.numerics import ratio
from xaijax._core.typing import Array
from xaijax.gradient._layers import Layer

Rule = Callable[[Layer, Array, Array], Any]  # see `xai.gradient.rules`


def stabilized(z: Array, epsilon: Any) -> Array:
    """Returns z with epsilon added to |z|."""
    return z + jnp.where(z < 0, -epsilon, epsilon).astype(z.dtype)


def name_of(rule: Any) -> str:
    """Returns a rule's name."""
    function = rule.func if isinstance(rule, jax.tree_util.Partial) else rule
    return getattr(function, "__name__", type(function).__name__).strip("_")


def by_rule(layer: Layer, x: Array, rule: Rule, y: Array, title: str) -> Callable[[Array], Array]:
    """Returns the carriers of a layer's output y by those of its input x, (∂z/∂ones · carrier) / z, for the rule's z."""

    def sums(ones: Array) -> tuple[list[Array], list[Any]]:
        result = rule(layer, x, ones)
        terms: Sequence[Any] = result if isinstance(result, list | tuple) else [(1.0, result)]
        pairs = [term for term in terms if isinstance(term, tuple) and len(term) == 2]
        wrong = [z for _, z in pairs if not isinstance(z, jax.Array) or z.shape != y.shape]
        if wrong or len(pairs) != len(terms) or not terms:
            given = wrong[0] if wrong else result
            given = f"shape {list(given.shape)}" if isinstance(given, jax.Array) else check.shown(given)
            raise ValueError(
                f"`composite` must have rules that return an array of the shape of the layer's output, {list(y.shape)}, got "
                f"{given} from the rule {name_of(rule)!r} {title}: return z, the sum of "
                "the contributions to each output."
            )
        return [z for _, z in pairs], [share for share, _ in pairs]

    def carry(carrier: Array) -> Array:
        totals, changes, shares = jax.jvp(sums, (jnp.ones_like(x),), (carrier,), has_aux=True)
        parts = [
            share * ratio(change.astype(y.dtype), total.astype(y.dtype))
            for share, total, change in zip(shares, totals, changes, strict=True)
        ]
        return functools.reduce(jnp.add, parts).astype(y.dtype)

    return carry


def by_contributions(
    run: Callable[..., Any], values: Sequence[Array], result: Array, epsilon: Any, share: float = 1.0
) -> Callable[..., Array]:
    """Returns the carriers of a result by those of its operands, x ∂y/∂x / y: the operation's own derivative."""

    def carry(*carriers: Array) -> Array:
        changes = [(value * carrier).astype(value.dtype) for value, carrier in zip(values, carriers, strict=True)]
        _, change = jax.jvp(run, tuple(values), tuple(changes))
        return (share * ratio(change, stabilized(result, epsilon))).astype(result.dtype)

    return carry


def by_position(result: Array, share: float = 1.0) -> Callable[..., Array]:
    """Returns the carriers of a result that passes relevance on at each position, a share of it to each operand."""

    def carry(*carriers: Array) -> Array:
        copies = [jnp.broadcast_to(carrier, result.shape) for carrier in carriers]
        return (share * functools.reduce(jnp.add, copies)).astype(result.dtype)

    return carry


def of_function(result: Array, at_zero: Callable[[], Array]) -> Callable[[Array], Array]:
    """Returns the carriers of f(x) for a function of one number: all relevance, but for the part of f(0), a constant.

    at_zero: returns f(0), which is 0 for most activations. Without it, relevance divided by x near 0 would have no bound.
    """

    def carry(carrier: Array) -> Array:
        zero = at_zero()
        is_constant = jnp.isfinite(zero) & (zero != 0)
        share = jnp.where(is_constant, ratio(result - jnp.where(is_constant, zero, 0), result), 1)
        return (share * carrier).astype(result.dtype)

    return carry


def of_softmax(x: Array, result: Array, own: Any, weights: Array, axes: Sequence[int]) -> Callable[[Array], Array]:
    """Returns the carriers of s = softmax(x) by its own derivative, R_i = x_i (R_i - s_i sum_j R_j) (Achtibat et al. 2024).

    own: the part of each numerator that is a power. weights: the powers divided by their sum: s, but 0 where x is masked.
    """
    x = jnp.where(jnp.isfinite(x), x, 0)  # -inf: masked, without relevance

    def carry(carrier: Array) -> Array:
        changes = x * carrier.astype(x.dtype)
        return (own * changes - (weights * changes).sum(axis=tuple(axes), keepdims=True)).astype(result.dtype)

    return carry
