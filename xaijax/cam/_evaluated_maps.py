"""Maps that evaluate changed inputs or activations; each public function is its paper's equation.

A_k: channel k of the layer's activations. H_k = s(Up(A_k)): the channel as a mask, resized to the input and brought to
[0, 1]. y: the explained score. X ∘ H: the input times a mask.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, random
from xaijax._core.blocks import in_blocks
from xaijax._core.blur import gaussian_blur
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.numerics import HIGHEST, ratio, safe_sqrt
from xaijax._core.typing import Array, Float
from xaijax.cam._evaluated import Example, evaluated
from xaijax.cam._map import extremes, resize, weigh
from xaijax.cam._options import EvaluatedOptions, SampledOptions

# The paper of Group-CAM blurs images of 224 pixels with a kernel of 51 pixels and a standard deviation of 50: nearly a box.
_BLUR_SIGMA, _BLUR_RADIUS = 50 / 224, 25 / 50


def _number(name: str, value: Any) -> Array:
    """Reads a number above zero as an array, so that another number needs no compilation."""
    return jnp.asarray(check.positive_float(name, value))


def _spread(name: str, value: Any) -> Array:
    """Reads a standard deviation, zero or more, as an array."""
    return jnp.asarray(check.positive_float(name, value, zero_allowed=True))


def _baseline(name: str, value: Any) -> Array | None:
    if value is None:
        return None
    baseline = check.numeric_array(name, value)
    if check.is_concrete(baseline) and not np.isfinite(np.asarray(baseline, np.float32)).all():
        raise ValueError(f"`{name}` must be finite, got {check.shown(value)}.")
    return baseline


def _quantile(name: str, value: Any) -> float:
    quantile = check.positive_float(name, value, zero_allowed=True)
    if quantile >= 1:
        raise ValueError(f"`{name}` must be below 1, got {quantile}.")
    return quantile


@evaluated("Score-CAM", every_class=True, reads={"softmax": check.flag, "baseline": _baseline})
def score_cam(
    example: Example, *, softmax: bool = True, baseline: Any = None, **_: Unpack[EvaluatedOptions]
) -> Float[Array, "..."]:
    """Score-CAM: weights each channel by the score of the input masked by it.

    H_k = s(Up(A_k))    C_k = y(X ∘ H_k) - y(X_b)    alpha = softmax(C)    L = ReLU(sum_k alpha_k A_k)

    Why: needs no gradients, which may be saturated or noisy: the effect of each channel is measured. It costs one
    forward pass for each channel.

    Differences: pytorch-grad-cam aligns the corners of the masks with those of the input; here pixel centers are
    aligned, as in all other maps.

    Args:
      softmax: turn the scores of the channels into weights that sum to one, as in the paper's algorithm 1. Off: the
        increases of confidence C are the weights (its equation 5), and may be negative.
      baseline: the input X_b whose score is subtracted, a number or an array like one input. Default: none. With
        softmax it changes nothing, as the same number is subtracted for all channels.

    References:
      Wang et al. (2020), Score-CAM: Score-weighted visual explanations for convolutional neural networks,
      arXiv:1910.01279, equations 3 to 5 and algorithm 1.
    """
    scores = example.scores(lambda channel: example.masked(example.mask(channel)), _channels(example))
    if baseline is not None:
        scores = scores - example.scores(lambda _: _like_input(baseline, example.x), jnp.zeros(1))[0]
    return _weigh(example, jax.nn.softmax(scores, axis=0) if softmax else scores)


@evaluated(
    "SS-CAM", shared=SampledOptions, every_class=True,
    reads={
        "num_samples": check.positive_int,
        "sigma": _spread,
        "noise_on": functools.partial(check.one_of, choices=("mask", "input")),
    },
)  # fmt: skip
def ss_cam(
    example: Example,
    *,
    num_samples: int = 10,
    sigma: float = 2.0,
    noise_on: Literal["mask", "input"] = "mask",
    **_: Unpack[SampledOptions],
) -> Float[Array, "..."]:
    """SS-CAM: Score-CAM with each channel's score averaged over noise.

    C_k = 1/R sum_r y(X ∘ (H_k + noise_r))    alpha = softmax(C)    L = ReLU(sum_k alpha_k A_k)

    Why: the mean over noisy masks depends less than one mask on the exact course of its borders. It costs `num_samples`
    forward passes for each channel.

    Args:
      num_samples: R, noisy masks for each channel. Default 10, as in the paper.
      sigma: standard deviation of the noise. Default 2, as in the paper for masks, which lie in [0, 1]; for noise on the
        input, choose it in the input's units.
      noise_on: "mask" (SS-CAM 1) or "input", y((X + noise) ∘ H_k) (SS-CAM 2). Default "mask".

    References:
      Wang et al. (2020), SS-CAM: Smoothed Score-CAM for sharper visual feature localization, arXiv:2006.14255.
    """

    def noisy(variant: tuple[Array, Array]) -> Any:
        channel, key = variant
        mask = example.mask(channel)
        if noise_on == "mask":
            return example.masked(mask + sigma * random.normal(key, mask.shape, mask.dtype))
        noise = _normal_like(jax.tree.map(lambda leaf: leaf[0], example.x), key)
        return example.change(lambda leaf, mask, bump: (leaf + (sigma * bump).astype(leaf.dtype)) * mask, mask, noise)

    count = example.channels * num_samples
    variants = jnp.repeat(_channels(example), num_samples, axis=0), jax.random.split(example.key, count)
    return _weigh(example, jax.nn.softmax(_mean_of_each(example.scores(noisy, variants), example.channels), axis=0))


@evaluated("IS-CAM", every_class=True, reads={"num_steps": check.positive_int})
def is_cam(example: Example, *, num_steps: int = 10, **_: Unpack[EvaluatedOptions]) -> Float[Array, "..."]:
    """IS-CAM: Score-CAM with each channel's score integrated while its mask is faded in.

    C_k = 1/R sum_r=1..R y(X ∘ (r/R) H_k)    alpha = softmax(C)    L = ReLU(sum_k alpha_k A_k)

    Why: as integrated gradients do for pixels, it averages over the path from an empty to the full mask instead of
    evaluating its end alone. It costs `num_steps` forward passes for each channel.

    Args:
      num_steps: R, steps of fading in. Default 10, as in the paper.

    References:
      Naidu et al. (2020), IS-CAM: Integrated Score-CAM for axiomatic-based explanations, arXiv:2010.03023.
    """
    steps = jnp.tile(jnp.arange(1, num_steps + 1) / num_steps, example.channels)
    variants = jnp.repeat(_channels(example), num_steps, axis=0), steps
    scores = example.scores(lambda variant: example.masked(variant[1] * example.mask(variant[0])), variants)
    return _weigh(example, jax.nn.softmax(_mean_of_each(scores, example.channels), axis=0))


@evaluated("Group-CAM", variants="num_groups", reads={"num_groups": check.positive_int, "quantile": _quantile})
def group_cam(
    example: Example, *, num_groups: int = 32, quantile: float = 0.7, **_: Unpack[EvaluatedOptions]
) -> Float[Array, "*space"]:
    """Group-CAM: weights groups of channels by the score they gain when they reveal parts of a blurred input.

    M_l = ReLU(sum_k in group l alpha_k A_k), set to zero below its quantile, alpha_k as in Grad-CAM
    w_l = y(X ∘ H_l + X_b ∘ (1 - H_l)) - y(X_b), H_l = s(Up(M_l)), X_b blurred        L = ReLU(sum_l w_l H_l)

    Why: Score-CAM at a fraction of its cost: one forward pass for each group, for any number of channels. Masked parts
    are blurred instead of black.

    Differences: the authors' code explains the softmax probability; here `target` decides, and
    `xai.target.probability()` is theirs. The blur's width is the paper's for 224 pixels, in proportion to the input.

    Args:
      num_groups: groups of neighboring channels. Default 32, as in the paper; at most the number of channels.
      quantile: values of a group below this quantile of its map are set to zero. Default 0.7, as in the paper.

    References:
      Zhang, Rao and Yang (2021), Group-CAM: Group score-weighted visual explanations for deep convolutional networks,
      arXiv:2103.13859, section 3.
    """
    if num_groups > example.channels:
        raise ValueError(
            f"`num_groups` must be at most the number of channels, {example.channels}, got {num_groups}: pass a smaller "
            "number."
        )
    alphas = example.gradients().mean(axis=tuple(range(1, example.activations.ndim - 1)), keepdims=True)[0]
    group_of_channel = jnp.arange(example.channels) * num_groups // example.channels
    members = jax.nn.one_hot(group_of_channel, num_groups, dtype=alphas.dtype)
    groups = jnp.tensordot(example.activations[0] * alphas, members, axes=1, precision=HIGHEST)
    groups = jax.nn.relu(jnp.moveaxis(groups, -1, 0))
    space = tuple(range(1, groups.ndim))
    thresholds = jnp.quantile(groups, quantile, axis=space, keepdims=True)
    groups = jnp.where(groups > thresholds, groups, 0)

    # s(Up(M)) = Up(s'(M)), with the range of the resized map, as resizing is linear and its weights sum to one.
    resized = jax.lax.map(lambda group: _range_of(resize(group[None], example.size)), groups)
    least, most = (side.reshape(-1, *(1,) * len(space)) for side in resized)
    masks = ratio(groups - least, most - least)
    blurred = example.inputs.map(_blurred, example.size)

    def through(mask: Float[Array, "*space"]) -> Any:
        large = resize(mask[None], example.size)[0]
        return example.change(lambda leaf, mask, soft: (leaf - soft) * mask + soft, large, blurred)

    gains = example.scores(through, masks) - example.scores(lambda _: blurred, jnp.zeros(1))
    gains = jnp.where((most == least).reshape(-1), 0, gains)  # an empty group reveals nothing
    return jnp.tensordot(gains, masks, axes=1, precision=HIGHEST)


@evaluated("Opti-CAM", relu=False, variants=1, reads={"num_steps": check.positive_int, "learning_rate": _number})
def opti_cam(
    example: Example, *, num_steps: int = 100, learning_rate: float = 0.1, **_: Unpack[EvaluatedOptions]
) -> Float[Array, "*space"]:
    """Opti-CAM: optimizes the convex combination of channels that, as a mask, gives the input the highest score.

    S(u) = sum_k softmax(u)_k A_k        u* = argmax_u y(X ∘ s(Up(S(u))))        L = S(u*)

    Why: Score-CAM tries one channel at a time; here all channels are optimized jointly, and the map is the mask that
    keeps the score best. It costs `num_steps` forward and backward passes of the whole network, with Adam from u = 0.

    Args:
      num_steps: steps of Adam. Default 100, as in the paper.
      learning_rate: Adam's learning rate. Default 0.1, as in the paper.

    References:
      Zhang et al. (2023), Opti-CAM: Optimizing saliency maps for interpretability, arXiv:2301.07002, equations 5 to 10.
    """
    activations = example.activations[0]

    def saliency(logits: Float[Array, " C"]) -> Float[Array, "*space"]:
        return jnp.tensordot(activations, jax.nn.softmax(logits), axes=1, precision=HIGHEST)

    def loss(logits: Float[Array, " C"]) -> Float[Array, ""]:
        masked = jax.tree.map(lambda leaf: leaf[None], example.masked(example.mask(saliency(logits))))
        return -example.target.select(example.model(masked))[0]

    def step(state: tuple[Array, Array, Array], count: Array) -> tuple[tuple[Array, Array, Array], None]:
        """Adam (Kingma and Ba 2015, algorithm 1)."""
        logits, mean, square = state
        gradient = jax.grad(loss)(logits)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        scale = safe_sqrt(square / (1 - 0.999**count)) + 1e-8
        return (logits - learning_rate * (mean / (1 - 0.9**count)) / scale, mean, square), None

    start = jnp.zeros(example.channels, activations.dtype)
    counts = jnp.arange(1, num_steps + 1, dtype=activations.dtype)
    (logits, *_moments), _steps = jax.lax.scan(with_fast_convolutions(step), (start, start, start), counts)
    return saliency(logits)


@evaluated("Ablation-CAM", every_class=True)
def ablation_cam(example: Example, **_: Unpack[EvaluatedOptions]) -> Float[Array, "..."]:
    """Ablation-CAM: weights each channel by the share of the score that is lost without it.

    alpha_k = (y - y_k) / |y|, y_k with A_k set to zero        L = ReLU(sum_k alpha_k A_k)

    Why: needs no gradients, which may be saturated: the change is measured. Only the layers after the tap are evaluated,
    once for each channel. A score of zero gives a map of zeros.

    Differences: the paper divides by y, which is the same for positive scores; a negative score would turn the map
    around. pytorch-grad-cam divides by y too. If a layer's least activation is not zero, it sets ablated channels to
    -1e7, class tokens included.

    References:
      Desai and Ramaswamy (2020), Ablation-CAM: Visual explanations for deep convolutional network via gradient-free
      localization, WACV 2020, equation 3.
    """
    activations = example.activations[0]
    channels = jnp.arange(example.channels)
    score = example.tail_scores(lambda _: activations, jnp.zeros(1))
    without = example.tail_scores(lambda channel: jnp.where(channels == channel, 0, activations), channels)
    alphas: Array = ratio(score - without, jnp.abs(score))
    return _weigh(example, alphas)


@evaluated(
    "Smooth Grad-CAM++", shared=SampledOptions, variants="num_samples",
    reads={"num_samples": check.positive_int, "sigma": _spread},
)  # fmt: skip
def smooth_grad_cam_plus_plus(
    example: Example, *, num_samples: int = 16, sigma: float = 0.15, **_: Unpack[SampledOptions]
) -> Float[Array, "*space"]:
    """Smooth Grad-CAM++: Grad-CAM++ with the derivatives averaged over noisy copies of the input.

    D_p = 1/R sum_r G(X + noise_r)^p, p = 1, 2, 3        alpha_ij^k = D_2 / (2 D_2 + sum_ab A_ab^k · D_3)
    w_k = sum_ij alpha_ij^k ReLU(D_1)        L = ReLU(sum_k w_k A^k)

    Why: gradients of deep networks are noisy; their mean over a neighborhood is less so. It costs `num_samples` forward
    passes and gradients of the tail.

    Args:
      num_samples: R, noisy copies. Default 16: the standard error of the mean is a quarter of the standard deviation.
      sigma: standard deviation of the noise, in units of the range (max - min) of each input array of the example.
        Default 0.15, from SmoothGrad (Smilkov et al. 2017, arXiv:1706.03825, section 3).

    References:
      Omeiza et al. (2019), Smooth Grad-CAM++: An enhanced inference level visualization technique for deep
      convolutional neural network models, arXiv:1908.01224, equations 9 and 10.
    """
    activations = example.activations
    largest = jnp.abs(example.gradients()).max()
    unit = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))  # cubes of small gradients underflow in float32

    def powers(key: Array) -> tuple[Array, Array, Array]:
        noisy = example.tap(_with_noise(example.x, jnp.asarray(sigma), key))
        gradients = noisy.differentiate(example.target)[0].gradients / unit
        return gradients, gradients**2, gradients**3

    sampled = in_blocks(jax.vmap(powers), jax.random.split(example.key, num_samples), example.rows)
    first, second, third = (power.mean(axis=0) for power in sampled)
    space = tuple(range(1, activations.ndim - 1))
    totals = activations.sum(axis=space, keepdims=True)
    alphas = ratio(second, 2 * second + totals * unit * third)
    weights = (alphas * jax.nn.relu(unit * first)).sum(axis=space)
    return weigh(activations, weights)[0]


def _channels(example: Example) -> Float[Array, "C *space"]:
    """Returns A_k for every channel."""
    return jnp.moveaxis(example.activations[0], -1, 0)


def _mean_of_each(scores: Float[Array, "V ..."], channels: int) -> Float[Array, "C ..."]:
    """Averages over the variants of each channel."""
    return scores.reshape(channels, -1, *scores.shape[1:]).mean(axis=1)


def _weigh(example: Example, weights: Float[Array, "C *classes"]) -> Float[Array, "..."]:
    """Computes sum_k weights_k A_k, [*space] or [*space, K]."""
    return jnp.tensordot(example.activations[0], weights, axes=1, precision=HIGHEST)


def _like_input(baseline: Array, x: Any) -> Any:
    """Returns the baseline in the shape of one input, for each array of x."""

    def fill(leaf: Array) -> Array:
        try:
            return jnp.broadcast_to(baseline, leaf.shape[1:]).astype(leaf.dtype)
        except ValueError:
            raise ValueError(
                f"`baseline` must be a number or an array like one input {list(leaf.shape[1:])}, got shape "
                f"{list(baseline.shape)}: pass one input without the batch axis."
            ) from None

    return jax.tree.map(fill, x)


def _with_noise(x: Any, sigma: Array, key: Array) -> Any:
    """Adds noise to every floating array of x, in units of the array's range."""
    if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(x)):
        raise ValueError(
            f"`x` must hold floating numbers to add noise to, got {', '.join(map(check.shown, jax.tree.leaves(x)))}: convert "
            "integers to float32 before they reach the model."
        )

    def noisy(leaf: Array, noise: Array) -> Array:
        return leaf + (sigma * (leaf.max() - leaf.min()) * noise).astype(leaf.dtype)

    return jax.tree.map(noisy, x, _normal_like(x, key))


def _normal_like(x: Any, key: Array) -> Any:
    """Draws standard normal numbers for every floating array of a PyTree, zeros for any other."""
    leaves, structure = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))
    noise = [
        random.normal(key, leaf.shape, leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.zeros_like(leaf)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, noise)


def _range_of(values: Array) -> tuple[Array, Array]:
    least, most = extremes(values, tuple(range(values.ndim)))
    return least.ravel()[0], most.ravel()[0]


def _blurred(leaf: Float[Array, "*space C"]) -> Float[Array, "*space C"]:
    return gaussian_blur(leaf[None], _BLUR_SIGMA * max(leaf.shape[:-1]), truncate=_BLUR_RADIUS)[0]
