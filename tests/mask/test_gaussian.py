"""Jointly normal features: what stands in for absent ones has the textbook's mean and covariance."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

RNG = np.random.default_rng(0)
MIXING = np.eye(4) + 0.5 * RNG.normal(size=(4, 4))
ROWS = (RNG.normal(size=(200, 4)) @ MIXING) * [1, 100, 0.01, 1] + [0, 500, 1, -2]
X = np.array([1.0, 450, 1.02, -3])
COALITIONS = np.array(list(itertools.product([False, True], repeat=4)))


def composed(masker, x, coalitions=COALITIONS):
    """[S, B, D]."""
    x = jnp.asarray(x)
    compose = jax.jit(jax.vmap(jax.vmap(masker.compose, (None, 0, None, None)), (None, None, 0, None)))
    return np.asarray(compose(x, masker.references(x, ()), jnp.asarray(coalitions), ()), float)


@pytest.fixture(scope="module")
def computed():
    with jax.enable_x64(True):
        return composed(xai.mask.gaussian(ROWS), X)


@pytest.mark.parametrize("number", range(16))
def test_composed_rows_have_the_conditional_mean_and_covariance(number, computed):
    present, absent = np.flatnonzero(COALITIONS[number]), np.flatnonzero(~COALITIONS[number])
    mean, covariance = ROWS.mean(axis=0), np.cov(ROWS.T, bias=True)
    slopes = covariance[np.ix_(absent, present)] @ np.linalg.inv(covariance[np.ix_(present, present)])
    rows = computed[number]
    np.testing.assert_array_equal(rows[:, present], np.broadcast_to(X[present], (200, len(present))))
    expected = mean[absent] + slopes @ (X - mean)[present]
    np.testing.assert_allclose(rows[:, absent].mean(axis=0), expected, rtol=1e-6)
    left = covariance[np.ix_(absent, absent)] - slopes @ covariance[np.ix_(present, absent)]
    scale = np.sqrt(np.diag(covariance)[absent])
    if len(absent):
        spread = np.atleast_2d(np.cov(rows[:, absent].T, bias=True))
        np.testing.assert_allclose(spread / np.outer(scale, scale), left / np.outer(scale, scale), atol=1e-6)


def test_the_empty_coalition_is_the_rows_and_the_grand_coalition_the_input(computed):
    np.testing.assert_allclose(computed[0], ROWS, rtol=1e-12)
    np.testing.assert_array_equal(computed[-1], np.broadcast_to(X, ROWS.shape))


def test_float32_is_near_float64(computed):
    gaps = composed(xai.mask.gaussian(ROWS.astype(np.float32)), X.astype(np.float32)) - computed
    # 3.5e-4 of its own for each feature, against 1.5e-8: as much of what they tell each other is not believed.
    assert (np.abs(gaps) < 0.01 * ROWS.std(axis=0)).all()


def test_a_linear_models_game_is_its_answer_to_the_conditional_mean(computed):
    weights = np.array([2.0, 0.01, 100, -1])
    rows, x = ROWS.astype(np.float32), X.astype(np.float32)[None]
    game = xai.game(lambda x: x @ jnp.asarray(weights, jnp.float32), x, xai.mask.gaussian(rows))
    np.testing.assert_allclose(game(COALITIONS)[0], computed.mean(axis=1) @ weights, atol=0.01)


def test_independent_features_are_those_of_the_background():
    rows = np.array(list(itertools.product([-1.0, 1.0], [0.0, 3, 6], [2.0, 5])), np.float32)  # uncorrelated exactly
    x = np.array([0.3, 5, 1], np.float32)
    coalitions = COALITIONS[:8, 1:]
    expected = np.where(coalitions[:, None], x, rows)
    np.testing.assert_allclose(composed(xai.mask.gaussian(rows), x, coalitions), expected, atol=1e-5)


def test_a_copy_tells_all_and_a_constant_tells_nothing():
    first = RNG.normal(size=50)
    rows = np.stack([first, 3 * first + 1, np.full(50, 0.1), RNG.normal(size=50)], axis=1).astype(np.float32)
    x = np.array([2.0, 7, 0.7, 0], np.float32)
    told, constant = composed(xai.mask.gaussian(rows), x, np.eye(4, dtype=bool)[[0, 2]])
    np.testing.assert_allclose(told[:, 1], np.full(50, 7.0), atol=0.01)
    np.testing.assert_array_equal(told[:, 2], rows[:, 2])
    np.testing.assert_allclose(constant[:, [0, 1, 3]], rows[:, [0, 1, 3]], atol=1e-6)
    np.testing.assert_array_equal(constant[:, 2], x[2])


def test_a_feature_that_the_model_ignores_gets_a_share_of_what_it_tells():
    first = RNG.normal(size=400)
    rows = np.stack([first, first + 0.01 * RNG.normal(size=400)], axis=1).astype(np.float32)
    x = jnp.array([[1.0, 1.0]])
    computed = xai.shap.exact(xai.game(lambda x: 3 * x[:, 0], x, xai.mask.gaussian(rows)))
    np.testing.assert_allclose(computed.values[0], np.full(2, 1.5 * (1 - rows[:, 0].mean())), rtol=0.02)


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: xai.mask.gaussian(ROWS[:4]), "`rows` must be more than the 4 features, .*got 4"),
        (lambda: xai.mask.gaussian(np.ones((9, 2), int)), r"floating numbers \[B, D\], got int32\[9, 2\]"),
        (lambda: xai.mask.gaussian(np.ones(9)), r"floating numbers \[B, D\], got float32\[9\]"),
        (lambda: xai.mask.gaussian(np.where(ROWS > 600, np.nan, ROWS)), "rows.? (holds NaN|must hold no NaN)"),
        (lambda: xai.game(lambda x: x[:, 0], ROWS[:, :3], xai.mask.gaussian(ROWS)), r"shape \[N, 4\].* \[200, 3\]"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
