"""Derivatives of Shapley values with respect to the input, where features equal their background."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.selection import usual

KEY = jax.random.key(3)
ESTIMATORS = {
    "exact": xai.shap.exact,
    "banzhaf": xai.shap.banzhaf,
    "owen": lambda game: xai.shap.owen(game, [[0, 1], list(range(2, game.num_players))]),
    "permutation": lambda game: xai.shap.permutation(game, key=KEY, num_permutations=4),
    "kernel": lambda game: xai.shap.kernel(game, key=KEY),
    "published": lambda game: xai.shap.kernel(game, key=KEY, sampling="published", num_evaluations=400),
    "isotropic": lambda game: xai.shap.gaussian_process(game, key=KEY),
    "adapted": lambda game: xai.shap.gaussian_process(game, key=KEY, scales="adapted"),
    "per_player": lambda game: xai.shap.gaussian_process(game, key=KEY, scales="per_player"),
    "interactions": lambda game: xai.shap.interactions(game, index="SII", key=KEY),
}
INEXACT = {"isotropic": 0.01, "adapted": 0.01, "per_player": 0.01, "interactions": 0.01}  # of more than 12 players


def slopes_and_differences(estimator, model, x, background, step):
    """The derivative of a weighted sum of the values, and central differences; at 64 bits."""
    x, background = jnp.asarray(x, jnp.float64), jnp.asarray(background, jnp.float64)
    weights = jnp.linspace(1, -2, len(x))

    @jax.jit
    def total(x):
        game = xai.game(model, x[None], xai.mask.baseline(background), target=0)
        return (ESTIMATORS[estimator](game).values[0] * weights).sum()

    shifted = step * jnp.eye(len(x))
    differences = jax.lax.map(lambda shift: (total(x + shift) - total(x - shift)) / (2 * step), shifted)
    return np.asarray(jax.grad(total)(x)), np.asarray(differences)


def network(features):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), models.table_net(features))


@pytest.mark.parametrize("estimator", usual(ESTIMATORS, "exact", "permutation", "kernel", "isotropic"))
def test_where_all_features_equal_the_background_values_are_zero_and_derivatives_are_not(estimator, float64):
    x = models.rows(1, 3)[0]
    slopes, differences = slopes_and_differences(estimator, network(3), x, x, 1e-4)
    assert np.abs(differences).min() > 1e-3
    np.testing.assert_allclose(slopes, differences, rtol=1e-5)
    game = xai.game(network(3), x[None], xai.mask.baseline(x), target=0)
    np.testing.assert_array_equal(ESTIMATORS[estimator](game).values, 0)


@pytest.mark.parametrize("equal", [pytest.param([2], marks=pytest.mark.slow), [0, 3, 4]])
@pytest.mark.parametrize("estimator", usual(ESTIMATORS, "banzhaf", "owen", "published", "interactions"))
def test_where_some_features_equal_the_background_derivatives_are_those_of_finite_differences(
    estimator, equal, float64
):
    x, background = np.array(models.rows(2, 5), float)
    background[equal] = x[equal]
    slopes, differences = slopes_and_differences(estimator, network(5), x, background, 1e-5)
    tolerance = 0.03 if estimator == "published" else 1e-5  # its samples are not exact for five players
    np.testing.assert_allclose(slopes, differences, rtol=tolerance, atol=1e-6)
    assert (np.abs(slopes[equal]) > 1e-3).any()


@pytest.mark.parametrize(
    "estimator",
    usual(["permutation", "kernel", "isotropic", "adapted", "interactions", "per_player"], "kernel", "isotropic"),
)
def test_derivatives_of_sampled_values_of_many_players_at_the_background(estimator, float64):
    """The values are those of a game without interactions next to the background."""
    x = np.array(models.rows(1, 16)[0], float)
    slopes, differences = slopes_and_differences(estimator, network(16), x, x, 1e-5)
    largest = np.abs(differences).max()
    np.testing.assert_allclose(slopes, differences, atol=INEXACT.get(estimator, 1e-6) * largest)


@pytest.mark.parametrize("estimator", ["published", "kernel"])
def test_derivatives_are_right_at_32_bits_where_all_outputs_are_zero(estimator):
    """f(x) = w·(x - b) at x = b: the derivative of phi_i with respect to x_i is w_i."""
    weights = np.linspace(-1, 2, 14, dtype=np.float32)
    b = jnp.linspace(0, 1, 14)

    def total(x):
        game = xai.game(lambda x: (x - b[None]) @ weights, x, xai.mask.baseline(b), target=lambda scores: scores)
        return ESTIMATORS[estimator](game).values.sum(axis=0) @ jnp.linspace(1, -2, 14)

    np.testing.assert_allclose(jax.grad(total)(b[None])[0], weights * np.linspace(1, -2, 14), rtol=1e-4, atol=1e-4)


def test_padding_has_neither_a_value_nor_a_derivative(float64):
    """Players that can never change anything: their values do not depend on anything.

    The derivative is a sum over all coalitions, in an order of XLA's choice: in float32 its rounding errors reach 2e-7.
    """
    tokens = jnp.array([[3, 4, 5, 0, 0]])
    table = jax.random.normal(jax.random.key(0), (6, 2))

    def total(table):
        model = xai.function(lambda table, x: jnp.tanh((table[x] * (x > 0)[..., None]).sum(axis=1)), table)
        masker = xai.mask.tokens(mask_id=1, pad_id=0)
        values = xai.shap.exact(xai.game(model, tokens, masker, target=0)).values
        return values[0, 3:].sum(), values

    slope, values = jax.grad(total, has_aux=True)(table)
    np.testing.assert_array_equal(values[0, 3:], 0)
    np.testing.assert_allclose(slope, 0, atol=1e-14)
