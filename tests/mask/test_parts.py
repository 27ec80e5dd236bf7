"""Inputs that are dicts: the players are those of one part, the other arrays reach the model as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions, shapley
from tests import models
from tests.explainers import KEY

PAD, MASK = 0, 9
IDS = np.array([[3, 4, 5, 6], [7, 2, PAD, PAD]])
ATTENDED = np.array([[0, 1, 1, 1], [1, 1, 0, 0]])  # the first id is padding, as only the mask shows
X = {"input_ids": IDS, "attention_mask": ATTENDED, "token_type_ids": np.array([[0, 0, 1, 1], [0, 1, 1, 1]])}
EMBEDDING = np.random.default_rng(0).normal(size=(10, 3))
KINDS = np.random.default_rng(1).normal(size=(2, 3))
COALITIONS = all_coalitions(4)


def network(x):
    """A mean over attended tokens, whose positions count, of ids and kinds."""
    embedded = xai.tag(jnp.asarray(EMBEDDING)[x["input_ids"]], "embedding")
    hidden = jnp.tanh(embedded + jnp.asarray(KINDS)[x["token_type_ids"]])
    hidden = hidden * (1.0 + jnp.arange(4.0))[None, :, None] * x["attention_mask"][..., None]
    return {"logits": jnp.tanh(hidden.sum(axis=1)), "cache": None}


MODEL = xai.model(network, output="logits")


def by_hand(ids, attended, kinds):
    hidden = np.tanh(EMBEDDING[ids] + KINDS[kinds]) * (1.0 + np.arange(4.0))[:, None] * attended[:, None]
    return np.tanh(hidden.sum(axis=0))[1]


def masked(ids, attended, present):
    return np.where(present | (attended == 0), ids, MASK), attended


def hidden(ids, attended, present):
    return ids, attended * present


def cut_out(ids, attended, present):
    present = present | (attended == 0)
    missing = int((~present).sum())
    return np.append(ids[present], [PAD] * missing).astype(int), np.append(attended[present], [0] * missing)


REMOVALS = {
    "masked": (xai.mask.tokens(MASK, part="input_ids"), masked),
    "hidden": (xai.mask.tokens(part="input_ids"), hidden),
    "cut out": (xai.mask.tokens(pad_id=PAD, part="input_ids"), cut_out),
}


@pytest.mark.parametrize(("masker", "removal"), REMOVALS.values(), ids=REMOVALS)
def test_tokens_of_a_dict_are_players_and_padding_is_none(masker, removal):
    kinds = X["token_type_ids"]
    rows = [[by_hand(*removal(IDS[n], ATTENDED[n], coalition), kinds[n]) for coalition in COALITIONS] for n in range(2)]
    games = xai.game(MODEL, X, masker, target=1)
    np.testing.assert_allclose(games(COALITIONS), rows, atol=1e-5)
    values = xai.shap.values(MODEL, X, masker, target=1).values
    np.testing.assert_allclose(values, [shapley(np.array(worth)) for worth in rows], atol=1e-5)
    np.testing.assert_array_equal(np.asarray(values) != 0, ATTENDED == 1)


def test_lime_and_games_take_the_dict_of_a_tokenizer():
    words = np.array([[-1, 0, 1, 1], [0, 1, -1, -1]])
    masker = xai.mask.tokens(MASK, part="input_ids", groups=words, names=["first", "second"])
    games = xai.game(MODEL, X, masker, target=1)
    text = xai.lime.text(MODEL, X, key=KEY, mask_id=MASK, part="input_ids", groups=words, target=1, num_samples=16)
    np.testing.assert_allclose(text.values, xai.lime.fit(games, key=KEY, num_samples=16).values, atol=1e-6)
    np.testing.assert_array_equal(text.regions, words)
    exact = xai.shap.exact(games)
    assert exact.player_names() == ["first", "second"]
    renamed = {"ids": IDS, "seen": ATTENDED.astype(bool), "kinds": X["token_type_ids"]}
    other = lambda x: MODEL({"input_ids": x["ids"], "attention_mask": x["seen"], "token_type_ids": x["kinds"]})  # noqa: E731
    masker = xai.mask.tokens(MASK, part="ids", attention_mask="seen", groups=words)
    np.testing.assert_allclose(
        xai.shap.exact(xai.game(other, renamed, masker, target=1)).values, exact.values, atol=1e-6
    )


def test_parts_without_a_masker_stay_as_they_are():
    """An image, token ids with their mask, and a tree of settings, in one game."""
    x = {
        "image": models.images(2)[:, :2, :4],
        "text": X,
        "scales": (models.rows(2, 3), {"shift": jnp.array([1.0, 2.0])}),
    }

    def model(x):
        image, (scales, shift) = x["image"].mean(axis=(1, 2, 3)), (x["scales"][0], x["scales"][1]["shift"])
        return MODEL(x["text"])[:, 1] * (1 + image) + scales.sum(axis=1) * image + shift

    masker = xai.mask.joint({"image": xai.mask.grid((1, 2), fill=0.0), "text": REMOVALS["masked"][0], "scales": None})
    games = xai.game(model, x, masker)
    coalitions = all_coalitions(6)
    worth = np.zeros((2, 64))
    for n in range(2):
        for number, coalition in enumerate(coalitions):
            halves = np.repeat(coalition[:2], 2)[None, :, None]
            image = np.where(halves, np.asarray(x["image"][n]), 0).mean()
            ids, attended = masked(IDS[n], ATTENDED[n], coalition[2:])
            scale, shift = np.asarray(x["scales"][0][n]).sum(), [1.0, 2.0][n]
            worth[n, number] = by_hand(ids, attended, X["token_type_ids"][n]) * (1 + image) + scale * image + shift
    np.testing.assert_allclose(games(coalitions), worth, atol=1e-5)
    values = xai.shap.exact(games).values
    np.testing.assert_allclose(values, [shapley(row) for row in worth], atol=1e-5)
    parts = masker.split(values, x)
    assert parts["scales"].shape == (2, 0)
    np.testing.assert_array_equal(parts["text"] != 0, ATTENDED == 1)


def test_maps_of_the_float_part_of_a_dict():
    kernel, embedding = jnp.arange(12.0).reshape(2, 6) / 10, jnp.asarray(EMBEDDING, jnp.float32)

    def model(x):
        hidden = xai.tag(jnp.tanh(jnp.einsum("nhwc,ck->nhwk", x["image"], kernel)), "hidden")
        shift = embedding[x["ids"]].sum(axis=1)
        return {"logits": hidden.mean(axis=(1, 2))[:, :3] * shift, "pooled": shift}

    x = {"image": models.images(2), "ids": IDS}
    own = xai.cam.grad_cam(xai.model(model, output="logits"), x, layer="hidden", target=1, relu=False).values
    shift = EMBEDDING[IDS].sum(axis=1)[:, 1]
    expected = np.tanh(np.asarray(x["image"]) @ np.asarray(kernel))[..., 1] * shift[:, None, None] / 64
    np.testing.assert_allclose(own, expected, atol=1e-5)


def test_gradients_of_the_embeddings_of_a_dict():
    values = xai.gradient.saliency(MODEL, X, layer="embedding", target=1).values
    inside = np.tanh(EMBEDDING[IDS] + KINDS[X["token_type_ids"]])[..., 1]
    seen = (1.0 + np.arange(4.0)) * ATTENDED
    outer = 1 - np.tanh((inside * seen).sum(axis=1, keepdims=True)) ** 2
    np.testing.assert_allclose(values[..., 1], outer * seen * (1 - inside**2), atol=1e-5)
    np.testing.assert_array_equal(values[..., [0, 2]], 0)  # the output has one dimension of the embedding alone


def game(x, **options):
    return xai.game(MODEL, x, xai.mask.tokens(**{"mask_id": MASK, "part": "input_ids"} | options))


MISTAKES = {
    "no part": (lambda: game(X, part=None), r"`x` must be token ids \[N, L\], got a dict of .*part='input_ids'"),
    "no dict": (lambda: game(IDS), r"`part` must be None for x that is no dict, got 'input_ids' for int64\[2, 4\]"),
    "another key": (lambda: game(X, part="inputs_id"), r"`x` must hold 'inputs_id', got the keys .*did you mean 'input_ids'"),
    "another mask": (lambda: game(X, attention_mask="mask"), r"`x` must hold 'mask', got the keys"),
    "a mask of scores": (lambda: game(X | {"attention_mask": ATTENDED - 2.0}), r"must be 1 for tokens and 0 for padding, got -2"),
    "a mask for attention": (
        lambda: game(X | {"attention_mask": np.ones((2, 4, 4))}),
        r"`x\['attention_mask'\]` must have the shape of the token ids, \[2, 4\], got \[2, 4, 4\]",
    ),
    "nothing that hides tokens": (
        lambda: game({"input_ids": IDS}, mask_id=None),
        r"`mask_id` or `pad_id` must be given for x without a mask of attention",
    ),
    "padding without a mask": (lambda: game({"input_ids": IDS}), "`pad_id` must be given for a padded batch"),
    "floats": (lambda: game(X | {"input_ids": IDS * 1.0}), r"`x\['input_ids'\]` must be token ids"),
    "a key that is no string": (lambda: game(X, part=3), "`part` must be a key of x or None, got 3"),
    "a mask without a part": (lambda: game(X, part=None, attention_mask="a"), "`attention_mask` must be None without `part`, got 'a'"),
    "only kept parts": (lambda: xai.mask.joint({"a": None}), "`parts` must hold at least one masker"),
    "a missing part": (
        lambda: xai.game(MODEL, X, xai.mask.joint({"input_ids": xai.mask.tokens(MASK, pad_id=PAD)})),
        "`x` must have the structure of the masker's parts.*give None as the part of an input that stays",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        mistake()


def test_new_ids_compile_nothing():
    traces = []

    def counted(x):
        traces.append(1)
        return MODEL(x)

    explain = lambda x: xai.shap.values(counted, x, REMOVALS["hidden"][0], target=1).values  # noqa: E731
    before, count = explain(X), len(traces)
    changed = explain(X | {"input_ids": IDS[:, ::-1], "attention_mask": ATTENDED[:, ::-1]})
    assert len(traces) == count
    assert (np.asarray(changed) != 0).tolist() == (ATTENDED[:, ::-1] == 1).tolist()
    assert jnp.abs(jax.numpy.flip(changed, axis=1) - before).max() > 1e-3
