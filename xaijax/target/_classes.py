"""Targets of outputs [N, K]: a probability, a class against similar ones (Finer-CAM), a similarity of embeddings."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.numerics import at_least_float32, dot, ratio, safe_sqrt
from xaijax._core.typing import Array, ArrayOrSequence, TargetLike
from xaijax._model import FunctionModel, as_model
from xaijax.target._each import Score, read_array, read_class, read_classes, take_class, top_class


def probability(target: TargetLike = None) -> Score:
    """Explains the softmax probability of a class, for models that return logits.

    Why: a probability depends on all classes, a logit on its class alone. Where a class is almost certain, the
    probability is flat and so are its gradients: prefer logits there.

    Args:
      target: an int, ints [N], or None for the top class.

    Returns:
      A target.

    Raises:
      TypeError, ValueError: when explaining, if the outputs are not [N, K] or the class is out of range.
    """

    def read(outputs: Any, num_examples: int) -> Any:
        _num_classes("probability", outputs)
        return read_class(target, outputs, num_examples)

    return Score(as_model(_probability), read)


def _probability(output_and_index: Any) -> Array:
    logits, index = output_and_index
    return take_class(jax.nn.softmax(at_least_float32(logits)), index)


def finer(
    target: TargetLike = None,
    *,
    against: ArrayOrSequence | None = None,
    num_similar: int | None = None,
    gamma: float = 0.6,
) -> Score:
    """Explains a class against similar ones, y_c - gamma · mean of y_d over the similar classes d (Finer-CAM).

    Why: a plain map shows the evidence for "bird"; this target shows the evidence for this bird and not the other one.
    Any explainer takes it; with Grad-CAM it is Finer-CAM.

    Differences: pytorch-grad-cam weights the similar classes by their softmax probabilities and differentiates these
    weights too; its default gamma is 1.

    Args:
      target: the class c, an int, ints [N], or None for the top class.
      against: the classes d, ints [R] for all examples or [N, R]. Default: the `num_similar` classes with the logits
        nearest to that of c, for each example.
      num_similar: the number of similar classes. Default 3, as in the paper, or all others where there are fewer.
      gamma: the share of the similar classes that is subtracted: 0 explains y_c, 1 the plain difference. Default 0.6.

    Returns:
      A target.

    Raises:
      TypeError, ValueError: if an option is out of range; when explaining, if the outputs are not [N, K] with K at
        least 2, or a class is out of range.

    References:
      Zhang et al. (2025), Finer-CAM: Spotting the difference reveals finer details for visual explanation,
      arXiv:2501.11309.
    """
    gamma = check.positive_float("gamma", gamma, zero_allowed=True)
    if num_similar is not None:
        check.positive_int("num_similar", num_similar)

    def read(outputs: Any, num_examples: int) -> Any:
        num_classes = _num_classes("finer", outputs)
        if num_classes < 2:
            raise ValueError("`target` finer needs a model of at least two classes, got outputs of one class.")
        index = read_class(target, outputs, num_examples)
        if against is not None:
            return index, (read_classes("against", against, num_classes, num_examples),)
        if num_similar is not None and num_similar >= num_classes:
            raise ValueError(f"`num_similar` must be less than the {num_classes} classes, got {num_similar}.")
        return index, ()

    return Score(FunctionModel(_finer, num_similar, gamma), read)


def _finer(num_similar: int | None, gamma: Any, output_and_arguments: Any) -> Array:
    logits, (index, others) = output_and_arguments
    logits = at_least_float32(logits)
    if not index:
        index = (top_class(logits),)
    score = take_class(logits, index)
    if others:
        similar = others[0]
    else:
        distance = jnp.abs(logits - score).at[index[0]].set(jnp.inf)
        similar = jax.lax.top_k(-distance, num_similar or min(3, len(logits) - 1))[1]
    return score - gamma * jax.vmap(lambda number: take_class(logits, (number,)))(similar).mean()


def similarity(embedding: ArrayOrSequence) -> Score:
    """Explains the cosine between the model's output and an embedding, for models that return vectors [N, D].

    Why: retrieval and contrastive models have no classes; the question is why two inputs look alike to the model.

    Args:
      embedding: [D] for all examples or [N, D], such as the model's output for another image or a text.

    Returns:
      A target; 0 where either vector is zero.

    Raises:
      TypeError, ValueError: when explaining, if the outputs are not [N, D] or the embedding has another length.
    """

    def read(outputs: Any, num_examples: int) -> Any:
        return (read_array("embedding", embedding, (_num_classes("similarity", outputs),), num_examples),)

    return Score(as_model(_cosine), read)


def _cosine(output_and_arguments: Any) -> Array:
    output, (embedding,) = output_and_arguments
    return dot(_unit(output), _unit(embedding))


def _unit(vector: Array) -> Array:
    """Returns a vector of length 1; it is scaled before it is squared, so that no scale overflows."""
    vector = at_least_float32(vector)
    vector = ratio(vector, jax.lax.stop_gradient(jnp.abs(vector).max()))
    return ratio(vector, safe_sqrt((vector**2).sum()))


def _num_classes(name: str, outputs: Any) -> int:
    """Returns K of outputs [N, K]."""
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 2:
        shapes = jax.tree.map(lambda leaf: list(leaf.shape), outputs)
        raise ValueError(f"xai.target.{name} needs a model that returns [N, K], got outputs of shape {shapes}.")
    return shape[1]
