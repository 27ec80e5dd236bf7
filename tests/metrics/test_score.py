"""The mean of scores and its interval, by hand and by SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import xaijax as xai


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_mean_of_examples_has_the_interval_of_student(level):
    scores = np.array([0.3, -1.0, 2.0, 0.5, 0.25])
    value, std_error, low, high = xai.metrics.Score(jnp.asarray(scores)).mean(level)
    np.testing.assert_allclose([value, std_error], [scores.mean(), stats.sem(scores)], rtol=1e-6)
    np.testing.assert_allclose([low, high], stats.t.interval(level, 4, scores.mean(), stats.sem(scores)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_mean_of_one_example_is_its_own_with_its_own_error(shape):
    score = xai.metrics.Score(jnp.full(shape, 2.0), jnp.full(shape, 0.5))
    np.testing.assert_allclose(score.mean(), [2.0, 0.5, *stats.norm.interval(0.95, 2.0, 0.5)], rtol=1e-6)
    assert np.isnan(np.asarray(xai.metrics.Score(jnp.full(shape, 2.0)).mean()[1:])).all()


def test_mean_is_unknown_where_a_score_is_and_the_same_under_jit():
    score = xai.metrics.Score(jnp.array([1.0, jnp.nan, 2.0]))
    assert np.isnan(np.asarray(score.mean())).all()
    known = xai.metrics.Score(jnp.array([1.0, 4.0, 2.0]), jnp.ones(3), metric="infidelity", better="lower")
    np.testing.assert_allclose(jax.jit(lambda score: score.mean())(known), known.mean(), rtol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1, 95])
def test_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="`level` must be between 0 and 1, got"):
        xai.metrics.Score(jnp.ones(3)).mean(level)


@pytest.mark.parametrize("scores", [[3, 1, 2, 2], [True, False, True, True]])
def test_counts_and_hits_have_the_interval_of_their_numbers(scores):
    mean = xai.metrics.Score(jnp.array(scores)).mean()
    np.testing.assert_allclose(mean[:2], [np.mean(scores), stats.sem(np.asarray(scores, float))], rtol=1e-6)
