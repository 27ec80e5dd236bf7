"""The neighbourhood kernel of LIME: pi_x(z) = exp(-D(x, z)² / sigma²) (Ribeiro, Singh & Guestrin 2016, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from xaijax._typing import Array, Float


def kernel(distances: Float[Array, "..."], width: float | Array) -> Float[Array, "..."]:
    """pi_x(z) = exp(-D² / sigma²), with sigma the width. (The package lime takes the square root of this.)"""
    return jnp.exp(-((distances / width) ** 2))


# How far a coalition is from that of all players, between 0 and 1, from the share |z| / M of players in it.
DISTANCES: dict[str, Callable[[Array], Array]] = {
    "cosine": lambda share: 1 - jnp.sqrt(share),  # 1 - z·1 / (||z|| ||1||)
    "euclidean": lambda share: jnp.sqrt(1 - share),  # ||z - 1|| / sqrt(M)
    "hamming": lambda share: 1 - share,
}
