"""Tokens as players: masked or cut out, one by one or in groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

PAD, MASK = 0, 9
X = jnp.array([[3, 4, 5, 4, PAD], [6, 7, PAD, PAD, PAD]])
WORDS = [[0, 1, -1, 1, -1], [0, 0, -1, -1, -1]]  # the second has one word of two tokens


def inputs_for(masker, coalition, row=0, x=X):
    prepared = jax.tree.map(lambda leaf: leaf[row], masker.prepare(x))
    (reference,) = masker.references(x[row], prepared)
    return masker.compose(x[row], reference, jnp.asarray(coalition, bool), prepared).tolist()


@pytest.mark.parametrize("bits", range(16))
def test_cutting_out_is_the_shorter_list_filled_up(bits):
    coalition = [bits >> position & 1 for position in range(4)]
    kept = [token for token, present in zip([3, 4, 5, 4], coalition, strict=True) if present]
    masker = xai.mask.tokens(pad_id=PAD)
    for padding in (0, 1):  # padding is no player and always stays
        assert inputs_for(masker, [*coalition, padding]) == kept + [PAD] * (5 - len(kept))


def test_padding_in_front_stays_there():
    masker, x = xai.mask.tokens(pad_id=PAD), jnp.array([[PAD, 3, 4, 5]])
    assert inputs_for(masker, [1, 1, 1, 1], x=x) == [PAD, 3, 4, 5]
    assert inputs_for(masker, [0, 1, 0, 1], x=x) == [PAD, 3, 5, PAD]


def test_tokens_of_a_group_are_removed_jointly_and_those_of_no_group_stay():
    cut, masked = (xai.mask.tokens(mask_id, pad_id=PAD, groups=WORDS) for mask_id in (None, MASK))
    assert inputs_for(masked, [1, 0]) == [3, MASK, 5, MASK, PAD]
    assert inputs_for(cut, [1, 0]) == [3, 5, PAD, PAD, PAD]
    assert inputs_for(cut, [0, 1]) == [4, 5, 4, PAD, PAD]
    assert inputs_for(cut, [0, 0]) == [5, PAD, PAD, PAD, PAD]
    assert inputs_for(masked, [0, 1], row=1) == [MASK, MASK, PAD, PAD, PAD]
    assert inputs_for(cut, [0, 1], row=1) == [PAD] * 5


def test_padding_and_players_that_an_example_lacks_are_not_active():
    masker = xai.mask.tokens(pad_id=PAD, groups=WORDS)
    prepared = masker.prepare(X)
    assert masker.num_players((5,)) == 2
    active = jax.vmap(masker.active)(X, prepared)
    np.testing.assert_array_equal(active, [[True, True], [True, False]])
    np.testing.assert_array_equal(xai.mask.tokens(pad_id=PAD).active(X[0], ()), [True] * 4 + [False])
    padded_player = xai.mask.tokens(MASK, pad_id=PAD, groups=[[0, 0, 0, 0, 1], [0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(jax.vmap(padded_player.active)(X, padded_player.prepare(X)), [[True, False]] * 2)


def test_shapley_values_of_words_are_the_sums_over_their_tokens():
    weights = jnp.arange(10.0).at[PAD].set(0)

    def model(ids):
        return weights[ids].sum(axis=1)

    for mask_id in (None, MASK):
        masker = xai.mask.tokens(mask_id, pad_id=PAD, groups=WORDS)
        gone = 0 if mask_id is None else 9.0
        attribution = xai.shap.exact(xai.game(model, X, masker))
        expected = [[3 - gone, 8 - 2 * gone], [13 - 2 * gone, 0]]
        np.testing.assert_allclose(attribution.values, expected, atol=1e-5)
        np.testing.assert_array_equal(attribution.regions, WORDS)


def test_cutting_out_is_the_same_program_for_every_coalition():
    masker = xai.mask.tokens(pad_id=PAD)
    coalitions = jax.random.bernoulli(jax.random.key(0), 0.5, (64, 5))
    reference = masker.references(X[0], ())[0]
    batched = jax.jit(jax.vmap(lambda coalition: masker.compose(X[0], reference, coalition, ())))(coalitions)
    assert batched.shape == (64, 5)
    np.testing.assert_array_equal(batched, [inputs_for(masker, coalition) for coalition in coalitions])


def total(ids):
    return ids.sum(axis=1)


@pytest.mark.parametrize(
    "x",
    [
        X,
        [[3, 4, 5, 4, 6], [6, 7, PAD, PAD, PAD]],
        [[3, 4, PAD, PAD]],
        [[PAD, PAD, 3, 4], [3, 4, 5, 6]],  # padding in front
    ],
    ids=str,
)
def test_a_padded_batch_needs_a_pad_id(x):
    with pytest.raises(ValueError, match=r"`pad_id` must be given for a padded batch.* pass pad_id=0, or"):
        xai.game(total, jnp.array(x), xai.mask.tokens(MASK))
    games = xai.game(total, jnp.array(x), xai.mask.tokens(MASK, pad_id=PAD))
    np.testing.assert_array_equal(xai.shap.exact(games).values != 0, np.array(x) != PAD)


@pytest.mark.parametrize(
    ("x", "options"),
    [
        ([[3, 4, 5, 6], [6, 7, 3, 4]], {}),
        ([[3, 4, 5, 5], [5, 7, 3, 4]], {}),  # the token occurs elsewhere
        ([[3, 3, 3, 3], [5, 7, 3, 4]], {}),
        ([[3, 4, MASK, MASK]], {}),  # absent or present, it is the same
        ([[3, 4, PAD, PAD]], {"groups": [[0, 1, -1, -1]]}),  # padding belongs to no player
        ([[3, 4, 6, 6]], {"pad_id": 1}),  # an id that does not occur
    ],
    ids=str,
)
def test_a_batch_without_padding_needs_no_pad_id(x, options):
    assert xai.game(total, jnp.array(x), xai.mask.tokens(MASK, **options)).num_examples == len(x)


def test_mask_tokens_of_the_text_itself_change_nothing():
    x = jnp.array([[3, MASK, 4, 5, MASK]])
    masker = xai.mask.tokens(MASK)
    np.testing.assert_array_equal(masker.active(x[0], ()), [True, False, True, True, False])
    np.testing.assert_array_equal(xai.shap.exact(xai.game(total, x, masker)).values[0, 1::3], [0, 0])


def test_groups_of_tokens_have_names():
    masker = xai.mask.tokens(MASK, pad_id=PAD, groups=WORDS, names=["first", "second"])
    assert xai.shap.exact(xai.game(total, X, masker)).names == ("first", "second")
    with pytest.raises(ValueError, match="`names` must be None without groups"):
        xai.mask.tokens(MASK, names=["a"])


MISTAKES = {
    "neither mask nor padding": (lambda: xai.mask.tokens(), "`mask_id` or `pad_id` must be given, got None for both"),
    "a negative id": (lambda: xai.mask.tokens(pad_id=-1), "pad_id.? must be at least 0, (but it is|got) -1"),
    "a mask that is no id": (lambda: xai.mask.tokens("[MASK]"), "mask_id.? must be an int"),
    "groups of one row": (
        lambda: xai.mask.tokens(1, groups=[0, 1]),
        r"`groups` must have the shape \[N, L\] of x, got \[2\]",
    ),
    "groups with a gap": (lambda: xai.mask.tokens(1, groups=[[0, 2, -1]]), r"without gaps.*without \[1\]"),
    "groups below -1": (lambda: xai.mask.tokens(1, groups=[[0, -2]]), "without gaps, got -2 to 0"),
    "groups of no player": (lambda: xai.mask.tokens(1, groups=[[-1, -1]]), "-1 everywhere"),
    "groups of floats": (lambda: xai.mask.tokens(1, groups=[[0.0, 1.0]]), "`groups` must be integers, got float64"),
    "groups of another shape": (
        lambda: xai.game(lambda ids: ids.sum(axis=1), X, xai.mask.tokens(1, groups=[[0, 1]])),
        r"`groups` must have the shape of x, \[2, 5\], got \[1, 2\]",
    ),
    "traced groups": (
        lambda: jax.jit(lambda groups: xai.mask.tokens(1, groups=groups).groups)(jnp.array(WORDS)),
        "`groups` must be known when compiling",
    ),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


def test_embeddings_have_a_player_for_each_token():
    """A model of embeddings [N, L, D], whose absent tokens have the embedding of the mask token."""
    parameters = dict(zip(("embedding", "head"), jax.tree.leaves(models.text_net()), strict=True))
    ids = models.sentences()[:1]
    of_ids = xai.shap.exact(xai.game(models.text_net(), ids, xai.mask.tokens(1), target=2)).values
    embedded = lambda head, x: jnp.tanh(x.sum(axis=1)) @ head  # noqa: E731
    absent = jnp.broadcast_to(parameters["embedding"][1], (6, 6))
    masker = xai.mask.baseline(absent, groups=jnp.arange(6))
    game = xai.game(xai.function(embedded, parameters["head"]), parameters["embedding"][ids], masker, target=2)
    np.testing.assert_allclose(xai.shap.exact(game).values, of_ids, atol=1e-5)
