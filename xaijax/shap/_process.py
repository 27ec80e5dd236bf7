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
from threadpoolctl import ThreadpoolController

from xaijax._core.typing import Array, Float, Int

_MOST_NUMBERS = 2**24  # in the operators of all models
_MOST_RATED = 256  # rows that rate the models: their likelihoods tell them apart
# Rows of a matrix: with fewer, threads of BLAS wait for each other longer than they work, on busy cores for seconds.
_FEWEST_FOR_THREADS = 1024
_HIGHEST = jax.lax.Precision.HIGHEST


class Kernel(NamedTuple):
    """between: [n, n] covariances of the parts, 1 for that of all players, which is the last; with_values: [Q, n] those of
    the quantities and the parts; of_values: [Q] the prior variances of the quantities."""

    between: np.ndarray
    with_values: np.ndarray
    of_values: np.ndarray


class Process(NamedTuple):
    """C = G L models, of G kernels with L noises each.

    operators: [C, Q, n] from parts to quantities; variances: [C, Q] of these, in amplitudes; surprises: [C, n] from parts to
    how far that of all players, the last, is from what the others let expect, in its standard deviations for an amplitude
    of 1 (leave-one-out: Rasmussen & Williams 2006, equation 5.12); rated: [R] rows that rate the models; directions: [G, R, R], spreads: [G, R] eigenvectors and eigenvalues of their kernels; noises: [L].
    """

    operators: Float[Array, "C Q n"]
    variances: Float[Array, "C Q"]
    surprises: Float[Array, "C n"]
    rated: Int[Array, " R"]
    directions: Float[Array, "G R R"]
    spreads: Float[Array, "G R"]
    noises: Float[Array, " L"]


class Posterior(NamedTuple):
    """values, errors: [Q, K] means and standard deviations of the quantities; surprise: [K] the squared distance of the
    part of all players from what the others let expect, over its variance: about 1 where the models hold."""

    values: Float[Array, "Q K"]
    errors: Float[Array, "Q K"]
    surprise: Float[Array, " K"]


def too_many(models: int, quantities: int, pairs: int) -> bool:
    """Whether the operators of so many models would be too large."""
    return models * quantities * (pairs + 1) > _MOST_NUMBERS


def posterior(kernels: Iterable[Kernel], noises: Sequence[float]) -> Process:
    """The constants of all models, made in float64 and kept in float32."""
    operators, variances, surprises, directions, spreads = [], [], [], [], []
    rated = np.zeros(0, int)
    threads = ThreadpoolController()
    for kernel in kernels:
        count = len(kernel.between)
        rated = np.sort(np.append(np.random.default_rng(0).permutation(count - 1)[: _MOST_RATED - 1], count - 1))
        with threads.limit(limits=1 if count < _FEWEST_FOR_THREADS else None, user_api="blas"):
            spread, direction = eigh(kernel.between[np.ix_(rated, rated)])
            models = [_model(kernel, noise) for noise in noises]
        directions.append(direction)
        spreads.append(np.maximum(spread, 0))
        for operator, variance, surprise in models:
            operators.append(operator)
            variances.append(variance)
            surprises.append(surprise)
    made = operators, variances, surprises, rated, directions, spreads, noises
    return Process(*(jnp.asarray(np.array(table, np.int32 if table is rated else np.float32)) for table in made))


def _model(kernel: Kernel, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The operator, variances and surprise of one noise."""
    identity = np.eye(len(kernel.between))
    root = cholesky(kernel.between + noise * identity, lower=True, check_finite=False)
    operator = cho_solve((root, True), kernel.with_values.T, check_finite=False).T
    explained = (operator * kernel.with_values).sum(axis=1)
    of_all = cho_solve((root, True), identity[-1], check_finite=False)
    return (
        operator.astype(np.float32),
        np.maximum(kernel.of_values - explained, 0),
        of_all / np.sqrt(of_all[-1]),
    )


def mixture(models: Process, part: Float[Array, "n K"]) -> Posterior:
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
    errors = size * jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)
    distances = jnp.einsum("cn,nk->ck", models.surprises, part, precision=_HIGHEST)
    known = amplitudes > 0  # all parts 0: nothing surprises
    surprise = (weights * jnp.where(known, distances**2 / jnp.where(known, amplitudes, 1), 0)).sum(axis=0)
    return Posterior(size * values, errors, surprise)
