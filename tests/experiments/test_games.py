"""The known games: their values against definitions, models and each other."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor

from experiments import _benchmark_games, _forest_games, _formula_games
from experiments._estimators import stand_in
from experiments._known_games import all_coalitions, of_table, with_equal_shapes
from experiments._network_games import Perceptron, long_run
from tests.shap.test_exact import by_definition, random_worth


def test_values_of_a_table_are_means_over_all_orders():
    worth = random_worth(5)
    np.testing.assert_allclose(of_table(worth).exact, by_definition(worth), atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        _benchmark_games.GAMES["teams (12)"],
        lambda seed, count: _formula_games.neighbors(3, seed, count),
        lambda seed, count: _formula_games.conjunctions(8, 10, seed, count),
    ],
)
def test_values_of_terms_are_those_of_the_table_of_the_same_game(make):
    for game in make(seed=1, count=2):
        worth = game.value.in_numpy(all_coalitions(len(game.exact)))
        np.testing.assert_allclose(game.exact, of_table(worth).exact, atol=1e-6)


def test_a_coalition_is_worth_as_much_as_its_best_player():
    (game,) = _formula_games.largest(6, seed=0, count=1)
    coalitions = all_coalitions(6)
    alone = game.value.in_numpy(np.eye(6, dtype=bool)) - game.value.in_numpy(np.zeros((1, 6), bool))
    worth = (coalitions * alone).max(axis=1)
    np.testing.assert_allclose(game.value.in_numpy(coalitions) - game.value.in_numpy(coalitions[:1]), worth, atol=1e-6)
    np.testing.assert_allclose(game.exact, by_definition(worth), atol=1e-6)


def test_votes_and_rare_events_are_what_they_say():
    (votes,) = _formula_games.majority(7, seed=0, count=1)
    coalitions = all_coalitions(7)
    worth = votes.value.in_numpy(coalitions)
    np.testing.assert_array_equal(worth + votes.value.in_numpy(~coalitions), 1)  # a majority, or its complement is one
    assert votes.exact.sum() == pytest.approx(1)
    (rare,) = _formula_games.rare_event(12, seed=0, count=1)
    worth = rare.value.in_numpy(all_coalitions(12))
    assert worth.max() >= 0.5
    assert np.median(worth) < 0.05


def test_a_perceptron_is_the_mean_over_its_background_and_a_long_run_finds_its_values():
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=shape), rng.normal(size=shape[1])) for shape in ((6, 4), (4, 1))]
    x, background = rng.normal(size=6), rng.normal(size=(2, 6))
    value = Perceptron(layers, x, background)
    coalitions = all_coalitions(6)
    rows = np.where(coalitions[:, None], x, background)
    expected = (np.maximum(rows @ layers[0][0] + layers[0][1], 0) @ layers[1][0] + layers[1][1]).mean(axis=(1, 2))
    np.testing.assert_allclose(value.in_numpy(coalitions), expected, atol=1e-12)
    np.testing.assert_allclose(value(coalitions), expected, atol=1e-5)
    exact = by_definition(expected)
    np.testing.assert_allclose(long_run(value, seed=0, pairs=20_000), exact, atol=0.01 * np.abs(exact).max())


def test_the_stand_in_walks_every_order_forwards_and_backwards():
    worth = random_worth(4)
    known = of_table(worth)
    estimates = stand_in().estimate(known, 27, range(2000))  # three orders of nine evaluations
    assert estimates.evaluations == 27
    np.testing.assert_allclose(estimates.values.sum(axis=1), worth[-1] - worth[0], atol=1e-6)
    spread = estimates.values.std(axis=0)
    np.testing.assert_array_less(np.abs(estimates.values.mean(axis=0) - known.exact), 4.5 * spread / np.sqrt(2000))
    # An order and its reverse are right for games of pairs.
    bits = all_coalitions(4).astype(float)
    pairs = of_table(bits @ [1.0, 2, 3, 4] + 3 * bits[:, 0] * bits[:, 2])
    np.testing.assert_allclose(stand_in().estimate(pairs, 9, [5]).values[0], pairs.exact, atol=1e-5)


@pytest.mark.parametrize("Forest", [RandomForestRegressor, RandomForestClassifier, GradientBoostingClassifier])
def test_a_forest_is_the_mean_of_its_outputs_over_the_background(Forest):
    x, y = load_diabetes(return_X_y=True)
    x = x[:, :5]
    forest = Forest(n_estimators=7, max_depth=4, random_state=0)
    forest.fit(x, y if Forest is RandomForestRegressor else y > 140)
    output = {
        RandomForestRegressor: lambda rows: forest.predict(rows),
        RandomForestClassifier: lambda rows: forest.predict_proba(rows)[:, 1],
        GradientBoostingClassifier: lambda rows: (
            forest.decision_function(rows) - np.log((y > 140).mean() / (y <= 140).mean())
        ),
    }[Forest]
    row, background = x[0], x[10:16]
    known = _forest_games.of_forest(forest, row, background)
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
