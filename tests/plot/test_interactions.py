"""The matrix of pairs: numbers in their cells, one symmetric scale, the strongest players."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import attribution, labels, texts


def pairs_of(values, pairs, **fields):
    return attribution(values, kind=xai.Interactions, pairs=jnp.asarray(pairs, jnp.float32), **fields)


VALUES = [[1.0, -2.0, 0.25], [3.0, 0.0, 0.0]]
PAIRS = np.zeros((2, 3, 3))
PAIRS[0, 0, 1] = PAIRS[0, 1, 0] = -0.5
PAIRS[1, 1, 2] = PAIRS[1, 2, 1] = 4.0


def test_the_diagonal_has_single_values_and_the_rest_the_pairs():
    ax = xai.plot.interactions(pairs_of(VALUES, PAIRS), names=["a", "b", "c"])
    assert labels(ax) == ["b", "a", "c"]  # by the sizes in their rows: 2.5, 1.5, 0.25
    (drawn,) = ax.images
    np.testing.assert_allclose(drawn.get_array(), [[-2, -0.5, 0], [-0.5, 1, 0], [0, 0, 0.25]])
    assert drawn.get_clim() == (-2, 2)
    assert texts(ax)[:3] == ["-2", "-0.5", "0"]
    assert len(ax.patches) == 3  # frames of the diagonal


def test_over_all_examples_sizes_are_averaged():
    ax = xai.plot.interactions(pairs_of(VALUES, PAIRS), example=None)
    matrix = np.asarray(ax.images[0].get_array())
    assert labels(ax) == ["player 1", "player 0", "player 2"]
    np.testing.assert_allclose(matrix, [[1, 0.25, 2], [0.25, 2, 0], [2, 0, 0.125]])


def test_weak_players_are_left_out_and_said_to_be():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(1, 30, 30))
    ax = xai.plot.interactions(pairs_of(rng.normal(size=(1, 30)), pairs + pairs.transpose(0, 2, 1)), top=12)
    assert "18 weaker players left out" in ax.get_title()
    assert ax.images[0].get_array().shape == (12, 12)
    assert texts(ax) == []  # no room


def test_a_game_and_nothing_at_all_are_drawn():
    game = xai.Game(lambda z: 1.0 * z[:, 0] * z[:, 1], num_players=3)
    ax = xai.plot.interactions(xai.shap.interactions(game, index="SII"))
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.5, 1, 0], [1, 0.5, 0], [0, 0, 0]], atol=1e-6)
    ax = xai.plot.interactions(pairs_of(np.zeros((1, 3)), np.zeros((1, 3, 3))))
    assert ax.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (attribution(VALUES), TypeError, "must be xai.Interactions, got Attribution"),
        (pairs_of(VALUES, np.where(PAIRS == 4, np.nan, PAIRS)), ValueError, "must have finite pairs"),
        (
            xai.Interactions(jnp.ones((1, 2, 2)), jnp.ones((1, 2)), pairs=jnp.ones((1, 2, 2, 2))),
            ValueError,
            "`output` must be given, since the attribution explains 2 outputs of each example and this",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        xai.plot.interactions(given)
