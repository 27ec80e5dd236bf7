"""Games with known Shapley values, for tests and studies: tables of all coalitions, and sums of terms.

A table holds the values of all 2^M coalitions, for up to about 16 players. A term pays if some players are present and
others are absent. Its Shapley values have a closed form for any number of players. A forest is a sum of terms, one for
each leaf and background row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Table:
    """worth: [2^M] or [2^M, K] of every coalition, by the integer whose bits are the players.

    The table is an array leaf, so that games of one size share compiled programs.
    """

    worth: jax.Array

    def __call__(self, coalitions: jax.Array) -> jax.Array:
        num_players = coalitions.shape[1]
        return self.worth[coalitions @ (1 << jnp.arange(num_players))]

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray:
        return np.asarray(self.worth)[coalitions @ (1 << np.arange(coalitions.shape[1]))]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Terms:
    """present, absent: [T, M] the players that must be present and absent for a term to pay; pay: [T]."""

    present: jax.Array
    absent: jax.Array
    pay: jax.Array

    def __call__(self, coalitions: jax.Array) -> jax.Array:
        members = coalitions.astype(jnp.float32)
        violated = (1 - members) @ self.present.T.astype(jnp.float32) + members @ self.absent.T.astype(jnp.float32)
        return jnp.matmul((violated < 0.5).astype(jnp.float32), self.pay, precision=jax.lax.Precision.HIGHEST)

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray:
        members = coalitions.astype(np.float32)
        present, absent = np.asarray(self.present, np.float32), np.asarray(self.absent, np.float32)
        return ((1 - members) @ present.T + members @ absent.T < 0.5) @ np.asarray(self.pay, np.float64)


class KnownValue(Protocol):
    """A game, coalitions [S, M] -> [S], in JAX and in NumPy."""

    def __call__(self, coalitions: jax.Array) -> jax.Array: ...

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class KnownGame:
    """value: the game; exact: [M] its Shapley values in float64."""

    value: KnownValue
    exact: np.ndarray

    @property
    def game(self) -> xai.Game:
        return xai.Game(self.value, len(self.exact))


def of_table(worth: np.ndarray) -> KnownGame:
    """Returns the game of a table, with Shapley values by the sum over all coalitions in float64."""
    return KnownGame(Table(jnp.asarray(worth, jnp.float32)), shapley(worth))


def shapley(worth: np.ndarray) -> np.ndarray:
    """Returns the Shapley values [M] or [M, K] of a table [2^M] or [2^M, K], in float64."""
    return shapley_matrix(len(worth).bit_length() - 1) @ np.asarray(worth, np.float64)


def shapley_matrix(num_players: int) -> np.ndarray:
    """Returns the matrix [M, 2^M] of the sum over all coalitions that is the Shapley value, in float64."""
    subsets = np.arange(2**num_players)
    matrix = np.zeros((num_players, len(subsets)))
    for player in range(num_players):
        without = subsets[subsets >> player & 1 == 0]
        sizes = np.bitwise_count(without)
        weights = 1 / (num_players * np.array([math.comb(num_players - 1, int(size)) for size in sizes]))
        matrix[player, without | 1 << player] = weights
        matrix[player, without] = -weights
    return matrix


def of_terms(present: np.ndarray, absent: np.ndarray, pay: np.ndarray) -> KnownGame:
    """Returns the game of a sum of terms, with Shapley values in closed form.

    A term with p present and a absent players gives (p-1)! a! / (p+a)! to each present player and -p! (a-1)! / (p+a)! to
    each absent player.
    """
    members, outsiders = present.sum(axis=1), absent.sum(axis=1)
    both = [math.factorial(int(p) + int(a)) for p, a in zip(members, outsiders, strict=True)]
    gains = [
        math.factorial(int(p) - 1) * math.factorial(int(a)) / total if p else 0.0
        for p, a, total in zip(members, outsiders, both, strict=True)
    ]
    losses = [
        math.factorial(int(p)) * math.factorial(int(a) - 1) / total if a else 0.0
        for p, a, total in zip(members, outsiders, both, strict=True)
    ]
    exact = (pay * gains) @ present - (pay * losses) @ absent
    return KnownGame(Terms(jnp.asarray(present), jnp.asarray(absent), jnp.asarray(pay, jnp.float32)), exact)


def with_equal_shapes(games: Sequence[KnownGame]) -> list[KnownGame]:
    """Returns the games padded with terms that pay 0 to equal numbers of terms, so that they share compiled programs."""
    counts = [len(game.value.pay) for game in games if isinstance(game.value, Terms)]

    def padded(game: KnownGame) -> KnownGame:
        terms = game.value
        if not isinstance(terms, Terms):
            return game
        missing = max(counts) - len(terms.pay)
        rows = [(0, missing), (0, 0)]
        terms = Terms(jnp.pad(terms.present, rows), jnp.pad(terms.absent, rows), jnp.pad(terms.pay, rows[:1]))
        return KnownGame(terms, game.exact)

    return [padded(game) for game in games]


def all_coalitions(num_players: int) -> np.ndarray:
    """Returns all coalitions [2^M, M], in the order of a table."""
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)
