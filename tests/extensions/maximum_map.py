"""A map: each channel weighted by its largest gradient instead of its mean."""

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("Max-CAM", relu=True)
def maximum_map(tapped: Tapped) -> Float[Array, "N *space"]:
    """Max-CAM: sums the channels of a layer, each weighted by its largest gradient.

    alpha_k = max_ij dy/dA_ij^k        L = ReLU(sum_k alpha_k A^k)

    References:
      None: this is an example.
    """
    return tapped.weigh(tapped.gradients.max(axis=tapped.space))
