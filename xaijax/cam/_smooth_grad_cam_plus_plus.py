"""Smooth Grad-CAM++ (Omeiza et al. 2019)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.target import TargetLike
from xaijax._core.typing import Array, Float
from xaijax.cam._evaluate import Example, explain
from xaijax.cam._map import differentiate, ratio, weigh


def smooth_grad_cam_plus_plus(
    model: Any,
    x: Any,
    *,
    key: Any,
    layer: str | None = None,
    target: TargetLike = None,
    num_samples: int = 16,
    sigma: float = 0.15,
    grid: tuple[int, ...] | None = None,
    relu: bool = True,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
    ids: Any = None,
) -> Attribution:
    """Smooth Grad-CAM++: Grad-CAM++ with the derivatives averaged over noisy copies of the input.

    D_p = 1/R sum_r G(X + noise_r)^p, p = 1, 2, 3        alpha_ij^k = D_2 / (2 D_2 + sum_ab A_ab^k · D_3)
    w_k = sum_ij alpha_ij^k ReLU(D_1)        L = ReLU(sum_k w_k A^k)

    Why: gradients of deep networks are noisy; their mean over a neighborhood is not. It costs `num_samples` forward
    passes and gradients of the tail.

    Args:
      model, x, layer, target, grid, relu, upsample, normalize: as for `xai.cam.grad_cam`, without target="all".
      key: a JAX random key, `jax.random.key(0)`: the same key, the same map.
      num_samples: R, noisy copies. Default 16: the standard error of the mean is a quarter of the spread.
      sigma: standard deviation of the noise, in units of the range (max - min) of each input array of the example.
        Default 0.15, from SmoothGrad (Smilkov et al. 2017, arXiv:1706.03825, section 3).
      batch_size: how many noisy copies are evaluated at once. Default: as many as suit the device.
      ids: ints [N] that name the examples for their randomness. Default: their positions.

    Returns:
      values [N, h, w], output [N] the explained scores of the inputs without noise, target [N].

    References:
      Omeiza et al. (2019), Smooth Grad-CAM++: An enhanced inference level visualization technique for deep
      convolutional neural network models, arXiv:1908.01224, equations 9 and 10.
    """
    options = {"grid": grid, "relu": relu, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    return explain(
        _smooth_grad_cam_plus_plus, "Smooth Grad-CAM++", model, x, layer=layer, target=target,
        key=check.random_key(key), ids=ids, variants=num_samples,
        arrays=(check.positive_float("sigma", sigma, zero_allowed=True),),
        num_samples=check.positive_int("num_samples", num_samples), **options,
    )  # fmt: skip


def _smooth_grad_cam_plus_plus(example: Example, sigma: Array, *, num_samples: int) -> Float[Array, "*space"]:
    activations = example.activations
    largest = jnp.abs(example.gradients()).max()
    unit = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))  # cubes of small gradients vanish in float32

    def powers(key: Array) -> tuple[Array, Array, Array]:
        noisy, tail = example.tap(_with_noise(example.x, sigma, key))
        gradients = differentiate(noisy, tail, example.target)[0].gradients / unit
        return gradients, gradients**2, gradients**3

    found = in_blocks(jax.vmap(powers), jax.random.split(example.key, num_samples), example.rows)
    first, second, third = (power.mean(axis=0) for power in found)
    space = tuple(range(1, activations.ndim - 1))
    totals = activations.sum(axis=space, keepdims=True)
    alphas = ratio(second, 2 * second + totals * unit * third)
    weights = (alphas * jax.nn.relu(unit * first)).sum(axis=space)
    return weigh(activations, weights)[0]


def _with_noise(x: Any, sigma: Array, key: Array) -> Any:
    """Every floating array of x plus noise in units of its own range."""
    leaves, structure = jax.tree.flatten(x)
    noisy = [
        leaf + (sigma * (leaf.max() - leaf.min()) * random.normal(one, leaf.shape, leaf.dtype)).astype(leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
        for leaf, one in zip(leaves, jax.random.split(key, len(leaves)), strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)
