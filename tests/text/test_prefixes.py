"""Shared beginnings give the values of packed rows, at the cost of the trie's tokens."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.text.models import (
    TRACED,
    WIDTH,
    all_coalitions,
    cached,
    empty_cache,
    log_probabilities,
    model,
    model_of_positions,
    parameters,
    step,
    transformer,
)
from xaijax.text import _prefixes, _responses

SPANS = [
    [5, 6, 7, 9, 1, 2, 2, 10, 11, 4, 3, 1, 8, 8, 6, 5, 12, 1, 9, 7],
    [8],
    [5, 6, 7],
    [2, 3],
]  # the first: two pieces
RESPONSE = [7, 8, 2]


def tokens_by_hand(prompt, coalitions, num_response):
    """P + sum over j of s_j · #{(j, z_<j): z_j = 1} + N (q + T)"""
    nodes = {(number, tuple(row[:number])) for row in coalitions for number in np.flatnonzero(row)}
    spans = sum(len(prompt.spans[number]) for number, _ in nodes)
    return len(prompt.prefix) + spans + len(coalitions) * (len(prompt.suffix) + num_response)


@pytest.mark.parametrize(("prefix", "suffix"), [([0], [4, 3]), ([0, 1], []), ([], [4])])
def test_trie_equals_the_physically_deleted_text_and_costs_its_tokens(prefix, suffix):
    prompt = xai.text.prompt(SPANS, prefix=prefix, suffix=suffix)
    coalitions = all_coalitions(4)
    game = xai.text.response_game(model(), prompt, RESPONSE, extend=cached())
    values = game(coalitions)
    expected = [log_probabilities(prompt, row, RESPONSE) for row in coalitions]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert game.counts.by_prefixes == 15  # the whole prompt was evaluated by the check
    whole = len(prompt.ids()) + len(RESPONSE)  # a row of its own, of the check that both forms of the model agree
    assert game.counts.tokens - whole == tokens_by_hand(prompt, coalitions[:-1], len(RESPONSE))


@pytest.mark.parametrize("with_cache", [True, False])
def test_with_gaps_the_tokens_after_an_absent_span_keep_their_positions(with_cache):
    prompt = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3])
    coalitions = all_coalitions(4)
    options = {"extend": cached()} if with_cache else {}
    whole = model() if with_cache else model_of_positions()
    game = xai.text.response_game(whole, prompt, RESPONSE, gaps=True, **options)
    expected = np.stack([log_probabilities(prompt, row, RESPONSE, gaps=True) for row in coalitions])
    np.testing.assert_allclose(game(coalitions), expected, atol=1e-5)
    deleted = np.stack([log_probabilities(prompt, row, RESPONSE) for row in coalitions])
    assert (np.abs(expected - deleted).max(axis=1) > 1e-2)[:-1].all()  # another question than that of the deleted text
    assert game.counts.by_prefixes == (15 if with_cache else 0)


NUM_POSITIONS = 11


def with_few_positions(parameters, x):
    """Tokens at positions that the model does not have are NaN, as in tables that are read by `jnp.take`."""
    ids, positions = x if isinstance(x, tuple) else (x, jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape))
    return transformer(parameters, ids, positions=jnp.where(positions < NUM_POSITIONS, positions, jnp.nan))


def step_with_few_positions(parameters, ids, positions, mask, cache):
    parameters = parameters | {"embed": jnp.where(positions.max() < NUM_POSITIONS, parameters["embed"], jnp.nan)}
    return step(parameters, ids, positions, mask, cache)


@pytest.mark.parametrize("options", [{}, {"gaps": True}, {"extend": True}], ids=["plain", "gaps", "cache"])
def test_a_prompt_may_need_all_positions_of_the_model(options, monkeypatch):
    """Padding, at positions beyond those of the whole prompt, would make NaN of everything."""
    monkeypatch.setattr(_responses, "_WORTH", 2.0)
    prompt = xai.text.prompt([[5, 6, 7], [8], [2, 3]], prefix=[0, 1], suffix=[4])
    of_steps = xai.text.cached(jax.tree_util.Partial(step_with_few_positions, parameters()), empty_cache)
    options = {"extend": of_steps} if "extend" in options else options
    game = xai.text.response_game(xai.function(with_few_positions, parameters()), prompt, [7, 8], **options)
    gaps, coalitions = options.get("gaps", False), all_coalitions(3)
    expected = [log_probabilities(prompt, row, [7, 8], gaps=gaps) for row in coalitions]
    np.testing.assert_allclose(game(coalitions), expected, atol=1e-5)
    assert game.counts.by_prefixes == (7 if "extend" in options else 0)


def test_a_small_cache_is_filled_several_times_and_keeps_its_size(monkeypatch):
    monkeypatch.setattr(_prefixes, "_CACHE_BYTES", 2**15)
    monkeypatch.setattr(_prefixes, "_TOKENS_AT_ONCE", 8)
    monkeypatch.setattr(_responses, "_WORTH", 2.0)  # prefixes are used though few rows share little
    prompt = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3])
    made, own = [], cached()

    def counted(rows, length):
        made.append((rows, length))
        return empty_cache(rows, length)

    game = xai.text.response_game(model(), prompt, RESPONSE, extend=dataclasses.replace(own, empty=counted))
    coalitions = all_coalitions(4)
    descents, evaluate = [], game._responses.trie.evaluate
    game._responses.trie.evaluate = lambda rows: (descents.append(len(rows)), evaluate(rows))[1]
    values = game(coalitions)
    np.testing.assert_allclose(values, [log_probabilities(prompt, row, RESPONSE) for row in coalitions], atol=1e-5)
    assert descents == [8, 7]
    assert max(rows * length * 2 * WIDTH * 4 for rows, length in made) <= 2**15  # keys and values of float32


def test_few_programs_are_compiled_and_none_for_another_prompt_of_a_similar_size():
    """Lengths of the cache: one, as the prompt is short. Tokens: 8 and 16. Rows: 1, 4 and 16, as there are 16 coalitions."""
    own = xai.text.cached(jax.tree_util.Partial(lambda *given: step(*given), parameters()), empty_cache)

    def explain(first):
        prompt = xai.text.prompt([first, *SPANS[1:]], prefix=[0], suffix=[4, 3])
        return xai.text.response_game(model(), prompt, RESPONSE, extend=own)(all_coalitions(4))

    del TRACED[:]
    explain(SPANS[0])
    rows, tokens, lengths = (set(sizes) for sizes in zip(*TRACED, strict=True))
    assert (rows, tokens, len(lengths)) == ({1, 4, 16}, {8, 16}, 1)
    assert len(TRACED) <= 1 + 2 * 2 * 3  # the check of what a step returns, and steps for texts and for the response
    del TRACED[:]
    explain([9, *SPANS[0][1:-1]])  # a token less
    assert not TRACED


def test_dense_designs_and_walks_save_the_tokens_that_they_should():
    """The counts alone: all coalitions of 8 to 12 spans 8 times, a walk with P = 256 and spans of 64 tokens 4 times."""
    for num_spans in (8, 10, 12):
        prompt = xai.text.prompt([[1] * 64] * num_spans, prefix=[0] * 256, suffix=[2] * 16)
        coalitions = all_coalitions(num_spans)
        plain = len(coalitions) * (256 + 64 * num_spans + 16 + 16)
        assert plain >= 8 * _prefixes.count_tokens(prompt, coalitions, 16)
    prompt = xai.text.prompt([[1] * 64] * 12, prefix=[0] * 256, suffix=[2] * 16)
    walk = np.tri(13, 12, -1, dtype=bool)  # in the order of the spans
    assert 4 * _prefixes.count_tokens(prompt, walk, 16) <= 13 * (256 + 64 * 12 + 32)


def test_the_cheaper_of_packed_rows_and_prefixes_is_chosen():
    prompt = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3])
    game = xai.text.response_game(model(), prompt, RESPONSE, extend=cached())
    game(np.array([[False, False, False, True]]))
    assert game.counts.by_prefixes == 0  # one coalition alone shares nothing


def test_estimators_take_the_game_with_a_cache():
    prompt = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3])
    with_cache, plain = (
        xai.shap.exact(xai.text.response_game(model(), prompt, RESPONSE, extend=extend)) for extend in (cached(), None)
    )
    np.testing.assert_allclose(with_cache.values, plain.values, atol=1e-5)


def test_one_span_and_one_token_of_a_float32_model_with_a_float64_cache(monkeypatch):
    monkeypatch.setattr(_responses, "_WORTH", 2.0)  # prefixes are used though they save nothing
    prompt = xai.text.prompt([[5, 6]], suffix=[4])
    with jax.enable_x64(True):  # an empty cache is then of float64, and so are the logits
        game = xai.text.response_game(model(), prompt, [7], extend=cached())
        values = game(np.array([[True], [False]]))
    assert game.counts.by_prefixes == 1
    np.testing.assert_allclose(values, [log_probabilities(prompt, [kept], [7]) for kept in (True, False)], atol=1e-5)


def without_mask(ids, positions, mask, cache):
    return step(parameters(), ids, positions, jnp.ones_like(mask), cache)


def logits_of(ids, positions, mask, cache):
    return jnp.zeros((*ids.shape, 13))


@pytest.mark.parametrize(
    ("extend", "message"),
    [
        (lambda: xai.text.cached(without_mask, empty_cache), "`extend` must compute what `model` computes"),
        (lambda: xai.text.cached(step, lambda rows, length: jnp.zeros((length, rows, 8))), "`empty_cache` must return arrays"),
        (lambda: xai.text.cached(step, lambda rows, length: None), r"`empty_cache` must return arrays .* got no arrays"),
        (lambda: xai.text.cached(lambda *given: logits_of(*given), empty_cache), r"`step` must return \(logits, cache\), got float32"),
        (lambda: xai.text.cached(lambda *given: (given[-1], logits_of(*given)), empty_cache), r"`step` must return logits \[B, n, V\] first"),
        (lambda: xai.text.cached(lambda *given: (logits_of(*given)[:, 0], given[-1]), empty_cache), r"`step` must return logits .* got float32\[1, 13\]"),
        (lambda: xai.text.cached(lambda *given: (logits_of(*given), {}), empty_cache), "`step` must return a cache like that of `empty_cache`"),
        (lambda: xai.text.cached(lambda *given: (logits_of(*given), {"key": given[-1]["key"][:, :2], "value": given[-1]["value"]}), empty_cache), "write the new keys and values into the given cache"),
        (lambda: xai.text.cached(None, empty_cache), "`step` must be callable"),
        (lambda: xai.text.cached(lambda ids: ids, empty_cache), "(?s)takes 1 positional argument but 4 .*called `step`"),
        (lambda: xai.text.cached(step, lambda rows: rows), "(?s)takes 1 positional argument but 2 .*called `empty_cache`"),
        (lambda: step, "`extend` must come from xai.text.cached"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_sentence(extend, message):
    prompt = xai.text.prompt(SPANS, prefix=[0], suffix=[4, 3])
    with pytest.raises((TypeError, ValueError), match=message):
        xai.text.response_game(model(), prompt, RESPONSE, extend=extend())
