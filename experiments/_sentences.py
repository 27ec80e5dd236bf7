"""Sentences about machine learning (label 0) or image processing (label 1): the docstrings of two packages.

The corpus consists of the sentences in the docstrings of scikit-learn and scikit-image, as installed. Files are read as
text and split at full stops, without code, parameter lists and repetitions. A module is either in the training set or in
the test set, so that a sentence that was copied within a module is never in both.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections import Counter
from pathlib import Path

import numpy as np
import skimage
import sklearn

PADDING, UNKNOWN = 0, 1
LENGTH = 24
CLASSES = ("scikit-learn", "scikit-image")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """ids: [N, 24] token ids, padded with 0; labels: [N]; words: the vocabulary, by id."""

    train_ids: np.ndarray
    train_labels: np.ndarray
    test_ids: np.ndarray
    test_labels: np.ndarray
    words: list[str]

    def read(self, ids: np.ndarray) -> list[str]:
        """Returns the words of one sentence, without the padding."""
        return [self.words[number] for number in ids if number != PADDING]


def load_corpus(*, vocabulary: int, seed: int) -> Corpus:
    """Returns the corpus with as many of the most frequent words as `vocabulary` says; other words are unknown."""
    rng = np.random.default_rng(seed)
    train: list[tuple[list[str], int]] = []
    test: list[tuple[list[str], int]] = []
    seen: set[tuple[str, ...]] = set()
    for label, package in enumerate((sklearn, skimage)):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            if "tests" in path.parts or "externals" in path.parts:
                continue
            part = test if rng.random() < 0.25 else train
            for words in _sentences(path):
                if tuple(words) not in seen:
                    seen.add(tuple(words))
                    part.append((words, label))
    train, test = _balanced(train, rng), _balanced(test, rng)
    counts = Counter(word for words, _ in train for word in words)
    kept = ["", "?"] + [word for word, _ in counts.most_common(vocabulary - 2)]
    number = {word: id for id, word in enumerate(kept)}
    encoded = [_encode(part, number) for part in (train, test)]
    return Corpus(*encoded[0], *encoded[1], kept)


def _sentences(path: Path) -> list[list[str]]:
    """Returns the sentences of 6 to 24 words in the docstrings of a file, without the package's name, which is the label."""
    sentences = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        prose = [block for block in (ast.get_docstring(node) or "").split("\n\n") if _is_prose(block)]
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(" ".join(prose).split())):
            words = re.findall(r"[a-z]+(?:-[a-z]+)*", re.sub(r"(?i)scikit-?\w*|sklearn|skimage", "", sentence).lower())
            if 6 <= len(words) <= LENGTH:
                sentences.append(words)
    return sentences


def _is_prose(block: str) -> bool:
    return not re.search(r"^\s*(\.\.|\*|-|\[)|>>>|---|===|::|\n\s{4,}|`{2}|https?:", block)


def _balanced(part: list[tuple[list[str], int]], rng: np.random.Generator) -> list[tuple[list[str], int]]:
    """Returns as many sentences of each package as the smaller package has, in random order."""
    groups = [[item for item in part if item[1] == label] for label in (0, 1)]
    size = min(map(len, groups))
    chosen = [group[index] for group in groups for index in rng.choice(len(group), size, replace=False)]
    return [chosen[index] for index in rng.permutation(len(chosen))]


def _encode(part: list[tuple[list[str], int]], number: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.full((len(part), LENGTH), PADDING, np.int32)
    for row, (words, _) in enumerate(part):
        ids[row, : len(words)] = [number.get(word, UNKNOWN) for word in words]
    return ids, np.array([label for _, label in part], np.int32)
