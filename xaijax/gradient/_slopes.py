"""Gradients of the explained scores, each example's own, and sums over the points of a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.blocks import block_size
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float, Int


def pulled(scores: Float[Array, "n ..."], pull: Callable[[Array], Array]) -> Float[Array, "n ..."]:
    """Returns the gradients [n, ...] of scores [n], or [n, ..., K] of scores [n, K], one output after the other.

    pull: pulls cotangents of the scores back to the inputs.
    """
    if scores.ndim == 1:
        return at_least_float32(pull(jnp.ones_like(scores)))
    units = jnp.eye(scores.shape[1], dtype=scores.dtype)
    each = jax.lax.map(lambda unit: pull(jnp.broadcast_to(unit[None], scores.shape)), units)
    return jnp.moveaxis(at_least_float32(each), 0, -1)


def slopes(score: Callable[[Array], Array], inputs: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """Returns the gradients of score(inputs), [n] or [n, K], with respect to the inputs."""
    scores, pull = jax.vjp(score, inputs)
    return pulled(scores, lambda cotangents: pull(cotangents)[0])


def times(gradients: Float[Array, "..."], steps: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns the products of gradients [...] or [..., K] and steps [...]."""
    return gradients * (steps if gradients.ndim == steps.ndim else steps[..., None])


def trailing(numbers: Array, like: Array) -> Array:
    """Returns numbers [n] with axes of length 1 behind, for products with an array [n, ...]."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def sum_in_blocks(terms: Callable[[Int[Array, " n"]], Array], count: int, most: int) -> Any:
    """Returns the sum of the terms numbered 0 ... count - 1, of which at most `most` are computed and kept at a time."""
    size = block_size(count, most)
    num_blocks = -(-count // size)
    if num_blocks == 1:
        return terms(jnp.arange(count)).sum(axis=0)

    def add_block(total: Array, start: Array) -> tuple[Array, None]:
        numbers = start + jnp.arange(size)
        new = terms(jnp.minimum(numbers, count - 1))
        return total + jnp.where(trailing(numbers < count, new), new, 0).sum(axis=0), None

    shape = jax.eval_shape(terms, jax.ShapeDtypeStruct((size,), jnp.arange(1).dtype))
    zeros = jnp.zeros(shape.shape[1:], shape.dtype)
    body = jax.checkpoint(with_fast_convolutions(add_block), prevent_cse=False)
    total, _ = jax.lax.scan(body, zeros, jnp.arange(num_blocks) * size)
    return total
