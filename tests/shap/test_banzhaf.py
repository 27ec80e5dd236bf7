"""Banzhaf values by their definition: the mean of what a player adds, over all coalitions of the others."""

import numpy as np
import pytest

import xaijax as xai
from tests.games import table

PAY = np.array([0.0, 4, 7, 10, 5, 16, 20, 35])  # -, A, B, AB, C, AC, BC, ABC


def by_definition(worth):
    subsets = np.arange(len(worth))
    players = range(len(worth).bit_length() - 1)
    return np.array(
        [(worth[subsets | 1 << player] - worth[subsets & ~(1 << player)]).mean(axis=0) for player in players]
    )


def test_the_founding_example():
    """A adds 4, 3, 11 and 15; B 7, 6, 15 and 19; C 5, 12, 13 and 25."""
    attribution = xai.shap.banzhaf(table(PAY.astype(np.float32)))
    np.testing.assert_allclose(attribution.values, [33 / 4, 47 / 4, 55 / 4], rtol=1e-6)
    assert (attribution.base_value, attribution.output, attribution.num_evaluations) == (0, 35, 8)
    assert (attribution.std_errors == 0).all()


@pytest.mark.parametrize("num_players", [1, 2, 7])
def test_agrees_with_the_mean_over_all_coalitions(num_players):
    worth = 10 + np.random.default_rng(0).normal(size=(2**num_players, 2))
    attribution = xai.shap.banzhaf(table(worth.astype(np.float32)))
    np.testing.assert_allclose(attribution.values, by_definition(worth), atol=5e-6)


def test_a_majority_of_five_swings_with_six_of_sixteen():
    majority = (np.bitwise_count(np.arange(32)) >= 3).astype(np.float32)
    np.testing.assert_allclose(xai.shap.banzhaf(table(majority)).values, 6 / 16, rtol=1e-6)


def test_more_than_sixteen_players_are_refused():
    with pytest.raises(
        ValueError, match=r"at most 16 players for shap\.banzhaf.*17 players.*2\^17 = 131,072 coalitions"
    ):
        xai.shap.banzhaf(xai.Game(lambda z: z.sum(axis=1), 17))
