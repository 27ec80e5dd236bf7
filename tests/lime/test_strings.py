"""LIME over strings: words are exact where the model is linear in them, and a text's answer is its own."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.lime._words import Encoded, Encoder, _read_split, _unicode_words, padded_sizes, pieces

TEXTS = ["God, not a god: why not?", "Posting posting  Posting host", "why not"]
WORDS = (("God", "not", "a", "god", "why"), ("Posting", "posting", "host"), ("why", "not"))
PAD, MASK = 0, 1
VOCABULARY = {"God": 2, "not": 3, "a": 4, "god": 5, "why": 6, "Posting": 7, "posting": 8, "host": 9, "?": 10, ",": 11}
WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=40), jnp.float32).at[:2].set(0)


def by_words(text):
    """Each word one id; of the rest ? and , have one."""
    return [VOCABULARY[word] for word in re.findall(r"\w+|[?,]", text)]


def by_letters(text):
    """A word has as many ids as letters, a space none."""
    return [2 + (ord(letter) * 7) % 37 for letter in text if letter != " "]


def by_spaced_words(text):
    """Byte-pair encodings do so: a word with a space before it has another id than one without."""
    return [2 + sum(map(ord, word)) % 38 for word in re.findall(r" ?\w+| ?[^\w ]+|\s", text)]


def bag(ids):
    return WEIGHTS[ids].sum(axis=1)


def weight(tokenizer, text):
    return float(WEIGHTS[np.array(tokenizer(text), int)].sum())


def words_of(attribution, row):
    return [name for name in attribution.player_names(row) if name]


@pytest.mark.parametrize("tokenizer", [by_words, by_letters, by_spaced_words])
@pytest.mark.parametrize(
    ("mask_id", "bag_of_words"),
    [
        (None, True),
        (MASK, False),
        pytest.param(None, False, marks=pytest.mark.slow),
        pytest.param(MASK, True, marks=pytest.mark.slow),
    ],
)
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
        assert words_of(found, row) == [word for word, _ in alone]
        np.testing.assert_allclose(found.values[row, : len(alone)], [value for _, value in alone], atol=1e-4)
        np.testing.assert_allclose(found.intercept[row], rest, atol=1e-4)
        assert (np.asarray(found.values)[row, len(alone) :] == 0).all()
        assert (np.asarray(found.std_errors)[row, len(alone) :] == 0).all()
    assert found.num_players == max(len(words_of(found, row)) for row in range(3))


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
        kept = {word for index, word in enumerate(words) if bits >> index & 1}
        ids = by_words(re.sub(r"\w+", lambda match, kept=kept: match[0] if match[0] in kept else "", text))
        shortened.add(tuple(ids + [PAD] * (16 - len(ids))))
    inputs = {tuple(row) for block in seen for row in block.tolist()}
    assert inputs <= shortened
    assert len(inputs) > len(shortened) / 2
    assert tuple(by_words(text) + [PAD] * 8) in inputs


def test_explanations_of_strings_are_attributions(key, tmp_path):
    """Saved, joined, recorded and drawn as those of every other explainer, with the words as names."""
    options = {"key": key, "pad_id": PAD, "num_samples": 100}
    found = xai.lime.strings(lambda ids: jnp.tanh(bag(ids)), TEXTS, by_words, **options)
    assert isinstance(found, xai.Surrogate)
    assert [found.player_names(row)[:2] for row in range(3)] == [list(words[:2]) for words in WORDS]
    assert found[2].names == ("why", "not", "", "", "")
    loaded = xai.load(xai.save(tmp_path / "words.npz", found))
    assert loaded.names == found.names
    np.testing.assert_array_equal(loaded.values, found.values)
    parts = [
        xai.lime.strings(lambda ids: jnp.tanh(bag(ids)), TEXTS, by_words, **options)[rows] for rows in ([0], [1, 2])
    ]
    joined = xai.concatenate(parts)
    assert joined.names == found.names
    records = xai.records(found)
    assert [record["name"] for record in records if record["example"] == 0] == list(WORDS[0])
    bars = xai.plot.bars(found[1:2], names=found.player_names(1))
    assert set(WORDS[1]) <= {label.get_text() for label in bars.get_yticklabels()}
    assert xai.report(tmp_path / "report.html", [xai.Section(found)]).stat().st_size > 10_000


def test_the_definitions_of_lime_are_those_of_its_text_explainer(key):
    text = "the quick brown fox jumps over a lazy dog that sleeps"
    model = lambda ids: jnp.tanh(bag(ids)) + WEIGHTS[ids].max(axis=1)  # noqa: E731
    found = xai.lime.strings(model, [text], by_letters, key=key, pad_id=PAD, definitions="lime")
    settings = {"sampling": "sizes", "num_samples": 5000, "num_features": 10, "kernel_width": 0.25, "ridge": 1.0}
    by_hand = xai.lime.strings(model, [text], by_letters, key=key, pad_id=PAD, definitions="lime", **settings)
    np.testing.assert_array_equal(found.values, by_hand.values)
    assert (found.num_evaluations, (found.values != 0).sum()) == (5000, 10)


def test_the_answer_of_a_text_does_not_depend_on_the_others(key):
    """Not on their number, their order or their lengths."""
    model = lambda ids: jnp.stack([jnp.tanh(bag(ids)), jnp.sin(bag(ids))], axis=1)  # noqa: E731
    long = " ".join(["why", "not", "God"] * 30)
    options = {"key": key, "pad_id": PAD, "num_samples": 100}
    batch = xai.lime.strings(model, [*TEXTS, long], by_words, target=[0, 1, 1, 0], **options)
    turned = xai.lime.strings(model, [long, *TEXTS[::-1]], by_words, target=[0, 1, 1, 0], ids=[3, 2, 1, 0], **options)
    for row, text in enumerate([*TEXTS, long]):
        target = [[0, 1, 1, 0][row]]
        alone = xai.lime.strings(model, [text], by_words, target=target, ids=[row], **options)
        count = alone.num_players
        np.testing.assert_allclose(batch.values[row, :count], alone.values[0], atol=1e-6)
        np.testing.assert_allclose(batch.std_errors[row, :count], alone.std_errors[0], atol=1e-6)
        np.testing.assert_allclose(turned.values[3 - row, :count], alone.values[0], atol=1e-6)
        assert words_of(turned, 3 - row) == words_of(alone, 0)


def test_the_line_is_the_weighted_regression_over_all_subsets_of_the_words(key):
    """By NumPy: all 16 subsets, weighted by the kernel of the cosine distance. The 12 players of padding change nothing."""
    words = ["why", "not", "God", "host"]
    subsets = np.array(list(itertools.product([1, 0], repeat=4)))
    sums = subsets @ [weight(by_words, word) for word in words]
    roots = np.exp(-(((1 - np.sqrt(subsets.mean(axis=1))) / 0.25) ** 2) / 2)[:, None]
    columns = np.concatenate([np.ones((16, 1)), subsets], axis=1)
    line = np.linalg.lstsq(roots * columns, roots[:, 0] * sums**2, rcond=None)[0]
    options = {"key": key, "pad_id": PAD, "num_samples": 2000}
    fitted = xai.lime.strings(lambda ids: bag(ids) ** 2, [" ".join(words)], by_words, **options)
    assert fitted.std_errors[0].max() < 0.05 * np.abs(line[1:]).max()
    np.testing.assert_array_less(np.abs(fitted.values[0] - line[1:]), 4 * fitted.std_errors[0] + 1e-4)
    np.testing.assert_allclose(fitted.intercept[0], line[0], atol=0.1)


def test_texts_of_up_to_1024_tokens_are_padded_to_8_sizes():
    sizes = set()
    for tokens, words in itertools.chain.from_iterable([(n, n), (n, -(-n // 2)), (n, 1)] for n in range(1, 1025)):
        encoded = Encoded(np.ones(tokens, np.int32), np.zeros(tokens, np.int32), ("word",) * words)
        length, players = padded_sizes(encoded, None, 0, tokens_per_word=1)
        assert length >= tokens
        assert players >= words
        assert length < 2 * max(tokens, 9)
        sizes.add((length, players))
    assert len(sizes) <= 8


@pytest.mark.parametrize(
    "counts", [(3, 16, 17), pytest.param((1, 2, 15, 30, 33, 70, 200, 500, 513, 1024), marks=pytest.mark.slow)]
)
def test_texts_of_one_padded_length_share_all_programs(counts, key, caplog):
    model, options = (
        xai.function(lambda weights, ids: weights[ids].sum(axis=1), WEIGHTS),
        {"pad_id": PAD, "num_samples": 22},
    )
    seen = set()
    for count in counts:
        text = " ".join(f"w{number}" for number in range(count))
        caplog.clear()
        with jax.log_compiles(), caplog.at_level("WARNING"):
            xai.lime.strings(model, [text], lambda text: [2 + len(word) for word in text.split()], key=key, **options)
        compiled = re.findall(r"Compiling (?:jit\()?(\w+)", caplog.text)
        size = max(16, 2 ** (count - 1).bit_length())
        if size in seen:
            assert compiled == []
        elif seen:
            assert sorted(compiled) == ["_draw", "_evaluate", "_solve", "prepare_players"]
        seen.add(size)


def test_all_outputs_and_scores_of_examples_keep_their_rows(key):
    model = lambda ids: jnp.stack([bag(ids), 2 * bag(ids), -bag(ids)], axis=1)  # noqa: E731
    options = {"key": key, "pad_id": PAD, "num_samples": 100}
    texts = [" ".join(["why", "not"] * 20), *TEXTS]  # of two lengths
    every = xai.lime.strings(model, texts, by_words, target="all", **options)
    single = xai.lime.strings(model, texts, by_words, target=[2, 0, 1, 2], **options)
    for row, output in enumerate([2, 0, 1, 2]):
        np.testing.assert_allclose(every.values[row, :, output], single.values[row], atol=1e-4)
    score = xai.target.finer([2, 0, 1, 2], num_similar=2, gamma=1.0)  # 2: -1 - 1.5 of the sum; 0: 1 - .5; 1: 2 - 0
    finer = xai.lime.strings(model, texts, by_words, target=score, **options)
    for row, factor in enumerate([-2.5, 0.5, 2.0, -2.5]):
        np.testing.assert_allclose(finer.values[row], factor * every.values[row, :, 0], atol=1e-4)


def test_values_lie_on_the_tokens_of_their_words(key):
    found = xai.lime.strings(bag, [TEXTS[0], "why not"], by_words, key=key, pad_id=PAD, length=20, num_samples=100)
    on_tokens = np.asarray(found.on_input())
    assert on_tokens.shape == (2, 20)
    ids = np.zeros((2, 20), int)
    ids[0, :8], ids[1, :2] = by_words(TEXTS[0]), by_words("why not")
    counted = np.asarray(WEIGHTS)[ids] * np.where(np.isin(ids, [VOCABULARY["not"]]), [[2], [1]], 1)  # two in the first
    np.testing.assert_allclose(
        on_tokens, np.where(np.isin(ids, [VOCABULARY["?"], VOCABULARY[","]]), 0, counted), atol=1e-4
    )


def letters(text):
    return [2 + ord(letter) for letter in text]


def split_into(text, split=None):
    """The words that a text is split into, each occurrence on its own."""
    return list(Encoder(letters, split=split, bag_of_words=False, pad_id=PAD)(text, 0).words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("good 😀 film 😀", ["good", "😀", "film", "😀"]),
        ("family 👨‍👩‍👧 of 🇩🇪🇫🇷, 👍🏽!", ["family", "👨‍👩‍👧", "of", "🇩🇪", "🇫🇷", "👍🏽"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("e\u0301te\u0301 cafe\u0301", ["e\u0301te\u0301", "cafe\u0301"]),
        ("我喜欢电影。", ["我", "喜", "欢", "电", "影"]),
        ("don't stop: 3.14, a_b", ["don't", "stop", "3.14", "a_b"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("  two   words\r\n", ["two", "words"]),
    ],
)
def test_words_are_those_of_the_unicode_standard(text, words):
    assert split_into(text) == words


@pytest.mark.parametrize(
    ("text", "split", "words"),
    [
        ("don't stop", r"[^\w']+", ["don't", "stop"]),
        ("don't stop", r"\W+", ["don", "t", "stop"]),
        ("camelCase ID", r"(?=[A-Z])|\s+", ["camel", "Case", "I", "D"]),
        ("two words", "x*", list("twowords")),
        ("good film", r"\b", ["good", "film"]),
        ("a,b;c", re.compile("[,;]"), ["a", "b", "c"]),
        ("good, film!", str.split, ["good,", "film!"]),
        ("我喜欢电影", lambda text: ["我", "喜欢", "电影"], ["我", "喜欢", "电影"]),
        ("not not bad", lambda text: iter(["not", " ", "not", "bad"]), ["not", "not", "bad"]),
    ],
)
def test_a_split_is_a_pattern_of_separators_or_a_function(text, split, words):
    assert split_into(text, split) == words


def test_an_emoji_counts_where_the_tokenizer_knows_it_and_separates_elsewhere(key):
    weights = {"good": 2.0, "film": 0.5, "😀": 3.0}
    ids, values = {word: 2 + index for index, word in enumerate(weights)}, jnp.array([0, 0, *weights.values()])
    model = lambda ids: values[ids].sum(axis=1)  # noqa: E731
    options = {"key": key, "pad_id": PAD, "num_samples": 100}
    found = xai.lime.strings(model, ["good 😀 film 😀"], lambda text: [ids[word] for word in text.split()], **options)
    assert found.names == (("good", "😀", "film"),)
    np.testing.assert_allclose(found.values, [[2, 6, 0.5]], atol=1e-4)
    without = lambda text: [ids[word] for word in re.findall(r"\w+", text)]  # noqa: E731
    found = xai.lime.strings(model, ["good 😀 film 😀"], without, **options)
    assert found.names == (("good", "film"),)


def special(text):
    return [38, *by_words(text), 39]


def joining(text):
    return [12] if text == "a-b" else [4] * text.count("a") + [13] * text.count("b")


def _strings(texts=TEXTS, tokenizer=by_words, **options):
    return xai.lime.strings(
        bag, texts, tokenizer, key=jax.random.key(0), **{"pad_id": PAD, "num_samples": 50} | options
    )


MISTAKES = {
    "one string": (lambda: _strings("why"), r"got one string: pass \[text\]"),
    "no texts": (lambda: _strings([]), "at least one string, got none"),
    "a text that is none": (lambda: _strings(["why", 3]), "got 3 as text 1"),
    "an empty text": (lambda: _strings(["why", ""]), "got none in text 1"),
    "a text without words": (lambda: _strings(["?,?"]), "got none in text 0"),
    "no tokenizer": (lambda: _strings(tokenizer="bert"), "`tokenizer` must be callable"),
    "a tokenizer of strings": (
        lambda: _strings(tokenizer=str.split),
        "got list for 'God, not a god: why not\\?': .* pass a function",
    ),
    "a tokenizer with special tokens": (
        lambda: _strings(["why not"], special),
        r"got \[38, 6, 39\] for the word 'why' alone, while the whole text 0 has \[38, 6, 3\] there \(token 2\)",
    ),
    "a tokenizer that joins words": (
        lambda: _strings(["a-b"], joining),
        r"got \[4\] for the word 'a' alone, while the whole text 0 has \[12\] there \(token 0\).*choose a `split`",
    ),
    "a lost word": (
        lambda: _strings(["why why not"], lambda text: [6] * text.count("why")),
        r"got none for the words \['not'\] of text 0.*unknown words an id",
    ),
    "a word of padding": (
        lambda: _strings(["a"], lambda text: [0]),
        "got 0, which the tokenizer gives to 'a' in text 0",
    ),
    "a text too long": (lambda: _strings(length=5), "`length` must be at least .* got 5, while text 0 has 8"),
    "a split that is no pattern": (lambda: _strings(split="["), "`split` must be a regular expression"),
    "a split of another type": (lambda: _strings(split=3), "`split` must be a regular expression .*, got 3"),
    "a function that returns a string": (
        lambda: _strings(split=str.lower),
        "must return the words of a text, got 'god, ",
    ),
    "a function that changes words": (
        lambda: _strings(split=lambda text: text.lower().split()),
        "words of the text in their order, got 'god,', which text 0 does not have there",
    ),
    "a flag that is a string": (lambda: _strings(bag_of_words="no"), "`bag_of_words` must be True or False, got 'no'"),
    "an unknown option": (lambda: _strings(num_sampels=3), "num_sampels"),
    "unknown definitions": (lambda: _strings(definitions="shap"), "definitions.? must be one of"),
    "a target out of range": (lambda: _strings(target=1), "`target` must be from 0 to 0"),
    "ids of another number": (lambda: _strings(ids=[1]), r"ids.? must be integers \[3\]"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ខ្សែ", ["ខ្សែ"]),  # Khmer: a consonant with another below it
        ("សាខ្មែរ", ["សា", "ខ្មែ", "រ"]),
        ("သတ္တဝါ", ["သ", "တ္တ", "ဝါ"]),  # Burmese: a stack of two consonants
        ("အင်္ဂလိပ်", ["အ", "င်္ဂ", "လိ", "ပ်"]),  # and one with a kinzi above it
        ("นี้ดี", ["นี้", "ดี"]),  # Thai
        ("ງາມ", ["ງ", "າ", "ມ"]),  # Lao
    ],
)
def test_no_word_ends_within_a_character(text, words):
    """Scripts without spaces fall into characters and parts of syllables, which `split` is for."""
    assert [piece.word for piece in pieces(text, _unicode_words(text, 0))] == words
    assert [piece.word for piece in pieces(text, _read_split(lambda text: [text])(text, 0))] == [text]


def test_a_pattern_of_bytes_is_refused_as_split():
    for split in (rb"\s", re.compile(rb"\s")):
        with pytest.raises(TypeError, match="`split` must be a regular expression of separators"):
            Encoder(lambda text: [1] * len(text), split=split, bag_of_words=True, pad_id=0)


def test_records_and_plots_show_the_words_of_a_text_alone():
    letters = {letter: number for number, letter in enumerate(" abcdefghij", start=1)}
    explained = xai.lime.strings(
        lambda ids: jnp.sin(ids.astype(jnp.float32)).sum(axis=-1), ["a b c d e", "f g"],
        lambda text: [letters[letter] for letter in text], key=jax.random.key(0), pad_id=0, num_samples=64,
    )  # fmt: skip
    assert explained.names[1] == ("f", "g", "", "", "")
    assert [record["name"] for record in xai.records(explained)] == list("abcdefg")
    for alone, example in ((explained, 1), (explained[1], 0)):
        labels = [label.get_text() for label in xai.plot.bars(alone, example=example).get_yticklabels()]
        assert sorted(labels) == ["f", "g"]
    assert [record["name"] for record in xai.records(explained[1])] == ["f", "g"]


def test_ids_beyond_int32_are_refused_with_what_to_pass():
    for ids in ([2**31 + 5], np.array([2**32 - 1, 3]), [2**70]):
        with pytest.raises(
            ValueError, match=r"`tokenizer` must return ids that fit int32, got \d+ .*own_ids\[numbers\]"
        ):
            Encoder(lambda text, ids=ids: ids, split=None, bag_of_words=True, pad_id=0)("a b", 0)
