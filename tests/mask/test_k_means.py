"""Cluster centers and sizes that represent many rows."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

KEY = jax.random.key(0)


def three_clouds(sizes=(50, 30, 20)):
    """Three clouds that nothing could confuse, in rows of any order."""
    rng = np.random.default_rng(0)
    positions = np.array([[0.0, 0, 0], [10, -10, 5], [-10, 10, 50]])
    rows = np.concatenate(
        [position + rng.normal(size=(size, 3)) for position, size in zip(positions, sizes, strict=True)]
    )
    return rng.permutation(rows), positions, np.array(sizes)


@pytest.mark.parametrize("seed", range(3))
def test_clouds_become_clusters_with_their_sizes_and_values_next_to_their_means(seed):
    rows, positions, sizes = three_clouds()
    masker = xai.mask.k_means(rows, 3, key=jax.random.key(seed))
    order = [int(np.abs(masker.rows - position).sum(axis=1).argmin()) for position in positions]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(masker.weights()[jnp.array(order)], sizes / 100, rtol=1e-6)
    members = np.abs(rows[:, None] - positions).sum(axis=2).argmin(axis=1)
    for number, position in enumerate(order):
        mean = rows[members == number].mean(axis=0)
        for feature in range(3):
            nearest = rows[np.abs(rows[:, feature] - mean[feature]).argmin(), feature]
            np.testing.assert_allclose(masker.rows[position, feature], nearest, rtol=1e-6)


def test_it_is_a_background_of_its_rows_and_weights():
    rows, *_ = three_clouds()
    masker, x = xai.mask.k_means(rows, 4, key=KEY), jnp.asarray(rows[:2], jnp.float32)
    weights = np.asarray(masker.weights(), float)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
    game = xai.game(lambda x: jnp.tanh(x).prod(axis=1), x, masker)
    expected = [
        np.tanh(np.where(np.array(coalition, bool), np.asarray(x)[:, None], masker.rows)).prod(axis=2) @ weights
        for coalition in ([0, 0, 0], [1, 0, 1])
    ]
    np.testing.assert_allclose(game(jnp.array([[0, 0, 0], [1, 0, 1]], bool)), np.transpose(expected), atol=1e-5)


def test_it_says_nearly_what_all_rows_say():
    rows, *_ = three_clouds()
    rows, x = rows[:, :2], jnp.asarray(rows[:2, :2], jnp.float32)
    model = lambda x: jnp.tanh(x[:, 0] / 5) + jnp.tanh(x[:, 1] / 5) + x[:, 0] * x[:, 1] / 50  # noqa: E731
    values = [
        np.asarray(xai.shap.exact(xai.game(model, x, masker)).values)
        for masker in (xai.mask.background(rows), xai.mask.k_means(rows, 10, key=KEY))
    ]
    np.testing.assert_allclose(values[1], values[0], atol=0.05 * np.abs(values[0]).max())


def test_whole_numbers_categories_and_constants_stay_what_they_are():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 3, 60), rng.choice([7, 100], 60), np.full(60, 4)], axis=1)
    masker = xai.mask.k_means(rows, 5, key=KEY)
    assert jnp.issubdtype(masker.rows.dtype, jnp.integer)
    for feature in range(3):
        assert {*np.asarray(masker.rows)[:, feature].tolist()} <= {*rows[:, feature].tolist()}


def test_as_many_clusters_as_different_rows_are_these_rows():
    rows = np.array([[0.0, 1], [5, 5], [0, 1], [9, 2], [0, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masker = xai.mask.k_means(rows, 3, key=KEY)
    computed = {tuple(row): weight for row, weight in zip(masker.rows.tolist(), masker.weights().tolist(), strict=True)}
    assert computed == pytest.approx({(0, 1): 0.6, (5, 5): 0.2, (9, 2): 0.2})


def test_clusters_that_stay_empty_are_left_out_without_a_word():
    rows = np.random.default_rng(0).normal(size=(200, 2)).round(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(5):
            masker = xai.mask.k_means(rows, 60, key=jax.random.key(seed))
            assert len(masker.rows) <= 60
            assert (np.asarray(masker.weights()) > 0).all()


def test_the_key_determines_the_centers_and_groups_are_kept():
    rows = np.random.default_rng(0).normal(size=(100, 4))
    first, again, other = (
        xai.mask.k_means(rows, 6, key=jax.random.key(seed), groups=[0, 0, 1, 1]) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.rows, again.rows)
    assert not np.array_equal(np.sort(first.rows, axis=0), np.sort(other.rows, axis=0))
    assert first.num_players((4,)) == 2


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (
            lambda: xai.mask.k_means(np.zeros((4, 2)), 2, key=KEY),
            "`num_clusters` must be at most the 1 different rows, got 2",
        ),
        (
            lambda: xai.mask.k_means(np.zeros((4, 2, 2)), 2, key=KEY),
            r"`rows` must have shape \[B, D\], got \[4, 2, 2\]",
        ),
        (lambda: xai.mask.k_means([[1.0, np.nan]], 1, key=KEY), "`rows` must hold no NaN"),
        (lambda: xai.mask.k_means(np.eye(4), 0, key=KEY), "`num_clusters` must be at least 1"),
        (lambda: xai.mask.k_means(np.eye(4), 2.0, key=KEY), "`num_clusters` must be an int"),
        (lambda: xai.mask.k_means(np.eye(4), 2, key=3), "`key` must be one JAX random key"),
        (lambda: jax.jit(lambda key: xai.mask.k_means(np.eye(4), 2, key=key).rows)(KEY), "`key` must be known when"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
