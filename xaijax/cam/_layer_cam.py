"""LayerCAM (Jiang et al. 2021)."""

from __future__ import annotations

import jax

from xaijax._core.typing import Array, Float
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("LayerCAM", relu=True)
def layer_cam(tapped: Tapped) -> Float[Array, "N *space"]:
    """LayerCAM: every place of a channel weighed by its own positive gradient.

    L = ReLU(sum_k ReLU(G^k) ⊙ A^k)

    Why: gives fine maps at early layers too, where pooled gradients mean little; `xai.cam.fuse` joins layers.

    References:
      Jiang et al. (2021), LayerCAM: Exploring hierarchical class activation maps for localization, IEEE Transactions
      on Image Processing 30, 5875-5888, equations 6 and 7.
    """
    return (jax.nn.relu(tapped.gradients) * tapped.activations).sum(axis=-1)
