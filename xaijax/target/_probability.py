"""The probability of a class."""

from __future__ import annotations

from typing import Any

import jax

from xaijax._model import as_model
from xaijax.target._each import Score, read_class, take_class


def probability(target: Any = None) -> Score:
    """The softmax probability of a class, for models that return logits.

    Why: explains how sure the model is, all other classes included; a logit explains its class alone. Where a class is
    almost certain the probability is flat, and so are its gradients: prefer logits there.

    Args:
      target: an int, ints [N], or None for the top class.

    Returns:
      A target.
    """
    return Score(as_model(_probability), lambda outputs, examples: read_class(target, outputs, examples))


def _probability(output_and_index: Any) -> jax.Array:
    logits, index = output_and_index
    return take_class(jax.nn.softmax(logits), index)
