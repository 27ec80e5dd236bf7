"""Ablation-CAM (Desai and Ramaswamy 2020)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from xaijax._core.attribution import Attribution
from xaijax._core.target import TargetLike
from xaijax._core.typing import Array, Float
from xaijax.cam._evaluate import Example, explain
from xaijax.cam._map import HIGHEST, ratio


def ablation_cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
) -> Attribution:
    """Ablation-CAM: each channel weighed by the share of the score that is lost without it; no gradients.

    alpha_k = (y - y_k) / |y|, y_k with A_k set to zero        L = ReLU(sum_k alpha_k A_k)

    Why: the change is measured, so saturated gradients do no harm. Only what follows the layer is evaluated, once for
    each channel.

    Differences: the paper divides by y, which is the same for positive scores; where a score is negative that would
    turn the map around. pytorch-grad-cam divides by y too; and where a layer's least activation is not zero it sets
    ablated channels to -1e7, class tokens included.

    Args:
      model, x, layer, grid, relu, upsample, normalize: as for `xai.cam.grad_cam`.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for a map of every class [N, h, w, K] at no
        further cost, or None for the top class.
      batch_size: how many activations are evaluated at once. Default: as many as suit the device.

    Returns:
      values [N, h, w], output [N] the explained scores, target [N]. A score of zero gives a map of zeros.

    References:
      Desai and Ramaswamy (2020), Ablation-CAM: Visual explanations for deep convolutional network via gradient-free
      localization, WACV 2020, equation 3.
    """
    options = {"grid": grid, "relu": relu, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    return explain(_ablation_cam, "Ablation-CAM", model, x, layer=layer, target=target, all_allowed=True, **options)


def _ablation_cam(example: Example) -> Float[Array, "..."]:
    activations = example.activations[0]
    everyone = jnp.arange(example.channels)
    score = example.tail_scores(lambda _: activations, jnp.zeros(1))
    without = example.tail_scores(lambda channel: jnp.where(everyone == channel, 0, activations), everyone)
    alphas: Array = ratio(score - without, jnp.abs(score))
    return jnp.tensordot(activations, alphas, axes=1, precision=HIGHEST)
