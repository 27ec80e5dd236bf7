"""Joins the attributions of several batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution, Choice
from xaijax._core.names import differ_between_examples
from xaijax._core.typing import Array


def concatenate(attributions: Sequence[Attribution]) -> Attribution:
    """Joins the examples of several attributions, such as those of the batches of a data set.

    Args:
      attributions: at least one, of one type and method, with the same players and outputs.

    Returns:
      An attribution of all examples, in order.

    Raises:
      TypeError, ValueError: if there are none, or they differ in more than their examples.
    """
    if isinstance(attributions, Attribution) or not isinstance(attributions, Sequence | Iterator):
        raise TypeError(f"`attributions` must be a sequence of attributions, got {type(attributions).__name__}.")
    attributions = list(attributions)
    if not attributions:
        raise ValueError("`attributions` must hold at least one attribution, got none.")
    for number, attribution in enumerate(attributions):
        if not isinstance(attribution, Attribution):
            raise TypeError(
                f"`attributions` must hold results of explainers, got {type(attribution).__name__} at index {number}."
            )
        if not attribution.has_examples:
            raise ValueError(
                f"`attributions` must have an axis of examples, got one example alone at index {number}: "
                "use attribution[i:i + 1] instead of attribution[i]."
            )
    first, *others = attributions
    for other in others:
        _check_alike(first, other)
    choices = tuple(dict.fromkeys(choice for attribution in attributions for choice in attribution.choices))
    context = first.context if all(attribution.context == first.context for attribution in attributions) else None
    joined = {}
    for name in first.array_fields():
        if getattr(first, name) is not None:
            parts = [getattr(attribution, name) for attribution in attributions]
            if name == "choice":
                parts = [_renumbered(attribution, choices) for attribution in attributions]
            joined[name] = jnp.concatenate([jnp.asarray(part) for part in parts])
    names = first.names
    if any(attribution.names != names for attribution in others) or differ_between_examples(names):
        names = tuple(names for attribution in attributions for names in _names_of_each(attribution))
    return dataclasses.replace(first, **joined, names=names, choices=choices, context=context)


def _check_alike(first: Attribution, other: Attribution) -> None:
    for name in ("__class__", "method", "axes", "efficient", "output_names", "index"):
        if getattr(first, name, None) != getattr(other, name, None):
            label = "type" if name == "__class__" else name
            left, right = (getattr(one, name, None) for one in (first, other))
            left, right = (one.__name__ if isinstance(one, type) else repr(one) for one in (left, right))
            raise ValueError(f"`attributions` must have one {label}, got {left} and {right}.")
    for name in first.array_fields():
        left, right = (getattr(one, name) for one in (first, other))
        if (left is None) != (right is None):
            raise ValueError(f"`attributions` must have the same fields, got {name} in some and none in others.")
        if left is not None and np.shape(left)[1:] != np.shape(right)[1:]:
            raise ValueError(
                f"`attributions` must have the same players, got {name} of shapes {list(np.shape(left))} and "
                f"{list(np.shape(right))}."
            )
    if (first.names is None) != (other.names is None):
        raise ValueError("`attributions` must all have names or none, got some with and some without.")


def _renumbered(attribution: Attribution, choices: tuple[Choice, ...]) -> Array:
    """Returns the indices of the estimators within other choices."""
    numbers = [choices.index(choice) for choice in attribution.choices]
    return jnp.asarray(numbers, jnp.int32)[jnp.asarray(attribution.choice)]


def _names_of_each(attribution: Attribution) -> tuple[tuple[str, ...], ...]:
    if differ_between_examples(attribution.names):
        return attribution.names  # pyright: ignore[reportReturnType]
    return (attribution.names,) * len(attribution)  # pyright: ignore[reportReturnType]
