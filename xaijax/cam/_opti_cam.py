"""Opti-CAM (Zhang et al. 2023)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.target import TargetLike
from xaijax._core.typing import Array, Float
from xaijax.cam._evaluate import Example, explain
from xaijax.cam._map import HIGHEST


def opti_cam(
    model: Any,
    x: Any,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    num_steps: int = 100,
    learning_rate: float = 0.1,
    grid: tuple[int, ...] | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
    batch_size: int | None = None,
) -> Attribution:
    """Opti-CAM: the convex combination of the channels through which the input scores highest, found by optimization.

    S(u) = sum_k softmax(u)_k A_k        u* = argmax_u y(X ∘ s(Up(S(u))))        L = S(u*)

    Why: Score-CAM tries one channel at a time; here all are tried together, and the map is the mask that keeps the
    score best. It costs `num_steps` forward and backward passes of the whole network, with Adam from u = 0.

    Args:
      model, x, layer, target, grid, upsample, normalize: as for `xai.cam.grad_cam`, without target="all".
      num_steps: steps of Adam. Default 100, as in the paper.
      learning_rate: of Adam. Default 0.1, as in the paper.
      batch_size: how many examples are optimized together. Default: as many as suit the device.

    Returns:
      values [N, h, w] the combination found, output [N] the explained scores of the inputs, target [N].

    References:
      Zhang et al. (2023), Opti-CAM: Optimizing saliency maps for interpretability, arXiv:2301.07002, equations 5 to 10.
    """
    options = {"grid": grid, "relu": False, "upsample": upsample, "normalize": normalize, "batch_size": batch_size}
    return explain(
        _opti_cam, "Opti-CAM", model, x, layer=layer, target=target,
        arrays=(check.positive_float("learning_rate", learning_rate),),
        variants=1, num_steps=check.positive_int("num_steps", num_steps), **options,
    )  # fmt: skip


def _opti_cam(example: Example, learning_rate: Array, *, num_steps: int) -> Float[Array, "*space"]:
    activations = example.activations[0]

    def saliency(logits: Float[Array, " C"]) -> Float[Array, "*space"]:
        return jnp.tensordot(activations, jax.nn.softmax(logits), axes=1, precision=HIGHEST)

    def loss(logits: Float[Array, " C"]) -> Float[Array, ""]:
        masked = jax.tree.map(lambda leaf: leaf[None], example.masked(example.mask(saliency(logits))))
        return -example.target.select(example.model(masked))[0]

    optimizer = optax.adam(learning_rate)

    def step(state: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], None]:
        logits, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(logits), moments)
        return (logits + jnp.asarray(updates), moments), None

    start = jnp.zeros(example.channels, activations.dtype)
    (logits, _), _ = jax.lax.scan(with_fast_convolutions(step), (start, optimizer.init(start)), length=num_steps)
    return saliency(logits)
