"""KPCA-CAM (Karmani et al. 2024)."""

from __future__ import annotations

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, Float
from xaijax.cam._component import leading_eigenvector, signed_like
from xaijax.cam._eigen_cam import strength
from xaijax.cam._map import HIGHEST, Tapped
from xaijax.cam._one_pass import one_pass


@one_pass("KPCA-CAM", relu=False)
def kpca_cam(tapped: Tapped, *, kernel: str = "sigmoid", gamma: float | None = None) -> Float[Array, "N *space"]:
    """KPCA-CAM: Eigen-CAM with a kernel, so that features may agree in other than linear ways.

    K = kernel matrix of the places' centered features, centered itself        L = sqrt(lambda_1) u_1 of K

    Why: needs no gradients and no target, as Eigen-CAM. (The target given only says whose score is reported.) The sign
    is chosen so that the map is positive where the activations are strong. The kernel matrix has as many rows as the
    map has places: for late layers.

    Args:
      kernel: "sigmoid", tanh(gamma a·b + 1); "rbf", exp(-gamma |a - b|²); or "linear", a·b. Default as the authors'.
      gamma: default 1 / C.

    References:
      Karmani et al. (2024), KPCA-CAM: Visual explainability of deep computer vision models using kernel PCA,
      arXiv:2410.00267.
    """
    check.one_of("kernel", kernel, ["sigmoid", "rbf", "linear"])
    activations = tapped.activations
    num_examples, channels = len(activations), activations.shape[-1]
    scale = 1 / channels if gamma is None else check.positive_float("gamma", gamma)
    rows = activations.reshape(num_examples, -1, channels)
    rows = rows - rows.mean(axis=1, keepdims=True)
    products = jnp.einsum("npc,nqc->npq", rows, rows, precision=HIGHEST)
    if kernel == "sigmoid":
        gram = jnp.tanh(scale * products + 1)
    elif kernel == "rbf":
        squares = jnp.diagonal(products, axis1=1, axis2=2)
        gram = jnp.exp(-scale * (squares[:, :, None] + squares[:, None, :] - 2 * products))
    else:
        gram = products
    gram = gram - gram.mean(axis=1, keepdims=True)
    gram = gram - gram.mean(axis=2, keepdims=True)
    vector = leading_eigenvector(gram)
    value = jnp.einsum("np,npq,nq->n", vector, gram, vector, precision=HIGHEST)[:, None]
    positive = value > 0
    maps = vector * jnp.where(positive, jnp.sqrt(jnp.where(positive, value, 1)), 0)
    return signed_like(maps.reshape(activations.shape[:-1]), strength(tapped))
