"""Similarity to an embedding: why do these two look alike to the model?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._model import as_model
from xaijax.target._each import Score, read_array


def similarity(embedding: Any) -> Score:
    """The cosine between the model's output and an embedding, for models that return vectors [N, D].

    Why: explains retrieval and contrastive models, which have no classes.

    Args:
      embedding: [D] for all examples or [N, D], such as the model's output for another image or a text.

    Returns:
      A target; 0 where either vector is zero.
    """

    def read(outputs: Any, num_examples: int) -> Any:
        shape = getattr(outputs, "shape", ())
        if len(shape) != 2:
            raise ValueError(f"similarity needs outputs [N, D], but the model returns shape {shape}.")
        return (read_array("embedding", embedding, (shape[1:],), num_examples),)

    return Score(as_model(_cosine), read)


def _cosine(output_and_arguments: Any) -> jax.Array:
    output, (embedding,) = output_and_arguments
    squares = (output**2).sum() * (embedding**2).sum()
    norms = jnp.sqrt(jnp.where(squares == 0, 1, squares))  # no square root of zero, whose slope is infinite
    return jnp.vdot(output, embedding, precision=jax.lax.Precision.HIGHEST) / norms
