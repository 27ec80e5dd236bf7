"""Permutation Shapley values: efficiency for every count, exact where they must be, errors that are true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import shapley
from tests import models
from tests.games import coverage, interactions, over_keys, perceptron, relative_error, table
from tests.shap.test_exact import PAY, random_worth
from xaijax.shap._permutation import _orthogonal


@pytest.mark.parametrize("num_permutations", [1, 2, 3, 16])
def test_values_sum_to_output_minus_base_value(num_permutations, key):
    masker = xai.mask.background(models.rows(7, seed=1))
    game = xai.game(models.table_net(), models.rows(5), masker, target="all")
    attribution = xai.shap.permutation(game, num_permutations=num_permutations, key=key)
    gap = attribution.values.sum(axis=1) - (attribution.output - attribution.base_value)
    assert jnp.abs(gap).max() < 5e-6
    np.testing.assert_allclose(attribution.output, models.table_net()(models.rows(5)), atol=1e-5)


@pytest.mark.parametrize("num_players", [1, 2, 9])
def test_games_of_pairs_are_exact_after_one_permutation(num_players, key):
    coupling = jax.random.normal(jax.random.key(1), (num_players, num_players))
    game = xai.Game(lambda z: jnp.einsum("si,ij,sj->s", z.astype(float), coupling, z.astype(float)), num_players)
    attribution = xai.shap.permutation(game, num_permutations=1, key=key)
    np.testing.assert_allclose(attribution.values, (coupling + coupling.T).sum(axis=1) / 2, atol=1e-5)
    assert jnp.isnan(attribution.std_errors).all()  # one pair says nothing of its error


@pytest.mark.parametrize("features", [20, 200])
def test_linear_models_have_no_error(key, features):
    weights = jnp.linspace(-1, 1, features)
    x, background = models.rows(3, features), models.rows(10, features, seed=2)
    attribution = xai.shap.permutation(xai.game(lambda x: x @ weights, x, xai.mask.background(background)), key=key)
    np.testing.assert_allclose(attribution.values, weights * (x - background.mean(axis=0)), atol=1e-5)
    assert attribution.std_errors.max() < 2e-6


def test_a_feature_that_the_model_ignores_gets_zero(key):
    game = xai.game(lambda x: x[:, 0] * x[:, 1] * x[:, 2], models.rows(3, 11), xai.mask.baseline(jnp.ones(11)))
    attribution = xai.shap.permutation(game, num_permutations=4, key=key)
    assert (attribution.values[:, 3:] == 0).all()
    assert (attribution.std_errors[:, 3:] == 0).all()


def test_errors_are_true_over_many_keys():
    """No bias, and the error in units of the standard error follows Student's t with 31 degrees of freedom."""
    worth = random_worth(5, 3)
    exact = xai.shap.exact(table(worth)).values
    game = table(worth)

    def score(key):
        attribution = xai.shap.permutation(game, num_permutations=32, key=key)
        return attribution.values - exact, attribution.std_errors

    errors, std_errors = map(np.asarray, jax.vmap(score)(jax.random.split(jax.random.key(2), 1500)))
    assert (np.abs(errors.mean(axis=0)) < 4 * errors.std(axis=0) / np.sqrt(1500)).all()
    scores = errors / std_errors
    coverage = (np.abs(scores) < 2.04).mean()  # the 95 % quantile of t_31
    assert 0.935 < coverage < 0.965
    assert 0.95 < scores.std() < 1.12


def test_many_permutations_find_the_founding_values(key):
    attribution = xai.shap.permutation(table(PAY), num_permutations=4000, key=key)
    np.testing.assert_allclose(attribution.values, [52 / 6, 73 / 6, 85 / 6], atol=5 * attribution.std_errors.max())
    assert attribution.std_errors.max() < 0.05


def test_the_standard_error_does_not_depend_on_the_block_size(key):
    game = table(1e3 + random_worth(6))
    blocks = [xai.shap.permutation(game, num_permutations=37, key=key, batch_size=size) for size in (None, 11, 50)]
    for other in blocks[1:]:
        np.testing.assert_allclose(other.std_errors, blocks[0].std_errors, rtol=2e-3)


ORTHOGONAL = {"orders": "orthogonal", "num_permutations": 9}  # a block of ten players


def test_orthogonal_orders_have_no_bias_and_a_smaller_error():
    """Of a rough game and of a network, with as many orders as there are in one block."""
    worths = np.stack([random_worth(10, 3), perceptron(10), interactions(10)])
    exact = np.stack([shapley(worth) for worth in worths])
    values, std_errors = over_keys(lambda game, key: xai.shap.permutation(game, key=key, **ORTHOGONAL), worths, 400)
    independent = lambda game, key: xai.shap.permutation(game, key=key, num_permutations=9)  # noqa: E731
    others, _ = over_keys(independent, worths, 400)
    assert (np.abs(values.mean(axis=0) - exact) < 4.5 * values.std(axis=0) / 20).all()
    for game in range(3):
        error, other = (relative_error(result[:, [game]], exact[[game]]) for result in (values, others))
        assert error < 0.9 * other
    # Standard errors take orders for independent, and are too large rather than too small.
    assert coverage(values, std_errors * 2.306 / 1.96, exact) > 0.95  # the 95 % quantile of t_8


@pytest.mark.parametrize("num_permutations", [1, 8, 20])
def test_orthogonal_orders_are_orders(num_permutations, key):
    ranks = np.asarray(_orthogonal(key, 9, num_permutations))
    np.testing.assert_array_equal(np.sort(ranks, axis=1), np.tile(np.arange(9), (num_permutations, 1)))


def test_orthogonal_orders_are_less_alike_than_independent_ones():
    """Rank correlations of independent orders of 9 players have variance 1/8; directions at right angles, far less."""
    keys = jax.random.split(jax.random.key(1), 200)
    ranks = np.asarray(jax.vmap(lambda key: _orthogonal(key, 9, 8))(keys))
    correlations = np.einsum("kpm,kqm->kpq", ranks - 4.0, ranks - 4.0) / 60
    squares = (correlations[:, ~np.eye(8, dtype=bool)] ** 2).mean()
    assert squares < 0.3 / 8
    # Each player has each rank equally often.
    counts = np.array([np.bincount(ranks[:, :, player].ravel(), minlength=9) for player in range(9)])
    assert (np.abs(counts - 1600 / 9) < 5 * np.sqrt(1600 / 9)).all()


@pytest.mark.parametrize("orders", ["independent", "orthogonal"])
@pytest.mark.parametrize("num_players", [1, 2, 3])
def test_few_players_are_exact_in_any_orders(orders, num_players, key):
    """Two directions of one order of two players are all orders; three players have no interaction that pairs miss."""
    worth = random_worth(num_players)
    attribution = xai.shap.permutation(table(worth), key=key, orders=orders, num_permutations=400)
    tolerance = 2e-6 if num_players < 3 else 5 * attribution.std_errors.max()
    np.testing.assert_allclose(attribution.values, shapley(worth), atol=tolerance)
    np.testing.assert_allclose(attribution.values.sum(), worth[-1] - worth[0], atol=2e-6)


@pytest.mark.parametrize("orders", ["independent", "orthogonal"])
def test_orders_are_walked_on_until_the_precision_is_reached(orders, key):
    game = table(random_worth(6, 4))
    result = xai.shap.permutation(game, key=key, num_permutations=5, orders=orders, until=0.2, max_evaluations=2002)
    assert result.converged
    assert result.std_errors.max() <= 0.2 * jnp.abs(result.values).max()
    rounds = (int(result.num_evaluations) - 2) // (5 * 10)
    assert 1 < rounds < 40
    assert result.num_evaluations == 2 + rounds * 5 * 10
    before = xai.shap.permutation(
        game, key=key, num_permutations=5, orders=orders, until=0.2, max_evaluations=2 + 50 * (rounds - 1)
    )
    assert before.num_evaluations == 2 + (rounds - 1) * 5 * 10
    assert not before.converged or orders == "orthogonal"  # whose blocks are cut by the cap
    np.testing.assert_allclose(result.values.sum(), result.output - result.base_value, atol=5e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orders": "orthogonl"}, "orders.? must be one of.*did you mean 'orthogonal'"),
        ({"num_permutations": 0}, "num_permutations.? must be at least 1"),
        ({"max_evaluations": 30}, "`max_evaluations` must be left out unless `until` is given"),
        ({"until": 0.1, "max_evaluations": 60}, "`max_evaluations` must be at least 66, got 60"),
    ],
)
def test_options_without_sense_are_said(options, message, key):
    with pytest.raises(ValueError, match=message):
        xai.shap.permutation(table(PAY), key=key, **options)


def test_memory_is_bounded_by_the_batch_size():
    """Background and permutations that would take 290 GB at once run in the memory of one block."""
    from xaijax.shap._permutation import _permutation

    def temporary_bytes(num_background, num_permutations):
        masker = xai.mask.background(jnp.zeros((num_background, 30)))
        game = xai.game(models.table_net(30), models.rows(16, 30), masker)
        lowered = _permutation.lower(game, jax.random.key(0), None, num_permutations=num_permutations, batch_size=2048)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    small, large = temporary_bytes(100, 10), temporary_bytes(5000, 500)
    assert 16 * 500 * 58 * 5000 * 30 * 4 > 2.7e11
    assert large < small + 2e6
    assert large < 10e6
