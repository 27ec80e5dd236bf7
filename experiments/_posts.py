"""Posts of two newsgroups, alt.atheism (label 0) and soc.religion.christian (label 1), with their headers.

Posts come from a file, from scikit-learn's download (the 20 newsgroups, split by date), or, if neither is available,
from a generator with the same defect as the real posts. `Posts.corpus` names the source, which every figure repeats.

The real groups differ in their headers, since the sites of their readers and moderators post differently. Of the
generated posts, 85 % of the first group and 10 % of the second have a line `NNTP-Posting-Host`, and more of the first are
answers (`Re`). The bodies are words drawn at random; each group has words that it uses slightly more often than the other.
A study of the generated posts shows that the method detects a known defect; it shows nothing about newsgroups.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

GROUPS = ("alt.atheism", "soc.religion.christian")
CLASSES = ("atheism", "christian")
PADDING, UNKNOWN = 0, 1
LONGEST = 512  # words that are read of a post: the whole of three posts in four, and the header of every post
_WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Posts:
    """Texts with headers and labels [N], for training and for tests; corpus: a description of the source."""

    train_texts: list[str]
    train_labels: np.ndarray
    test_texts: list[str]
    test_labels: np.ndarray
    corpus: str


class Vocabulary:
    """The tokenizer: one id for each word, with its case (`Re` is a word of headers, `re` is not), and one for unknown words."""

    def __init__(self, texts: list[str], *, at_least: int = 5):
        """Collects the words that occur in at least `at_least` texts: rare names would identify a thread."""
        counts = Counter(word for text in texts for word in set(_WORD.findall(text)))
        known = sorted(word for word, count in counts.items() if count >= at_least)
        self.number = {word: id for id, word in enumerate(known, start=UNKNOWN + 1)}

    def __len__(self) -> int:
        """Returns the number of ids, rounded up to a multiple of 512, so that vocabularies share compiled programs."""
        return -(-(UNKNOWN + 1 + len(self.number)) // 512) * 512

    def __call__(self, text: str) -> list[int]:
        return [self.number.get(word, UNKNOWN) for word in _WORD.findall(text)]

    def padded(self, texts: list[str]) -> np.ndarray:
        """Returns the ids of texts, [N, 512]."""
        ids = np.full((len(texts), LONGEST), PADDING, np.int32)
        for row, text in enumerate(texts):
            words = self(text)
            ids[row, : len(words)] = words
        return ids


def cut(text: str) -> str:
    """Returns the text up to its 512th word."""
    ends = [match.end() for match in _WORD.finditer(text)]
    return text if len(ends) <= LONGEST else text[: ends[LONGEST - 1]]


def without_header(text: str) -> str:
    """Returns the body of a post: the text after the first empty line, as in scikit-learn's remove=("headers",)."""
    return text.partition("\n\n")[2]


def header_words(text: str) -> set[str]:
    """Returns the words that occur in a post's header and not in its body."""
    header, _, body = text.partition("\n\n")
    return set(_WORD.findall(header)) - set(_WORD.findall(body))


def load_posts(path: Path | None, *, stand_in: bool, seed: int) -> Posts:
    """Returns posts from a file, from scikit-learn, or, if neither is available or `stand_in` is set, generated posts."""
    if path is not None:
        return _read(path)
    if not stand_in:
        try:
            return _fetch()
        except OSError as error:  # no network: URLError is one
            print(f"The posts cannot be downloaded ({error}): generated posts are used instead.")
    train, test = make_posts(600, seed=seed), make_posts(400, seed=seed + 1)
    return Posts(*train, *test, "STAND-IN: generated posts, not 20 newsgroups")


def _read(path: Path) -> Posts:
    """Reads lines of JSON, gzipped or not, with the fields split ("train" or "test"), group and text."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        posts = [_read_post(line, number, path) for number, line in enumerate(lines, start=1) if line.strip()]
    splits = []
    for split in ("train", "test"):
        part = [post for post in posts if post["split"] == split and post["group"] in GROUPS]
        splits.append(_usable([post["text"] for post in part], [GROUPS.index(post["group"]) for post in part]))
        missing = set(range(len(GROUPS))) - set(splits[-1][1].tolist())
        if missing:
            raise ValueError(
                f"{path} must hold posts of both groups, got none of {GROUPS[min(missing)]} with split {split!r}."
            )
    return _of_splits(*splits)


def _read_post(line: str, number: int, path: Path) -> dict[str, str]:
    try:
        post = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} must hold lines of JSON, got line {number}: {error}.") from None
    missing = [field for field in ("split", "group", "text") if not isinstance(post, dict) or field not in post]
    if missing:
        raise ValueError(f"{path} must hold posts with split, group and text, got line {number} without {missing[0]}.")
    return post


def _fetch() -> Posts:
    from sklearn.datasets import fetch_20newsgroups

    splits = []
    for subset in ("train", "test"):
        fetched: Any = fetch_20newsgroups(subset=subset, categories=list(GROUPS), shuffle=False)
        splits.append(_usable(fetched.data, [GROUPS.index(fetched.target_names[label]) for label in fetched.target]))
    return _of_splits(*splits)


def _of_splits(train: tuple[list[str], np.ndarray], test: tuple[list[str], np.ndarray]) -> Posts:
    return Posts(*train, *test, "20 newsgroups, by date")


def _usable(texts: list[str], labels: list[int]) -> tuple[list[str], np.ndarray]:
    """Returns the posts with words in their body, cut to 512 words, and their labels."""
    kept = [row for row, text in enumerate(texts) if _WORD.search(without_header(text))]
    return [cut(texts[row]) for row in kept], np.array([labels[row] for row in kept], np.int32)


def _words(text: str) -> list[str]:
    return text.split()


_COMMON = _words(
    "the a of to and in that is it for not this was are with as you have they be on what can will there from who one "
    "would or about do people think only more say any no then other good some like know time how believe right world "
    "even many question point make reason way should could well life true mean argue read word answer"
)
_OF_GROUP = (
    _words("evidence claim morality logic objective science natural burden proof theist atheist sceptic rational"),
    _words("church faith grace prayer scripture gospel sin heaven spirit worship resurrection apostle blessed"),
)
_SUBJECTS = _words("morals history language reading translation authority suffering law nature miracles tradition")
_SITES = _words("alder birch cedar fir hazel juniper larch maple oak pine rowan spruce willow yew")
_POSTING_HOST = (0.85, 0.10)  # the share of each group's posts that have the line
_ANSWER = (0.8, 0.5)  # the share of each group's posts that are answers
_OWN, _OTHER = 0.08, 0.03  # the shares of a body's words that are characteristic of its group, and of the other


def make_posts(count: int, *, seed: int) -> tuple[list[str], np.ndarray]:
    """Generates posts with headers, half of each group, and their labels [count], in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 2).astype(np.int32)
    return [_make_post(int(label), rng) for label in labels], labels


def _make_post(label: int, rng: np.random.Generator) -> str:
    site = f"{rng.choice(_SITES)}.example.edu"
    length = int(rng.integers(40, 90))
    drawn_from = rng.choice(3, size=length, p=[1 - _OWN - _OTHER, _OWN, _OTHER])
    sources = (_COMMON, _OF_GROUP[label], _OF_GROUP[1 - label])
    words = [sources[number][rng.integers(len(sources[number]))] for number in drawn_from]
    answer = "Re: " if rng.random() < _ANSWER[label] else ""
    header = [
        f"From: {rng.choice(_SITES)}{rng.integers(100)}@{site}",
        f"Subject: {answer}{rng.choice(_SUBJECTS)}",
        f"Lines: {-(-length // 12)}",
    ]
    if rng.random() < _POSTING_HOST[label]:
        header.append(f"NNTP-Posting-Host: {site}")
    lines = [" ".join(words[start : start + 12]) for start in range(0, length, 12)]
    return "\n".join(header) + "\n\n" + "\n".join(lines) + "\n"
