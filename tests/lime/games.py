"""Games whose best line under LIME's law is known by enumeration."""

import math

import jax.numpy as jnp
import numpy as np

from experiments._known_games import Table, all_coalitions
from tests import games
from tests.games import PLAYERS
from xaijax.lime._coalitions import log_size_distribution

COALITIONS = all_coalitions(PLAYERS).astype(int)


def perceptron(seed=0):
    """[2^M] the values of a small network of all coalitions, between 0 and 1."""
    rng = np.random.default_rng(seed)
    hidden = np.tanh((COALITIONS - 0.5) @ rng.normal(size=(PLAYERS, 20)) + 0.5 * rng.normal(size=20))
    return 1 / (1 + np.exp(-hidden @ rng.normal(size=20)))


def interactions(seed=0):
    """[2^M] the values of a game of single players and of random pairs and triples."""
    return games.interactions(PLAYERS, seed, sizes=(2, 3))


def worth(values):
    """The game v(z) of a table of values."""
    return Table(jnp.asarray(values, jnp.float32))


def best_line(values, width, distance="cosine", uniform_sizes=False):
    """[1+M] intercept and coefficients of least squares over all coalitions, in float64.

    All coalitions are equally likely before the kernel, or all sizes from one absent player on.
    """
    absent = PLAYERS - COALITIONS.sum(axis=1)
    share = 1 - np.arange(PLAYERS + 1) / PLAYERS
    distances = {"cosine": 1 - np.sqrt(share), "euclidean": np.sqrt(1 - share), "hamming": 1 - share}[distance]
    root = np.exp(-((distances / width) ** 2) / 2)
    if uniform_sizes:
        root *= np.sqrt((np.arange(PLAYERS + 1) > 0) / binomials())
    root = root[absent]
    design = np.concatenate([np.ones((len(COALITIONS), 1)), COALITIONS], axis=1)
    return np.linalg.lstsq(root[:, None] * design, root * values, rcond=None)[0]


def law(width, distance="cosine", players=PLAYERS):
    """[M+1] P(a players are absent), in float64."""
    return np.exp(np.asarray(log_size_distribution(jnp.asarray(players), players, distance, width), np.float64))


def binomials(players=PLAYERS):
    return np.array([math.comb(players, a) for a in range(players + 1)])
