"""Exact Shapley values against the definition, the axioms and closed forms."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.games import table

PAY = np.array([0.0, 4, 7, 10, 5, 16, 20, 35])  # -, A, B, AB, C, AC, BC, ABC


def random_worth(num_players, seed=0):
    return np.random.default_rng(seed).normal(size=2**num_players)


def by_definition(worth):
    """Mean marginal contribution over all orders, in float64."""
    num_players = int(math.log2(len(worth)))
    values = np.zeros(num_players)
    for order in itertools.permutations(range(num_players)):
        coalition = 0
        for player in order:
            values[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
    return values / math.factorial(num_players)


def test_the_founding_example():
    attribution = xai.shap.exact(table(PAY))
    np.testing.assert_allclose(attribution.values, [52 / 6, 73 / 6, 85 / 6], rtol=1e-6)
    assert attribution.base_value == 0
    assert attribution.output == 35


@pytest.mark.parametrize("num_players", [1, 2, 3, 5, 7])
def test_agrees_with_the_mean_over_all_orders(num_players):
    worth = random_worth(num_players)
    np.testing.assert_allclose(xai.shap.exact(table(worth)).values, by_definition(worth), atol=2e-6)


def test_twelve_players_in_float32_agree_with_float64(float64):
    worth = 100 + random_worth(12)
    precise = xai.shap.exact(table(worth)).values
    assert precise.dtype == jnp.float64
    single = xai.shap.exact(table(worth.astype(np.float32))).values
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, precise, atol=2e-5)


def test_efficiency_dummy_symmetry_and_linearity():
    first, second = random_worth(4, 1), random_worth(4, 2)
    subsets = np.arange(16)
    dummy = first[subsets & 0b0111]  # player 3 changes nothing
    symmetric = first[(subsets & 0b1100) | (np.bitwise_count(subsets & 0b11) > 0)]  # players 0 and 1 are alike
    values = {
        name: np.asarray(xai.shap.exact(table(worth)).values)
        for name, worth in {
            "first": first,
            "second": second,
            "sum": 2 * first - second,
            "dummy": dummy,
            "symmetric": symmetric,
        }.items()
    }
    np.testing.assert_allclose(values["first"].sum(), first[-1] - first[0], atol=1e-6)
    assert values["dummy"][3] == 0  # at any optimization level of XLA
    np.testing.assert_allclose(values["symmetric"][0], values["symmetric"][1], atol=1e-7)
    np.testing.assert_allclose(values["sum"], 2 * values["first"] - values["second"], atol=2e-6)


def test_several_outputs_of_a_hand_written_game_are_several_games():
    worth = np.stack([PAY, random_worth(3)], axis=1)
    attribution = xai.shap.exact(table(worth))
    assert attribution.values.shape == (3, 2)
    np.testing.assert_allclose(attribution.values[:, 1], by_definition(worth[:, 1]), atol=1e-6)


def test_linear_models_in_closed_form():
    weights = jax.random.normal(jax.random.key(3), (6, 2))
    x, background = models.rows(5, 6), models.rows(30, 6, seed=2)
    game = xai.game(lambda x: x @ weights + 1.5, x, xai.mask.background(background), target="all")
    attribution = xai.shap.exact(game)
    expected = (x - background.mean(axis=0))[:, :, None] * weights  # w_j (x_j - E[b_j])
    np.testing.assert_allclose(attribution.values, expected, atol=5e-6)
    np.testing.assert_allclose(
        attribution.base_value, (background @ weights + 1.5).mean(0) + np.zeros((5, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(attribution.output, x @ weights + 1.5, rtol=1e-5)


def test_more_than_sixteen_players_are_refused():
    with pytest.raises(ValueError, match="at most 16 players.*17 players"):
        xai.shap.exact(xai.Game(lambda z: z.sum(axis=1), 17))
