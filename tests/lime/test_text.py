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
    np.testing.assert_allclose(surrogate.intercept, [WEIGHTS[19], 0], atol=1e-4)  # of no player: always present


def test_cutting_tokens_out_moves_the_others_and_masking_does_not(key):
    """A model that reads the first token alone: without it the second is first."""
    first = lambda ids: (ids[:, 0] == 3).astype(float)  # noqa: E731
    x = jnp.array([[3, 3, 5, PAD]])
    cut, masked = (
        xai.lime.text(first, x, key=key, mask_id=mask_id, pad_id=PAD, num_samples=2000) for mask_id in (None, MASK)
    )
    np.testing.assert_allclose(masked.values, [[1, 0, 0, 0]], atol=1e-4)
    assert cut.values[0, 1] > 0.05  # the second 3 stands in for the first


def test_cutting_out_needs_padding(key):
    with pytest.raises(ValueError, match="both are None|got None"):
        xai.lime.text(bag, X, key=key)


def curved(ids):
    return jnp.tanh(bag(ids)) + WEIGHTS[ids].max(axis=1)


def test_the_definitions_of_lime_are_the_settings_of_its_text_explainer(key):
    settings = {"sampling": "sizes", "num_samples": 5000, "num_features": 10, "kernel_width": 0.25 * 2**0.5}
    x = jnp.arange(2, 16)[None]
    lime = xai.lime.text(curved, x, key=key, mask_id=MASK, definitions="lime")
    assert (lime.num_evaluations, (lime.values != 0).sum()) == (5000, 10)
    by_hand = xai.lime.text(curved, x, key=key, mask_id=MASK, definitions="lime", **settings | {"kernel_width": 0.25})
    np.testing.assert_array_equal(lime.values, by_hand.values)
    # Our kernel has no root and our ridge is next to nothing.
    ours = xai.lime.text(curved, x, key=key, mask_id=MASK, **settings)
    without_ridge = xai.lime.text(curved, x, key=key, mask_id=MASK, definitions="lime", ridge=1e-4)
    np.testing.assert_allclose(without_ridge.values, ours.values, atol=1e-4)
    assert np.abs(lime.values - ours.values).max() > 1e-3


def test_options_replace_the_definitions_of_lime(key):
    options = {"key": key, "mask_id": MASK, "pad_id": PAD, "definitions": "lime"}
    found = xai.lime.text(curved, X, num_samples=200, num_features=2, kernel_width=0.1, sampling="coins", **options)
    by_fit = xai.lime.fit(
        xai.game(curved, X, xai.mask.tokens(MASK, pad_id=PAD)),
        key=key, num_samples=200, num_features=2, kernel_width=0.1, definitions="lime",
    )  # fmt: skip
    np.testing.assert_array_equal(found.values, by_fit.values)
    assert ((np.asarray(found.values) != 0).sum(axis=1) == 2).all()


def test_unknown_definitions_are_refused(key):
    with pytest.raises(ValueError, match="definitions.? must be one of"):
        xai.lime.text(bag, X, key=key, mask_id=MASK, pad_id=PAD, definitions="shap")
