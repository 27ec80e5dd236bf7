"""The known games: their values against definitions, models and each other."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from experiments import _benchmark_games
from experiments._known_games import all_coalitions, of_table, with_equal_shapes
from tests.shap.test_exact import by_definition, random_worth


def test_values_of_a_table_are_means_over_all_orders():
    worth = random_worth(5)
    np.testing.assert_allclose(of_table(worth).exact, by_definition(worth), atol=1e-12)


@pytest.mark.parametrize(
    "make", [_benchmark_games.GAMES["teams (12)"], lambda seed, count: _benchmark_games.neighbors(3, seed, count)]
)
def test_values_of_terms_are_those_of_the_table_of_the_same_game(make):
    for game in make(seed=1, count=2):
        worth = game.value.in_numpy(all_coalitions(len(game.exact)))
        np.testing.assert_allclose(game.exact, of_table(worth).exact, atol=1e-6)


@pytest.mark.parametrize("Forest", [RandomForestRegressor, RandomForestClassifier])
def test_a_forest_is_the_mean_of_its_outputs_over_the_background(Forest):
    x, y = load_diabetes(return_X_y=True)
    x = x[:, :5]
    forest = Forest(7, max_depth=4, random_state=0).fit(x, y if Forest is RandomForestRegressor else y > 140)
    output = forest.predict if Forest is RandomForestRegressor else lambda rows: forest.predict_proba(rows)[:, 1]
    row, background = x[0], x[10:16]
    known = _benchmark_games.of_forest(forest, row, background)
    coalitions = all_coalitions(5)
    composed = np.where(coalitions[:, None, :], row, background)
    expected = output(composed.reshape(-1, 5)).reshape(len(coalitions), -1).mean(axis=1)
    np.testing.assert_allclose(known.value.in_numpy(coalitions), expected, rtol=1e-5)
    np.testing.assert_allclose(known.exact, by_definition(expected), atol=1e-5 * np.abs(expected).max())


def test_games_in_jax_and_in_numpy_are_equal():
    for name in ("teams (60)", "neighbors (64)"):
        first, second = with_equal_shapes(_benchmark_games.GAMES[name](seed=2, count=2))
        players = len(first.exact)
        coalitions = np.random.default_rng(0).random((50, players)) < 0.8
        for game in (first, second):
            np.testing.assert_allclose(game.game(coalitions), game.value.in_numpy(coalitions), atol=1e-4)
            ends = game.value.in_numpy(np.array([[True] * players, [False] * players]))
            np.testing.assert_allclose(game.exact.sum(), ends[0] - ends[1], atol=1e-4)
        assert first.value.pay.shape == second.value.pay.shape
