"""Random numbers that compile fast: drawn along one axis and then reshaped, which gives the same numbers.

XLA for the CPU unrolls the generator over every small axis of its output, so that [63, 12] numbers compile eight times
slower than [756].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array


def _flat(draw: Callable[..., Array], key: Array, shape: tuple[int, ...], *arguments: Any) -> Array:
    return draw(key, (math.prod(shape),), *arguments).reshape(shape)


def uniform(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Draws uniform numbers from [0, 1)."""
    return _flat(jax.random.uniform, key, shape, dtype)


def normal(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Draws normal numbers with mean 0 and standard deviation 1."""
    return _flat(jax.random.normal, key, shape, dtype)


def bernoulli(key: Array, probability: float, shape: tuple[int, ...]) -> Array:
    """Draws booleans that are True with a probability."""
    return uniform(key, shape) < probability
