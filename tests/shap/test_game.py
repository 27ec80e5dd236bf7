"""Games are callable: what coalitions are worth, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

COALITIONS = np.array([[False, False, False], [True, False, True], [True, True, True], [False, True, False]])


def model(x):
    """Two outputs: a product with an offset, and a sum."""
    return jnp.stack([x[:, 0] * x[:, 1] + x[:, 2], x.sum(axis=1)], axis=1)


def test_a_game_by_hand_answers_for_each_coalition():
    game = xai.Game(lambda z: z @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    np.testing.assert_array_equal(game(COALITIONS), [0, 9, 16, 7])


@pytest.mark.parametrize("batch_size", [None, 1, 3, 100])
def test_a_models_game_averages_over_the_background_for_each_example(batch_size):
    x, background = jnp.array([[1.0, 2, 3], [10, 20, 30]]), jnp.array([[0.0, 0, 0], [4, 6, 8]])
    game = xai.game(model, x, xai.mask.background(background), target=0)
    # Nobody: 0 and 24 + 8; of the first example players 0 and 2: 1 · 0 + 3 and 1 · 6 + 3; all: 2 + 3; player 1: 0 and 4 · 2 + 8.
    first = [(0 + 32) / 2, (3 + 9) / 2, 5, (0 + 16) / 2]
    second = [(0 + 32) / 2, (30 + 90) / 2, 230, (0 + 88) / 2]
    np.testing.assert_allclose(game(COALITIONS, batch_size=batch_size), [first, second], rtol=1e-6)


def test_all_outputs_come_last():
    game = xai.game(model, jnp.array([[1.0, 2, 3]]), xai.mask.baseline(jnp.zeros(3)), target="all")
    np.testing.assert_allclose(game(COALITIONS), [[[0, 0], [3, 4], [5, 6], [0, 2]]])


@pytest.mark.parametrize(
    ("coalitions", "error", "message"),
    [
        (COALITIONS[:, :2], ValueError, r"`coalitions` must have shape \[S, 3\].*got shape \[4, 2\]"),
        (COALITIONS[:0], ValueError, r"S at least 1, got shape \[0, 3\]"),
        (COALITIONS[0], ValueError, r"`coalitions` must have shape \[S, 3\].*got shape \[3\]"),
        (COALITIONS.astype(int), TypeError, "`coalitions` must be booleans, got int32"),
        ("all", TypeError, "`coalitions` must be an array"),
    ],
)
def test_coalitions_that_are_none_are_said(coalitions, error, message):
    with pytest.raises(error, match=message):
        xai.Game(lambda z: z.sum(axis=1), num_players=3)(coalitions)
