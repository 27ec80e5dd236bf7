"""What LIME says of its own trust: errors that cover, stability that comes true, fidelity on rows not fitted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import xaijax as xai
from tests import models
from tests.lime.games import PLAYERS, best_line, interactions, perceptron, worth
from tests.selection import usual
from xaijax.lime._neighborhood import samples
from xaijax.lime._reliability import _are_largest, effective_samples, stability

KEYS = jax.random.split(jax.random.key(7), 200)


def over_keys(explain):
    return jax.jit(lambda keys: jax.lax.map(explain, keys))(KEYS)


@pytest.mark.parametrize("sampling", ["weighted", "coins", "sizes"])
@pytest.mark.parametrize("game", usual([perceptron, interactions], perceptron))
def test_intervals_cover_the_line_of_all_coalitions(game, sampling):
    values = game()
    truth = best_line(values, 0.35, uniform_sizes=sampling == "sizes")

    def explain(key):
        found = xai.lime.fit(
            xai.Game(worth(values), PLAYERS), key=key, num_samples=600, sampling=sampling, kernel_width=0.35
        )
        return found.values, found.std_errors, found.r_squared, found.held_out_r_squared

    found, errors, fit, held_out = over_keys(explain)
    covered = np.abs(found - truth[1:]) < 1.96 * errors
    assert 0.92 < covered.mean() < 0.98
    np.testing.assert_allclose(errors.mean(axis=0), found.std(axis=0), rtol=0.25)
    assert (held_out < fit).all()


@pytest.mark.parametrize(
    ("kind", "bins", "sampling"),
    [
        ("linear", None, "weighted"),
        pytest.param("linear", "quartile", "weighted", marks=pytest.mark.slow),
        pytest.param("linear", "quartile", "independent", marks=pytest.mark.slow),
        pytest.param("nonlinear", None, "weighted", marks=pytest.mark.slow),
        pytest.param("nonlinear", None, "independent", marks=pytest.mark.slow),
        ("nonlinear", "quartile", "weighted"),
    ],
)
def test_intervals_of_tables_cover_the_large_sample_value(kind, bins, sampling):
    """A linear model is recovered, also from whether bins hold, where positions within them are taken account of."""
    statistics = xai.lime.statistics(models.rows(200, 4, seed=1), bins=bins)
    x = models.rows(1, 4)
    net = models.table_net(4) if kind == "nonlinear" else (lambda x: x @ jnp.array([[1.0], [-2], [0.5], [3]]))

    def explain(key, num_samples=500):
        found = xai.lime.tabular(net, x, statistics, key=key, target=0, num_samples=num_samples, sampling=sampling)
        return found.values[0], found.std_errors[0]

    truth, _ = explain(jax.random.key(1), 200_000)
    found, errors = over_keys(explain)
    if kind == "linear" and sampling == "weighted":
        np.testing.assert_allclose(found, jnp.broadcast_to(truth, found.shape), atol=3e-5)
        assert (errors < 3e-5).all()
    else:
        assert 0.92 < (jnp.abs(found - truth) < 1.96 * errors).mean() < 0.98


@pytest.mark.slow
def test_a_stated_stability_comes_true():
    """Over several games, the chance that two keys find the same top three is what each key says of another."""

    @jax.jit
    def explain(values, key):
        found = xai.lime.fit(xai.Game(worth(values), PLAYERS), key=key, num_samples=100, kernel_width=0.5, top=3)
        _, best = jax.lax.top_k(jnp.abs(found.values), 3)
        return jnp.zeros(PLAYERS, bool).at[best].set(True), found.stability

    chances, stated = [], []
    for seed in range(6):
        kept, said = jax.lax.map(functools.partial(explain, interactions(seed)), KEYS)
        same = (kept[:, None] == kept[None]).all(axis=2)
        chances.append((same.sum() - len(KEYS)) / (len(KEYS) * (len(KEYS) - 1)))
        stated.append(said.mean())
    assert min(chances) < 0.4
    assert max(chances) > 0.95
    assert np.corrcoef(chances, stated)[0, 1] > 0.9
    np.testing.assert_allclose(np.mean(stated), np.mean(chances), atol=0.07)


@pytest.mark.slow
def test_stability_counts_the_draws_that_keep_the_top():
    """Of two players, d apart with a difference of error s, the order holds with probability Phi(d / (s sqrt 2))."""
    for blocks in (2, 50):  # as many as players, and more
        scores = jax.random.normal(jax.random.key(0), (blocks, 2, 1))
        spread = jnp.sqrt(((scores[:, 0] - scores[:, 1]) ** 2).sum())
        # Large beside the errors, so that absolute values do not matter.
        coefficients = jnp.array([[51.0], [50.0]]) * spread
        found = [stability(jax.random.key(k), coefficients, scores, 1)[0] for k in range(20)]
        np.testing.assert_allclose(np.mean(found), norm.cdf(1 / np.sqrt(2)), atol=0.03)


def test_the_largest_are_those_of_a_stable_sorting():
    """Of equal sizes, those of the first players are the largest, in random draws of few values."""
    sizes = np.random.default_rng(0).integers(0, 4, (200, 4, 2)).astype(np.float32)
    best = np.argsort(-sizes, axis=1, kind="stable")[:, :2]
    chosen = np.stack([np.isin(np.arange(4), best[0, :, k]) for k in range(2)], axis=1)
    expected = (np.sort(best, axis=1) == np.sort(best[:1], axis=1)).all(axis=1)
    assert 0.05 < expected.mean() < 0.95
    np.testing.assert_array_equal(_are_largest(jnp.asarray(sizes), jnp.asarray(chosen)), expected)


def test_effective_samples_are_kishs():
    weights = jnp.array([9.0, 1, 2, 3])
    found = effective_samples(samples(jnp.zeros((4, 2)), weights))
    np.testing.assert_allclose(found, 36 / 14, rtol=1e-6)  # the input itself was not drawn


def test_held_out_fidelity_is_that_of_leaving_each_row_out(float64):
    """Against fits of all samples but one, by numpy."""
    seen = []

    def value(z):
        jax.debug.callback(lambda z: seen.append(np.asarray(z)), z)
        return worth(perceptron())(z)

    options = {"num_samples": 60, "sampling": "coins", "kernel_width": 0.4, "ridge": 1e-12}
    found = xai.lime.fit(xai.Game(value, PLAYERS), key=jax.random.key(0), **options)
    jax.effects_barrier()
    z = seen[-1].astype(float)
    values = np.asarray(worth(perceptron())(seen[-1]), float)
    weights = np.exp(-(((1 - np.sqrt(z.mean(axis=1))) / 0.4) ** 2))
    design = np.concatenate([np.ones((len(z), 1)), z], axis=1)

    def residual(row, left_out):
        root = np.sqrt(np.where(np.arange(len(z)) == left_out, 0, weights))
        line = np.linalg.lstsq(root[:, None] * design, root * values, rcond=None)[0]
        return values[row] - design[row] @ line

    mean = weights @ values / weights.sum()
    total = weights @ (values - mean) ** 2
    left = [residual(row, row if row else None) for row in range(len(z))]  # the input is certain: never left out
    np.testing.assert_allclose(found.held_out_r_squared, 1 - weights @ np.square(left) / total, atol=1e-4)
    within = [residual(row, None) for row in range(len(z))]
    np.testing.assert_allclose(found.r_squared, 1 - weights @ np.square(within) / total, atol=1e-4)


def test_too_few_samples_have_infinite_errors_and_no_stability(key):
    found = xai.lime.fit(xai.Game(worth(perceptron()), PLAYERS), key=key, num_samples=8)
    assert jnp.isinf(found.std_errors).all()
    assert jnp.isnan(found.stability)
    assert jnp.isfinite(found.values).all()


@pytest.mark.parametrize(("players", "samples"), [(1, 30), (120, 60), pytest.param(500, 1200, marks=pytest.mark.slow)])
def test_linear_games_of_any_size_are_recovered(players, samples, key):
    weights = jax.random.normal(jax.random.key(1), (players,))
    found = xai.lime.fit(xai.Game(lambda z: z @ weights, players), key=key, num_samples=samples)
    if samples > players:
        np.testing.assert_allclose(found.values, weights, atol=1e-4 * max(1, players**0.5))
        np.testing.assert_allclose(found.r_squared, 1, atol=1e-4)
    else:
        assert jnp.isfinite(found.values).all()
