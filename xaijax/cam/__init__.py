"""Class activation maps: where in the input a network finds what speaks for a class.

One pass: one forward pass, and the gradient of what follows the layer.
  cam, grad_cam, grad_cam_plus_plus, hires_cam, xgrad_cam, layer_cam, elementwise_grad_cam, shapley_cam, eigen_cam,
  eigen_grad_cam, kpca_cam, fem; `several` of them share the pass. Finer-CAM is any of them with xai.target.finer().
Evaluated: forward passes of changed inputs, or of the tail alone with changed activations.
  score_cam, ss_cam, is_cam, group_cam, opti_cam, ablation_cam; smooth_grad_cam_plus_plus (one pass for each sample).
At the size of the input: full_grad (and full_gradients, its terms), guided_grad_cam.
Channels as players of a game, for the estimators of xai.shap: channel_game, and channel_map for their values.
Several layers: fuse. Transformers: attention_rollout, attention_gradient.
"""

from xaijax.cam._ablation_cam import ablation_cam
from xaijax.cam._attention import attention_gradient, attention_rollout
from xaijax.cam._cam import cam
from xaijax.cam._channels import ChannelGame, channel_game, channel_map
from xaijax.cam._eigen_cam import eigen_cam, eigen_grad_cam
from xaijax.cam._elementwise_grad_cam import elementwise_grad_cam
from xaijax.cam._fem import fem
from xaijax.cam._full_grad import FullGradients, full_grad, full_gradients
from xaijax.cam._fuse import fuse
from xaijax.cam._grad_cam import grad_cam
from xaijax.cam._grad_cam_plus_plus import grad_cam_plus_plus
from xaijax.cam._group_cam import group_cam
from xaijax.cam._guided_grad_cam import guided_grad_cam
from xaijax.cam._hires_cam import hires_cam
from xaijax.cam._kpca_cam import kpca_cam
from xaijax.cam._layer_cam import layer_cam
from xaijax.cam._one_pass import several
from xaijax.cam._opti_cam import opti_cam
from xaijax.cam._score_cam import is_cam, score_cam, ss_cam
from xaijax.cam._shapley_cam import shapley_cam
from xaijax.cam._smooth_grad_cam_plus_plus import smooth_grad_cam_plus_plus
from xaijax.cam._xgrad_cam import xgrad_cam

__all__ = [
    "ChannelGame",
    "FullGradients",
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
    "opti_cam",
    "score_cam",
    "several",
    "shapley_cam",
    "smooth_grad_cam_plus_plus",
    "ss_cam",
    "xgrad_cam",
]
