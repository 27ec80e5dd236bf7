"""Targets with a location in the output: a region of a segmentation, the boxes of a detection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.calls import call_noted
from xaijax._core.numerics import at_least_float32, ratio
from xaijax._core.typing import Array, ArrayOrSequence, TargetLike
from xaijax._model import FunctionModel
from xaijax.target._each import Score, read_array, read_class, read_classes, take_class


def region(target: TargetLike = None, mask: ArrayOrSequence | None = None, *, reduce: str = "sum") -> Score:
    """Explains the scores of a class in a region of the output, for models with outputs [N, H, W, K] (Seg-Grad-CAM).

    Why: a segmentation network classifies every pixel. The region selects the pixels to explain: one pixel, one object,
    or all.

    Args:
      target: the class, an int, ints [N], or None for the class with the largest sum.
      mask: the region, booleans or weights of at least 0, [H, W] for all examples or [N, H, W]. Default: everywhere.
      reduce: "sum", as in the paper, or "mean" (the weighted mean; 0 for an empty region).

    Returns:
      A target.

    Raises:
      TypeError, ValueError: when explaining, if the mask does not have the shape of the outputs or is negative. Traced
        weights below 0 give NaN.

    References:
      Vinogradova, Dibrov and Myers (2020), Towards interpretable semantic segmentation via gradient-weighted class
      activation mapping, arXiv:2002.11434, equation 1.
    """
    check.one_of("reduce", reduce, ["sum", "mean"])

    def read(outputs: Any, num_examples: int) -> Any:
        shape = getattr(outputs, "shape", ())
        if len(shape) < 3:
            raise ValueError(
                f"xai.target.region needs a model that returns [N, ..., K] with pixels, got shape {shape}."
            )
        weights = jnp.ones(shape[1:-1]) if mask is None else mask
        weights = at_least_float32(read_array("mask", weights, shape[1:-1], num_examples))
        if check.is_concrete(weights) and (np.asarray(weights) < 0).any():
            raise ValueError(f"`mask` must hold weights of at least 0, got {np.asarray(weights).min():g}.")
        return read_class(target, outputs, num_examples), jnp.where(weights < 0, jnp.nan, weights)

    return Score(FunctionModel(_region, reduce), read)


def _region(reduce: str, output_and_arguments: Any) -> Array:
    output, (index, weights) = output_and_arguments
    scores = at_least_float32(take_class(output, index))
    weights = weights.astype(scores.dtype)
    summed = (scores * weights).sum()
    return summed if reduce == "sum" else ratio(summed, weights.sum())


def box(
    boxes: ArrayOrSequence, classes: ArrayOrSequence, *, read: Callable[[Any], tuple[Any, Any]] | None = None
) -> Score:
    """Explains the class score of the predicted box that fits best, times its fit: sum_b max_q IoU(b, q) · s_q[class_b].

    Why: a detector predicts Q boxes. This target asks for the evidence for the given boxes, whichever query predicts
    them, and its gradients reach the coordinates of the boxes as well as their classes.

    Args:
      boxes: [B, 4] for all examples or [N, B, 4] the objects, as (top, left, bottom, right) or (left, top, right,
        bottom), whichever the model uses. Boxes without area count nothing, so that numbers of objects may differ.
      classes: ints [B] or [N, B], the class of each box.
      read: takes the predicted boxes [N, Q, 4] and class scores [N, Q, K] out of the model's outputs; it also sees the
        outputs of one example, without N. Default: the outputs are these two, as a tuple or as {"boxes", "scores"}.

    Returns:
      A target.

    Raises:
      TypeError, ValueError: when explaining, if the outputs are no boxes and scores, or a class is out of range.

    References:
      Petsiuk et al. (2021), Black-box explanation of object detectors via saliency maps (D-RISE), arXiv:2006.03204,
      equations 1 and 2, with the score of the class in place of the similarity of all class scores.
    """
    if read is not None and not callable(read):
        raise TypeError(f"`read` must be callable as read(outputs), got {check.shown(read)}.")
    read_outputs = _boxes_and_scores if read is None else read

    def arguments(outputs: Any, num_examples: int) -> Any:
        answer = call_noted("read", jax.eval_shape, read_outputs, outputs)
        if (
            not isinstance(answer, tuple | list)
            or len(answer) != 2
            or not all(hasattr(part, "ndim") for part in answer)
        ):
            raise TypeError(
                "`read` must return the predicted boxes [N, Q, 4] and the class scores [N, Q, K], got others."
            )
        predicted, scores = answer
        if predicted.ndim != 3 or predicted.shape[-1] != 4 or scores.ndim != 3 or scores.shape[1] != predicted.shape[1]:
            raise ValueError(
                "xai.target.box needs predicted boxes [N, Q, 4] and class scores [N, Q, K], got shapes "
                f"{list(predicted.shape)} and {list(scores.shape)}: pass read= to take them out of the outputs."
            )
        labels = read_classes("classes", classes, scores.shape[-1], num_examples)
        given = check.numeric_array("boxes", boxes)
        given = given[None] if given.ndim == 1 else given
        wanted = read_array("boxes", given, (labels.shape[1], 4), num_examples)
        return at_least_float32(wanted), labels

    return Score(FunctionModel(_best_matches, read_outputs), arguments)


def _boxes_and_scores(outputs: Any) -> tuple[Any, Any]:
    try:
        boxes, scores = (outputs["boxes"], outputs["scores"]) if isinstance(outputs, dict) else outputs
    except (KeyError, TypeError, ValueError):
        shapes = jax.tree.map(lambda leaf: list(leaf.shape), outputs)
        raise ValueError(
            f"xai.target.box needs outputs (boxes, scores) or {{'boxes', 'scores'}}, got shapes {shapes}: pass read= to "
            "take them out of the outputs."
        ) from None
    return boxes, scores


def _best_matches(read: Callable[[Any], Any], output_and_arguments: Any) -> Array:
    output, (wanted, labels) = output_and_arguments
    predicted, scores = map(at_least_float32, read(output))

    def best(box: Any, label: Any) -> Any:
        overlap = jax.vmap(lambda other: intersection_over_union(box, other))(predicted)
        fits = overlap * take_class(scores, (label,))
        return fits[jnp.argmax(fits)]

    present = (wanted[:, 2] > wanted[:, 0]) & (wanted[:, 3] > wanted[:, 1])
    return jnp.where(present, jax.vmap(best)(wanted, labels), 0).sum()


def intersection_over_union(first: Array, second: Array) -> Array:
    """Returns the shared area of two boxes [4] over the area of their union; 0 for two boxes without area."""
    sides = jnp.maximum(jnp.minimum(first[2:], second[2:]) - jnp.maximum(first[:2], second[:2]), 0)
    shared = sides[0] * sides[1]
    union = jnp.prod(first[2:] - first[:2]) + jnp.prod(second[2:] - second[:2]) - shared
    return ratio(shared, union)
