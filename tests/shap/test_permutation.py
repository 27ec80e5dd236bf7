"""Permutation Shapley values: efficiency for every count, exact where they must be, errors that are true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.shap.test_exact import PAY, game_of, random_worth


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
    exact = xai.shap.exact(game_of(worth)).values
    game = game_of(worth)

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
    attribution = xai.shap.permutation(game_of(PAY), num_permutations=4000, key=key)
    np.testing.assert_allclose(attribution.values, [52 / 6, 73 / 6, 85 / 6], atol=5 * attribution.std_errors.max())
    assert attribution.std_errors.max() < 0.05


def test_the_standard_error_does_not_depend_on_the_block_size(key):
    game = game_of(1e3 + random_worth(6))
    blocks = [xai.shap.permutation(game, num_permutations=37, key=key, batch_size=size) for size in (None, 11, 50)]
    for other in blocks[1:]:
        np.testing.assert_allclose(other.std_errors, blocks[0].std_errors, rtol=2e-3)


def test_the_front_chooses_exact_for_few_players_and_sampling_for_many(key):
    few = xai.shap.values(models.table_net(8), models.rows(2, 8), xai.mask.baseline(jnp.zeros(8)), key=key)
    many = xai.shap.values(models.table_net(), models.rows(2), xai.mask.baseline(jnp.zeros(12)), key=key)
    assert few.method.startswith("exact")
    assert few.std_errors is None
    assert many.method.startswith("permutation")
    game = xai.game(models.table_net(), models.rows(2), xai.mask.baseline(jnp.zeros(12)))
    exact = xai.shap.exact(game).values
    assert jnp.abs(many.values - exact).max() < 6 * many.std_errors.max() + 1e-6


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
