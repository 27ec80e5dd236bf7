"""A map: each channel is weighted by its largest gradient instead of its mean.

The contract: a function of `Tapped` that returns the map [N, *space]. `Tapped` is one forward pass, cut at a layer:

- `activations` A and `gradients` dy/dA, [N, *space, C];
- `scores` [N], the explained outputs y, and `score`, y as a function of the activations;
- `space`, the axes of the positions, and `weigh(weights[N, C])`, the sum of the channels with these weights.

The decorator brings the options that all maps share, all classes at once, the compilation, and `several` and `fuse`.
"""

import jax.numpy as jnp

import xaijax as xai


@xai.cam.one_pass("Max-CAM", relu=True)
def max_cam(tapped: xai.cam.Tapped):
    """Computes alpha_k = max_ij dy/dA_ij^k and the map ReLU(sum_k alpha_k A^k)."""
    return tapped.weigh(tapped.gradients.max(axis=tapped.space))


def features(x):
    return x  # the layer: [N, 2, 2, 2], two channels


def head(activations):
    return jnp.stack([activations[..., 0].sum(axis=(1, 2)), activations[:, 0, 0, 1]], axis=1)


model = xai.compose(features, head)  # class 0 sums channel 0, class 1 reads one pixel of channel 1
x = jnp.arange(8.0).reshape(1, 2, 2, 2)

attribution = max_cam(model, x, target=1)
compared = xai.cam.several(model, x, [max_cam, xai.cam.grad_cam], target=1)
print(attribution.values)  # channel 1, where Grad-CAM has a quarter of it
