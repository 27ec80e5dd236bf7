"""The neighborhood kernel of LIME: pi_x(z) = exp(-D(x, z)² / sigma²) (Ribeiro, Singh & Guestrin 2016, section 3.4).

Default widths sigma, and what the package lime 0.2 does instead. It takes the square root of the kernel, so that its
width w is sigma = sqrt(2) w here.

| players | D | sigma | lime's w |
|---|---|---|---|
| features of a row | euclidean, in standard deviations or in conditions that fail | 0.75 sqrt(D) | 0.75 sqrt(D) |
| regions, words | cosine, 1 - sqrt(share of players present) | 0.25 | 0.25 (words: 25, of 100 times the distance) |
| regions, words | euclidean, sqrt(share of players absent) | 0.75 | |
| regions, words | hamming, share of players absent | 0.4 | |
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array, Float


def kernel(distances: Float[Array, "..."], width: float | Array) -> Float[Array, "..."]:
    """pi_x(z) = exp(-D² / sigma²), with sigma the width."""
    return jnp.exp(log_kernel(distances, width))


def log_kernel(distances: Float[Array, "..."], width: float | Array) -> Float[Array, "..."]:
    """log pi_x(z) = -D² / sigma²"""
    return -((distances / width) ** 2)


# How far a coalition is from that of all players, between 0 and 1, from the share |z| / M of players in it.
DISTANCES: dict[str, Callable[[Array], Array]] = {
    "cosine": lambda share: 1 - jnp.sqrt(share),  # 1 - z·1 / (||z|| ||1||)
    # ||z - 1|| / sqrt(M); compilers make shares a little above 1
    "euclidean": lambda share: jnp.sqrt(jnp.maximum(1 - share, 0)),
    "hamming": lambda share: 1 - share,
}

KERNEL_WIDTHS = {"cosine": 0.25, "euclidean": 0.75, "hamming": 0.4}


def check_width(width: float, distance: str, num_players: int) -> None:
    """Raises where the kernel leaves no weight in float32 to any coalition but that of all players."""
    nearest = _without(1 / num_players, distance)
    # A single player is absent in M coalitions; those of more absent ones weigh less, or too little as well.
    if math.log(num_players) - (nearest / width) ** 2 < math.log(np.finfo(np.float32).tiny):
        raise ValueError(
            too_narrow(width, distance, num_players, f"every coalition but that of all {num_players} players")
        )


def too_narrow(width: float, distance: str, num_players: int, what: str) -> str:
    """The sentence about a kernel that leaves weight to nothing."""
    return (
        f"kernel_width {width:g} is so narrow that {what} has weight 0: the {distance} distance of one absent player is "
        f"{_without(1 / num_players, distance):.3g}, the median distance of coalitions {_without(0.5, distance):.3g}. "
        f"Choose a width of the order of these, such as {KERNEL_WIDTHS[distance]}."
    )


def _without(share: float, distance: str) -> float:
    """D of a coalition that lacks this share of the players."""
    return {"cosine": 1 - math.sqrt(1 - share), "euclidean": math.sqrt(share), "hamming": share}[distance]
