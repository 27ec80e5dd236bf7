"""Faithfulness correlation and sensitivity-n, against enumeration, NumPy's correlation and jackknife, and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import games

m = xai.metrics


def explained(values):
    values = jnp.asarray(values, jnp.float32)
    return xai.Attribution(values, jnp.zeros(values.shape[:-1]), method="test")


def of_all_subsets(worth, values, size):
    """Pearson's correlation over all subsets of a size, in float64."""
    players = len(values)
    removed = np.array([np.isin(range(players), subset) for subset in itertools.combinations(range(players), size)])
    changes = worth[-1] - worth[games.numbers(~removed)]
    return np.corrcoef(removed @ np.asarray(values, float), changes)[0, 1]


def test_small_games_have_the_exact_correlation_over_all_subsets_of_each_size():
    """And an offset of the values, 2^20, costs no digits."""
    worth, values, rows = games.interactions(5), np.array([0.25, -1.0, 2.0, 0.125, 0.5]), []

    def value(z):
        jax.debug.callback(lambda part: rows.append(np.asarray(part)), z)
        return jnp.asarray(worth, jnp.float32)[z @ (1 << np.arange(5))]

    score = m.sensitivity_n(xai.Game(value, 5), explained(values + 2.0**20), n=[1, 2, 0.6, 4])
    jax.effects_barrier()
    evaluated = np.concatenate(rows)
    assert len(evaluated) == len(np.unique(games.numbers(evaluated))) == 5 + 10 + 10 + 5, (
        "each subset once, and no more"
    )
    expected = [of_all_subsets(worth, values, size) for size in (1, 2, 3, 4)]
    np.testing.assert_allclose(score.correlations, expected, atol=2e-5)
    np.testing.assert_allclose(score.values, np.mean(expected), atol=2e-5)
    assert score.sizes.tolist() == [1, 2, 3, 4]
    assert score.correlation_errors.tolist() == [0] * 4
    assert (float(score.std_errors), score.metric, score.better, score.method) == (0, "sensitivity-n", "higher", "test")


@pytest.mark.parametrize(("n", "num_samples", "players"), [([3, 4], 30, 9), ([297], 12, 300)])
def test_drawn_subsets_have_their_size_and_give_numpys_correlation_and_jackknife(n, num_samples, players):
    drawn, weights = [], np.random.default_rng(0).normal(size=(2, players))

    def value(z):
        jax.debug.callback(lambda part: drawn.append(np.asarray(part)), z)
        sums = z @ jnp.asarray(weights.T, jnp.float32)
        return sums[:, 0] + 0.3 * sums[:, 1] ** 2

    game, options = xai.Game(value, players), {"num_samples": num_samples, "key": jax.random.key(0)}
    score = m.sensitivity_n(game, explained(weights[0]), n=n, **options)
    jax.effects_barrier()
    removed = ~np.concatenate(drawn)
    assert removed.shape == (num_samples * len(n), players), "no other evaluations than those of the subsets"
    assert removed.sum(axis=1).tolist() == np.repeat(n, num_samples).tolist()
    assert len(np.unique(removed, axis=0)) > 0.8 * len(removed), "each is drawn by itself"
    errors = []
    for size, subsets in enumerate(removed.reshape(len(n), num_samples, players)):
        sums = (~subsets @ weights.T).T
        x, y = subsets @ weights[0], -(sums[0] + 0.3 * sums[1] ** 2)
        without = [np.corrcoef(np.delete(x, one), np.delete(y, one))[0, 1] for one in range(num_samples)]
        errors.append(np.sqrt((num_samples - 1) * np.var(without)))
        np.testing.assert_allclose(score.correlations[size], np.corrcoef(x, y)[0, 1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(score.correlation_errors, errors, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(score.std_errors, np.sqrt(np.sum(np.square(errors))) / len(n), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(score.values, score.correlations.mean(), rtol=1e-5)


def table_model(table, x):
    """The worth of the features that are 1, from a table."""
    return table[(x > 0.5) @ (1 << jnp.arange(x.shape[1]))]


def test_an_example_keeps_its_draws_in_every_batch_order_and_block():
    worth = games.perceptron(8)
    model = xai.function(table_model, jnp.asarray(worth, jnp.float32))
    values = np.random.default_rng(1).normal(size=(2, 8))[[0, 0, 1]]
    game = xai.game(model, jnp.ones((3, 8)), xai.mask.baseline(jnp.zeros(8)))
    options = {"key": jax.random.key(3), "num_samples": 40, "subset_size": 4}
    score = m.faithfulness_correlation(game, explained(values), ids=[5, 1, 9], **options)
    reordered = m.faithfulness_correlation(game, explained(values[[2, 0, 1]]), ids=[9, 5, 1], batch_size=7, **options)
    np.testing.assert_allclose(reordered.values, score.values[np.array([2, 0, 1])], atol=1e-6)
    np.testing.assert_allclose(reordered.std_errors, score.std_errors[np.array([2, 0, 1])], atol=1e-6)
    assert abs(score.values[0] - score.values[1]) > 1e-3, "other ids have other draws"
    assert (score.metric, score.better, score.method) == ("faithfulness correlation", "higher", "test")


def test_padding_is_no_player_and_one_subset_has_no_correlation():
    """Texts of 5, 3 and 1 tokens: pairs of the first are drawn, single tokens of the second are all evaluated."""
    worth, seen = jnp.array([0.0, 1.0, 3.0, -2.0, 0.5, 2.0, 0.0]), []

    def model(ids):
        jax.debug.callback(lambda part: seen.append(np.asarray(part)), ids)
        return worth[ids].sum(axis=1) + 0.5 * (ids == 2).any(axis=1) * (ids == 3).any(axis=1)

    texts = jnp.array([[1, 2, 3, 4, 5, 0, 0], [0, 0, 0, 0, 3, 2, 1], [2, 0, 0, 0, 0, 0, 0]])
    values = np.array([[0.5, 1.0, -1.0, 2.0, 0.1, 7.0, 7.0], [7.0, 7.0, 7.0, 7.0, 1.0, 2.0, -0.5], [7.0] * 7])
    games = xai.game(model, texts, xai.mask.tokens(6, pad_id=0), target=lambda y: y)
    jax.effects_barrier()
    seen.clear()
    options = {"subset_size": 0.4, "num_samples": 8, "key": jax.random.key(0)}
    score = m.faithfulness_correlation(games, explained(values), **options)
    jax.effects_barrier()
    first = [ids for ids in np.concatenate(seen) if 4 in ids or 5 in ids]
    assert {(ids == 6).sum() for ids in first} == {2}, "padding takes no part in a pair"
    shorter = xai.game(model, texts[:1, :5], xai.mask.tokens(6, pad_id=0), target=lambda y: y)
    shorter = m.faithfulness_correlation(shorter, explained(values[:1, :5]), **options)
    np.testing.assert_allclose(score.values[0], shorter.values[0], rtol=1e-5, err_msg="nor has its length")
    changes = [-2.0 + 0.5, 3.0 + 0.5, 1.0]  # without each token of the second text
    np.testing.assert_allclose(score.values[1], np.corrcoef(values[1, 4:], changes)[0, 1], rtol=1e-5)
    assert np.isnan(score.values).tolist() == [False, False, True]
    assert score.std_errors[0] > 0
    assert score.std_errors[1] == 0


def test_closed_forms_of_additive_games_and_undefined_correlations():
    """1 for its own values, -1 for the negated ones; nothing for equal values, or where all subsets change the same."""
    weights = jnp.array([1.0, -2.0, 4.0, 0.5])

    @jax.jit
    def measure(weights, values):
        game = xai.game(lambda x: x @ weights, jnp.ones((len(values), 4)), xai.mask.baseline(jnp.zeros(4)))
        score = m.sensitivity_n(game, xai.Attribution(values, jnp.zeros(len(values))), n=[1, 2, 3])
        return score.correlations, score.correlation_errors

    values = jnp.stack([weights, -weights, jnp.full(4, 0.1), weights.at[1].set(jnp.nan)])
    correlations, errors = measure(weights, values)
    np.testing.assert_allclose(correlations, np.outer([1, -1, np.nan, np.nan], np.ones(3)), rtol=1e-5)
    np.testing.assert_allclose(errors, np.outer([0, 0, np.nan, np.nan], np.ones(3)))


def test_rounding_error_of_constant_outputs_is_no_change():
    def value(z):
        terms = 0.1 * z
        return ((terms[:, 0] + 1000.3) + terms[:, 1]) + (terms[:, 2] + terms[:, 3])

    game = xai.Game(value, 4)
    score = m.faithfulness_correlation(game, explained([1.0, -2.0, 4.0, 0.5]), subset_size=1)
    assert len(np.unique(game(~np.eye(4, dtype=bool)))) > 1
    assert np.isnan(score.values)


def test_gradients_with_respect_to_values_and_parameters_are_finite_differences():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        parameters, x = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(2, 4)))
        point = parameters, jnp.asarray(rng.normal(size=(2, 4)))

        @jax.jit
        def loss(parameters, values):
            model = xai.function(lambda weights, x: jnp.tanh(x @ weights).sum(axis=1), parameters)
            game = xai.game(model, x, xai.mask.baseline(jnp.zeros(4)))
            score = m.sensitivity_n(
                game, xai.Attribution(values, jnp.zeros(2)), n=[1, 2], num_samples=5, key=jax.random.key(0)
            )
            return score.values @ jnp.array([1.0, 2.0])

        gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(*point)
        direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), point)
        up, down = (loss(*(p + step * d for p, d in zip(point, direction, strict=True))) for step in (1e-5, -1e-5))
        for part in gradients:
            assert np.abs(part).max() > 0.01
        slope = sum(np.sum(np.asarray(g) * np.asarray(d)) for g, d in zip(gradients, direction, strict=True))
        np.testing.assert_allclose(slope, (up - down) / 2e-5, rtol=1e-6)


def cases(count, players):
    """Games, and values of all qualities: their Banzhaf values with more and more noise."""
    makers = games.interactions, games.perceptron
    worths = np.stack([makers[seed % 2](players, seed=seed) for seed in range(count)])
    banzhaf = worths @ (2.0 * games.all_coalitions(players) - 1) / worths.shape[1]
    noise = np.array([0, 0.3, 1, 3])[np.arange(count) // 2 % 4, None] * banzhaf.std(axis=1, keepdims=True)
    return worths, banzhaf + noise * np.random.default_rng(0).normal(size=banzhaf.shape)


def covered(players, size, num_samples, count):
    """The share of intervals of nominal 95 % that hold the exact correlation, and the mean error in standard deviations."""
    worths, values = cases(count, players)
    exact = np.array([[of_all_subsets(*case, size)] for case in zip(worths, values, strict=True)])

    @jax.jit
    def run(worths, values, keys):
        def estimate(case, key):
            worth, own = case
            given = xai.Attribution(own, jnp.zeros(()))
            options = {"subset_size": size, "num_samples": num_samples, "key": key}
            score = m.faithfulness_correlation(games.table(worth), given, **options)
            return score.values, score.std_errors

        of_keys = lambda case: jax.lax.map(lambda key: estimate(case, key), keys, batch_size=50)  # noqa: E731
        return jax.lax.map(of_keys, (worths, values))

    keys = jax.random.split(jax.random.key(2), 200)
    arrays = (jnp.asarray(part, jnp.float32) for part in (worths, values))
    estimates, errors = (np.asarray(part, float) for part in run(*arrays, keys))
    bias = (estimates - exact).mean(axis=1) / estimates.std(axis=1)
    return (np.abs(estimates - exact) < 1.96 * errors).mean(), bias.mean()


def test_standard_errors_cover_the_correlation_over_all_subsets():
    share, bias = covered(10, 5, num_samples=200, count=8)
    assert 0.93 < share < 0.97
    assert abs(bias) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "num_samples", "least"), [(2, 60, 0.91), (6, 100, 0.92), (6, 200, 0.93), (6, 800, 0.93), (10, 60, 0.91)]
)
def test_standard_errors_cover_for_other_sizes_and_numbers_of_subsets(size, num_samples, least):
    """With fewer subsets than by default they are a little too small."""
    share, bias = covered(12, size, num_samples, count=24)
    assert least < share < 0.97
    assert abs(bias) < 0.1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 4}, "`n` must be at most 3, got 4."),
        ({"n": 0}, "`n` must be at least 1, got 0."),
        ({"n": 1.5}, "`n` must be a number of players from 1 to 3, or a share of them between 0 and 1, got 1.5: write the"),
        ({"n": []}, "`n` must be at least one size, got none."),
        ({"n": "2"}, "`n` must be a number, a number of players from 1 to 3"),
        ({"num_samples": 3}, "`num_samples` must be at least 4, got 3."),
        ({"n": 2, "num_samples": 5}, r"`key` must be a JAX random key, such as jax.random.key\(0\), got None: there are 6 subsets"),
        ({"ids": [1]}, "`ids` must be None for a game written by hand"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(options, sentence):
    game = xai.Game(lambda z: z.sum(axis=1), 4)
    with pytest.raises((TypeError, ValueError), match=sentence):
        m.sensitivity_n(game, explained(np.ones(4)), **options)


def test_a_game_of_one_player_and_several_outputs_are_refused():
    with pytest.raises(ValueError, match="`game` must have at least 2 players, got 1 player"):
        m.faithfulness_correlation(xai.Game(lambda z: z.sum(axis=1), 1), explained([1.0]))
    with pytest.raises(ValueError, match="`game` must have one output, which the attribution explains, got several"):
        m.faithfulness_correlation(xai.Game(lambda z: z @ jnp.ones((3, 2)), 3), explained([1.0, 2.0, 3.0]))
