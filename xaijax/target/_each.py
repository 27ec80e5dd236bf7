"""A score of one example at a time: what all targets with arrays of their own are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.target import ExampleScore, Target, class_index
from xaijax._model import FunctionModel, Model


class Score(ExampleScore):
    """A score (row of outputs, arguments of the example) -> number, and how its arguments are read.

    `read(outputs, num_examples)` gives the arguments, with leading axis N, checked against the shapes of the outputs.
    """

    def __init__(self, score: Model, read: Callable[[Any, int], Any]):
        self.score, self.read = score, read

    def bind(self, outputs: Any, num_examples: int) -> Target:
        return Target(score=self.score, arguments=self.read(outputs, num_examples))


def each(score: Callable[..., Any], *arguments: Any) -> Score:
    """A target written for one example: `score(output, *arguments)` with the example's own arrays.

    Why: a callable given as `target=` sees the outputs of all rows, which a perturbation method fills with many
    variants of one example. Here every example's arrays stay with its rows, in every explainer.

    Args:
      score: maps the outputs of one example, without the batch axis, and its arguments to one number. Define it once:
        a new function at each call compiles anew.
      *arguments: arrays [N, ...] (or PyTrees of them), one entry for each example.

    Returns:
      A target.

    Raises:
      TypeError: if `score` is not callable.
      ValueError: when explaining, if an array has not one entry for each example.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> wanted = xai.target.each(lambda output, weights: output @ weights, jnp.array([[1.0, 0.0], [0.5, 0.5]]))
    >>> game = xai.game(lambda x: x, jnp.array([[2.0, 3.0], [4.0, 6.0]]), xai.mask.baseline([0.0, 0.0]), target=wanted)
    >>> xai.shap.exact(game).values.tolist()
    [[2.0, 0.0], [2.0, 3.0]]
    """
    if not callable(score):
        raise TypeError(f"score must be callable as score(output, *arguments), but it is {type(score).__name__}.")

    def read(outputs: Any, num_examples: int) -> Any:
        for leaf in jax.tree.leaves(arguments):
            if jnp.ndim(leaf) == 0 or jnp.shape(leaf)[0] != num_examples:
                raise ValueError(
                    f"the arrays of a target must have one entry for each of the {num_examples} examples, but one has "
                    f"shape {list(jnp.shape(leaf))}: what all examples share belongs into the function."
                )
        return jax.tree.map(lambda leaf: check.numeric_array("the target's array", leaf), arguments)

    return Score(FunctionModel(_apart, score), read)


def _apart(score: Any, output_and_arguments: Any) -> Any:
    output, arguments = output_and_arguments
    return score(output, *arguments)


def read_class(target: Any, outputs: Any, num_examples: int) -> tuple[Any, ...]:
    """The argument for a class: its index for each example, or nothing where the top class is meant."""
    if target is None:
        return ()
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) < 2:
        shown = jax.tree.map(lambda leaf: list(leaf.shape), outputs)
        raise ValueError(f"this target needs a model whose outputs are one array [N, ..., K], but they are {shown}.")
    return (class_index(target, shape[-1], num_examples),)


def take_class(output: Any, index: tuple[Any, ...]) -> Any:
    """The entry of a class on the last axis [..., K]; of the top class (of their sums) where none is named."""
    if not index:
        return take_class(output, (top_class(output),))
    (number,) = index
    inside = (number >= 0) & (number < output.shape[-1])
    chosen = jnp.take(output, jnp.where(inside, number, 0), axis=-1)
    return chosen * jnp.where(inside, 1.0, jnp.nan).astype(chosen.dtype)  # a factor, so that gradients are NaN too


def top_class(output: Any) -> Any:
    return jnp.argmax(output.sum(axis=tuple(range(output.ndim - 1))))


def read_array(name: str, array: Any, shapes: tuple[tuple[int, ...], ...], num_examples: int) -> Any:
    """An array of one of these shapes for each example, or one that all share, with leading axis N."""
    array = check.numeric_array(name, array)
    for shape in shapes:
        for lead in ((), (num_examples,)):
            if array.shape == lead + shape:
                return jnp.broadcast_to(array, (num_examples, *shape))
    allowed = " or ".join(str([*lead, *shape]) for shape in shapes for lead in ((), ("N",)))
    raise ValueError(
        f"{name} must have shape {allowed} with N = {num_examples} here, but its shape is {list(np.shape(array))}."
    )
