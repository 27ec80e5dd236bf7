"""Ranks, as fast as a device finds them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Float, Int

_COMPARED = 256  # up to so many numbers, comparing all pairs is faster than sorting


def ranks(numbers: Float[Array, "... M"]) -> Int[Array, "... M"]:
    """How many of the M numbers are smaller than each, or equal and before it: 0 for the smallest."""
    return jax.lax.platform_dependent(numbers, cpu=_by_one_after_another, default=_at_once)


def _at_once(numbers: Float[Array, "... M"]) -> Int[Array, "... M"]:
    count = numbers.shape[-1]
    if count > _COMPARED:
        return jnp.argsort(jnp.argsort(numbers, axis=-1, stable=True), axis=-1).astype(jnp.int32)
    mine, others = numbers[..., :, None], numbers[..., None, :]
    earlier = jnp.arange(count) < jnp.arange(count)[:, None]
    return jnp.sum((others < mine) | ((others == mine) & earlier), axis=-1, dtype=jnp.int32)


def _by_one_after_another(numbers: Float[Array, "... M"]) -> Int[Array, "... M"]:
    """XLA for the CPU would write all pairs down before it sums them, and its sorting is slower still."""

    def one_more(count: Array, place: Array) -> tuple[Array, None]:
        other = jax.lax.dynamic_index_in_dim(numbers, place, axis=-1, keepdims=True)
        later = jnp.arange(numbers.shape[-1]) > place
        return count + ((other < numbers) | ((other == numbers) & later)), None

    start = jnp.zeros(numbers.shape, jnp.int32)
    return jax.lax.scan(one_more, start, jnp.arange(numbers.shape[-1]))[0]
