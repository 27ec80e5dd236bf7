"""Gaussian processes over coalitions: the posterior of Shapley values and interactions for a fixed design.

With spins x = 2 z - 1, a game is a sum over sets U of players, and an index of the set T is linear in its coefficients:

    v(z) = sum over U of beta_U prod_{i in U} x_i        I(T) = sum over U ⊇ T of m(|U|) beta_U

A Shapley value is the case T = {i} with m(u) = 2 / u for odd u and 0 for even u. The coefficients are independent, and
their variance w(u) = c(u) rho^u falls with the number u of players. With e_k the elementary symmetric polynomials,

    Cov(v(z), v(z'))  = sum over k of w(k) e_k(x x')
    Cov(I(T), v(z))   = prod_{i in T} x_i · sum over k of w(k) m(k) e_{k - |T|}(x outside T)

so that both are tables of how many spins are +1. The odd part (v(z) - v(1 - z)) / 2 of a game holds the odd u, its even
part the even u, and each has a process of its own (Fumagalli et al. 2026, arXiv:2602.01399, for the odd part). Let o be
the observed part, K its covariances, B those with the quantities q, and P the prior variances of q. The posterior is

    q = B (K + noise)^-1 o,    Var q = s² (P - B (K + noise)^-1 B'),    s² = o' (K + noise)^-1 o / n

A grid of models says how likely interactions of many players are (rho M, their mean degree), how much more weight the
smallest sets have (boost), and how much of the game no smooth model explains (noise). Answers are averaged with the
models' likelihoods. All matrices are constants of the design: they are made on the host in float64.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import ThreadpoolController

from xaijax._core.numerics import einsum, ratio, safe_sqrt
from xaijax._core.progress import steps
from xaijax._core.stored import stored
from xaijax._core.typing import Array, Float, Int
from xaijax.shap import _indices
from xaijax.shap._indices import spin_weights

EVEN, ODD = 0, 1
DEGREES, BOOSTS, NOISES = (0.5, 1.5, 3.0, 6.0), (3.0, 30.0), (1e-5, 1e-2, 0.3)
FEW_DEGREES, FEW_BOOSTS = {1: (1.0, 4.0), 2: (2.0,)}, (10.0,)  # by the number of players in T
FIXED = ((2.0,), (10.0,), (1e-5,))
_CONSTANT = 100.0  # the prior variance of the mean of a game, relative to that of a pair's coefficient
# Sets of more players have less than 1e-30 of the prior variance: at most 6^64 / 64!.
_LARGEST_SET = 64
_MOST_NUMBERS = 2**24  # in the operators of all models
_MOST_RATED = 256  # rows that rate the models: their likelihoods tell the models apart
# Rows of a matrix: with fewer, threads of BLAS wait for each other longer than they work, on busy cores for seconds.
_FEWEST_FOR_THREADS = 1024


class Kernel(NamedTuple):
    """Covariances of one model, in units of the prior variance of the grand coalition's part, which is the last of n.

    between: [n, n] of the parts.
    with_values: [Q, n] of the quantities with the parts.
    of_values: [Q] prior variances of the quantities.
    """

    between: np.ndarray
    with_values: np.ndarray
    of_values: np.ndarray


class Process(NamedTuple):
    """C = G L models, of G kernels with L noises each.

    operators: [C, Q, n] from parts to posterior means.
    variances: [C, Q] posterior variances for an amplitude of 1.
    residuals: [C, n] from parts to the leave-one-out residual of the grand coalition's part, in its standard deviations
      for an amplitude of 1 (Rasmussen & Williams 2006, equation 5.12).
    rated: [R] rows that rate the models.
    directions, spreads: [G, R, R] and [G, R], eigenvectors and eigenvalues of the kernels of these rows.
    noises: [L].
    simplest: [] the index of the model whose interactions are the fewest: the one for parts that are all 0.
    parameters: [C, 3] the logarithms of rho, boost and noise of each model.
    """

    operators: Float[Array, "C Q n"]
    variances: Float[Array, "C Q"]
    residuals: Float[Array, "C n"]
    rated: Int[Array, " R"]
    directions: Float[Array, "G R R"]
    spreads: Float[Array, "G R"]
    noises: Float[Array, " L"]
    simplest: Int[Array, ""]
    parameters: Float[Array, "C 3"]


class Posterior(NamedTuple):
    """values, errors: [Q, K] posterior means and standard deviations.

    residual: [K] the squared leave-one-out residual of the grand coalition's part over its variance, about 1 where the
      models hold.
    """

    values: Float[Array, "Q K"]
    errors: Float[Array, "Q K"]
    residual: Float[Array, " K"]


class Pairs(Protocol):
    """A design: coalitions [n, M], of n pairs."""

    @property
    def coalitions(self) -> np.ndarray: ...


@functools.lru_cache(maxsize=16)
def process(
    design: Pairs, pairs: int, index: str = "SII", t: int = 1, parity: int = ODD, fixed: bool = False
) -> Process:
    """Returns the constants for the first `pairs` pairs of a design, on the device.

    The quantities are the index of all sets of t players, in the order of `itertools.combinations`. fixed: one model
    alone, so that the values are linear in the game.
    """
    coalitions = design.coalitions[:pairs]

    def compute() -> dict[str, np.ndarray]:
        models = _of_coalitions(coalitions, index, t, parity, fixed)
        return {name: np.asarray(field) for name, field in models._asdict().items()}

    arrays = stored("process", (coalitions, index, t, parity, fixed), compute, (sys.modules[__name__], _indices))
    with jax.ensure_compile_time_eval():
        return Process(**{name: jnp.asarray(array) for name, array in arrays.items()})


class Order(NamedTuple):
    """An order of the players 0, 1, ... and its reverse, as pairs.

    coalitions: [M-1, M] the first players.
    models: those of a process, with the contributions of the players instead of posterior means: the mean of v(S ∪ i) -
      v(S) and v(N \\ S) - v(N \\ S \\ i), with S the players before i, is o(S ∪ i) - o(S).
    """

    coalitions: np.ndarray
    models: Process


@functools.lru_cache(maxsize=4)
def one_order(num_players: int) -> Order:
    """Returns an order and its reverse, of at least 2 players, and what processes say about the error of this estimate."""
    coalitions = np.tri(num_players - 1, num_players, dtype=bool)
    contributions = np.eye(num_players) - np.eye(num_players, k=-1)
    contributions[0, -1] += 1  # the odd part of the empty coalition is minus that of the grand one
    return Order(coalitions, _of_coalitions(coalitions, "SII", 1, ODD, False, contributions))


def _of_coalitions(
    coalitions: np.ndarray, index: str, t: int, parity: int, fixed: bool, operator: np.ndarray | None = None
) -> Process:
    count, num_players = coalitions.shape
    members = np.array(list(itertools.combinations(range(num_players), t)))
    degrees, boosts, noises = FIXED if fixed else (DEGREES, BOOSTS, NOISES)
    if len(degrees) * len(boosts) * len(noises) * len(members) * (count + 1) > _MOST_NUMBERS:
        degrees, boosts = FEW_DEGREES[t], FEW_BOOSTS
    moments = spin_weights(index, t, num_players)
    models = list(itertools.product(degrees, boosts))
    simplest = len(noises) * models.index((min(degrees), max(boosts))) + int(np.argmin(noises))
    counts = Counts.of(coalitions, members)
    kernels = (kernel(counts, moments, parity, *model) for model in steps("constants", models))
    return posterior(kernels, noises, simplest, operator)._replace(parameters=_parameters(num_players, models, noises))


def scale(degree: float, num_players: int) -> float:
    """Returns rho, the same for all players."""
    return min(degree / num_players, 0.9)


def _parameters(
    num_players: int, models: Sequence[tuple[float, float]], noises: Sequence[float]
) -> Float[Array, "C 3"]:
    grid = [(scale(degree, num_players), boost, noise) for degree, boost in models for noise in noises]
    with jax.ensure_compile_time_eval():
        return jnp.asarray(np.log(grid).astype(np.float32))


class Counts(NamedTuple):
    """The numbers of players that covariances depend on, the same for all models.

    num_players, t: M, and the number of players in each T.
    agreeing: [n, n] in how many players two coalitions agree. inside, outside: [Q, n] how many players of each T, and how
      many others, are in each coalition.
    """

    num_players: int
    t: int
    agreeing: np.ndarray
    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, coalitions: np.ndarray, members: np.ndarray) -> Counts:
        """Counts for the pairs of [n-1, M] coalitions, the pair of the grand coalition, and the sets T, members [Q, t]."""
        num_players = coalitions.shape[1]
        coalitions = np.concatenate([coalitions, np.ones((1, num_players), bool)])
        spins = 2.0 * coalitions - 1
        agreeing = (num_players + np.rint(spins @ spins.T).astype(np.intp)) // 2
        inside = coalitions[:, members].sum(axis=2).T
        return cls(num_players, members.shape[1], agreeing, inside, coalitions.sum(axis=1) - inside)


def kernel(counts: Counts, moments: np.ndarray, parity: int, degree: float, boost: float) -> Kernel:
    """Returns the covariances of one model. They are looked up in tables by the counts.

    moments: [M+1] m(u).
    """
    num_players, t = counts.num_players, counts.t
    rho = scale(degree, num_players)
    weights = _prior(num_players, rho, boost, parity)
    moments = moments[: len(weights)]

    between = _by_count(num_players, rho, weights)[counts.agreeing]
    others = rho**t * _by_count(num_players - t, rho, (weights * moments)[t:])
    with_values = np.where((t - counts.inside) % 2, -1, 1) * others[counts.outside]
    prior = rho**t * _by_count(num_players - t, rho, (weights * moments**2)[t:])[-1]  # of spins all +1, e_k counts sets
    unit = between[-1, -1]
    return Kernel(between / unit, with_values / unit, np.full(len(counts.inside), prior / unit))


def _prior(num_players: int, rho: float, boost: float, parity: int) -> np.ndarray:
    """Returns c(u) = w(u) / rho^u for sets of u = 0, 1, ... players of one parity. The smallest sets have a boost."""
    sizes = np.arange(min(num_players, _LARGEST_SET) + 1)
    weights = np.where(sizes % 2 == parity, 1.0, 0.0)
    if parity == EVEN:
        weights[0] = _CONSTANT * rho**2 * num_players
        weights[2:3] *= boost / 3
    else:
        weights[1] *= boost
    return weights


def _by_count(players: int, rho: float, weights: np.ndarray) -> np.ndarray:
    """Returns [m+1] sums over k of weights[k] rho^k e_k(y), for spins y of m players of whom 0 ... m are +1.

    The elementary symmetric polynomials of p spins +1 and m - p spins -1 are the coefficients of (1 + s)^p (1 - s)^(m-p).
    Powers of rho go into the coefficients, which stay within what floats hold.
    """
    terms = min(len(weights), players + 1)
    counts = np.arange(players + 1)
    positive = np.ones((terms, players + 1))  # C(p, k) rho^k
    for k in range(1, terms):
        positive[k] = positive[k - 1] * rho * (counts - k + 1) / k
    negative = positive[:, ::-1] * np.where(np.arange(terms) % 2, -1.0, 1.0)[:, None]
    sums = [weights[k] * (positive[: k + 1] * negative[k::-1]).sum(axis=0) for k in range(terms) if weights[k]]
    return np.sum(sums, axis=0) if sums else np.zeros(players + 1)


def posterior(
    kernels: Iterable[Kernel], noises: Sequence[float], simplest: int = 0, operator: np.ndarray | None = None
) -> Process:
    """Returns the constants of all models, made in float64 and kept in float32.

    operator: [Q, n] of another linear estimate A o, instead of the posterior means. Its expected squared error is
    P - 2 A B' + A (K + noise) A'.
    """
    from scipy.linalg import eigh  # imported on first use: it takes a tenth of a second

    operators, variances, residuals, directions, spreads = [], [], [], [], []
    rated = np.zeros(0, int)
    threads = ThreadpoolController()
    for kernel in kernels:
        count = len(kernel.between)
        rated = np.sort(np.append(np.random.default_rng(0).permutation(count - 1)[: _MOST_RATED - 1], count - 1))
        with threads.limit(limits=1 if count < _FEWEST_FOR_THREADS else None, user_api="blas"):
            spread, direction = eigh(kernel.between[np.ix_(rated, rated)], driver="evd")
            models = [_model(kernel, noise, operator) for noise in noises]
        directions.append(direction)
        spreads.append(np.maximum(spread, 0))
        for own, variance, residual in models:
            operators.append(own)
            variances.append(variance)
            residuals.append(residual)
    # They are converted on the host: each conversion on the device would be a program to compile.
    arrays = {
        "operators": np.array(operators, np.float32),
        "variances": np.array(variances, np.float32),
        "residuals": np.array(residuals, np.float32),
        "rated": rated.astype(np.int32),
        "directions": np.array(directions, np.float32),
        "spreads": np.array(spreads, np.float32),
        "noises": np.array(noises, np.float32),
        "simplest": np.array(simplest, np.int32),
        "parameters": np.zeros((len(operators), 3), np.float32),
    }
    with jax.ensure_compile_time_eval():
        return Process(**{name: jnp.asarray(array) for name, array in arrays.items()})


def _model(kernel: Kernel, noise: float, operator: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the operator, the variances and the residual of one noise."""
    from scipy.linalg import cho_solve, cholesky

    noisy = kernel.between.T.copy(order="F")  # as LAPACK keeps matrices, which it then overwrites
    noisy[np.diag_indices_from(noisy)] += noise
    root = cholesky(noisy, lower=True, overwrite_a=True, check_finite=False)
    grand = np.zeros(len(noisy))
    grand[-1] = 1
    sides = [grand[:, None]] if operator is not None else [kernel.with_values.T, grand[:, None]]
    solved = cho_solve((root, True), np.concatenate(sides, axis=1), check_finite=False)
    of_grand = solved[:, -1]
    if operator is None:
        own = solved[:, :-1].T
        explained = (own * kernel.with_values).sum(axis=1)
    else:
        own = operator
        explained = 2 * (own * kernel.with_values).sum(axis=1) - ((own @ root) ** 2).sum(axis=1)
    return (
        own.astype(np.float32),
        np.maximum(kernel.of_values - explained, 0),
        of_grand / np.sqrt(of_grand[-1]),
    )


class Rating(NamedTuple):
    """part: [n, K] in units of its size; size: [1, K]; amplitudes, weights: [C, K] s² and the share of each model."""

    part: Float[Array, "n K"]
    size: Float[Array, "1 K"]
    amplitudes: Float[Array, "C K"]
    weights: Float[Array, "C K"]


def rate(models: Process, part: Float[Array, "n K"]) -> Rating:
    """Returns the weights of the models: their likelihoods of the rated rows.

    The parts are expected in units in which their squares neither overflow nor vanish.
    """
    models = _as_floats(models, part.dtype)
    size = jnp.sqrt(jnp.mean(part**2, axis=0))
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1))[None]
    part = part / size
    along = einsum("grs,rk->gsk", models.directions, part[models.rated])
    spreads = models.spreads[:, None, :] + models.noises[None, :, None]  # [G, L, R]
    amplitudes = einsum("gsk,gls->glk", along**2, 1 / spreads) / len(models.rated)
    amplitudes = amplitudes.reshape(-1, part.shape[1])
    known = amplitudes > 0
    volumes = jnp.log(spreads).sum(axis=2).reshape(-1, 1)
    likelihoods = -(len(models.rated) * jnp.log(jnp.maximum(amplitudes, 1e-30)) + volumes) / 2
    # Where all parts are 0, so are the values, of every model. Their derivatives are those of the simplest one.
    simplest = (jnp.arange(len(models.operators)) == models.simplest)[:, None].astype(part.dtype)
    weights = jnp.where(known.any(axis=0, keepdims=True), jax.nn.softmax(likelihoods, axis=0), simplest)
    return Rating(part, size, amplitudes, weights)


def mixture(models: Process, part: Float[Array, "n K"]) -> Posterior:
    """Returns means and standard deviations of the posteriors, weighted by the models' likelihoods of the rated rows."""
    return mixed(models, rate(models, part))


def mixed(models: Process, rating: Rating) -> Posterior:
    """Returns the same, given the weights."""
    part, size, amplitudes, weights = rating
    models = _as_floats(models, part.dtype)
    each = einsum("cqn,nk->cqk", models.operators, part)
    values = einsum("ck,cqk->qk", weights, each)
    variances = amplitudes[:, None, :] * models.variances[:, :, None] + (each - values[None]) ** 2
    errors = size * safe_sqrt(einsum("ck,cqk->qk", weights, variances))
    residuals = ratio(einsum("cn,nk->ck", models.residuals, part) ** 2, amplitudes)
    return Posterior(size * values, errors, (weights * residuals).sum(axis=0))


def _as_floats(models: Process, dtype: Any) -> Process:
    floats = jax.tree.map(lambda table: table.astype(dtype), models)
    return floats._replace(rated=models.rated, simplest=models.simplest)
