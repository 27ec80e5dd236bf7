"""Maskers: what input stands for a coalition, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models


def inputs_for(masker, x, coalition):
    """The inputs of the first example for one coalition, [B, ...]."""
    prepared = jax.tree.map(lambda leaf: leaf[0], masker.prepare(x))
    references = masker.references(x[0], prepared)
    coalition = jnp.asarray(coalition, bool)
    return jnp.stack([masker.compose(x[0], reference, coalition, prepared) for reference in references])


def test_background_rows_stand_in_for_absent_features():
    masker = xai.mask.background([[10.0, 20, 30], [40, 50, 60]])
    x = jnp.array([[1.0, 2, 3]])
    np.testing.assert_array_equal(inputs_for(masker, x, [1, 0, 1]), [[1, 20, 3], [1, 50, 3]])


def test_groups_are_removed_together():
    masker = xai.mask.background([[10.0, 20, 30]], groups=[0, 1, 0])
    np.testing.assert_array_equal(inputs_for(masker, jnp.array([[1.0, 2, 3]]), [0, 1]), [[10, 2, 30]])
    images = xai.mask.baseline(jnp.zeros((2, 2, 3)), groups=[[0, 0], [1, 1]])
    composed = inputs_for(images, jnp.ones((1, 2, 2, 3)), [0, 1])
    np.testing.assert_array_equal(composed[0, ..., 2], [[0, 0], [1, 1]])
    assert images.num_players((2, 2, 3)) == 2


def test_regions_are_painted_with_their_mean_or_a_fill():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)
    labels = [[0, 0, 1, 1], [0, 2, 2, 1]]
    composed = inputs_for(xai.mask.regions(labels), x, [0, 1, 0])[0, ..., 0]
    np.testing.assert_allclose(composed, [[5 / 3, 5 / 3, 2, 3], [5 / 3, 5.5, 5.5, 7]], rtol=1e-6)
    painted = inputs_for(xai.mask.regions(labels, fill=-1.0), x, [0, 1, 1])[0, ..., 0]
    np.testing.assert_array_equal(painted, [[-1, -1, 2, 3], [-1, 5, 6, 7]])


def test_each_image_may_have_regions_of_its_own():
    x = jnp.ones((2, 1, 2, 1))
    masker = xai.mask.regions([[[0, 1]], [[1, 0]]], fill=0.0)
    weights = jnp.array([1.0, 10.0]).reshape(1, 1, 2, 1)
    attribution = xai.shap.exact(xai.game(lambda x: (x * weights).sum(axis=(1, 2, 3)), x, masker))
    np.testing.assert_allclose(attribution.values, [[1, 10], [10, 1]])
    np.testing.assert_allclose(attribution.on_input(), [[[1, 10]], [[1, 10]]])


def test_a_grid_cuts_images_of_any_size():
    x = jnp.zeros((1, 5, 7, 1))
    labels = xai.mask.grid((2, 3)).prepare(x)[0]
    np.testing.assert_array_equal(labels[0], [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(labels[:, 0], [0, 0, 0, 3, 3])
    with pytest.raises(ValueError, match=r"`cells` must be at most the \[5, 7\] pixels of an image, got \(6, 6\)"):
        xai.game(lambda x: x.sum(axis=(1, 2)), x, xai.mask.grid(6))


def test_tokens_are_masked_and_padding_stays():
    masker = xai.mask.tokens(9, pad_id=0)
    x = jnp.array([[3, 4, 0]])
    np.testing.assert_array_equal(inputs_for(masker, x, [0, 1, 0]), [[9, 4, 0]])
    np.testing.assert_array_equal(masker.active(x[0], ()), [True, True, False])


def test_the_game_is_the_mean_over_the_background():
    net, x, rows = models.table_net(), models.rows(3), models.rows(6, seed=2)
    game = xai.game(net, x, xai.mask.background(rows, groups=[0] * 6 + [1] * 6), target=1)
    attribution = xai.shap.exact(game)
    first = jnp.stack([net(rows.at[:, :6].set(row[:6]))[:, 1].mean() for row in x])
    second = jnp.stack([net(rows.at[:, 6:].set(row[6:]))[:, 1].mean() for row in x])
    base, full = net(rows)[:, 1].mean(), net(x)[:, 1]
    np.testing.assert_allclose(attribution.values[:, 0], (first - base + full - second) / 2, atol=1e-5)


def test_a_masker_of_the_users_own_works():
    @jax.tree_util.register_static
    class Reversed(xai.mask.Masker):
        """One player: whether the sequence is in its order or reversed."""

        def num_players(self, shape):
            return 1

        def references(self, x, prepared):
            return x[::-1][None]

        def compose(self, x, reference, coalition, prepared):
            return jnp.where(coalition[0], x, reference)

    attribution = xai.shap.exact(xai.game(lambda x: x[:, 0], jnp.array([[5.0, 1.0, 2.0]]), Reversed()))
    np.testing.assert_allclose(attribution.values, [[3.0]])
