"""A class against those that it is mistaken for (Finer-CAM, Zhang et al. 2025)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._model import FunctionModel
from xaijax.target._each import Score, read_array, read_class, take_class, top_class


def finer(target: Any = None, *, against: Any = None, num_similar: int | None = None, gamma: float = 0.6) -> Score:
    """What tells a class from its neighbors: y_c - gamma · mean of y_d over the similar classes d.

    Why: a plain map shows what speaks for "bird"; this target shows what speaks for this bird and not the other. Any
    explainer takes it; with Grad-CAM it is Finer-CAM.

    Differences: pytorch-grad-cam weighs the similar classes by their softmax probabilities, and differentiates these
    weights too; its default gamma is 1.

    Args:
      target: the class c, an int, ints [N], or None for the top class.
      against: the classes d, ints [R] for all examples or [N, R]. Default: the `num_similar` classes whose logits
        are nearest to that of c, found for each example.
      num_similar: how many classes are found. Default 3, as in the paper, or all others where there are fewer.
      gamma: how much of what they share is taken away: 0 explains y_c, 1 the plain difference. Default 0.6.

    Returns:
      A target.

    References:
      Zhang et al. (2025), Finer-CAM: Spotting the difference reveals finer details for visual explanation,
      arXiv:2501.11309.
    """
    gamma = check.positive_float("gamma", gamma, zero_allowed=True)
    if num_similar is not None:
        check.positive_int("num_similar", num_similar)

    def read(outputs: Any, num_examples: int) -> Any:
        index = read_class(target, outputs, num_examples)
        classes = jax.tree.leaves(outputs)[0].shape[-1]
        if classes < 2:
            raise ValueError("finer needs a model of at least two classes, but this one returns one output.")
        if against is None:
            if num_similar is not None and num_similar >= classes:
                raise ValueError(f"num_similar must be less than the {classes} classes, but it is {num_similar}.")
            return index, ()
        width = np.shape(against)[-1:] or (1,)
        others = read_array("against", jnp.atleast_1d(check.numeric_array("against", against)), (width,), num_examples)
        if check.is_concrete(others) and not bool(((others >= 0) & (others < classes)).all()):
            raise ValueError(f"against must hold classes between 0 and {classes - 1}, but it is {others}.")
        return index, (others,)

    return Score(FunctionModel(_finer, num_similar, gamma), read)


def _finer(num_similar: int | None, gamma: Any, output_and_arguments: Any) -> jax.Array:
    logits, (index, others) = output_and_arguments
    if not index:
        index = (top_class(logits),)
    score = take_class(logits, index)
    if others:
        similar = others[0]
    else:
        distance = jnp.abs(logits - score).at[index[0]].set(jnp.inf)
        similar = jax.lax.top_k(-distance, num_similar or min(3, len(logits) - 1))[1]
    return score - gamma * jax.vmap(lambda number: take_class(logits, (number,)))(similar).mean()
