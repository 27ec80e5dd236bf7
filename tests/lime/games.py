"""Games of few players whose best line under LIME's law is known by enumeration."""

import math

import jax.numpy as jnp
import numpy as np

from xaijax.lime._coalitions import log_size_distribution

PLAYERS = 10
COALITIONS = (np.arange(2**PLAYERS)[:, None] >> np.arange(PLAYERS)) & 1
_CODES = 2 ** np.arange(PLAYERS)


def perceptron(seed=0):
    """[2^M] the values of a small network of all coalitions, between 0 and 1."""
    rng = np.random.default_rng(seed)
    hidden = np.tanh((COALITIONS - 0.5) @ rng.normal(size=(PLAYERS, 20)) + 0.5 * rng.normal(size=20))
    return 1 / (1 + np.exp(-hidden @ rng.normal(size=20)))


def interactions(seed=0):
    """[2^M] the values of a game with random pairs and threes beside single players."""
    rng = np.random.default_rng(seed)
    values = COALITIONS @ rng.normal(size=PLAYERS)
    for size in (2, 3):
        for _ in range(25):
            values += rng.normal() * COALITIONS[:, rng.choice(PLAYERS, size, replace=False)].prod(axis=1)
    return values


def worth(values):
    """The game v(z) of a table of values."""
    table = jnp.asarray(values, jnp.float32)
    return lambda coalitions: table[coalitions.astype(int) @ _CODES]


def best_line(values, width, distance="cosine", uniform_sizes=False):
    """[1+M] intercept and coefficients of least squares over all coalitions, in float64.

    All coalitions are equally likely before the kernel, or all sizes of one absent player and more.
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
