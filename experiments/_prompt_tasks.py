"""Two tasks of language models whose prompts are known to hold the answer in one span, or in two.

Recall: a text is a list of facts, each a key and its value. A key that was given before has the same value from then on.
The prompt is a list of facts, and a key of them that asks for its value.
Help: bytes of Python's own help (`pydoc_data.topics`), with planted sentences such as "Let QXVMO=TBGAI." that come again.
The prompt is a part of the help with a planted sentence, and the beginning of its copy.

In the texts for training any facts or lines may be missing, so that a prompt without some of its spans is no surprise.
"""

from __future__ import annotations

import functools
import pydoc_data.topics
import string
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import xaijax as xai

START, NUM_KEYS, NUM_VALUES = 0, 16, 16
FIRST_KEY, FIRST_VALUE = 1, 1 + NUM_KEYS
RECALL_VOCABULARY, HELP_VOCABULARY = FIRST_VALUE + NUM_VALUES, 128
_LEAST_KEYS = 1  # of a text for training, so that the shortest prompts, a fact and its question, occur often
_LINE = 24  # letters of a line of the help
_HELD_OUT = 5  # every fifth topic is kept for prompts
_WORD = 5  # letters of the words of a planted sentence
_PLANTED, _SKIPPED = (
    0.5,
    0.3,
)  # how often a part of a text for training is a planted sentence; how often a line is missing
_WEIGHT = 0.25  # of the bytes of the help in the loss; those of planted sentences have 1


class Planted(NamedTuple):
    """A prompt, its correct response [T], and which spans [M] hold it."""

    prompt: xai.text.Prompt
    response: np.ndarray
    is_planted: np.ndarray


def recall_texts(count: int, num_facts: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns texts of facts with repeated keys [N, 1 + 2 F], and whether the next token is a value, which counts [N, 2 F]."""
    order = np.argsort(rng.random((count, NUM_KEYS)), axis=1)
    value_of = rng.integers(NUM_VALUES, size=(count, NUM_KEYS))
    num_keys = rng.integers(_LEAST_KEYS, NUM_KEYS + 1, size=(count, 1))
    keys = np.take_along_axis(order, (rng.random((count, num_facts)) * num_keys).astype(int), axis=1)
    facts = np.stack([FIRST_KEY + keys, FIRST_VALUE + np.take_along_axis(value_of, keys, axis=1)], axis=2)
    ids = np.concatenate([np.full((count, 1), START), facts.reshape(count, -1)], axis=1)
    return ids, np.broadcast_to(np.arange(2 * num_facts) % 2 == 1, (count, 2 * num_facts))


def recall_prompts(count: int, num_spans: int, rng: np.random.Generator, *, twice: bool = False) -> list[Planted]:
    """Returns prompts of facts with different keys; with `twice`, the fact that is asked for is given at two positions."""
    return [_recall_prompt(num_spans, rng, twice) for _ in range(count)]


def _recall_prompt(num_spans: int, rng: np.random.Generator, twice: bool) -> Planted:
    keys, values = rng.permutation(NUM_KEYS)[:num_spans], rng.integers(NUM_VALUES, size=num_spans)
    asked, again = rng.permutation(num_spans)[:2]
    is_planted = np.arange(num_spans) == asked
    if twice:
        keys[again], values[again], is_planted[again] = keys[asked], values[asked], True
    spans = np.stack([FIRST_KEY + keys, FIRST_VALUE + values], axis=1)
    question = FIRST_KEY + keys[asked : asked + 1]
    prompt = xai.text.prompt(list(spans), prefix=[START], suffix=question, decode=decode_facts)
    return Planted(prompt, FIRST_VALUE + values[asked : asked + 1], is_planted)


def decode_facts(ids: Sequence[int]) -> str:
    """Returns facts as "k3=v7 ", and a key that asks as "k3="."""
    texts = ["" if i == START else f"k{i - FIRST_KEY}=" if i < FIRST_VALUE else f"v{i - FIRST_VALUE} " for i in ids]
    return "".join(texts)


def help_texts(count: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns texts of bytes [N, L + 1], in which some sentences come again, and how much each next byte counts [N, L]."""
    topics, _ = help_topics()
    texts = [_help_text(topics, length + 1, rng) for _ in range(count)]
    weights = np.array([own for _, own in texts])[:, 1:]
    return np.stack([encode(text) for text, _ in texts]), weights


def _help_text(topics: list[list[str]], length: int, rng: np.random.Generator) -> tuple[str, list[float]]:
    topic = topics[rng.integers(len(topics))]
    line, sentences = int(rng.integers(len(topic))), [_sentence(rng), _sentence(rng)]
    text, weights = "", []
    while len(text) < length:
        if rng.random() < _PLANTED:
            part, weight = sentences[rng.integers(len(sentences))], 1.0
        else:
            line += 1 + int(rng.random() < _SKIPPED)
            part, weight = topic[line % len(topic)], _WEIGHT
        text += part
        weights += len(part) * [weight]
    return text[:length], weights[:length]


def help_prompts(count: int, num_spans: int, rng: np.random.Generator) -> list[Planted]:
    """Returns prompts of lines of topics that no text for training has, and one planted sentence among them.

    The lines have equal lengths, so that prompts share compiled programs.
    """
    topics = [[line for line in topic if len(line) == _LINE] for topic in help_topics()[1]]
    topics = [topic for topic in topics if len(topic) >= num_spans]
    return [_help_prompt(topics[rng.integers(len(topics))], num_spans, rng) for _ in range(count)]


def _help_prompt(topic: list[str], num_spans: int, rng: np.random.Generator) -> Planted:
    first, asked = int(rng.integers(len(topic))), int(rng.integers(num_spans))
    lines = [topic[number % len(topic)] for number in range(first, first + num_spans - 1)]
    sentence = _sentence(rng)
    lines.insert(asked, sentence)
    beginning, response = sentence[: -_WORD - 2], sentence[-_WORD - 2 : -1]  # without the last space
    spans = [encode(line) for line in lines]
    prompt = xai.text.prompt(spans, suffix=encode(beginning), decode=decode)
    return Planted(prompt, encode(response), np.arange(num_spans) == asked)


def _sentence(rng: np.random.Generator) -> str:
    letters = "".join(rng.choice(list(string.ascii_uppercase), size=2 * _WORD))
    return f"Let {letters[:_WORD]}={letters[_WORD:]}. "


def encode(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int32)


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


@functools.cache
def help_topics() -> tuple[list[list[str]], list[list[str]]]:
    """Returns the lines of the topics for training, and of those for prompts; each line ends with a space."""
    texts = sorted(set(pydoc_data.topics.topics.values()))  # some topics have several names
    plain = [" ".join(text.encode("ascii", "ignore").decode().split()) for text in texts]
    topics = [[line + " " for line in textwrap.wrap(text, _LINE)] for text in plain]
    return [topic for number, topic in enumerate(topics) if number % _HELD_OUT], topics[::_HELD_OUT]
