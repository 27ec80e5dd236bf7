"""Games whose Shapley values are known exactly: tables of all coalitions, and sums of terms. For tests and studies.

A term pays when some players are present and others are absent. Its Shapley values are in closed form for any number of
players; forests are such sums, with one term for each leaf and background row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Table:
    """worth: [2^M] or [2^M, K] of every coalition, by the number whose bits are the players.

    An array, so that other games compile nothing new.
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
    """present, absent: [T, M] who must be there and who must not for a term to pay; pay: [T]."""

    present: jax.Array
    absent: jax.Array
    pay: jax.Array

    def __call__(self, coalitions: jax.Array) -> jax.Array:
        there = coalitions.astype(jnp.float32)
        missing = (1 - there) @ self.present.T.astype(jnp.float32) + there @ self.absent.T.astype(jnp.float32)
        return jnp.matmul((missing < 0.5).astype(jnp.float32), self.pay, precision=jax.lax.Precision.HIGHEST)

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray:
        there = coalitions.astype(np.float32)
        present, absent = np.asarray(self.present, np.float32), np.asarray(self.absent, np.float32)
        return ((1 - there) @ present.T + there @ absent.T < 0.5) @ np.asarray(self.pay, np.float64)


@dataclasses.dataclass(frozen=True)
class KnownGame:
    """value: of coalitions [S, M], one of a number of instances alike; exact: [M] its Shapley values in float64."""

    value: Table | Terms
    exact: np.ndarray

    @property
    def game(self) -> xai.Game:
        return xai.Game(self.value, len(self.exact))


def of_table(worth: np.ndarray) -> KnownGame:
    """Shapley values by the sum over all coalitions, in float64."""
    return KnownGame(Table(jnp.asarray(worth, jnp.float32)), shapley(worth))


def shapley(worth: np.ndarray) -> np.ndarray:
    """Returns the Shapley values [M] or [M, K] of a table [2^M] or [2^M, K], in float64."""
    return shapley_matrix(len(worth).bit_length() - 1) @ np.asarray(worth, np.float64)


def shapley_matrix(num_players: int) -> np.ndarray:
    """Returns [M, 2^M] the sum over all coalitions that is the Shapley value, in float64."""
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
    """Shapley values of each term in closed form: (p-1)! a! / (p+a)! for those present, -p! (a-1)! / (p+a)! for absent ones."""
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


def alike(games: Sequence[KnownGame]) -> list[KnownGame]:
    """The games with as many terms each, so that they share compiled programs: those that are added pay nothing."""
    counts = [len(one.value.pay) for one in games if isinstance(one.value, Terms)]

    def filled(one: KnownGame) -> KnownGame:
        terms = one.value
        if not isinstance(terms, Terms):
            return one
        missing = max(counts) - len(terms.pay)
        rows = [(0, missing), (0, 0)]
        terms = Terms(jnp.pad(terms.present, rows), jnp.pad(terms.absent, rows), jnp.pad(terms.pay, rows[:1]))
        return KnownGame(terms, one.exact)

    return [filled(one) for one in games]


def all_coalitions(num_players: int) -> np.ndarray:
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)
