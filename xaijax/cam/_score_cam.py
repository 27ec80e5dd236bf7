"""Score-CAM (Wang et al. 2020) and what smooths it: SS-CAM (Wang et al. 2020) and IS-CAM (Naidu et al. 2020)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.target import TargetLike
from xaijax._core.typing import Array, Float
from xaijax.cam._evaluate import Example, explain, over_places
from xaijax.cam._map import HIGHEST


def score_cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    softmax: bool = True,
    baseline: Any = None,
    grid: tuple[int, ...] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
) -> Attribution:
    """Score-CAM: each channel weighed by the score of the input seen through it; no gradients.

    H_k = s(Up(A_k))    C_k = y(X ∘ H_k) - y(X_b)    alpha = softmax(C)    L = ReLU(sum_k alpha_k A_k)

    Differences: pytorch-grad-cam resizes the masks so that their corners meet those of the input; here places stay at
    the middle of their cells, as in all other maps.

    Why: what a channel is worth is tried out, not read off a gradient that may be saturated or noisy. It costs one
    forward pass for each channel.

    Args:
      model, x, layer, grid, relu, upsample, normalize: as for `xai.cam.grad_cam`.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for a map of every class [N, h, w, K] at no
        further cost, or None for the top class.
      softmax: turn the scores of the channels into weights that sum to one, as in the paper's algorithm 1. Off: the
        increases of confidence C are the weights (its equation 5), and may be negative.
      baseline: the input X_b whose score is subtracted, a number or an array like one input. Default: none. Where
        softmax is on it changes nothing, as the same number is subtracted for all channels.
      batch_size: how many inputs are evaluated at once. Default: as many as suit the device.

    Returns:
      values [N, h, w], output [N] the explained scores, target [N].

    Raises:
      TypeError, ValueError: as `xai.cam.grad_cam`; if the baseline does not fit one input.

    References:
      Wang et al. (2020), Score-CAM: Score-weighted visual explanations for convolutional neural networks,
      arXiv:1910.01279, equations 3 to 5 and algorithm 1.
    """
    options = {"grid": grid, "relu": relu, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    arrays = (None if baseline is None else check.numeric_array("baseline", baseline),)
    return explain(
        _score_cam, "Score-CAM", model, x, layer=layer, target=target, arrays=arrays, all_allowed=True,
        softmax=bool(softmax), **options,
    )  # fmt: skip


def _score_cam(example: Example, baseline: Array | None, *, softmax: bool) -> Float[Array, "*space"]:
    masks = _channels(example)
    scores = example.scores(lambda channel: example.masked(example.mask(channel)), masks)
    if baseline is not None:
        scores = scores - example.scores(lambda _: _like_input(baseline, example.x), jnp.zeros(1))[0]
    return _weigh(example, jax.nn.softmax(scores, axis=0) if softmax else scores)


def ss_cam(
    model: Any,
    x: Any,
    *,
    key: Any,
    layer: str | None = None,
    target: TargetLike = None,
    num_samples: int = 10,
    sigma: float = 2.0,
    noise_on: str = "mask",
    grid: tuple[int, ...] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
    ids: Any = None,
) -> Attribution:
    """SS-CAM: Score-CAM with each channel's score averaged over noise.

    C_k = 1/R sum_r y(X ∘ (H_k + noise_r))    alpha = softmax(C)    L = ReLU(sum_k alpha_k A_k)

    Why: one mask is one question; the mean over noisy ones depends less on where its borders happen to be. It costs
    `num_samples` forward passes for each channel.

    Args:
      model, x, layer, grid, relu, upsample, normalize: as for `xai.cam.grad_cam`.
      key: a JAX random key, `jax.random.key(0)`: the same key, the same map.
      target: as for `xai.cam.score_cam`, "all" included.
      num_samples: R, noisy masks for each channel. Default 10, as in the paper.
      sigma: standard deviation of the noise. On masks, which lie in [0, 1], 2 as in the paper; on inputs choose it in
        their units.
      noise_on: "mask" (SS-CAM 1) or "input", y((X + noise) ∘ H_k) (SS-CAM 2).
      batch_size: how many inputs are evaluated at once. Default: as many as suit the device.
      ids: ints [N] that name the examples for their randomness. Default: their positions.

    Returns:
      values [N, h, w], output [N] the explained scores, target [N].

    References:
      Wang et al. (2020), SS-CAM: Smoothed Score-CAM for sharper visual feature localization, arXiv:2006.14255.
    """
    options = {"grid": grid, "relu": relu, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    return explain(
        _ss_cam, "SS-CAM", model, x, layer=layer, target=target, key=check.random_key(key), ids=ids, all_allowed=True,
        arrays=(check.positive_float("sigma", sigma, zero_allowed=True),),
        num_samples=check.positive_int("num_samples", num_samples),
        noise_on=check.one_of("noise_on", noise_on, ["mask", "input"]), **options,
    )  # fmt: skip


def _ss_cam(example: Example, sigma: Array, *, num_samples: int, noise_on: str) -> Float[Array, "*space"]:
    def noisy(variant: tuple[Array, Array]) -> Any:
        channel, key = variant
        mask = example.mask(channel)
        if noise_on == "mask":
            return example.masked(mask + sigma * random.normal(key, mask.shape, mask.dtype))
        leaves, structure = jax.tree.flatten(example.masked(mask))
        keys = jax.random.split(key, len(leaves))
        spread = [
            leaf + over_places(mask, sigma * random.normal(one, leaf.shape, leaf.dtype))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
            else leaf
            for leaf, one in zip(leaves, keys, strict=True)
        ]
        return jax.tree.unflatten(structure, spread)

    count = example.channels * num_samples
    variants = jnp.repeat(_channels(example), num_samples, axis=0), jax.random.split(example.key, count)
    scores = example.scores(noisy, variants)
    return _weigh(example, jax.nn.softmax(_mean_of_each(scores, example.channels), axis=0))


def is_cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    num_steps: int = 10,
    grid: tuple[int, ...] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
) -> Attribution:
    """IS-CAM: Score-CAM with each channel's score integrated while its mask is faded in.

    C_k = 1/R sum_r=1..R y(X ∘ (r/R) H_k)    alpha = softmax(C)    L = ReLU(sum_k alpha_k A_k)

    Why: as integrated gradients do for pixels, it asks on the way from nothing to the whole mask, not at its end alone.
    It costs `num_steps` forward passes for each channel.

    Args:
      model, x, layer, grid, relu, upsample, normalize: as for `xai.cam.grad_cam`.
      target: as for `xai.cam.score_cam`, "all" included.
      num_steps: R, steps of fading in. Default 10, as in the paper.
      batch_size: how many inputs are evaluated at once. Default: as many as suit the device.

    Returns:
      values [N, h, w], output [N] the explained scores, target [N].

    References:
      Naidu et al. (2020), IS-CAM: Integrated Score-CAM for axiomatic-based explanations, arXiv:2010.03023.
    """
    options = {"grid": grid, "relu": relu, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    return explain(
        _is_cam, "IS-CAM", model, x, layer=layer, target=target, all_allowed=True,
        num_steps=check.positive_int("num_steps", num_steps), **options,
    )  # fmt: skip


def _is_cam(example: Example, *, num_steps: int) -> Float[Array, "*space"]:
    steps = jnp.tile(jnp.arange(1, num_steps + 1) / num_steps, example.channels)
    variants = jnp.repeat(_channels(example), num_steps, axis=0), steps
    scores = example.scores(lambda variant: example.masked(variant[1] * example.mask(variant[0])), variants)
    return _weigh(example, jax.nn.softmax(_mean_of_each(scores, example.channels), axis=0))


def _channels(example: Example) -> Float[Array, "C *space"]:
    """A_k, for every channel."""
    return jnp.moveaxis(example.activations[0], -1, 0)


def _mean_of_each(scores: Float[Array, "V ..."], channels: int) -> Float[Array, "C ..."]:
    """The mean over the variants of each channel."""
    return scores.reshape(channels, -1, *scores.shape[1:]).mean(axis=1)


def _weigh(example: Example, weights: Float[Array, "C *classes"]) -> Float[Array, "..."]:
    """sum_k weights_k A_k, [*space] or [*space, K]"""
    return jnp.tensordot(example.activations[0], weights, axes=1, precision=HIGHEST)


def _like_input(baseline: Array, x: Any) -> Any:
    def fill(leaf: Array) -> Array:
        try:
            return jnp.broadcast_to(baseline, leaf.shape[1:]).astype(leaf.dtype)
        except ValueError:
            raise ValueError(
                f"baseline must be a number or an array like one input {list(leaf.shape[1:])}, but its shape is "
                f"{list(baseline.shape)}."
            ) from None

    return jax.tree.map(fill, x)
