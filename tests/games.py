"""Games of few players as tables of the values of all coalitions, and what estimators are measured by."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from experiments._known_games import Table, all_coalitions

PLAYERS = 10


def table(worth) -> xai.Game:
    return xai.Game(Table(jnp.asarray(worth)), len(worth).bit_length() - 1)


def numbers(coalitions):
    """The index of each coalition in the table."""
    return coalitions @ (1 << np.arange(coalitions.shape[1]))


def perceptron(num_players=PLAYERS, seed=0, relevant=None):
    """[2^M] a small network of the first `relevant` players, or of all of them: interactions of every order, few high."""
    rng = np.random.default_rng(seed)
    relevant = relevant or num_players
    spins = 2.0 * all_coalitions(num_players)[:, :relevant] - 1
    hidden = np.tanh(spins @ rng.normal(size=(relevant, 12)) / np.sqrt(relevant) + 0.5 * rng.normal(size=12))
    return hidden @ rng.normal(size=12)


def interactions(num_players=PLAYERS, seed=0, sizes=(2, 3, 4)):
    """[2^M] single players, and 25 sets of each of the sizes."""
    rng = np.random.default_rng(seed)
    coalitions = all_coalitions(num_players)
    worth = coalitions @ rng.normal(size=num_players)
    for size in sizes:
        for _ in range(25):
            worth += rng.normal() * coalitions[:, rng.choice(num_players, size, replace=False)].all(axis=1)
    return worth


def over_keys(estimator, worths, count, seed=2):
    """Values and standard errors [R, G, M] of `estimator(game, key)` for R keys and G games [G, 2^M], in float64."""
    worths = jnp.asarray(worths, jnp.float32)
    keys = jax.random.split(jax.random.key(seed), count)

    @jax.jit
    def run(worths, keys):
        def explain(case):
            key, number = case
            attribution = estimator(table(worths[number]), key)
            return attribution.values, attribution.std_errors

        cases = jnp.repeat(keys, len(worths)), jnp.tile(jnp.arange(len(worths)), count)
        return jax.lax.map(explain, cases, batch_size=50)

    return [np.asarray(part, float).reshape(count, len(worths), -1) for part in run(worths, keys)]


def relative_error(values, exact):
    """Returns the mean squared error of values [R, G, M], relative to the squared lengths of the exact ones [G, M]."""
    return (((values - exact) ** 2).sum(axis=2) / (exact**2).sum(axis=1)).mean()


def coverage(values, std_errors, exact):
    """Returns how often intervals of nominal 95 % hold the exact values."""
    return (np.abs(values - exact) < 1.96 * std_errors).mean()
