"""The odd Gaussian process over coalitions: all that does not depend on the game, made once on the host in float64.

With spins x = 2 z - 1 a game is a sum over sets T of beta_T prod_{i in T} x_i, and its Shapley values are

    phi_i = 2 sum over odd T with i in T of beta_T / |T|

so that only the odd part o(z) = (v(z) - v(1 - z)) / 2 of a game counts (Fumagalli et al. 2026, arXiv:2602.01399). Let o be
a Gaussian process whose coefficients of sets of k players have variance rho^k: of kernel

    k(x, y) = odd part of prod_i (1 + rho x_i y_i) = (1 - rho²)^(M/2) sinh(atanh(rho) x·y)

and its Shapley values are jointly normal with it, as sum over k of E[beta_T o(y)] / |T| is an integral over t in [-1, 1] of

    rho x_i / (1 + t rho x_i) · prod_j (1 + t rho x_j)

which Gauss-Legendre nodes give exactly. Their posterior mean is a constant matrix times the values of the game, and their
posterior variance a constant times the amplitude: o'K^-1 o / n.

How likely interactions of k players are (rho M = their mean degree), how much more weight single players have (boost), and
how much of the game is too rough to be seen (noise) are given by a grid of models, over which answers are averaged with
the models' likelihoods: smooth in the game, and honest about which model holds.
"""

from __future__ import annotations

import functools
import itertools
from math import comb

import numpy as np

from xaijax._core.progress import steps
from xaijax.shap._design import Design
from xaijax.shap._process import Kernel, Process, posterior, too_many

DEGREES, BOOSTS, NOISES = (0.5, 1.5, 3.0, 6.0), (3.0, 30.0), (1e-5, 1e-2, 0.3)
FEW_DEGREES, FEW_BOOSTS = (1.0, 4.0), (10.0,)
FIXED = ((2.0,), (10.0,), (1e-5,))
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)  # exact up to interactions of 31 players


@functools.lru_cache(maxsize=16)
def process(design: Design, pairs: int, fixed: bool = False) -> Process:
    """The constants for the first `pairs` pairs of a design; fixed: one model alone, so that the values are linear."""
    degrees, boosts, noises = FIXED if fixed else (DEGREES, BOOSTS, NOISES)
    if too_many(len(degrees) * len(boosts) * len(noises), design.num_players, pairs):
        degrees, boosts = FEW_DEGREES, FEW_BOOSTS
    coalitions = design.coalitions[:pairs]
    models = steps("constants", list(itertools.product(degrees, boosts)))
    return posterior((kernel(coalitions, degree, boost) for degree, boost in models), noises)


def kernel(coalitions: np.ndarray, degree: float, boost: float) -> Kernel:
    """The covariances of one model. They depend on sizes and overlaps alone, and are looked up in tables of these."""
    num_players = coalitions.shape[1]
    rho = min(degree / num_players, 0.9)
    spins = np.concatenate([2.0 * coalitions - 1, np.ones((1, num_players))])
    products = np.arange(-num_players, num_players + 1)
    scale = np.exp(-num_players * np.log1p(rho))  # prod (1 + rho), so that variances are about 1
    root = scale * np.exp(num_players / 2 * np.log1p(-(rho**2)))
    single = (boost - 1) * rho * scale
    table = root * np.sinh(np.arctanh(rho) * products) + single * products
    between = table[np.rint(spins @ spins.T).astype(int) + num_players]

    sizes = np.arange(num_players + 1)
    spin = np.array([-1.0, 1.0])[:, None, None]  # of absent and of present players
    inner = _NODES * rho
    products_of_others = np.exp(
        num_players / 2 * np.log1p(-(inner**2)) + (2 * sizes[:, None] - num_players) * np.arctanh(inner)
    )
    by_spin = (
        scale * (_WEIGHTS * rho * spin / (1 + inner * spin) * products_of_others).sum(axis=2)
        + 2 * single * spin[:, :, 0]
    )
    own_sizes = np.append(coalitions.sum(axis=1), num_players)
    with_values = np.where(spins.T > 0, by_spin[1][own_sizes], by_spin[0][own_sizes])

    # sum over odd k of 4 C(M-1, k-1) rho^k / k²: the variance of 2 beta_T / k over the sets with player i
    degrees = np.arange(1, min(num_players, 61) + 1, 2)
    terms = [4.0 * comb(num_players - 1, int(k) - 1) * rho ** int(k) / k**2 for k in degrees]
    of_values = np.full(num_players, scale * sum(terms) + 4 * single)
    unit = table[-1]
    return Kernel(between / unit, with_values / unit, of_values / unit)
