"""A metric: the Gini index of the values' sizes (Chalasani et al. 2020)."""

import jax.numpy as jnp

from xaijax._core.attribution import Attribution
from xaijax._core.typing import Array


def gini(attribution: Attribution) -> Array:
    """Returns the Gini index of |values| of each example, [N]: 0 if all are equal, near 1 if one player has all."""
    sizes = jnp.sort(jnp.abs(attribution.values.reshape(len(attribution), -1)), axis=1)
    count = sizes.shape[1]
    weights = 2 * jnp.arange(1, count + 1) - count - 1
    return (weights * sizes).sum(axis=1) / (count * sizes.sum(axis=1))
