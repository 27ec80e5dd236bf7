"""LIME over token ids: masked or cut out, one by one or in groups."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

PAD, MASK = 0, 1
WEIGHTS = jnp.linspace(-2.0, 3.0, 20).at[:2].set(0)
X = jnp.array([[3, 7, 3, 12, 19, PAD], [5, 6, 8, PAD, PAD, PAD]])
WORDS = [[0, 1, 0, 2, -1, -1], [0, 0, 1, -1, -1, -1]]


def bag(ids):
    return WEIGHTS[ids].sum(axis=1)


@pytest.mark.parametrize("mask_id", [None, MASK])
def test_a_bag_of_tokens_is_recovered(mask_id, key):
    surrogate = xai.lime.text(bag, X, key=key, mask_id=mask_id, pad_id=PAD, num_samples=300)
    np.testing.assert_allclose(surrogate.values, WEIGHTS[X], atol=1e-4)
    np.testing.assert_allclose(surrogate.intercept, 0, atol=1e-4)
    assert (np.asarray(surrogate.values)[X == PAD] == 0).all()


@pytest.mark.parametrize("mask_id", [None, MASK])
def test_groups_get_the_sum_of_their_tokens(mask_id, key):
    surrogate = xai.lime.text(bag, X, key=key, mask_id=mask_id, pad_id=PAD, groups=WORDS, num_samples=300)
    expected = [[2 * WEIGHTS[3], WEIGHTS[7], WEIGHTS[12]], [WEIGHTS[5] + WEIGHTS[6], WEIGHTS[8], 0]]
    np.testing.assert_allclose(surrogate.values, np.array(expected), atol=1e-4)
    np.testing.assert_allclose(surrogate.intercept, [WEIGHTS[19], 0], atol=1e-4)  # of nobody: always there


def test_what_is_cut_out_moves_the_others_and_what_is_masked_does_not(key):
    """A model that reads the first token alone: without it the second is first."""
    first = lambda ids: (ids[:, 0] == 3).astype(float)  # noqa: E731
    x = jnp.array([[3, 3, 5, PAD]])
    cut, masked = (
        xai.lime.text(first, x, key=key, mask_id=mask_id, pad_id=PAD, num_samples=2000) for mask_id in (None, MASK)
    )
    np.testing.assert_allclose(masked.values, [[1, 0, 0, 0]], atol=1e-4)
    assert cut.values[0, 1] > 0.05  # the second 3 stands in for the first


def test_cutting_out_needs_padding(key):
    with pytest.raises(ValueError, match="both are None"):
        xai.lime.text(bag, X, key=key)
