"""Removal: the outputs as the strongest players go, and the input without them."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

LABELS = np.repeat(np.repeat([[0, 1], [2, 3]], 3, axis=0), 4, axis=1)  # [6, 8]
PICTURES = np.random.default_rng(0).random((3, 6, 8, 3)).astype(np.float32)
VALUES = jnp.array([[3.0, -2.0, 0.0, 1.0], [-1.0, 2.0, 3.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
GIVEN = xai.Attribution(VALUES, jnp.zeros(3), method="LIME")


@pytest.fixture(scope="module")
def game():
    """The output is the sum over the pixels, so that each region is worth its own sum."""
    return xai.game(lambda x: x.sum(axis=(1, 2, 3)), jnp.asarray(PICTURES), xai.mask.regions(LABELS, fill=0.0))


@pytest.mark.parametrize("keep", [False, True])
def test_outputs_follow_the_strongest_players_of_each_example(game, keep):
    found = xai.metrics.removal(game, GIVEN, top=2, keep=keep)
    sums = np.stack([PICTURES[:, k == LABELS].sum(axis=(1, 2)) for k in range(4)], axis=1)
    orders = [[0, 3], [2, 1]]
    for example, order in enumerate(orders):
        gone = np.concatenate([[0], np.cumsum(sums[example, order])])
        expected = gone if keep else sums[example].sum() - gone
        np.testing.assert_allclose(found.outputs[example], expected, rtol=1e-5, atol=1e-4)
        present = np.isin(np.arange(4), order) == keep
        np.testing.assert_array_equal(found.present[example], present)
        shown = present[LABELS][..., None]
        np.testing.assert_allclose(found.after[example], PICTURES[example] * shown, atol=1e-6)
        np.testing.assert_allclose(found.output_after[example], expected[2], rtol=1e-5)
    assert found.num_changed.tolist() == [2, 2, 0]  # players of value 0 are never removed
    np.testing.assert_allclose(found.output, sums.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found.before, PICTURES)


def test_the_sign_chooses_the_players(game):
    assert xai.metrics.removal(game, GIVEN, sign="negative").num_changed.tolist() == [1, 1, 0]
    both = xai.metrics.removal(game, GIVEN, sign="both", top=9)
    assert both.num_changed.tolist() == [3, 4, 0]
    np.testing.assert_array_equal(both.present[0], [False, False, True, False])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"game": 3}, r"`game` must be xai.game\(model, x, masker\), got int"),
        ({"attribution": 3}, "`attribution` must be the result of an explainer"),
        ({"sign": "plus"}, "`sign` must be one of"),
        ({"top": 0}, "`top` must be at least 1"),
        ({"attribution": xai.Attribution(jnp.ones((2, 2)), jnp.ones(2))}, "one value for each|map over its inputs"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(game, options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.metrics.removal(**{"game": game, "attribution": GIVEN} | options)
