"""Several inputs in one game: the players of all of them, against games written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions, shapley
from tests import models

ROWS = models.rows(3, 3, seed=1)
IMAGES = models.images(2)[:, :2, :4]
TABLE = models.rows(2, 3)
X = {"image": IMAGES, "row": TABLE}
WEIGHTS = jax.random.normal(jax.random.key(1), IMAGES.shape[1:])
COALITIONS = all_coalitions(5)  # the two halves of the image, and the three columns


def model(x):
    seen = jnp.tanh((x["image"] * WEIGHTS).sum(axis=(1, 2, 3)))
    return seen * x["row"][:, 0] + jnp.sin(x["row"]).prod(axis=1) + seen


def parts(**options):
    return {"image": xai.mask.grid((1, 2), fill=0.5), "row": xai.mask.background(ROWS, **options)}


def by_hand(rows, weights=None, fills=(0.5, 0.5, 0.5)):
    """[N, S]: the image with absent halves painted, and a row with absent columns from each background row."""
    worth = np.zeros((2, 32))
    for number, coalition in enumerate(COALITIONS):
        halves = np.repeat(coalition[:2], 2)[None, :, None]
        answers = []
        for row, fill in zip(rows, fills, strict=True):
            images = np.where(halves, np.asarray(IMAGES), fill)
            table = np.where(coalition[2:], np.asarray(TABLE), row)
            answers.append(np.asarray(model({"image": jnp.asarray(images), "row": jnp.asarray(table)}), float))
        worth[:, number] = np.average(answers, axis=0, weights=weights)
    return worth


@pytest.mark.parametrize("weights", [None, [1, 2, 5]])
def test_an_image_and_a_row_play_one_game(weights):
    masker = xai.mask.joint(parts(weights=weights))
    game = xai.game(model, X, masker)
    assert game.num_players == 5
    expected = by_hand(np.asarray(ROWS), weights)
    np.testing.assert_allclose(game(COALITIONS), expected, atol=1e-5)
    computed = xai.shap.exact(game)
    np.testing.assert_allclose(computed.values, [shapley(worth) for worth in expected], atol=1e-5)
    values = masker.split(computed.values, X)
    np.testing.assert_array_equal(values["image"], computed.values[:, :2])
    np.testing.assert_array_equal(values["row"], computed.values[:, 2:])


def test_background_rows_of_two_parts_belong_to_each_other():
    fills = jnp.stack([jnp.full(IMAGES.shape[1:], fill) for fill in (0.0, 0.5, 2.0)])
    masker = xai.mask.joint({"image": xai.mask.grid((1, 2), fill=fills), "row": xai.mask.background(ROWS)})
    expected = by_hand(np.asarray(ROWS), fills=(0.0, 0.5, 2.0))
    np.testing.assert_allclose(xai.game(model, X, masker)(COALITIONS), expected, atol=1e-5)
    np.testing.assert_allclose(xai.game(model, X, masker)(COALITIONS, batch_size=2), expected, atol=1e-5)


def test_the_weight_of_one_row_beside_many_is_no_weight():
    one = ROWS[:1]
    fills = jnp.stack([jnp.full(IMAGES.shape[1:], fill) for fill in (0.0, 0.5, 2.0)])
    masker = xai.mask.joint({"image": xai.mask.grid((1, 2), fill=fills), "row": xai.mask.background(one, weights=[7])})
    expected = by_hand(np.repeat(np.asarray(one), 3, axis=0), fills=(0.0, 0.5, 2.0))
    np.testing.assert_allclose(xai.game(model, X, masker)(COALITIONS), expected, atol=1e-5)


def test_a_row_and_a_sentence_play_one_game_and_padding_is_no_player(key):
    net, ids = models.text_net(), models.sentences()[:2]
    x = (models.rows(2, 3), ids)

    def both(x):
        return net(x[1])[:, 1] * (1 + x[0].sum(axis=1))

    masker = xai.mask.joint((xai.mask.baseline(jnp.zeros(3)), xai.mask.tokens(1, pad_id=0)))
    game = xai.game(both, x, masker)
    coalitions = all_coalitions(9)[::37]
    worth = game(coalitions)
    for number, coalition in enumerate(coalitions):
        tokens = np.where(coalition[3:] | (np.asarray(ids) == 0), ids, 1)
        expected = both((jnp.asarray(np.where(coalition[:3], x[0], 0)), jnp.asarray(tokens)))
        np.testing.assert_allclose(worth[:, number], expected, atol=1e-5)
    computed = xai.shap.permutation(game, num_permutations=3, key=key)
    words = masker.split(computed.values, x)[1]
    assert (words[1, 4:] == 0).all()
    assert (np.delete(np.asarray(words).reshape(-1), [10, 11]) != 0).all()
    np.testing.assert_allclose(computed.values.sum(axis=1), computed.output - computed.base_value, atol=1e-5)


def test_values_of_all_outputs_are_taken_apart_too():
    values = jnp.arange(2 * 5 * 4.0).reshape(2, 5, 4)
    apart = xai.mask.joint(parts()).split(values, X)
    np.testing.assert_array_equal(jnp.concatenate([apart["image"], apart["row"]], axis=1), values)
    assert apart["row"].shape == (2, 3, 4)


def game(x, **options):
    return xai.game(model, x, xai.mask.joint(parts() | options))


MISTAKES = {
    "a part that is no masker": (
        lambda: xai.mask.joint({"row": ROWS}),
        "`parts` must be maskers from xai.mask or None, got",
    ),
    "no parts": (lambda: xai.mask.joint({}), "`parts` must hold at least one masker"),
    "two weights": (
        lambda: xai.mask.joint([xai.mask.background(ROWS, weights=[1, 1, 1])] * 2),
        "`parts` must have weights in one part at most",
    ),
    "another structure": (lambda: game({"row": TABLE}), "`x` must have the structure of the masker's parts"),
    "one array": (lambda: game(TABLE), "`x` must have the structure of the masker's parts"),
    "different backgrounds": (
        lambda: game(X, image=xai.mask.grid((1, 2), fill=jnp.zeros((2, *IMAGES.shape[1:])))),
        r"one background row or all the same number of rows, .* got \[2, 3\]",
    ),
    "different numbers of examples": (lambda: game(X | {"row": TABLE[:1]}), r"one leading batch axis.* \[1, 2\]"),
    "other features": (lambda: game(X | {"row": jnp.zeros((2, 4))}), r"\[N, 3\] of the background's rows"),
    "NaN in a part": (
        lambda: game(X | {"row": TABLE.at[1].set(jnp.nan)}),
        r"x\['row'\].? (holds NaN|must hold no NaN).*\[1\]",
    ),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
