"""Similarity of two explanations of the same inputs, in one number for each example."""

from __future__ import annotations

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


_ALL = {
    "absolute_rank_correlation": absolute_rank_correlations,
    "rank_correlation": rank_correlations,
    "cosine": cosines,
}
SIMILARITIES = list(_ALL)


def similarities(name: str, original: Rows, others: Rows) -> Float[Array, " N"]:
    """Returns the similarity of other explanations to the original ones, by its name.

    Other explanations that are constant (0, for the cosine), such as those of a network whose ReLUs are all off, share
    nothing with the original: 0, the mean over small random changes of theirs. NaN where the original is constant, or a value
    is NaN.
    """
    values = jnp.abs(others) if name.startswith("absolute") else others
    first = 0 if name == "cosine" else values[:, :1]
    is_constant = (values == first).all(axis=1)
    known = jnp.where(is_constant[:, None], original, others)
    return jnp.where(is_constant, 0, 1) * _ALL[name](original, known)
