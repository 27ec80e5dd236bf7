"""Group-CAM (Zhang, Rao and Yang 2021)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blur import gaussian_blur
from xaijax._core.target import TargetLike
from xaijax._core.typing import Array, Float
from xaijax.cam._evaluate import Example, explain, over_places
from xaijax.cam._map import HIGHEST, extremes, ratio, resize

# The paper blurs images of 224 places with a kernel of 51 places and a standard deviation of 50: nearly a box.
_BLUR_SIGMA, _BLUR_RADIUS = 50 / 224, 25 / 50


def group_cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    num_groups: int = 32,
    quantile: float = 0.7,
    grid: tuple[int, ...] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
) -> Attribution:
    """Group-CAM: groups of channels, each weighed by what the input seen through it gains over the blurred input.

    M_l = ReLU(sum_k in group l alpha_k A_k), its weakest places dropped, alpha_k as in Grad-CAM
    w_l = y(X ∘ H_l + X_b ∘ (1 - H_l)) - y(X_b), H_l = s(Up(M_l)), X_b blurred        L = ReLU(sum_l w_l H_l)

    Why: Score-CAM at a fraction of its cost: tens of forward passes, whatever the number of channels; and what is
    masked stays in the picture as a blur instead of turning black.

    Differences: the authors' code explains the softmax probability; here the target says, `xai.target.probability()`
    for theirs. The blur's width is the paper's for 224 places, in proportion to the input's size.

    Args:
      model, x, layer, target, grid, relu, upsample, normalize: as for `xai.cam.grad_cam`, without target="all".
      num_groups: groups of neighboring channels. Default 32, as in the paper; at most as many as there are channels.
      quantile: the places of a group below this quantile of its map are set to zero. Default 0.7, as in the paper.
      batch_size: how many inputs are evaluated at once. Default: as many as suit the device.

    Returns:
      values [N, h, w], output [N] the explained scores, target [N].

    Raises:
      ValueError: as `xai.cam.grad_cam`; if there are more groups than channels or the quantile is not within [0, 1).

    References:
      Zhang, Rao and Yang (2021), Group-CAM: Group score-weighted visual explanations for deep convolutional networks,
      arXiv:2103.13859, section 3.
    """
    quantile = check.positive_float("quantile", quantile, zero_allowed=True)
    if quantile >= 1:
        raise ValueError(f"quantile must be below 1, but it is {quantile}.")
    options = {"grid": grid, "relu": relu, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    return explain(
        _group_cam, "Group-CAM", model, x, layer=layer, target=target, variants=num_groups,
        num_groups=check.positive_int("num_groups", num_groups), quantile=quantile, **options,
    )  # fmt: skip


def _group_cam(example: Example, *, num_groups: int, quantile: float) -> Float[Array, "*space"]:
    if num_groups > example.channels:
        raise ValueError(f"num_groups must be at most the {example.channels} channels, but it is {num_groups}.")
    space = tuple(range(1, example.activations.ndim - 1))
    alphas = example.gradients().mean(axis=space)[0]
    group_of_channel = jnp.arange(example.channels) * num_groups // example.channels
    members = jax.nn.one_hot(group_of_channel, num_groups, dtype=alphas.dtype)
    groups = jnp.tensordot(example.activations[0] * alphas, members, axes=1, precision=HIGHEST)
    groups = jax.nn.relu(jnp.moveaxis(groups, -1, 0))
    places = tuple(range(1, groups.ndim))
    thresholds = jnp.quantile(groups, quantile, axis=places, keepdims=True)
    groups = jnp.where(groups > thresholds, groups, 0)

    # s(Up(M)) = Up(s'(M)), with the range of the resized map, as resizing is linear and its weights sum to one.
    resized = jax.lax.map(lambda group: _range_of(resize(group[None], example.size)), groups)
    least, most = (side.reshape(-1, *(1,) * len(places)) for side in resized)
    masks = ratio(groups - least, most - least)
    blurred = jax.tree.map(_blur, example.x)

    def through(mask: Float[Array, "*space"]) -> Any:
        large = resize(mask[None], example.size)[0]
        return jax.tree.map(lambda leaf, soft: over_places(large, leaf[0] - soft[0]) + soft[0], example.x, blurred)

    gains = example.scores(through, masks) - example.scores(lambda _: _first(blurred), jnp.zeros(1))
    gains = jnp.where((most == least).reshape(-1), 0, gains)  # an empty group shows nothing
    return jnp.tensordot(gains, masks, axes=1, precision=HIGHEST)


def _range_of(values: Array) -> tuple[Array, Array]:
    least, most = extremes(values, tuple(range(values.ndim)))
    return least.ravel()[0], most.ravel()[0]


def _first(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _blur(leaf: Array) -> Array:
    """The blurred input; arrays that are no pictures stay as they are."""
    if leaf.ndim < 3 or not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    return gaussian_blur(leaf, _BLUR_SIGMA * max(leaf.shape[1:-1]), truncate=_BLUR_RADIUS)
