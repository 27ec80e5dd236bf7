"""HiResCAM (Draelos and Carin 2020)."""

from __future__ import annotations

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("HiResCAM", relu=False)
def hires_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """HiResCAM: gradient times activation, summed over the channels.

    L = sum_k G^k ⊙ A^k

    Why: shows the places that the network used. Where what follows the layer is linear, the map sums to the score
    without its bias; Grad-CAM, which spreads a channel's gradient evenly, may show places that were not used. So it is
    signed here; its negative places speak against the target.

    References:
      Draelos and Carin (2020), Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
      networks, arXiv:2011.08891, equation 4.
    """
    return (tapped.gradients * tapped.activations).sum(axis=-1)
