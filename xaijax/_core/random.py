"""Random numbers that compile fast: drawn along one axis and then shaped, the same numbers as drawn in their shape.

XLA for the CPU unrolls the generator over every small axis of its output: [63, 12] numbers for a batch of keys take two
seconds to compile, and as [756] a quarter of one.
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
    """Uniform on [0, 1)."""
    return _flat(jax.random.uniform, key, shape, dtype)


def normal(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Normal with mean 0 and standard deviation 1."""
    return _flat(jax.random.normal, key, shape, dtype)


def bernoulli(key: Array, chance: float, shape: tuple[int, ...]) -> Array:
    """True with this chance."""
    return uniform(key, shape) < chance
