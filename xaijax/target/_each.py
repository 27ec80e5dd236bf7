"""A score of one example at a time, from which all targets with arrays of their own are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.target import ExampleScore, Target, class_index
from xaijax._core.typing import Array, TargetLike
from xaijax._model import FunctionModel, Model


class Score(ExampleScore):
    """A score (row of outputs, arguments of the example) -> number, and the way its arguments are read.

    `read(outputs, num_examples)` returns the arguments, with leading axis N, checked against the shapes of the outputs.
    """

    def __init__(self, score: Model, read: Callable[[Any, int], Any]):
        self.score, self.read = score, read

    def bind(self, outputs: Any, num_examples: int) -> Target:
        return Target(score=self.score, arguments=self.read(outputs, num_examples))


def each(score: Callable[..., Any], *arguments: Any) -> Score:
    """Returns a target written for one example: `score(output, *arguments)` with the example's own arrays.

    Why: a callable passed as `target=` sees the outputs of all rows, and a perturbation method fills these with many
    variants of one example. Here every example's arrays stay with its rows, in every explainer.

    Args:
      score: maps the outputs of one example, without the batch axis, and its arguments to one number. Define it once:
        a new function at each call compiles again.
      *arguments: arrays [N, ...] (or PyTrees of them), one entry for each example.

    Returns:
      A target.

    Raises:
      TypeError: if `score` is not callable.
      ValueError: when explaining, if an array does not have one entry for each example.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> wanted = xai.target.each(lambda output, weights: output @ weights, jnp.array([[1.0, 0.0], [0.5, 0.5]]))
    >>> game = xai.game(lambda x: x, jnp.array([[2.0, 3.0], [4.0, 6.0]]), xai.mask.baseline([0.0, 0.0]), target=wanted)
    >>> xai.shap.exact(game).values.tolist()
    [[2.0, 0.0], [2.0, 3.0]]
    """
    if not callable(score):
        raise TypeError(f"`score` must be callable as score(output, *arguments), got {check.shown(score)}.")

    def read(outputs: Any, num_examples: int) -> Any:
        arrays = jax.tree.map(lambda leaf: check.numeric_array("arguments", leaf), arguments)
        for leaf in jax.tree.leaves(arrays):
            if leaf.ndim == 0 or len(leaf) != num_examples:
                raise ValueError(
                    f"`arguments` must have one entry for each of the {num_examples} examples, got shape "
                    f"{list(leaf.shape)}: bind what all examples share to the function."
                )
        return arrays

    return Score(FunctionModel(_unpacked, score), read)


def _unpacked(score: Any, output_and_arguments: Any) -> Any:
    output, arguments = output_and_arguments
    return score(output, *arguments)


def read_class(target: TargetLike, outputs: Any, num_examples: int) -> tuple[Any, ...]:
    """Reads the class of a score: its index for each example, or () for the top class. Outputs must be [N, ..., K]."""
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) < 2:
        shapes = jax.tree.map(lambda leaf: list(leaf.shape), outputs)
        raise ValueError(
            f"this target needs a model that returns one array [N, ..., K], got outputs of shape {shapes}."
        )
    return () if target is None else (class_index(target, shape[-1], num_examples),)


def take_class(output: Any, index: tuple[Any, ...]) -> Array:
    """Returns the entry of a class on the last axis [..., K]; of the top class (by their sums) where none is named."""
    if not index:
        return take_class(output, (top_class(output),))
    (number,) = index
    inside = (number >= 0) & (number < output.shape[-1])
    chosen = jnp.take(output, jnp.where(inside, number, 0), axis=-1)
    return chosen * jnp.where(inside, 1.0, jnp.nan).astype(chosen.dtype)  # a factor, so that gradients are NaN too


def top_class(output: Any) -> Array:
    """Returns the class with the largest sum over all other axes."""
    return jnp.argmax(output.sum(axis=tuple(range(output.ndim - 1))))


def read_array(name: str, array: Any, shape: tuple[int, ...], num_examples: int) -> Array:
    """Reads an array of this shape for each example, or one that all share, with leading axis N and without NaN."""
    array = check.numeric_array(name, array)
    if array.shape not in (shape, (num_examples, *shape)):
        sizes = ", ".join(map(str, shape))
        raise ValueError(
            f"`{name}` must have shape [{sizes}] or [N, {sizes}] with N = {num_examples} here, got {list(array.shape)}."
        )
    check.no_nan(name, array[None])
    return jnp.broadcast_to(array, (num_examples, *shape))


def read_classes(name: str, classes: Any, num_classes: int, num_examples: int) -> Array:
    """Reads classes [R] or [N, R]. Out of range raises; traced indices out of range give NaN later."""
    classes = jnp.atleast_1d(check.numeric_array(name, classes))
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        raise TypeError(f"`{name}` must be integers, got {check.shown(classes)}.")
    classes = read_array(name, classes, classes.shape[-1:], num_examples)
    if check.is_concrete(classes):
        known = np.asarray(classes)
        wrong = np.unique(known[(known < 0) | (known >= num_classes)])
        if wrong.size:
            shown = ", ".join(map(str, wrong[:5]))
            raise ValueError(f"`{name}` must hold classes from 0 to {num_classes - 1}, got {shown}.")
    return classes
