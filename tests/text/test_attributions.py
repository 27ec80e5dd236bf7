"""Attributions of prompts: the whole response, and gradients by span."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.text.models import WIDTH, all_coalitions, log_probabilities, model, parameters

KEY = jax.random.key(3)
LETTERS = "abcdefghijklm"
SPANS = [[5, 6, 7], [8], [5, 6, 7], [2, 3]]
RESPONSE = [7, 8, 2]
PROMPT = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3], decode=lambda ids: "".join(LETTERS[token] for token in ids))
PARTS = {"prefix": slice(0, 1), "suffix": slice(10, 12), "response": slice(12, 15)}
OF_SPANS = [slice(1, 4), slice(4, 5), slice(5, 8), slice(8, 10)]


def tagged(parameters, ids):
    """The transformer of tests/text/models.py with a name for the output of its embedding."""
    return from_embeddings(parameters, xai.tag(parameters["embed"][ids], "embed"))


def from_embeddings(parameters, x):
    positions = jnp.arange(x.shape[1])
    x = x + jnp.sin(positions[:, None] / (1.0 + jnp.arange(WIDTH)))
    scores = jnp.einsum("nid,njd->nij", x @ parameters["query"], x @ parameters["key"])
    weights = jax.nn.softmax(jnp.where(positions[:, None] >= positions, scores, -jnp.inf), axis=-1)
    return (x + weights @ (x @ parameters["value"])) @ parameters["head"]


IDS = np.concatenate([PROMPT.ids(), RESPONSE]).astype(np.int32)[None]
LAYER = {"layer": "embed", "channels": "sum"}


@pytest.fixture(scope="module")
def scored():
    return xai.text.response_model(xai.function(tagged, parameters()), RESPONSE)


@pytest.fixture(scope="module")
def game():
    return xai.text.response_game(model(), PROMPT, RESPONSE)


def test_the_whole_response_is_one_game_that_shares_its_evaluations(game):
    coalitions = all_coalitions(4)
    expected = [log_probabilities(PROMPT, row, RESPONSE).sum() for row in coalitions]
    np.testing.assert_allclose(np.asarray(game.whole(coalitions))[:, 0], expected, atol=2e-5)
    count = game.counts.coalitions
    assert count == 16
    whole, tokens = (xai.shap.permutation(each, num_permutations=3, key=KEY) for each in (game.whole, game))
    assert game.counts.coalitions == game.whole.counts.coalitions == count
    assert game.whole.whole.num_players == 4
    np.testing.assert_allclose(whole.values[:, 0], tokens.values.sum(axis=1), atol=1e-5)
    assert whole.output_names == ("hic",)
    assert (whole.names, whole.context) == (("fgh", "i", "fgh", "cd"), ("a", "ed"))
    assert tokens.output_names == ("h", "i", "c")


def test_contexts_are_saved_and_kept_where_all_have_the_same(tmp_path, game):
    tokens = xai.shap.exact(game)
    loaded = xai.load(xai.save(tmp_path / "tokens", tokens))
    assert jax.tree.structure(loaded) == jax.tree.structure(tokens)
    one, other = (xai.Attribution(jnp.ones((1, 2)), jnp.ones(1), context=("a", last)) for last in "bc")
    assert xai.concatenate([one, one]).context == ("a", "b")
    assert xai.concatenate([one, other]).context is None
    assert (one.of_spans, dataclasses.replace(one, context=None).of_spans) == (True, False)


def test_sums_of_standard_errors_bound_those_of_the_whole_response(game):
    """Of permutations exactly, as the standard deviation of a sum is at most the sum of the deviations."""
    whole, tokens = (xai.shap.permutation(each, num_permutations=3, key=KEY) for each in (game.whole, game))
    bound = xai.text.whole_response(tokens)
    np.testing.assert_allclose(bound.std_errors, np.asarray(tokens.std_errors).sum(axis=1), rtol=1e-6)
    assert (np.asarray(whole.std_errors)[:, 0] <= np.asarray(bound.std_errors) + 1e-6).all()
    assert (np.asarray(whole.std_errors)[:, 0] < 0.8 * np.asarray(bound.std_errors)).any()


def test_the_whole_response_keeps_every_sum(game):
    tokens = xai.shap.exact(game)
    whole = xai.text.whole_response(tokens)
    ends = [log_probabilities(PROMPT, [present] * 4, RESPONSE).sum() for present in (False, True)]
    np.testing.assert_allclose([whole.base_value, whole.output], ends, atol=2e-5)
    np.testing.assert_allclose(whole.values.sum(), ends[1] - ends[0], atol=1e-4)
    assert (whole.axes, whole.output_names, whole.context) == ("M", ("hic",), ("a", "ed"))
    parts = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).round(2)
    pairs = xai.Interactions(
        parts[0, 0], parts[0, 1, 0], pairs=parts[1], pair_errors=np.abs(parts[1]), axes="M K", index="k-SII"
    )
    summed = xai.text.whole_response(pairs)
    np.testing.assert_allclose(summed.pairs, parts[1].sum(axis=-1))
    np.testing.assert_allclose(summed.pair_errors, np.abs(parts[1]).sum(axis=-1))


def test_gradients_by_span_are_those_by_hand(scored):
    """Input x gradient of the log-probabilities of all tokens, against derivatives of the model from its embeddings on."""
    embed = parameters()["embed"][IDS]

    def log_probability(x):
        scores = jax.nn.log_softmax(from_embeddings(parameters(), x))[0, len(IDS[0]) - 4 : -1]
        return scores[np.arange(3), np.array(RESPONSE)]

    slopes = np.asarray(jax.jit(jax.jacrev(log_probability))(embed))[:, 0]  # [T, L, D]
    by_hand = np.einsum("ld,tld->lt", embed[0], slopes)
    tokens = xai.gradient.input_x_gradient(scored, IDS, target="all", **LAYER)
    np.testing.assert_allclose(tokens.output[0], log_probabilities(PROMPT, [True] * 4, RESPONSE), atol=1e-5)
    np.testing.assert_allclose(tokens.values[0], by_hand, atol=1e-5)
    spans, others = xai.text.by_span(tokens, PROMPT)
    np.testing.assert_allclose(spans.values[0], [by_hand[part].sum(axis=0) for part in OF_SPANS], atol=1e-5)
    np.testing.assert_allclose(others.values[0], [by_hand[part].sum(axis=0) for part in PARTS.values()], atol=1e-5)
    assert (spans.names, others.names) == (("fgh", "i", "fgh", "cd"), tuple(PARTS))
    assert np.abs(others.values[0]).max() > 0.1  # what a silent loss would hide
    assert spans.axes == "N M K"
    assert spans.context == ("a", "ed")


def test_integrated_gradients_are_complete_by_span(scored):
    """From a baseline without the spans' ids alone the other parts get nothing, and the base value is that of its text."""
    baseline = IDS.copy()
    baseline[:, 1:10] = 12
    options = {"target": 1, "num_steps": 24, **LAYER}
    for start in (0.0, baseline):
        tokens = xai.gradient.integrated_gradients(scored, IDS, start, **options)
        spans, others = xai.text.by_span(tokens, PROMPT)
        np.testing.assert_allclose(spans.completeness_gap, 0, atol=2e-3)
        np.testing.assert_allclose(others.completeness_gap, 0, atol=1e-5)
        np.testing.assert_allclose(others.output, spans.base_value)
        np.testing.assert_allclose(others.base_value, tokens.base_value)
    np.testing.assert_allclose(others.values, 0, atol=1e-6)
    text = xai.text.prompt([[1]], prefix=baseline[0, :12])
    np.testing.assert_allclose(spans.base_value[0], log_probabilities(text, [False], RESPONSE)[1], atol=1e-5)


TOKENS = xai.Attribution(jnp.ones((1, 15)), jnp.ones(1))
FIT = {name: jnp.zeros(3) for name in ("intercept", "prediction", "r_squared")}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: xai.text.whole_response(3), "`attribution` must be the result of an explainer, got 3"),
        (lambda: xai.text.whole_response(TOKENS), "`attribution` must explain all tokens of the response"),
        (lambda: xai.text.whole_response(xai.Surrogate(jnp.ones((2, 3)), jnp.ones(3), axes="M K", **FIT)), "`attribution` must have values that add up, got a Surrogate"),
        (lambda: xai.text.by_span(PROMPT, TOKENS), "`attribution` must be the result of an explainer"),
        (lambda: xai.text.by_span(TOKENS, SPANS), "`prompt` must come from xai.text.prompt"),
        (lambda: xai.text.by_span(xai.Attribution(jnp.ones((1, 15, 8)), jnp.ones(1)), PROMPT), "pass channels='sum' to gradients"),
        (lambda: xai.text.by_span(xai.Attribution(jnp.ones((1, 11)), jnp.ones(1)), PROMPT), "`attribution` must have values of all 12 tokens of the prompt, got 11"),
        (lambda: xai.text.response_model(model(), []), "`response_ids` must hold at least one token id, got none"),
        (lambda: xai.text.response_model(3, [1]), "`model` must be"),
        (lambda: jax.eval_shape(xai.text.response_model(model(), RESPONSE), np.ones((1, 3), np.int32)), "`x` must be token ids .* append response_ids"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_sentence(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
