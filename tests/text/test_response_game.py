"""Packed evaluation equals the texts themselves, token by token, and every estimator takes the game."""

import gc
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.selection import usual
from tests.text.models import VOCABULARY, all_coalitions, model, parameters, transformer
from tests.text.models import log_probabilities as of_text
from xaijax._model import _replay
from xaijax.text._lengths import padded_length

KEY = jax.random.key(5)
SPANS = [[5, 6, 7], [8], [5, 6, 7], [2, 3], [9, 10, 11, 12, 1]]
PROMPT = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3], names=list("abcde"), groups=[[0, 1], [2, [3, 4]]])
RESPONSE = [7, 8, 2]


def log_probabilities(present, response=RESPONSE, prompt=PROMPT):
    return of_text(prompt, present, response)


@pytest.fixture(scope="module")
def table():
    """The values of all 32 coalitions."""
    coalitions = all_coalitions(5)
    return coalitions, np.stack([log_probabilities(row) for row in coalitions])


@pytest.fixture(scope="module")
def plain(table):
    """The same game, from the table, within the estimators' programs."""
    values = jnp.asarray(table[1], jnp.float32)
    game = xai.Game(lambda z: values[z.astype(jnp.int32) @ (1 << jnp.arange(5))], 5, names=list("abcde"))
    game.context = PROMPT.context
    return game


def game(**options):
    return xai.text.response_game(model(), PROMPT, RESPONSE, **options)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_packed_rows_equal_the_physically_deleted_text(table, batch_size):
    coalitions, values = table
    order = np.random.default_rng(0).permutation(32)
    repeated = coalitions[np.concatenate([order, order[:5]])]
    asked = game(batch_size=batch_size)
    np.testing.assert_allclose(asked(repeated), values[np.concatenate([order, order[:5]])], atol=1e-5)
    # N (P + R) + sum of the lengths of the present spans, and each distinct coalition once
    lengths = np.array([len(span) for span in SPANS])
    assert (asked.counts.coalitions, asked.counts.tokens) == (32, 32 * (3 + 3) + (coalitions @ lengths).sum())
    asked(coalitions[:4])
    assert asked.counts.coalitions == 32


ESTIMATORS = {
    "exact": lambda game: xai.shap.exact(game),
    "permutation": lambda game: xai.shap.permutation(game, num_permutations=3, key=KEY),
    "kernel": lambda game: xai.shap.kernel(game, num_evaluations=24, key=KEY),
    "process": lambda game: xai.shap.gaussian_process(game, num_evaluations=22, key=KEY),
    "precise": lambda game: xai.shap.values(game, num_evaluations=22, precision="high", key=KEY),
    "until": lambda game: xai.shap.permutation(game, until=0.3, max_evaluations=400, key=KEY),
    "Owen": lambda game: xai.shap.owen(game, PROMPT.groups),
    "interactions": lambda game: xai.shap.interactions(game, key=KEY),
    "LIME": lambda game: xai.lime.fit(game, num_samples=30, key=KEY),
}


@pytest.mark.parametrize("name", usual(ESTIMATORS, "exact", "process", "until"))
def test_every_estimator_gives_what_it_gives_for_the_table(name, plain):
    made = game()
    ours, expected = ESTIMATORS[name](made), ESTIMATORS[name](plain)
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4, rtol=1e-3)
    assert ours.values.shape[-1] == len(RESPONSE)
    assert made.counts.coalitions <= ours.num_evaluations  # fewer where the design repeats coalitions


def nearly_additive(weights, ids):
    return jnp.cumsum(weights[ids], axis=1)


@pytest.mark.parametrize("name", [*usual(ESTIMATORS, "exact", "process", "until"), "leave one out"])
def test_every_estimator_gives_what_spans_add_to_the_logits(name):
    """With logits that are small sums over tokens, log p(y) changes by w_y - mean(w) with each token, to second order."""
    weights = (np.random.default_rng(0).standard_normal((VOCABULARY, VOCABULARY)) / 1000).astype(np.float32)
    made = xai.text.response_game(xai.function(nearly_additive, weights), PROMPT, RESPONSE)
    centered = weights - weights.mean(axis=1, keepdims=True)
    expected = np.stack([centered[span][:, RESPONSE].sum(axis=0) for span in SPANS])
    if name == "leave one out":
        without = made(np.concatenate([~np.eye(5, dtype=bool), np.ones((1, 5), bool)]))
        values = without[-1] - without[:-1]
    else:
        values = ESTIMATORS[name](made).values
    np.testing.assert_allclose(values, expected, atol=0.03 * np.abs(expected).max())


def test_values_of_tokens_add_up_to_the_response(table):
    attribution = xai.shap.values(game(), key=KEY)
    _, values = table
    np.testing.assert_allclose(attribution.values.sum(axis=0), values[-1] - values[0], atol=1e-4)
    np.testing.assert_allclose(attribution.base_value, values[0], atol=1e-5)
    assert attribution.player_names() == list("abcde")


def test_absent_spans_become_the_mask_token_where_it_is_given():
    masked = game(mask_id=1)(np.array([[True, False, True, True, False]]))
    ids = [0, 5, 6, 7, 1, 5, 6, 7, 2, 3, 1, 1, 1, 1, 1, 4, 3]
    text = xai.text.prompt([[5]], prefix=ids)
    np.testing.assert_allclose(masked[0], log_probabilities([False], prompt=text), atol=1e-5)


def test_one_span_and_one_token():
    prompt = xai.text.prompt([[5, 6]], suffix=[4])
    one = xai.text.response_game(model(), prompt, [2])
    expected = [log_probabilities([present], [2], prompt) for present in (False, True)]
    np.testing.assert_allclose(one([[False], [True]]), expected, atol=1e-5)
    np.testing.assert_allclose(xai.shap.exact(one).values[0], expected[1] - expected[0], atol=1e-5)


def test_another_prompt_of_the_same_size_compiles_nothing():
    traces = []

    def counting(parameters, ids):
        traces.append(ids.shape)
        return transformer(parameters, ids)

    counted = xai.function(counting, parameters())

    def explain(first):
        prompt = xai.text.prompt([[first, 6, 7], [8], [2, 3]], prefix=[0])
        return xai.shap.exact(xai.text.response_game(counted, prompt, RESPONSE))

    explain(5)
    count = len(traces)
    explain(9)
    # The checks of a new game trace it twice: for its shapes, and for the logits of two rows.
    assert len(traces) - count <= 2


def test_texts_are_no_part_of_programs(monkeypatch):
    """Other names, prefixes and questions trace no estimator anew, and are those of the result."""
    traces, look_up = [], _replay._look_up
    monkeypatch.setattr(_replay, "_look_up", lambda *given: traces.append(given) or look_up(*given))

    def explain(name, last):
        prompt = xai.text.prompt([[5, 6, 7], [8], [2, 3]], prefix=[0], suffix=[last], names=[name, "b", "c"])
        game = xai.text.response_game(model(), prompt, RESPONSE, token_names=[name, "y", "z"])
        return xai.shap.permutation(game, num_permutations=2, key=KEY)

    first = explain("a", 4)
    count = len(traces)
    other = explain("other", 9)
    assert count > 0
    assert len(traces) == count
    assert (first.names, first.output_names, first.context) == (("a", "b", "c"), ("a", "y", "z"), ("0", "4"))
    assert (other.names, other.output_names, other.context) == (("other", "b", "c"), ("other", "y", "z"), ("0", "9"))


def test_lengths_are_few_and_close():
    lengths = np.arange(1, 1025)
    padded = np.array([padded_length(int(length)) for length in lengths])
    assert (padded >= lengths).all()
    assert (padded[8:] <= 1.25 * lengths[8:]).all()
    assert len(np.unique(padded)) == 1 + 4 * 7  # up to 8, and four for each doubling


def test_coalitions_are_evaluated_at_once_regardless_of_the_batch_size_of_the_estimator():
    made = game()
    asked, evaluate = [], made._responses.evaluate
    made._responses.evaluate = lambda rows: (asked.append(len(rows)), evaluate(rows))
    xai.shap.exact(made, batch_size=2)
    assert asked == [32]


def test_a_game_is_shown_in_one_line_and_pickled_with_its_answers():
    made = game(token_names=["x", "y", "z"])
    values = made(all_coalitions(5)[:3])
    copied = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(copied(all_coalitions(5)[:3]), values)
    assert copied.counts == made.counts  # nothing was evaluated again
    assert (copied.names, copied.output_names, copied.prompt.groups) == (made.names, made.output_names, PROMPT.groups)
    shown = "ResponseGame(Prompt(5 spans of 1 to 5 tokens, prefix of 1, suffix of 2), 3 tokens in the response, 3 coalitions and"
    assert repr(made).startswith(shown)
    one = xai.text.response_game(model(), xai.text.prompt([[5, 6]], prefix=[0]), [2])
    shown = (
        "ResponseGame(Prompt(1 span of 2 tokens, prefix of 1, suffix of 0), 1 token in the response, 0 coalitions and"
    )
    assert repr(one).startswith(shown)
    local = lambda ids: jnp.cumsum(jax.nn.one_hot(ids, 9), axis=1)  # noqa: E731
    with pytest.raises(TypeError, match="`model` must be a function that can be pickled with the game"):
        pickle.dumps(xai.text.response_game(local, xai.text.prompt([[5]], prefix=[0]), [5]))


def test_a_model_of_float64_answers_in_float64():
    with jax.enable_x64(True):
        wide = xai.function(transformer, jax.tree.map(lambda leaf: leaf.astype(jnp.float64), parameters()))
        attribution = xai.shap.exact(xai.text.response_game(wide, xai.text.prompt([[5, 6], [7]], prefix=[0]), [2]))
        expected = of_text(xai.text.prompt([[5, 6], [7]], prefix=[0]), [True, True], [2])
        assert attribution.output.dtype == jnp.float64
        np.testing.assert_allclose(attribution.output, expected, rtol=1e-12)


def test_within_jit_there_is_one_sentence():
    made = game()
    with pytest.raises(Exception, match=r"`game` must be explained outside of jax.jit"):
        jax.jit(lambda key: xai.shap.permutation(made, num_permutations=2, key=key).values)(KEY)
    with pytest.raises(TypeError, match="`model` must have known parameters, got traced ones"):
        jax.jit(lambda parameters: xai.text.response_game(xai.function(transformer, parameters), PROMPT, [1]).counts)(
            parameters()
        )


def test_answers_may_be_nan():
    def broken(ids):
        counts = jnp.cumsum(jax.nn.one_hot(ids, 9), axis=1)
        return jnp.where(ids[:, 1:2, None] == 3, jnp.nan, counts)  # without the first span

    made = xai.text.response_game(broken, xai.text.prompt([[1, 2], [3]], prefix=[0]), [5])
    calls, evaluate = [], made._responses.evaluate

    def counted(rows):
        calls.append(rows)
        assert len(calls) < 3, "the game is evaluated forever"
        evaluate(rows)

    made._responses.evaluate = counted
    assert np.isnan(xai.shap.exact(made).values).all()


def test_a_model_that_fails_leaves_a_game_that_can_be_explained():
    counts = lambda ids: jnp.cumsum(jax.nn.one_hot(ids, 9), axis=1)  # noqa: E731
    made = xai.text.response_game(counts, xai.text.prompt([[5, 5], [6]], prefix=[0]), [5])
    score = made._responses._score

    def fail(*arguments):
        raise KeyboardInterrupt

    made._responses._score = fail
    with pytest.raises(KeyboardInterrupt):
        xai.shap.exact(made)
    made._responses._score = score
    np.testing.assert_allclose(xai.shap.exact(made).values[:, 0], [1.559, -0.122], atol=1e-3)
    assert made.counts.coalitions == 4


def test_a_part_of_a_game_that_was_dropped_is_named():
    value = xai.text.response_game(model(), PROMPT, RESPONSE).value
    gc.collect()
    with pytest.raises(RuntimeError, match="`game` must exist while it is explained"):
        value(np.ones((1, 5), bool))


def looks_ahead(ids):
    return jnp.cumsum(jax.nn.one_hot(ids, VOCABULARY)[:, ::-1], axis=1)[:, ::-1]


def forbids_and_looks_ahead(ids):
    return looks_ahead(ids).at[:, :, 0].set(-jnp.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: xai.text.prompt([]), "`spans` must hold at least one span, got none"),
        (lambda: xai.text.prompt([[5], []], prefix=[0]), r"`spans\[1\]` must hold at least one token id"),
        (lambda: xai.text.prompt([[5]]), "`prefix` or `suffix` must hold at least one token id"),
        (lambda: xai.text.prompt([[0.5]], prefix=[0]), r"`spans\[0\]` must be token ids"),
        (lambda: xai.text.prompt([5, 6], prefix=[0]), r"`spans\[0\]` must be token ids, .* got 5: pass a list of ids for each span"),
        (lambda: xai.text.prompt(["It rains."], prefix=[0]), r"`spans\[0\]` must be token ids, .* turn texts into ids by the model's tokenizer"),
        (lambda: xai.text.prompt([[[5, 6]]], prefix=[0]), r"`spans\[0\]` must be token ids, .* pass one row of ids"),
        (lambda: xai.text.prompt([[5]], prefix="abc"), "`prefix` must be token ids, .* turn texts into ids by the model's tokenizer"),
        (lambda: xai.text.prompt([[5]], prefix=[2**40]), "`prefix` must be token ids below 2"),
        (lambda: xai.text.prompt([[5]], prefix=[0], decode=3), "`decode` must be callable as decode.ids., got 3: pass tokenizer.decode"),
        (lambda: xai.text.prompt([[5]], prefix=[0], decode=list), "`decode` must be callable as decode.ids., got the class list"),
        (lambda: xai.text.prompt([[5]], prefix=[0], decode=len), r"`decode` must return a string, got 1 for \[5\]"),
        (lambda: xai.text.prompt([[5], [6]], prefix=[0], groups=[[0, 1], [1]]), "`groups` must hold each of the spans 0 to 1 once"),
        (lambda: xai.text.prompt([[-1]], prefix=[0]), "must be token ids of 0 or more, got -1"),
        (lambda: xai.text.prompt("It rains.", prefix=[0]), "cut a text by xai.text.spans"),
        (lambda: xai.text.prompt([[5]], prefix=[0], names=["a", "b"]), "`names` must hold one text for each of the 1"),
        (lambda: xai.text.prompt([[5], [6]], prefix=[0], groups=[[0], [0]]), "`groups` must hold each of the spans"),
        (lambda: xai.text.response_game(model(), PROMPT, []), "`response_ids` must hold at least one token id"),
        (lambda: xai.text.response_game(model(), PROMPT, "yes"), "`response_ids` must be token ids, .* turn texts into ids"),
        (lambda: xai.text.response_game(model(), PROMPT, np.array([RESPONSE])), "`response_ids` must be token ids, .* pass one row of ids"),
        (lambda: xai.text.response_game(model(), PROMPT, 3), "`response_ids` must be token ids, .* got 3: pass a list of ids"),
        (lambda: xai.text.response_game(PROMPT, model(), [1]), "`model` must be callable as model.*, got an object of type Prompt"),
        (lambda: xai.text.response_game(model(), RESPONSE, PROMPT), "`prompt` must come from xai.text.prompt, got .7, 8, 2."),
        (lambda: xai.text.response_game(model(), xai.text.spans("ab", lambda text: [1]), [1]), "pass xai.text.prompt.spans, prefix"),
        (lambda: xai.text.response_game(model(), xai.text.prompt([[5], [99]], prefix=[0]), [1]), r"`spans\[1\]` must be token ids below 13"),
        (lambda: xai.text.response_game(model(), xai.text.prompt([[5]], prefix=[50]), [1]), "`prefix` must be token ids below 13"),
        (lambda: xai.text.response_game(lambda ids: jnp.zeros((len(ids), 13)), PROMPT, [1]), r"`model` must map token ids \[N, L\] to logits .* got shape \[1, 13\]"),
        (lambda: xai.text.response_game(lambda ids: (jnp.zeros((*ids.shape, 13)), ids), PROMPT, [1]), "`model` must map token ids .* got several arrays"),
        (lambda: xai.text.response_game(model(), PROMPT, [13]), "`response_ids` must be token ids below 13"),
        (lambda: xai.text.response_game(model(), SPANS, [1]), "`prompt` must come from xai.text.prompt"),
        (lambda: xai.text.response_game(lambda ids: ids, PROMPT, [1]), r"`model` must map token ids \[N, L\] to logits"),
        (lambda: xai.text.response_game(looks_ahead, PROMPT, [1]), "`model` must be causal"),
        (lambda: xai.text.response_game(forbids_and_looks_ahead, PROMPT, [1]), "`model` must be causal"),
        (lambda: xai.text.response_game(lambda ids: jnp.zeros((1, ids.shape[1], 13)), PROMPT, [1]), r"`model` must map token ids .* for N = 2"),
        (lambda: xai.text.response_game(lambda ids: jnp.full((*ids.shape, 13), jnp.nan), PROMPT, [1]), "`model` must return logits that are numbers, got NaN"),
        (lambda: xai.text.response_game(lambda ids: jnp.zeros((*ids.shape, 13), complex), PROMPT, [1]), "`model` must map token ids .* real numbers, got complex64"),
        (lambda: xai.text.prompt([[5], [6]], prefix=[0], groups=[[False], [True]]), "`groups` must hold each of the spans 0 to 1 once"),
        (lambda: xai.text.prompt([[5], [6]], prefix=[0], groups="ab"), "`groups` must hold each of the spans 0 to 1 once, as nested lists, got 'ab'"),
        (lambda: xai.text.prompt([[5]], prefix=None), "`prefix` must be token ids, .* got None: ids are integers"),
        (lambda: PROMPT.ids([2, 0, 0, 0, 1]), r"`present` must be booleans \[5\], one for each span, got \[2, 0, 0, 0, 1\]"),
        (lambda: xai.text.response_game(lambda ids: jax.nn.one_hot(ids, 13), PROMPT, [1], gaps=True), "`model` must map .token ids, positions., .*: pass a model that takes both"),
        (lambda: game(token_names=["a"]), "`token_names` must hold one text for each of the 3 tokens"),
        (lambda: game(mask_id=13), "`mask_id` must be token ids below 13"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_sentence(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
