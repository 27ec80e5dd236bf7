"""Adaptive sampling: rounds until the errors are small enough, with a cap and an honest flag."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.lime.games import PLAYERS, best_line, interactions, worth

GAME = xai.Game(worth(interactions()), PLAYERS)


def test_rounds_are_drawn_until_the_precision_is_reached(key):
    one = xai.lime.fit(GAME, key=key, num_samples=100)
    assert one.converged is None
    assert one.num_evaluations == 100
    reached = xai.lime.fit(GAME, key=key, num_samples=100, until=0.04, max_samples=3000)
    precision = reached.std_errors.max() / jnp.abs(reached.values).max()
    assert reached.converged
    assert precision <= 0.04
    assert 200 < reached.num_evaluations < 3000
    assert (reached.num_evaluations - 1) % 99 == 0
    # One round less would not have done.
    before = xai.lime.fit(GAME, key=key, num_samples=100, until=0.04, max_samples=int(reached.num_evaluations) - 1)
    assert not before.converged
    assert before.num_evaluations == reached.num_evaluations - 99
    assert before.std_errors.max() / jnp.abs(before.values).max() > 0.04


def test_a_precision_that_the_first_round_has_changes_nothing(key):
    one = xai.lime.fit(GAME, key=key, num_samples=300)
    loop = xai.lime.fit(GAME, key=key, num_samples=300, until=10.0)
    assert loop.converged
    assert loop.num_evaluations == 300
    for name in ("values", "std_errors", "intercept", "r_squared", "held_out_r_squared", "effective_samples"):
        np.testing.assert_allclose(getattr(loop, name), getattr(one, name), rtol=1e-4, atol=1e-5)


def test_the_rounds_are_one_sample_of_the_same_law():
    """Errors after many rounds are those of as many samples at once, and they cover."""
    truth = best_line(interactions(), 0.25)[1:]

    def explain(key):
        found = xai.lime.fit(GAME, key=key, num_samples=101, until=1e-9, max_samples=801)
        return found.values - truth, found.std_errors, found.num_evaluations

    errors, claimed, count = jax.lax.map(explain, jax.random.split(jax.random.key(2), 100))
    assert (count == 801).all()
    assert 0.91 < (jnp.abs(errors) < 1.96 * claimed).mean() < 0.98


def test_each_example_stops_by_itself_and_does_not_depend_on_the_others(key):
    net = models.table_net(6)
    x = models.rows(5, 6)
    statistics = xai.lime.statistics(models.rows(60, 6, seed=1))
    options = {"key": key, "target": 0, "num_samples": 120, "until": 0.03, "max_samples": 2000}
    every = xai.lime.tabular(net, x, statistics, **options)
    assert len(set(every.num_evaluations.tolist())) > 1
    for batch in (slice(1, 2), slice(2, 5)):
        ids = jnp.arange(5)[batch]
        some = xai.lime.tabular(net, x[batch], statistics, ids=ids, batch_size=77, **options)
        np.testing.assert_array_equal(some.num_evaluations, every.num_evaluations[batch])
        np.testing.assert_allclose(some.values, every.values[batch], atol=1e-5)
    compiled = jax.jit(lambda x: xai.lime.tabular(net, x, statistics, **options))(x)
    np.testing.assert_allclose(compiled.values, every.values, atol=1e-5)


@pytest.mark.slow
def test_the_process_is_refitted_to_all_rounds(key):
    fit = xai.lime.fit(GAME, key=key, num_samples=150, until=1e-6, max_samples=450, surrogate="gaussian_process")
    at_once = xai.lime.fit(GAME, key=key, num_samples=448, surrogate="gaussian_process")
    truth = best_line(interactions(), 0.25)[1:]
    assert fit.num_evaluations == 448
    assert not fit.converged
    assert jnp.abs(fit.values - truth).max() < 3 * jnp.maximum(fit.std_errors, at_once.std_errors).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": 0.0}, "until.? must be finite and above zero"),
        ({"max_samples": 2000}, "must be left out unless `until` is given"),
        ({"until": 0.1, "max_samples": 50}, "max_samples.? must be at least 100"),
    ],
)
def test_options_without_sense_are_said(options, message, key):
    with pytest.raises(ValueError, match=message):
        xai.lime.fit(GAME, key=key, num_samples=100, **options)
