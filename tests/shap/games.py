"""Games of few players as tables of what each coalition is worth, with their Shapley values as sums in float64."""

from __future__ import annotations

import dataclasses
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai

PLAYERS = 10


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Table:
    """worth: [2^M] or [2^M, K], by the number whose bits are the players. An array: other games compile nothing new."""

    worth: jax.Array

    def __call__(self, coalitions):
        return self.worth[coalitions @ (1 << jnp.arange(coalitions.shape[1]))]


def table(worth) -> xai.Game:
    return xai.Game(Table(jnp.asarray(worth)), len(worth).bit_length() - 1)


def all_coalitions(num_players):
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)


def numbers(coalitions):
    """The place of each coalition in the table."""
    return coalitions @ (1 << np.arange(coalitions.shape[1]))


def shapley_matrix(num_players):
    """[M, 2^M]: the sum over all coalitions that is the Shapley value, in float64."""
    subsets = np.arange(2**num_players)
    matrix = np.zeros((num_players, len(subsets)))
    for player in range(num_players):
        without = subsets[subsets >> player & 1 == 0]
        sizes = np.bitwise_count(without)
        chances = [factorial(size) * factorial(num_players - 1 - size) / factorial(num_players) for size in sizes]
        matrix[player, without | 1 << player] = chances
        matrix[player, without] = -np.array(chances)
    return matrix


def shapley(worth):
    return shapley_matrix(len(worth).bit_length() - 1) @ np.asarray(worth, float)


def perceptron(num_players=PLAYERS, seed=0, relevant=None):
    """[2^M] a small network of the first `relevant` players, or of all of them: interactions of every order, few high."""
    rng = np.random.default_rng(seed)
    relevant = relevant or num_players
    spins = 2.0 * all_coalitions(num_players)[:, :relevant] - 1
    hidden = np.tanh(spins @ rng.normal(size=(relevant, 12)) / np.sqrt(relevant) + 0.5 * rng.normal(size=12))
    return hidden @ rng.normal(size=12)


def interactions(num_players=PLAYERS, seed=0):
    """[2^M] single players, and 25 pairs, threes and fours each."""
    rng = np.random.default_rng(seed)
    coalitions = all_coalitions(num_players)
    worth = coalitions @ rng.normal(size=num_players)
    for size in (2, 3, 4):
        for _ in range(25):
            worth += rng.normal() * coalitions[:, rng.choice(num_players, size, replace=False)].all(axis=1)
    return worth


def over_keys(estimator, worths, count, seed=2):
    """Values and standard errors [R, G, M] of `estimator(game, key)` for R keys and G games [G, 2^M], in float64."""
    worths = jnp.asarray(worths, jnp.float32)
    keys = jax.random.split(jax.random.key(seed), count)

    @jax.jit
    def run(worths, keys):
        def one(case):
            key, number = case
            found = estimator(table(worths[number]), key)
            return found.values, found.std_errors

        cases = jnp.repeat(keys, len(worths)), jnp.tile(jnp.arange(len(worths)), count)
        return jax.lax.map(one, cases, batch_size=50)

    return [np.asarray(part, float).reshape(count, len(worths), -1) for part in run(worths, keys)]


def relative_error(values, exact):
    """The mean squared error of values [R, G, M], in squared lengths of the exact ones [G, M]."""
    return (((values - exact) ** 2).sum(axis=2) / (exact**2).sum(axis=1)).mean()


def coverage(values, std_errors, exact):
    """How often intervals of nominal 95 % hold the exact values."""
    return (np.abs(values - exact) < 1.96 * std_errors).mean()
