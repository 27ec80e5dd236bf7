"""Complexity, against SciPy and the formula of the Gini index over all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import xaijax as xai

m = xai.metrics
VALUES = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
VALUES[1, 2:5] = 0


def shares(values):
    sizes = np.abs(values).astype(np.float64)
    return sizes / sizes.sum(axis=-1, keepdims=True)


def explained(values, **fields):
    values = jnp.asarray(values, jnp.float32)
    return xai.Attribution(values, jnp.ones(len(values)), method="SHAP", **fields)


def test_values_are_those_of_the_formulas():
    p = shares(VALUES)
    pairs = np.abs(p[:, :, None] - p[:, None]).sum(axis=(1, 2)) / (2 * VALUES.shape[1])
    np.testing.assert_allclose(m.gini(explained(VALUES)).values, pairs, rtol=1e-5)
    np.testing.assert_allclose(m.entropy(explained(VALUES)).values, stats.entropy(p, axis=1), rtol=1e-5)
    np.testing.assert_allclose(m.effective_size(explained(VALUES)).values, np.exp(stats.entropy(p, axis=1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("metric", "alone", "even"),
    [(m.gini, 1 - 1 / 8, 0.0), (m.entropy, 0.0, np.log(8)), (m.effective_size, 1.0, 8.0)],
)
def test_the_extremes_are_one_player_and_all_alike(metric, alone, even):
    values = np.stack([np.eye(8)[3] * -2, np.where(np.arange(8) % 2, 0.5, -0.5), np.zeros(8)])
    score = metric(explained(values))
    np.testing.assert_allclose(score.values, [alone, even, np.nan], rtol=1e-6, atol=1e-6)
    assert (score.better, score.method) == ("higher" if metric is m.gini else "lower", "SHAP")
    np.testing.assert_allclose(metric(explained(values)[0]).values, alone, rtol=1e-6, atol=1e-6)
    maps = explained(values.reshape(3, 2, 4), axes="N h w")
    np.testing.assert_array_equal(metric(maps).values, score.values)


@pytest.mark.parametrize("metric", [m.gini, m.entropy, m.effective_size])
def test_players_that_own_nothing_do_not_count(metric):
    padded = np.concatenate([VALUES[:, :4], np.zeros((3, 2), np.float32)], axis=1)
    regions = jnp.tile(jnp.array([0, 1, 2, 3, -1]), (3, 2))  # and positions of no player
    np.testing.assert_allclose(
        metric(explained(padded, regions=regions)).values, metric(explained(VALUES[:, :4])).values, rtol=1e-6
    )


def test_gradients_are_those_of_finite_differences():
    def total(values):
        return sum(metric(explained(values)).values[0] for metric in (m.gini, m.entropy))

    values = jnp.asarray(VALUES)
    slope, step = jax.jit(jax.grad(total))(values)[0], 2e-3  # so small that no ranks change
    for player in range(3):
        moved = [float(total(values.at[0, player].add(sign * step))) for sign in (1, -1)]
        np.testing.assert_allclose(slope[player], (moved[0] - moved[1]) / (2 * step), rtol=2e-2, atol=1e-4)


def test_wrong_arguments_get_one_sentence():
    with pytest.raises(TypeError, match="`attribution` must be the result of an explainer, got"):
        m.gini(VALUES)
    with pytest.raises(ValueError, match="`attribution` must explain one output of each example"):
        m.entropy(xai.Attribution(jnp.ones((3, 6, 2)), jnp.ones((3, 2)), axes="N M K"))
