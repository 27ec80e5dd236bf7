"""Shapley's weights of coalitions, on the host in float64."""

from __future__ import annotations

from math import comb

import numpy as np


def shapley_weights(num_players: int) -> np.ndarray:
    """[M] s! (M - s - 1)! / M!: the weight of a marginal contribution to a coalition of s players, s = 0 ... M-1."""
    return np.array([1 / (num_players * comb(num_players - 1, size)) for size in range(num_players)])


def operator(coalitions: np.ndarray) -> np.ndarray:
    """[M, S]: Shapley values from the values of all coalitions, S = 2^M; of some of them, their part of the sum."""
    num_players = coalitions.shape[1]
    weights = shapley_weights(num_players)
    sizes = coalitions.sum(axis=1)
    joined = np.append(0.0, weights)[sizes]  # with the player: what it added to the others
    left = np.append(weights, 0.0)[sizes]  # without it: what it would add
    return np.where(coalitions.T, joined, -left)


def pair_operator(coalitions: np.ndarray) -> np.ndarray:
    """[M, n+1]: Shapley values from the odd parts of all pairs and of all players and nobody, which comes last."""
    everybody = np.ones((1, coalitions.shape[1]), bool)
    return 2 * operator(np.concatenate([coalitions, everybody]))  # a complement has the same weight, and -o


def all_coalitions(num_players: int) -> np.ndarray:
    """[2^M, M], nobody first, everybody last; coalition number s holds player i if bit i of s is set."""
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)
