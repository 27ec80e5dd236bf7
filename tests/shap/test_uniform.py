"""RISE and Sobol's total indices against enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

PLAYERS = 7
COALITIONS = np.array(list(itertools.product([False, True], repeat=PLAYERS)))


def worth(z):
    """Two games [S, 2] with interactions; player 6 changes the second game alone."""
    z = jnp.asarray(z, float)
    first = 3.0 * z[:, 0] - 2.0 * z[:, 1] * z[:, 2] + z[:, 3] * (1.0 - z[:, 4]) + 0.5 * z[:, 5] + 10.0
    return jnp.stack([first, z[:, 6] * (z[:, 0] - z[:, 5])], axis=1)


GAME = xai.Game(worth, PLAYERS)
WORTH = np.asarray(worth(COALITIONS.astype(float)), float)
MEANS = np.stack([WORTH[COALITIONS[:, player]].mean(axis=0) for player in range(PLAYERS)])


def share(player):
    """The mean over all coalitions of the others of the variance of the two with and without the player."""
    others = np.delete(COALITIONS, player, axis=1)
    groups = [WORTH[(others == row).all(axis=1)] for row in np.unique(others, axis=0)]
    return np.mean([group.var(axis=0) for group in groups], axis=0) / WORTH.var(axis=0)


SHARES = np.stack([share(player) for player in range(PLAYERS)])


def test_all_coalitions_give_exact_values():
    means, shares = xai.shap.rise(GAME), xai.shap.sobol(GAME)
    np.testing.assert_allclose(means.values, MEANS, rtol=1e-6)
    np.testing.assert_allclose(shares.values, SHARES, rtol=1e-5, atol=1e-7)
    for result in (means, shares):
        assert (np.asarray(result.std_errors) == 0).all()
        assert result.estimator == "exact"
        np.testing.assert_allclose(result.base_value, WORTH[0])
        np.testing.assert_allclose(result.output, WORTH[-1])
        assert result.num_evaluations == 2**PLAYERS
    np.testing.assert_allclose(means.values, WORTH.mean(axis=0) + xai.shap.banzhaf(GAME).values / 2, rtol=1e-5)
    assert shares.values[6, 0] == 0
    constant = xai.shap.sobol(xai.Game(lambda z: 0 * z[:, 0] + 2.0, 3)).values
    np.testing.assert_array_equal(constant, np.zeros(3))


@pytest.mark.parametrize(
    ("explain", "expected", "coverage"), [(xai.shap.rise, MEANS, 0.92), (xai.shap.sobol, SHARES, 0.85)]
)
def test_samples_are_right_within_their_standard_errors(explain, expected, coverage):
    keys = jax.random.split(jax.random.key(3), 200)
    result = jax.jit(jax.vmap(lambda key: explain(GAME, key=key, num_evaluations=122)))(keys)
    gaps = np.asarray(result.values, float) - expected
    assert (np.abs(gaps.mean(axis=0)) <= 4 * gaps.std(axis=0) / 200**0.5 + 0.005).all()
    varies = gaps.std(axis=0) > 1e-6
    inside = np.abs(gaps) < 2 * np.asarray(result.std_errors)
    assert inside[:, varies].mean() > coverage
    ratios = (np.asarray(result.std_errors) ** 2).mean(axis=0)[varies] / gaps.var(axis=0)[varies]
    assert (ratios > 0.6).all()
    assert (ratios < 1.6).all()
    assert result.num_evaluations[0] == 122


def test_no_more_is_evaluated_than_asked_for_and_all_of_it_is_counted():
    """Of Sobol with 7 players: designs of 8 coalitions, with the empty and the grand one, here 2 + 14 * 8 = 114."""
    rows = []

    def counted(z):
        jax.debug.callback(lambda part: rows.append(len(part)), z)
        return z[:, 0]

    for explain, asked, expected in ((xai.shap.sobol, 121, 114), (xai.shap.rise, 50, 50)):
        result = explain(xai.Game(counted, PLAYERS), key=jax.random.key(0), num_evaluations=asked)
        jax.effects_barrier()
        assert result.num_evaluations == expected == sum(rows)
        rows.clear()


def test_means_of_no_sample_and_errors_of_one_are_not_numbers():
    """Each of 20 players is in a number of the six random coalitions, which the game itself notes."""
    drawn = []

    def game(z):
        jax.debug.callback(lambda part: drawn.extend(np.asarray(part)), z)
        return z @ jnp.arange(20.0)

    result = xai.shap.rise(xai.Game(game, 20), key=jax.random.key(0), num_evaluations=8)
    jax.effects_barrier()
    samples = np.array([row for row in drawn if 0 < row.sum() < 20], float)
    assert samples.shape == (6, 20)
    counts, worth = samples.sum(axis=0), samples @ np.arange(20.0)
    assert {0, 1, 2} <= set(counts.astype(int))
    for player, count in enumerate(counts):
        own = worth[samples[:, player] == 1]
        np.testing.assert_allclose(result.values[player], own.mean() if count else np.nan, rtol=1e-5)
        error = own.std(ddof=1) / count**0.5 if count > 1 else np.nan
        np.testing.assert_allclose(result.std_errors[player], error, rtol=1e-4)


def test_players_of_a_model_are_explained_for_each_example_and_padding_is_zero():
    model = lambda ids: (ids == 3).sum(axis=1) * 2.0 + (ids == 4).sum(axis=1)  # noqa: E731
    ids = np.array([[3, 4, 5, 0], [4, 4, 0, 0]])
    games = xai.game(model, ids, xai.mask.tokens(mask_id=1, pad_id=0))
    np.testing.assert_allclose(xai.shap.rise(games).values, [[2.5, 2, 1.5, 0], [1.5, 1.5, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(xai.shap.sobol(games).values, [[0.8, 0.2, 0, 0], [0.5, 0.5, 0, 0]], rtol=1e-5)


MISTAKES = {
    "no key": (lambda: xai.shap.rise(GAME, num_evaluations=20), "`key` must be a JAX random key, .* got None: not all"),
    "too few": (lambda: xai.shap.sobol(GAME, key=jax.random.key(0), num_evaluations=17), "must be at least 18 for 7"),
    "a model": (lambda: xai.shap.rise(worth), "`game` must"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
