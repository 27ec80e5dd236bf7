"""Axioms: games whose null players and symmetric pairs are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

m = xai.metrics
KEY = jax.random.key(3)


def model(weights, x):
    """Features 0 and 1 are symmetric in their product, feature 2 does nothing, and the others are additive."""
    return x[:, 0] * x[:, 1] + x[:, 3:] @ weights


@pytest.fixture(scope="module", params=[6, 16], ids=["all coalitions", "drawn coalitions"])
def games(request):
    size = request.param - 3
    weights = 1 + jnp.arange(size, dtype=jnp.float32)
    x = jnp.ones((2, request.param)).at[1, 0].set(3.0)  # whose product's factors stay symmetric for a baseline of 0
    x = x.at[1, 3].set(0.0)  # equal to its baseline: a null player of this example
    return xai.game(xai.function(model, weights), x, xai.mask.baseline(jnp.zeros(request.param)))


def explained(game, changes):
    values = np.ones((2, game.num_players), np.float32)
    for player, value in changes.items():
        values[:, player] = value
    return xai.Attribution(jnp.asarray(values), jnp.ones(2), method="test")


def test_what_null_players_get_is_found(games):
    given = explained(games, {2: -3.0})
    total = games.num_players - 1 + 3
    score = m.null_player_violation(games, given, key=KEY)
    np.testing.assert_allclose(score.values, [3 / total, 4 / total], rtol=1e-6)
    assert (score.metric, score.better, score.method) == ("null player violation", "lower", "test")
    exact = xai.shap.permutation(games, num_permutations=4, key=KEY)
    np.testing.assert_allclose(m.null_player_violation(games, exact, key=KEY).values, 0, atol=1e-6)


def test_differences_of_symmetric_players_are_found(games):
    given = explained(games, {0: 2.0, 1: 5.0})
    sizes = np.abs(np.asarray(given.values)).mean(axis=1)
    np.testing.assert_allclose(m.symmetry_violation(games, given, key=KEY).values[0], 3 / sizes[0], rtol=1e-6)
    even = explained(games, {0: 2.0, 1: 2.0, 4: 9.0})
    np.testing.assert_allclose(m.symmetry_violation(games, even, key=KEY).values, 0, atol=1e-7)


def test_answers_do_not_depend_on_batch_blocks_or_order(games):
    given, ids = explained(games, {0: 2.0, 1: 5.0, 2: -3.0}), jnp.array([7, 4])
    whole = m.symmetry_violation(games, given, key=KEY, ids=ids).values
    np.testing.assert_allclose(
        m.symmetry_violation(games, given, key=KEY, ids=ids, batch_size=5).values, whole, rtol=1e-6
    )
    last = xai.game(games.model, games.x[1:], games.masker)
    np.testing.assert_allclose(m.symmetry_violation(last, given[1:], key=KEY, ids=ids[1:]).values, whole[1:], rtol=1e-6)


def test_a_game_that_is_undefined_for_some_coalition_has_no_score():
    game = xai.Game(lambda z: jnp.where(z[:, 0] & ~z[:, 1], jnp.nan, z[:, 1] + 0.0), 3)
    assert np.isnan(m.null_player_violation(game, xai.Attribution(jnp.ones(3), jnp.ones(()))).values)


def test_another_class_is_refused():
    game = xai.game(lambda x: x @ jnp.ones((3, 2)), jnp.ones((2, 3)), xai.mask.baseline(jnp.zeros(3)), target=1)
    other = xai.Attribution(jnp.ones((2, 3)), jnp.ones(2), target=jnp.array([1, 0]))
    with pytest.raises(ValueError, match="`attribution` must explain the game's own output, got class 0 for example 1"):
        m.null_player_violation(game, other)


def test_completeness_gap_is_by_hand_and_relative_to_the_difference():
    values = jnp.array([[1.0, 2.0], [1.0, -1.0], [0.5, 0.5]])
    attribution = xai.Attribution(values, jnp.array([5.0, 1.0, 2.0]), jnp.array([1.0, 1.0, 2.0]), method="LIME")
    assert m.completeness_gap(attribution).values.tolist() == [1, 0, 1]
    assert m.completeness_gap(attribution, relative=True).values.tolist() == [0.25, 0, np.inf]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda game, given: m.completeness_gap(given), "`attribution` must have a base value"),
        (lambda game, given: m.null_player_violation(game, given), "`key` must be a JAX random key.*13 players"),
        (lambda game, given: m.symmetry_violation(game, given[0], key=KEY), "`attribution` must have one value for each player"),
        (lambda game, given: m.symmetry_violation(None, given, key=KEY), "`game` must be"),
        (lambda game, given: m.null_player_violation(game, given, key=KEY, tolerance=-1.0), "`tolerance` must be"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_sentence(call, message):
    game = xai.game(lambda x: x.sum(axis=1), jnp.ones((2, 13)), xai.mask.baseline(jnp.zeros(13)))
    with pytest.raises((TypeError, ValueError), match=message):
        call(game, xai.Attribution(jnp.ones((2, 13)), jnp.ones(2)))
