"""Class activation maps: the positions of an input where a network has evidence for a class.

- One pass: one forward pass, and the gradient of the layers after the tap: `cam`, `grad_cam`, `grad_cam_plus_plus`, `hires_cam`,
  `xgrad_cam`, `layer_cam`, `elementwise_grad_cam`, `shapley_cam`, `eigen_cam`, `eigen_grad_cam`, `kpca_cam`, `fem`; `several` of
  them share the pass. Finer-CAM is any of them with `xai.target.finer()`.
- Evaluated: forward passes of changed inputs, or of the tail alone with changed activations: `score_cam`, `ss_cam`, `is_cam`,
  `group_cam`, `opti_cam`, `ablation_cam`; `smooth_grad_cam_plus_plus` (one pass for each sample).
- At the size of the input: `full_grad` (and `full_gradients`, its terms), `guided_grad_cam`.
- Channels as players of a game, for the estimators of `xai.shap`: `channel_game`, and `channel_map` for their values.
- Maps of your own: `one_pass` turns a function of `Tapped` into an explainer.
- Several layers: `fuse`. Transformers: `attention_rollout`, `attention_gradient`.
"""

from xaijax.cam._attention import attention_gradient, attention_rollout
from xaijax.cam._cam import cam
from xaijax.cam._channels import ChannelGame, channel_game, channel_map
from xaijax.cam._component_maps import eigen_cam, eigen_grad_cam, fem, kpca_cam
from xaijax.cam._evaluated_maps import (
    ablation_cam,
    group_cam,
    is_cam,
    opti_cam,
    score_cam,
    smooth_grad_cam_plus_plus,
    ss_cam,
)
from xaijax.cam._full_grad import FullGradients, full_grad, full_gradients
from xaijax.cam._fuse import fuse
from xaijax.cam._gradient_maps import (
    elementwise_grad_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
    shapley_cam,
    xgrad_cam,
)
from xaijax.cam._guided_grad_cam import guided_grad_cam
from xaijax.cam._map import Tapped
from xaijax.cam._one_pass import one_pass, several

__all__ = [
    "ChannelGame",
    "FullGradients",
    "Tapped",
    "ablation_cam",
    "attention_gradient",
    "attention_rollout",
    "cam",
    "channel_game",
    "channel_map",
    "eigen_cam",
    "eigen_grad_cam",
    "elementwise_grad_cam",
    "fem",
    "full_grad",
    "full_gradients",
    "fuse",
    "grad_cam",
    "grad_cam_plus_plus",
    "group_cam",
    "guided_grad_cam",
    "hires_cam",
    "is_cam",
    "kpca_cam",
    "layer_cam",
    "one_pass",
    "opti_cam",
    "score_cam",
    "several",
    "shapley_cam",
    "smooth_grad_cam_plus_plus",
    "ss_cam",
    "xgrad_cam",
]


def __dir__() -> list[str]:
    return __all__
