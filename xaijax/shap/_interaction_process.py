"""Interactions by Gaussian processes of the odd and the even part of a game: constants of the design.

As in `_odd_process.py`, sets of k players have coefficients beta of variance rho^k, those of nobody, of single players and
of pairs more. An index is linear in beta and knows numbers alone, I(T) = sum over U ⊇ T of m(|U|) beta_U, so that its
covariance with the value of a coalition depends on the coalition's size and how many of T are in it: a table.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from xaijax._core.progress import steps
from xaijax.shap._design import Design
from xaijax.shap._indices import spin_weights
from xaijax.shap._process import Kernel, Process, posterior, too_many

EVEN, ODD = 0, 1
DEGREES, BOOSTS, NOISES = (0.5, 1.5, 3.0, 6.0), (3.0, 30.0), (1e-5, 1e-2, 0.3)
FEW_DEGREES, FEW_BOOSTS = (2.0,), (10.0,)
_CONSTANT = 100.0  # the variance of the mean, beside that of a single coefficient of a pair


@functools.lru_cache(maxsize=8)
def set_process(design: Design, index: str, t: int, parity: int) -> Process:
    """For the sets T of t = 1 or 2 players, in the order of `itertools.combinations`."""
    members = np.array(list(itertools.combinations(range(design.num_players), t)))
    degrees, boosts = DEGREES, BOOSTS
    if too_many(len(degrees) * len(boosts) * len(NOISES), len(members), len(design.coalitions)):
        degrees, boosts = FEW_DEGREES, FEW_BOOSTS
    coalitions = np.concatenate([design.coalitions, np.ones((1, design.num_players), bool)])
    made = spin_weights(index, 2, t, design.num_players)
    models = steps("constants", list(itertools.product(degrees, boosts)))
    weights = (_weights(design.num_players, degree, boost, parity) for degree, boost in models)
    return posterior((_kernel(coalitions, members, one, made) for one in weights), NOISES)


def _kernel(coalitions: np.ndarray, members: np.ndarray, weights: np.ndarray, made: np.ndarray) -> Kernel:
    """weights: [M+1] the prior variances of coefficients, made: [M+1] what of them goes into I(T), by their numbers of players."""
    num_players, t = coalitions.shape[1], members.shape[1]
    spins = 2.0 * coalitions - 1
    by_agreement = _krawtchouk(num_players, weights)
    between = by_agreement[(num_players + np.rint(spins @ spins.T).astype(int)) // 2]
    # sum over U ⊇ T of m(|U|) Var beta_U chi_U: T's own spins, and the others'
    others = _krawtchouk(num_players - t, (weights * made)[t:])
    here = coalitions[:, members].sum(axis=2).T  # [Q, n] how many of each T are in each row
    rest = coalitions.sum(axis=1) - here
    with_values = np.where((t - here) % 2, -1, 1) * others[rest]
    prior = _krawtchouk(num_players - t, (weights * made**2)[t:])[-1]  # where all spins are +1, e_k counts the sets
    unit = between[-1, -1]
    return Kernel(between / unit, with_values / unit, np.full(len(members), prior / unit))


def _weights(num_players: int, degree: float, boost: float, parity: int) -> np.ndarray:
    """[M+1] the prior variance of a coefficient of k players, k = 0 ... M, of one parity; the fewest players have a boost."""
    rho = min(degree / num_players, 0.9)
    weights = rho ** np.arange(num_players + 1)
    weights[np.arange(num_players + 1) % 2 != parity] = 0
    if parity == EVEN:
        weights[0] = _CONSTANT * rho**2 * num_players
        weights[2:3] *= boost / 3
    else:
        weights[1] *= boost
    return weights


def _krawtchouk(players: int, weights: np.ndarray) -> np.ndarray:
    """[m+1] sum over k of weights[k] e_k(y), for spins y of m players of whom p = 0 ... m are +1.

    e_k are the elementary symmetric polynomials: the coefficients of (1 + s)^p (1 - s)^(m-p).
    """
    ratio = _ratio(weights)  # its powers keep the numbers within what floats hold
    scale = weights / ratio ** np.arange(players + 1)
    found = np.zeros(players + 1)
    for plus in range(players + 1):
        found[plus] = (scale * np.convolve(_binomial(plus, ratio), _binomial(players - plus, -ratio))).sum()
    return found


def _binomial(times: int, factor: float) -> np.ndarray:
    """Coefficients of (1 + factor s)^times."""
    terms = np.ones(times + 1)
    for k in range(1, times + 1):
        terms[k] = terms[k - 1] * factor * (times - k + 1) / k
    return terms


def _ratio(weights: np.ndarray) -> float:
    """By how much the weights fall from one number of players to the next."""
    places = np.flatnonzero(weights[3:]) + 3
    if len(places) < 2:
        return 0.5
    first, last = places[0], places[-1]
    return float(abs(weights[last] / weights[first]) ** (1 / (last - first)))
