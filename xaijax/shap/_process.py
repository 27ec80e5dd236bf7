"""Gaussian processes over coalitions, for a fixed design: constants on the host, one matrix product for each game.

Of a part of a game o (its odd or its even part) that is a Gaussian process, and quantities q that are jointly normal with
it (Shapley values, interactions), the posterior is

    q = B (K + noise)^-1 o,    Var q = s² (P - B (K + noise)^-1 B'),    s² = o' (K + noise)^-1 o / n

with K = Cov(o, o), B = Cov(q, o), P = Var q in units of the amplitude s². Answers of several models are averaged with
their likelihoods: smooth in the game, and honest about which model holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import cho_solve, cholesky, eigh

from xaijax._typing import Array, Float, Int

_MOST_NUMBERS = 2**24  # in the operators of all models
_MOST_RATED = 256  # rows that rate the models: their likelihoods tell them apart
_HIGHEST = jax.lax.Precision.HIGHEST


class Kernel(NamedTuple):
    """between: [n, n] covariances of the parts, 1 for that of all players, which is the last; with_values: [Q, n] those of
    the quantities and the parts; of_values: [Q] the prior variances of the quantities."""

    between: np.ndarray
    with_values: np.ndarray
    of_values: np.ndarray


class Process(NamedTuple):
    """C = G L models, of G kernels with L noises each.

    operators: [C, Q, n] from parts to quantities; variances: [C, Q] of these, in amplitudes; rated: [R] rows that rate the
    models; directions: [G, R, R], spreads: [G, R] eigenvectors and eigenvalues of their kernels; noises: [L].
    """

    operators: Float[Array, "C Q n"]
    variances: Float[Array, "C Q"]
    rated: Int[Array, " R"]
    directions: Float[Array, "G R R"]
    spreads: Float[Array, "G R"]
    noises: Float[Array, " L"]


def too_many(models: int, quantities: int, pairs: int) -> bool:
    """Whether the operators of so many models would be too large."""
    return models * quantities * (pairs + 1) > _MOST_NUMBERS


def posterior(kernels: Iterable[Kernel], noises: Sequence[float]) -> Process:
    """The constants of all models, made in float64 and kept in float32."""
    operators, variances, directions, spreads = [], [], [], []
    rated = np.zeros(0, int)
    for kernel in kernels:
        count = len(kernel.between)
        rated = np.sort(np.append(np.random.default_rng(0).permutation(count - 1)[: _MOST_RATED - 1], count - 1))
        spread, direction = eigh(kernel.between[np.ix_(rated, rated)])
        directions.append(direction)
        spreads.append(np.maximum(spread, 0))
        for noise in noises:
            root = cholesky(kernel.between + noise * np.eye(count), lower=True, check_finite=False)
            operator = cho_solve((root, True), kernel.with_values.T, check_finite=False).T
            explained = (operator * kernel.with_values).sum(axis=1)
            operators.append(operator.astype(np.float32))
            variances.append(np.maximum(kernel.of_values - explained, 0))
    tables = (jnp.asarray(np.array(part, np.float32)) for part in (operators, variances, directions, spreads, noises))
    operators, variances, directions, spreads, likely = tables
    return Process(operators, variances, jnp.asarray(rated, jnp.int32), directions, spreads, likely)


def mixture(models: Process, part: Float[Array, "n K"]) -> tuple[Float[Array, "Q K"], Float[Array, "Q K"]]:
    """Means and standard deviations of the models' posteriors, each weighted by its likelihood (of the rated rows)."""
    size = jnp.sqrt(jnp.mean(part**2, axis=0))
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1))
    part = part / size
    along = jnp.einsum("grs,rk->gsk", models.directions, part[models.rated], precision=_HIGHEST)
    spreads = models.spreads[:, None, :] + models.noises[:, None]  # [G, L, R]
    amplitudes = jnp.einsum("gsk,gls->glk", along**2, 1 / spreads, precision=_HIGHEST) / len(models.rated)
    amplitudes = amplitudes.reshape(-1, part.shape[1])  # s² of each model
    volumes = jnp.log(spreads).sum(axis=2).reshape(-1, 1)
    likelihoods = -(len(models.rated) * jnp.log(jnp.maximum(amplitudes, 1e-30)) + volumes) / 2
    weights = jax.nn.softmax(likelihoods, axis=0)

    each = jnp.einsum("cqn,nk->cqk", models.operators, part, precision=_HIGHEST)
    values = jnp.einsum("ck,cqk->qk", weights, each, precision=_HIGHEST)
    variances = amplitudes[:, None, :] * models.variances[:, :, None] + (each - values) ** 2
    variances = jnp.einsum("ck,cqk->qk", weights, variances, precision=_HIGHEST)
    return size * values, size * jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)
