"""Posts of two newsgroups, alt.atheism (label 0) and soc.religion.christian (label 1), with their headers.

Posts come from a file, by scikit-learn's download (the 20 newsgroups, split by date), or, where neither is there, from
the generator in `_standin_posts`; `Posts.corpus` says which in words, for every figure to repeat.
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

from experiments._standin_posts import make_posts

GROUPS = ("alt.atheism", "soc.religion.christian")
CLASSES = ("atheism", "christian")
PADDING, UNKNOWN = 0, 1
LONGEST = 512  # words of a post that are read: all of three posts in four, and the header of every post
_WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Posts:
    """Texts with headers and labels [N], to train and to test with; corpus: what they are, in words."""

    train_texts: list[str]
    train_labels: np.ndarray
    test_texts: list[str]
    test_labels: np.ndarray
    corpus: str


class Vocabulary:
    """The tokenizer: each word an id, case kept (`Re` is a header's word, `re` is not); unknown words share one."""

    def __init__(self, texts: list[str], *, at_least: int = 5):
        """Of words that at least so many texts have: five, as names in one thread are learnt by heart."""
        counts = Counter(word for text in texts for word in set(_WORD.findall(text)))
        known = sorted(word for word, count in counts.items() if count >= at_least)
        self.number = {word: place for place, word in enumerate(known, start=UNKNOWN + 1)}

    def __len__(self) -> int:
        """How many ids there are room for: a multiple of 512, so that programs serve several vocabularies."""
        return -(-(UNKNOWN + 1 + len(self.number)) // 512) * 512

    def __call__(self, text: str) -> list[int]:
        return [self.number.get(word, UNKNOWN) for word in _WORD.findall(text)]

    def padded(self, texts: list[str]) -> np.ndarray:
        """[N, 512] ids."""
        ids = np.full((len(texts), LONGEST), PADDING, np.int32)
        for row, text in enumerate(texts):
            found = self(text)
            ids[row, : len(found)] = found
        return ids


def cut(text: str) -> str:
    """The text up to its 512th word."""
    ends = [found.end() for found in _WORD.finditer(text)]
    return text if len(ends) <= LONGEST else text[: ends[LONGEST - 1]]


def without_header(text: str) -> str:
    """The body of a post: what comes after the first empty line, as scikit-learn's remove=("headers",) has it."""
    return text.partition("\n\n")[2]


def header_words(text: str) -> set[str]:
    """The words that a post has in its header alone."""
    header, _, body = text.partition("\n\n")
    return set(_WORD.findall(header)) - set(_WORD.findall(body))


def load_posts(path: Path | None, *, stand_in: bool, seed: int) -> Posts:
    """Posts from a file, or by scikit-learn, or the stand-in where neither can be had (or where it is asked for)."""
    if path is not None:
        return _read(path)
    if not stand_in:
        try:
            return _fetch()
        except OSError as error:  # no network: URLError is one
            print(f"the posts cannot be downloaded ({error}); a generated stand-in takes their place")
    train, test = make_posts(600, seed=seed), make_posts(400, seed=seed + 1)
    return Posts(*train, *test, "STAND-IN: generated posts, not 20 newsgroups")


def _read(path: Path) -> Posts:
    """Lines of JSON, gzipped or not, with the fields split ("train" or "test"), group and text."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        posts = [_post(line, number, path) for number, line in enumerate(lines, start=1) if line.strip()]
    splits = []
    for split in ("train", "test"):
        part = [post for post in posts if post["split"] == split and post["group"] in GROUPS]
        splits.append(_usable([post["text"] for post in part], [GROUPS.index(post["group"]) for post in part]))
        missing = set(range(len(GROUPS))) - set(splits[-1][1].tolist())
        if missing:
            raise ValueError(
                f"{path} has no posts of {GROUPS[min(missing)]} with split {split!r}: both groups need some."
            )
    return _of_splits(*splits)


def _post(line: str, number: int, path: Path) -> dict[str, str]:
    try:
        post = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} must hold lines of JSON, but line {number} is none: {error}") from None
    missing = [field for field in ("split", "group", "text") if not isinstance(post, dict) or field not in post]
    if missing:
        raise ValueError(f"{path} must hold posts with split, group and text, but line {number} has no {missing[0]}.")
    return post


def _fetch() -> Posts:
    from sklearn.datasets import fetch_20newsgroups

    splits = []
    for subset in ("train", "test"):
        found: Any = fetch_20newsgroups(subset=subset, categories=list(GROUPS), shuffle=False)
        splits.append(_usable(found.data, [GROUPS.index(found.target_names[label]) for label in found.target]))
    return _of_splits(*splits)


def _of_splits(train: tuple[list[str], np.ndarray], test: tuple[list[str], np.ndarray]) -> Posts:
    return Posts(*train, *test, "20 newsgroups, by date")


def _usable(texts: list[str], labels: list[int]) -> tuple[list[str], np.ndarray]:
    """Posts with words in their body, cut to 512 words."""
    kept = [row for row, text in enumerate(texts) if _WORD.search(without_header(text))]
    return [cut(texts[row]) for row in kept], np.array([labels[row] for row in kept], np.int32)
