"""LIME over strings: words are exact where the model is linear in them, and a text's answer is its own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.lime._words import pieces

TEXTS = ["God, not a god: why not?", "Posting posting  Posting host", "why not"]
WORDS = (("God", "not", "a", "god", "why"), ("Posting", "posting", "host"), ("why", "not"))
PAD, MASK = 0, 1
VOCABULARY = {"God": 2, "not": 3, "a": 4, "god": 5, "why": 6, "Posting": 7, "posting": 8, "host": 9, "?": 10, ",": 11}
WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=40), jnp.float32).at[:2].set(0)


def by_words(text):
    """Each word one id; of the rest ? and , have one."""
    return [VOCABULARY[found] for found in re.findall(r"\w+|[?,]", text)]


def by_letters(text):
    """A word has as many ids as letters, a space none."""
    return [2 + (ord(letter) * 7) % 37 for letter in text if letter != " "]


def by_spaced_words(text):
    """Byte-pair encodings do so: a word with a space before it has another id than one without."""
    return [2 + sum(map(ord, found)) % 38 for found in re.findall(r" ?\w+| ?[^\w ]+|\s", text)]


def bag(ids):
    return WEIGHTS[ids].sum(axis=1)


def weight(tokenizer, text):
    return float(WEIGHTS[np.array(tokenizer(text), int)].sum())


@pytest.mark.parametrize("tokenizer", [by_words, by_letters, by_spaced_words])
@pytest.mark.parametrize("mask_id", [None, MASK])
@pytest.mark.parametrize("bag_of_words", [True, False])
def test_a_model_that_is_linear_in_the_words_is_recovered(tokenizer, mask_id, bag_of_words, key):
    options = {"pad_id": PAD, "mask_id": mask_id, "bag_of_words": bag_of_words}
    found = xai.lime.strings(bag, TEXTS, tokenizer, key=key, num_samples=400, **options)
    for row, text in enumerate(TEXTS):
        parts = re.findall(r"\s*\w+" if tokenizer is by_spaced_words else r"\w+", text)
        alone = [(part.strip(), weight(tokenizer, part)) for part in parts]
        rest = weight(tokenizer, text) - sum(value for _, value in alone)  # of separators, which are always there
        if bag_of_words:
            names = dict.fromkeys(word for word, _ in alone)
            alone = [(name, sum(value for word, value in alone if word == name)) for name in names]
        assert found.words[row] == tuple(word for word, _ in alone)
        of_text = found.of(row)
        np.testing.assert_allclose(of_text.values[0], [value for _, value in alone], atol=1e-4)
        np.testing.assert_allclose(of_text.intercept[0], rest, atol=1e-4)
        assert (np.asarray(found.attribution.values)[row, len(alone) :] == 0).all()


def test_deletion_is_the_shortened_string_tokenized_by_hand(key):
    """Every input that the model saw for the first text is the padded ids of a string without some of its words."""
    seen = []

    def model(ids):
        jax.debug.callback(lambda ids: seen.append(np.asarray(ids)), ids)
        return bag(ids)

    text, words = TEXTS[0], WORDS[0]
    xai.lime.strings(model, [text], by_words, key=key, pad_id=PAD, target=0, num_samples=200)
    jax.effects_barrier()
    shortened = set()
    for bits in range(2 ** len(words)):
        kept = {word for place, word in enumerate(words) if bits >> place & 1}
        ids = by_words(re.sub(r"\w+", lambda found, kept=kept: found[0] if found[0] in kept else "", text))
        shortened.add(tuple(ids + [PAD] * (16 - len(ids))))
    inputs = {tuple(row) for block in seen for row in block.tolist()}
    assert inputs <= shortened
    assert len(inputs) > len(shortened) / 2
    assert tuple(by_words(text) + [PAD] * 8) in inputs


def test_as_list_has_the_heaviest_words_first_with_their_errors(key):
    found = xai.lime.strings(lambda ids: jnp.tanh(bag(ids)), TEXTS, by_words, key=key, pad_id=PAD, num_samples=200)
    pairs = found.as_list(0)
    sizes = [abs(value) for _, value in pairs]
    assert sizes == sorted(sizes, reverse=True)
    assert sorted(word for word, _ in pairs) == sorted(WORDS[0])
    for word, value, error in found.as_list(0, std_errors=True):
        place = WORDS[0].index(word)
        assert value == found.attribution.values[0, place]
        assert error == found.attribution.std_errors[0, place] > 0
    bars = xai.plot.bars(found.of(1), names=found.words[1])
    assert {label.get_text() for label in bars.get_yticklabels()} == set(WORDS[1])


def test_the_definitions_of_lime_are_those_of_its_text_explainer(key):
    text = "the quick brown fox jumps over a lazy dog that sleeps"
    model = lambda ids: jnp.tanh(bag(ids)) + WEIGHTS[ids].max(axis=1)  # noqa: E731
    found = xai.lime.strings(model, [text], by_letters, key=key, pad_id=PAD, definitions="lime")
    settings = {"sampling": "sizes", "num_samples": 5000, "num_features": 10, "kernel_width": 0.25, "ridge": 1.0}
    by_hand = xai.lime.strings(model, [text], by_letters, key=key, pad_id=PAD, definitions="lime", **settings)
    np.testing.assert_array_equal(found.attribution.values, by_hand.attribution.values)
    assert (found.attribution.num_evaluations, sum(weight != 0 for _, weight in found.as_list())) == (5000, 10)


def test_the_answer_of_a_text_does_not_depend_on_the_others(key):
    """Not on their number, their order or their lengths."""
    model = lambda ids: jnp.stack([jnp.tanh(bag(ids)), jnp.sin(bag(ids))], axis=1)  # noqa: E731
    long = " ".join(["why", "not", "God"] * 30)
    options = {"key": key, "pad_id": PAD, "num_samples": 100}
    together = xai.lime.strings(model, [*TEXTS, long], by_words, target=[0, 1, 1, 0], **options)
    turned = xai.lime.strings(model, [long, *TEXTS[::-1]], by_words, target=[0, 1, 1, 0], ids=[3, 2, 1, 0], **options)
    for row, text in enumerate([*TEXTS, long]):
        target = [[0, 1, 1, 0][row]]
        alone = xai.lime.strings(model, [text], by_words, target=target, ids=[row], **options)
        np.testing.assert_allclose(together.of(row).values, alone.of(0).values, atol=1e-6)
        np.testing.assert_allclose(together.of(row).std_errors, alone.of(0).std_errors, atol=1e-6)
        place = 3 - row
        np.testing.assert_allclose(turned.of(place).values, alone.of(0).values, atol=1e-6)
        assert turned.words[place] == alone.words[0]


def test_all_outputs_and_scores_of_examples_keep_their_rows(key):
    model = lambda ids: jnp.stack([bag(ids), 2 * bag(ids), -bag(ids)], axis=1)  # noqa: E731
    options = {"key": key, "pad_id": PAD, "num_samples": 100}
    texts = [" ".join(["why", "not"] * 20), *TEXTS]  # of two lengths
    every = xai.lime.strings(model, texts, by_words, target="all", **options)
    one = xai.lime.strings(model, texts, by_words, target=[2, 0, 1, 2], **options)
    for row, output in enumerate([2, 0, 1, 2]):
        np.testing.assert_allclose(every.of(row).values[..., output], one.of(row).values, atol=1e-4)
    with pytest.raises(ValueError, match="all outputs at once: give a target"):
        every.as_list(0)
    score = xai.target.finer([2, 0, 1, 2], num_similar=2, gamma=1.0)  # 2: -1 - 1.5 of the sum; 0: 1 - .5; 1: 2 - 0
    finer = xai.lime.strings(model, texts, by_words, target=score, **options)
    for row, factor in enumerate([-2.5, 0.5, 2.0, -2.5]):
        np.testing.assert_allclose(finer.of(row).values, factor * every.of(row).values[..., 0], atol=1e-4)


def test_values_lie_on_the_tokens_of_their_words(key):
    found = xai.lime.strings(bag, [TEXTS[0], "why not"], by_words, key=key, pad_id=PAD, length=20, num_samples=100)
    on_tokens = np.asarray(found.attribution.on_input())
    assert on_tokens.shape == (2, 20)
    ids = np.zeros((2, 20), int)
    ids[0, :8], ids[1, :2] = by_words(TEXTS[0]), by_words("why not")
    counted = np.asarray(WEIGHTS)[ids] * np.where(np.isin(ids, [VOCABULARY["not"]]), [[2], [1]], 1)  # two in the first
    np.testing.assert_allclose(
        on_tokens, np.where(np.isin(ids, [VOCABULARY["?"], VOCABULARY[","]]), 0, counted), atol=1e-4
    )


def test_a_split_of_the_users_own_keeps_words_whole():
    assert [piece.word for piece in pieces("don't stop", re.compile(r"[^\w']+"))] == ["don't", None, "stop"]
    assert "".join(piece.text for piece in pieces("  a, b!", re.compile(r"\W+"))) == "  a, b!"
    assert [piece.word for piece in pieces("two words", re.compile("x*"))] == ["two words"]


def special(text):
    return [38, *by_words(text), 39]


def joining(text):
    return [12] if text == "a-b" else [4] * text.count("a") + [13] * text.count("b")


def _strings(texts=TEXTS, tokenizer=by_words, **options):
    return xai.lime.strings(
        bag, texts, tokenizer, key=jax.random.key(0), **{"pad_id": PAD, "num_samples": 50} | options
    )


MISTAKES = {
    "one string": (lambda: _strings("why"), r"it is one string: pass \[text\]"),
    "no texts": (lambda: _strings([]), "texts is empty"),
    "a text that is none": (lambda: _strings(["why", 3]), "text 1 is int"),
    "an empty text": (lambda: _strings(["why", ""]), "text 1 has no words"),
    "a text without words": (lambda: _strings(["?,?"]), "text 0 has no words"),
    "no tokenizer": (lambda: _strings(tokenizer="bert"), "tokenizer must be callable"),
    "a tokenizer of strings": (
        lambda: _strings(tokenizer=str.split),
        "'God, not a god: why not\\?' became list: .* give a function",
    ),
    "a tokenizer with special tokens": (
        lambda: _strings(["why not"], special),
        r"in text 0 the word 'why' alone gets \[38, 6, 39\], while the whole text has \[38, 6, 3\] there \(token 2\)",
    ),
    "a tokenizer that joins words": (
        lambda: _strings(["a-b"], joining),
        r"the word 'a' alone gets \[4\], while the whole text has \[12\] there \(token 0\).*choose a `split`",
    ),
    "a lost word": (
        lambda: _strings(["why why not"], lambda text: [6] * text.count("why")),
        r"no ids to the words \['not'\] of text 0.*unknown words an id",
    ),
    "a word of padding": (lambda: _strings(["a"], lambda text: [0]), "padding id 0 to 'a' in text 0"),
    "a text too long": (lambda: _strings(length=5), "length must be at least .* 5 and text 0 has 8"),
    "a split that is none": (lambda: _strings(split="["), "split must be a regular expression"),
    "a row too far": (lambda: _strings().of(3), "row must lie between 0 and 2, but it is 3"),
    "an unknown option": (lambda: _strings(num_sampels=3), "num_sampels"),
    "definitions of nobody": (lambda: _strings(definitions="shap"), "definitions.? must be one of"),
    "a target out of range": (lambda: _strings(target=1), "target must lie between 0 and 0"),
    "ids of another number": (lambda: _strings(ids=[1]), r"ids.? must be integers \[3\]"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
