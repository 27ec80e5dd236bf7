"""A class within a region of a segmentation (Seg-Grad-CAM, Vinogradova et al. 2020)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._model import FunctionModel
from xaijax.target._each import Score, read_array, read_class, take_class


def region(target: Any = None, mask: Any = None, *, reduce: str = "sum") -> Score:
    """The scores of a class in a region of the output, summed or averaged: for models with outputs [N, H, W, K].

    Why: a segmentation network answers at every place; say which places ask the question: one pixel, one object, all.

    Args:
      target: the class, an int, ints [N], or None for the class with the largest sum.
      mask: the region, booleans or weights [H, W] for all examples or [N, H, W]. Default: everywhere.
      reduce: "sum", as in the paper, or "mean" (the weighted mean; 0 for an empty region).

    Returns:
      A target.

    Raises:
      ValueError: when explaining, if the mask has not the shape of the outputs.

    References:
      Vinogradova, Dibrov and Myers (2020), Towards interpretable semantic segmentation via gradient-weighted class
      activation mapping, arXiv:2002.11434, equation 1.
    """
    check.one_of("reduce", reduce, ["sum", "mean"])

    def read(outputs: Any, num_examples: int) -> Any:
        shape = getattr(outputs, "shape", ())
        if len(shape) < 3:
            raise ValueError(f"a region needs outputs [N, ..., K] with places, but the model returns shape {shape}.")
        weights = jnp.ones(shape[1:-1]) if mask is None else mask
        return read_class(target, outputs, num_examples), read_array("mask", weights, (shape[1:-1],), num_examples)

    return Score(FunctionModel(_region, reduce), read)


def _region(reduce: str, output_and_arguments: Any) -> jax.Array:
    output, (index, weights) = output_and_arguments
    scores = take_class(output, index)
    weights = weights.astype(scores.dtype)
    total = weights.sum()
    summed = (scores * weights).sum()
    return summed if reduce == "sum" else summed / jnp.where(total == 0, 1, total)
