"""A detection: the class score of the boxes that lie where the object is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._model import FunctionModel
from xaijax.target._each import Score, read_array, take_class


def box(boxes: Any, classes: Any, *, read: Callable[[Any], tuple[Any, Any]] | None = None) -> Score:
    """The class score of the predicted box that fits best, weighed by how well: sum_b max_q IoU(b, q) · s_q[class_b].

    Why: a detector predicts Q boxes; this asks for the evidence of the given ones, whichever query predicts them, and
    its gradients reach the places of the boxes as well as their classes.

    Args:
      boxes: [B, 4] for all examples or [N, B, 4] the objects, as (top, left, bottom, right) or (left, top, right,
        bottom), whichever the model uses. Boxes of no area count nothing, so that numbers of objects may differ.
      classes: ints [B] or [N, B], the class of each box.
      read: takes the predicted boxes [N, Q, 4] and class scores [N, Q, K] out of the model's outputs; it also sees one
        example's outputs, without N. Default: the outputs are these two, as a tuple or as {"boxes", "scores"}.

    Returns:
      A target.

    References:
      Petsiuk et al. (2021), Black-box explanation of object detectors via saliency maps (D-RISE), arXiv:2006.03204,
      equations 1 and 2, with the score of the class in place of the similarity of all class scores.
    """
    read_outputs = _boxes_and_scores if read is None else read

    def arguments(outputs: Any, num_examples: int) -> Any:
        predicted, scores = read_outputs(outputs)
        if predicted.ndim != 3 or predicted.shape[-1] != 4 or scores.ndim != 3 or scores.shape[1] != predicted.shape[1]:
            raise ValueError(
                "box needs predicted boxes [N, Q, 4] and class scores [N, Q, K], but the outputs read are of shapes "
                f"{list(predicted.shape)} and {list(scores.shape)}: give read= to take them out of the outputs."
            )
        number = np.shape(boxes)[-2:-1] or (1,)
        wanted = read_array("boxes", boxes, ((*number, 4),), num_examples)
        labels = read_array("classes", classes, (number,), num_examples)
        if check.is_concrete(labels) and not bool(((labels >= 0) & (labels < scores.shape[-1])).all()):
            raise ValueError(f"classes must lie between 0 and {scores.shape[-1] - 1}, but they are {labels}.")
        return wanted, labels

    return Score(FunctionModel(_best_matches, read_outputs), arguments)


def _boxes_and_scores(outputs: Any) -> tuple[Any, Any]:
    try:
        return (outputs["boxes"], outputs["scores"]) if isinstance(outputs, dict) else tuple(outputs)
    except (KeyError, TypeError, ValueError):
        shown = jax.tree.map(lambda leaf: list(leaf.shape), outputs)
        raise ValueError(
            f"box takes outputs (boxes, scores) or {{'boxes', 'scores'}}, but the model returns {shown}: give read=."
        ) from None


def _best_matches(read: Callable[[Any], Any], output_and_arguments: Any) -> jax.Array:
    output, (wanted, labels) = output_and_arguments
    predicted, scores = read(output)

    def best(box: Any, label: Any) -> Any:
        overlap = jax.vmap(lambda other: intersection_over_union(box, other))(predicted)
        fits = overlap * take_class(scores, (label,))
        return fits[jnp.argmax(fits)]

    present = (wanted[:, 2] > wanted[:, 0]) & (wanted[:, 3] > wanted[:, 1])
    return jnp.where(present, jax.vmap(best)(wanted, labels), 0).sum()


def intersection_over_union(one: jax.Array, other: jax.Array) -> jax.Array:
    """The shared area of two boxes [4] over the area that they cover together; 0 for two without area."""
    sides = jnp.maximum(jnp.minimum(one[2:], other[2:]) - jnp.maximum(one[:2], other[:2]), 0)
    shared = sides[0] * sides[1]
    covered = jnp.prod(one[2:] - one[:2]) + jnp.prod(other[2:] - other[:2]) - shared
    return shared / jnp.where(covered == 0, 1, covered)
