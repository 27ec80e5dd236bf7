"""The games on which Shapley estimators meet their peers: few enough players that the truth is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY
from benchmarks._growth import perceptron


class KnownTable(NamedTuple):
    """A perceptron, rows x [N, M], a baseline row [M] of zeros, the games, and their exact Shapley values [N, M]."""

    model: xai.Model
    x: jax.Array
    masker: xai.mask.Background
    game: xai.Game
    truth: np.ndarray


def known_table(players: int, inputs: int) -> KnownTable:
    """Games of so many players, of one model row for each coalition."""
    model = perceptron(players, 0)
    x = jax.random.normal(KEY, (inputs, players))
    masker = xai.mask.baseline(np.zeros(players, np.float32))
    game = xai.game(model, x, masker)
    return KnownTable(model, x, masker, game, np.asarray(xai.shap.exact(game).values))


def permutations_for(evaluations: int, players: int) -> int:
    """How many permutations, each walked in both directions, take at most so many evaluations."""
    return max(1, (evaluations - 2) // (2 * (players - 1)))


def evaluations_of(permutations: int, players: int) -> int:
    """And how many they take."""
    return 2 * permutations * (players - 1) + 2


def values(estimate: Any, game: xai.Game, **options: Any) -> Any:
    """Of one of our estimators."""
    return estimate(game, key=KEY, **options).values
