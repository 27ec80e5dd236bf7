"""Symmetric relevance gain, against closed forms of additive games and the curves of insertion and deletion."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

WEIGHTS = np.array([1.0, -2.0, 4.0, 0.5])


def closed_form(weights, order):
    """The gain of an additive game: sum over ranks i of w_i (M + 1 - 2 i) / M, the greatest value first."""
    count = len(weights)
    return np.asarray(weights)[list(order)] @ (count + 1 - 2 * np.arange(1, count + 1)) / count


@pytest.fixture(scope="module")
def counted():
    """An additive game that counts its evaluations."""
    rows = []

    def value(z):
        jax.debug.callback(lambda part: rows.append(len(part)), z)
        return z @ jnp.asarray(WEIGHTS, jnp.float32) + 3.0

    return xai.Game(value, 4), rows


def explained(values):
    values = jnp.asarray(values, jnp.float32)
    return xai.Attribution(values, jnp.zeros(values.shape[:-1]), method="test")


def test_of_an_additive_game_it_has_a_closed_form_for_perfect_inverted_and_constant_values(counted):
    game, rows = counted
    gains = [
        xai.metrics.symmetric_relevance_gain(game, explained(values)) for values in (WEIGHTS, -WEIGHTS, np.ones(4))
    ]
    jax.effects_barrier()
    perfect, inverted, constant = (float(gain.values) for gain in gains)
    np.testing.assert_allclose(perfect, closed_form(WEIGHTS, [2, 0, 3, 1]), rtol=1e-6)
    np.testing.assert_allclose(inverted, -perfect, rtol=1e-6)
    np.testing.assert_allclose(constant, closed_form(WEIGHTS, range(4)), rtol=1e-6)
    assert sum(rows) == 3 * 2 * 4, "2 M evaluations, as both curves have the same ends"
    np.testing.assert_allclose(gains[0].most_first.outputs, 3 + np.array([3.5, -0.5, -1.5, -2, 0]), atol=1e-6)
    np.testing.assert_allclose(gains[0].least_first.outputs, 3 + np.array([3.5, 5.5, 5, 4, 0]), atol=1e-6)
    assert (gains[0].metric, gains[0].better, gains[0].method) == ("symmetric relevance gain", "higher", "test")


def test_random_orders_gain_nothing_and_it_is_insertion_minus_deletion():
    """In any game: an order is as likely as its reverse, whose gain is the negative one."""
    worth = np.random.default_rng(0).normal(size=16).astype(np.float32)
    game = xai.Game(lambda z: jnp.asarray(worth)[z @ np.array([1, 2, 4, 8])], 4)
    orders = jnp.asarray(list(itertools.permutations(range(4))), jnp.float32)

    @jax.jit
    def measure(orders):
        def of_order(order):
            metrics = xai.metrics.symmetric_relevance_gain, xai.metrics.insertion, xai.metrics.deletion
            return tuple(metric(game, explained(order)).values for metric in metrics)

        return jax.vmap(of_order)(orders)

    gains, insertions, deletions = map(np.asarray, measure(orders))
    np.testing.assert_allclose(gains.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(gains, insertions - deletions, atol=1e-6)
    assert np.abs(gains).max() > 0.3


def test_padding_does_not_count_and_what_is_not_known_is_nan_for_its_example_alone():
    worth = jnp.array([0.0, 1.0, 3.0, -2.0, 0.0])
    games = xai.game(
        lambda ids: worth[ids].sum(axis=1), jnp.array([[1, 2, 3, 4, 4], [3, 2, 2, 1, 1]]), xai.mask.tokens(0, pad_id=4)
    )
    values = np.array([[1.0, 3.0, -2.0, 9.0, 9.0], [-2.0, 3.0, 3.0, np.nan, 1.0]])
    gain = xai.metrics.symmetric_relevance_gain(games, explained(values), batch_size=3)
    np.testing.assert_allclose(gain.values, [closed_form([3.0, 1.0, -2.0], range(3)), np.nan], rtol=1e-6)
    np.testing.assert_allclose(gain.least_first.outputs[0], [2, 4, 3, 0, 0, 0], atol=1e-6)
    assert np.isnan(gain.most_first.outputs[1]).all()


def test_images_by_maps_and_targets_that_differ(counted):
    images = jnp.arange(16.0).reshape(1, 4, 4, 1)
    games = xai.game(
        lambda x: jnp.stack([x.sum(axis=(1, 2, 3)), x[:, 0, 0, 0]], 1), images, xai.mask.grid(2, fill=0.0), target=0
    )
    maps = xai.Attribution(images[..., 0], jnp.zeros(1), target=jnp.zeros(1, int), method="test")
    gain = xai.metrics.symmetric_relevance_gain(games, maps)
    np.testing.assert_allclose(gain.values, [closed_form([50, 42, 18, 10], range(4))], rtol=1e-6)
    with pytest.raises(ValueError, match="got class 1 for example 0, where the game has class 0"):
        xai.metrics.symmetric_relevance_gain(games, dataclasses.replace(maps, target=jnp.ones(1, int)))
    with pytest.raises(TypeError, match="`attribution` must be the result of an explainer"):
        xai.metrics.symmetric_relevance_gain(counted[0], WEIGHTS)
