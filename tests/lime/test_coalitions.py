"""How coalitions are drawn: the weighted law, evenly; the paper's coins; lime's sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.lime.games import PLAYERS, binomials
from xaijax.lime._coalitions import coalition_layout, draw_coalitions, log_size_distribution
from xaijax.lime._neighborhood import DISTANCES, kernel

ALIVE = jnp.arange(PLAYERS + 3) < PLAYERS  # and three that are padding
ROUNDS = 300


def drawn(sampling, width=0.4, distance="euclidean", samples=200):
    """[R, S, M] absent players and [R, S] weights of many rounds, the input's own rows first."""
    together = coalition_layout(sampling, samples)
    round_ = jax.jit(jax.vmap(lambda key: draw_coalitions(sampling, key, ALIVE, distance, width, together)[:2]))
    points, weights = round_(jax.random.split(jax.random.key(0), ROUNDS))
    assert set(np.unique(points)) == {-1, 0}
    return np.asarray(points) < 0, np.asarray(weights)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "hamming"])
def test_the_law_of_sizes_is_binomials_times_kernel(distance):
    share = 1 - jnp.arange(PLAYERS + 1) / PLAYERS
    expected = binomials() * np.asarray(kernel(DISTANCES[distance](share), 0.3), np.float64)
    law = np.exp(log_size_distribution(jnp.asarray(PLAYERS), PLAYERS + 3, distance, 0.3))
    np.testing.assert_allclose(law[: PLAYERS + 1], expected / expected.sum(), rtol=1e-4)
    assert (law[PLAYERS + 1 :] == 0).all()


def test_hundreds_of_players_and_narrow_kernels_have_a_law():
    law = np.exp(log_size_distribution(jnp.asarray(1000), 1000, "cosine", 0.05))
    np.testing.assert_allclose(law.sum(), 1, rtol=1e-4)
    assert 0 < law @ np.arange(1001) < 500


def test_the_weighted_law_is_met_in_sizes_and_in_second_moments():
    absent, weights = drawn("weighted")
    law = np.exp(log_size_distribution(jnp.asarray(PLAYERS), PLAYERS + 3, "euclidean", 0.4))
    # The input stands for the share of the law that has nobody absent, and the drawn rows for the rest of it.
    np.testing.assert_allclose(weights[:, 0], law[0], rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert not absent[:, 0].any()
    assert absent[:, 1:].any(axis=2).all()
    sizes = absent.sum(axis=2)
    found = np.array([(weights * (sizes == size)).sum() for size in range(len(law))]) / ROUNDS
    np.testing.assert_allclose(found, law, atol=4e-3)
    assert not absent[:, :, PLAYERS:].any()
    counts = np.arange(PLAYERS + 1)
    alone = law[: PLAYERS + 1] @ counts / PLAYERS
    pair = law[: PLAYERS + 1] @ (counts * (counts - 1)) / (PLAYERS * (PLAYERS - 1))
    moments = np.einsum("rs,rsi,rsj->ij", weights, 1.0 * absent, 1.0 * absent)[:PLAYERS, :PLAYERS] / ROUNDS
    np.testing.assert_allclose(moments, np.where(np.eye(PLAYERS), alone, pair), atol=5e-3)


def test_the_weighted_law_is_spread_more_evenly_than_single_draws():
    """Within a round the players' counts differ by a fraction of what independent draws would have."""
    absent, _ = drawn("weighted", samples=1000)
    counts = absent[:, 1:, :PLAYERS].sum(axis=1)
    chance = counts.mean() / 1000
    assert counts.std(axis=0).mean() < 0.5 * np.sqrt(1000 * chance * (1 - chance))


def test_coins_are_fair_and_weighted_by_the_kernel():
    absent, weights = drawn("coins")
    np.testing.assert_allclose(absent[:, 1:, :PLAYERS].mean(axis=(0, 1)), 0.5, atol=0.01)
    pairs = np.einsum("rsi,rsj->ij", absent[:, 1:], 1.0 * absent[:, 1:])[:PLAYERS, :PLAYERS] / (ROUNDS * 200)
    np.testing.assert_allclose(pairs, np.where(np.eye(PLAYERS), 0.5, 0.25), atol=0.01)
    np.testing.assert_allclose(weights, np.exp(-absent.sum(axis=2) / PLAYERS / 0.4**2), rtol=1e-4)


def test_sizes_are_uniform_between_one_and_all():
    absent, weights = drawn("sizes")
    share = np.bincount(absent[:, 1:].sum(axis=2).reshape(-1), minlength=PLAYERS + 1) / (ROUNDS * 200)
    np.testing.assert_allclose(share, [0] + [1 / PLAYERS] * PLAYERS, atol=0.005)
    np.testing.assert_allclose(absent[:, 1:, :PLAYERS].mean(axis=(0, 1)), (PLAYERS + 1) / (2 * PLAYERS), atol=0.01)
    np.testing.assert_allclose(weights, np.exp(-absent.sum(axis=2) / PLAYERS / 0.4**2), rtol=1e-4)
