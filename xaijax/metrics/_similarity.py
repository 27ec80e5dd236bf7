"""Similarity of two explanations of the same inputs, in one number for each example."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from xaijax._core.numerics import einsum
from xaijax._core.typing import Array, Float
from xaijax.metrics._agreement import rank_correlations

Rows = Float[Array, "N M"]


def absolute_rank_correlations(left: Rows, right: Rows) -> Float[Array, " N"]:
    """Returns Spearman's rank correlation of the absolute values, which are those of maps without their signs."""
    return rank_correlations(jnp.abs(left), jnp.abs(right))


def cosines(left: Rows, right: Rows) -> Float[Array, " N"]:
    """Returns the cosine of the angle between two rows; NaN where one is 0."""
    left, right = (rows / jnp.abs(rows).max(axis=1, keepdims=True) for rows in (left, right))  # squares stay in range
    sizes = einsum("nm,nm->n", left, left), einsum("nm,nm->n", right, right)
    return einsum("nm,nm->n", left, right) / jnp.sqrt(sizes[0]) / jnp.sqrt(sizes[1])


SIMILARITIES: dict[str, Callable[[Rows, Rows], Array]] = {
    "absolute_rank_correlation": absolute_rank_correlations,
    "rank_correlation": rank_correlations,
    "cosine": cosines,
}
