"""FEM (Fuad et al. 2020)."""

from __future__ import annotations

import jax.numpy as jnp

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("FEM", relu=False)
def fem(tapped: Tapped, *, deviations: float = 2.0) -> Float[Array, "N *space"]:
    """FEM: the places where channels are unusually strong, each channel counting by its mean.

    B^k = 1 where A^k >= mu_k + K sigma_k, else 0        L = sum_k mu_k B^k

    Why: needs no gradients and no target: what stands out in the features, whatever the class. (The target given only
    says whose score is reported; the map does not depend on it.) Its gradient with respect to the activations is that
    of mu_k alone, as the steps of B have none.

    Differences: pytorch-grad-cam weighs a channel by the share of its places that are strong, not by mu_k, and sums the
    activations so weighed, not the binary maps.

    Args:
      deviations: K, how many standard deviations above its mean a channel must be. Default 2, as in the paper.

    References:
      Fuad et al. (2020), Features understanding in 3D CNNs for actions recognition in video, IPTA 2020, section III.
    """
    activations = tapped.activations
    means = activations.mean(axis=tapped.space, keepdims=True)
    deviation = jnp.sqrt(((activations - means) ** 2).mean(axis=tapped.space, keepdims=True))
    strong = activations >= means + deviations * deviation
    return jnp.where(strong, means, 0).sum(axis=-1)
