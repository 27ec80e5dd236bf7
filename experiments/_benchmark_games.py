"""The games that estimators are measured on, from real data and from formulas, with known Shapley values."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import xaijax as xai
from experiments._known_games import KnownGame, all_coalitions, of_table, of_terms
from experiments._networks import SmallDigitNet, SmallTransformer
from experiments._sentences import LENGTH, UNKNOWN, load_corpus
from experiments._tables import breast_cancer, diabetes
from experiments._training import train_classifier, train_on_diabetes


def tabulate(model: Any, x: np.ndarray, masker: Any, target: Any) -> list[KnownGame]:
    """Returns the games of a model, after one evaluation of each coalition."""
    games = xai.game(model, x, masker, target=target)
    coalitions = all_coalitions(games.num_players)
    worth = np.asarray(games(coalitions), np.float64)
    return [of_table(row) for row in worth]


def patients(seed: int, count: int) -> list[KnownGame]:
    """Returns games of ten measurements of a patient; a perceptron for the disease progression; 50 background rows."""
    table = diabetes(seed)
    model = train_on_diabetes(table, jax.random.key(seed), seed)
    return tabulate(model, table.test_x[:count], xai.mask.background(table.train_x[:50]), 0)


def tumors(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirty measurements of a tumor; a forest's probability of benign; 20 background rows."""
    table = breast_cancer(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    return [of_forest(forest, row, table.train_x[:20]) for row in table.test_x[:count]]


def few_measurements(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the fourteen most important measurements of a tumor, with a forest of these."""
    table = breast_cancer(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    best = np.argsort(-forest.feature_importances_)[:14]
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x[:, best], table.train_y)
    return [of_forest(forest, row[best], table.train_x[:20][:, best]) for row in table.test_x[:count]]


def progress(seed: int, count: int) -> list[KnownGame]:
    """Returns games of ten measurements of a patient and a forest of deep trees."""
    table = diabetes(seed)
    forest = RandomForestRegressor(100, max_depth=8, min_samples_leaf=3, random_state=seed)
    forest.fit(table.train_x, table.train_y)
    return [of_forest(forest, row, table.train_x[:20]) for row in table.test_x[:count]]


def digit_pixels(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the 64 pixels of a digit; a forest's probability of its class; 20 background digits."""
    images, y = _digits(seed)
    x = images.reshape(len(images), -1)
    forest = RandomForestClassifier(60, max_depth=8, random_state=seed).fit(x[:1000], y[:1000])
    test, labels = x[1000 : 1000 + count], y[1000 : 1000 + count]
    return [of_forest(forest, row, x[:20], int(label)) for row, label in zip(test, labels, strict=True)]


def _digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's 1,797 digits in random order: images [N, 8, 8, 1] in [0, 1], and labels [N]."""
    digits: Any = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.images))
    return (digits.images[order, :, :, None] / 16).astype(np.float32), digits.target[order].astype(np.int32)


def digit_regions(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the 16 regions of a digit; a convolutional network's probability; absent regions in their mean gray."""
    images, labels = _digits(seed)
    options: dict[str, Any] = {"epochs": 15, "batch_size": 64, "rate": 3e-3}
    model = train_classifier(SmallDigitNet(), images[:1400], labels[:1400], jax.random.key(seed), seed, **options)
    return tabulate(model, images[1400 : 1400 + count], xai.mask.grid(4), xai.target.probability())


def sentences(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirteen words of a sentence; a transformer's log odds of its package; absent words are unknown."""
    corpus = load_corpus(vocabulary=1000, seed=seed)
    options: dict[str, Any] = {"epochs": 6, "batch_size": 64, "rate": 2e-3}
    module, key = SmallTransformer(len(corpus.words)), jax.random.key(seed)
    model = train_classifier(module, corpus.train_ids, corpus.train_labels, key, seed, **options)
    long_enough = np.flatnonzero((corpus.test_ids > UNKNOWN).sum(axis=1) >= 13)[:count]
    games = []
    for ids in corpus.test_ids[long_enough]:
        known = np.flatnonzero(ids > UNKNOWN)[:13]
        groups = np.full((1, LENGTH), -1)
        groups[0, known] = np.arange(13)
        games += tabulate(
            model, ids[None], xai.mask.tokens(UNKNOWN, groups=groups), lambda logits: logits[:, 1] - logits[:, 0]
        )
    return games


def unanimity(num_players: int, num_terms: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games of random teams that pay if they are complete: interactions of every order."""
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(count):
        sizes = rng.integers(1, num_players + 1, num_terms)
        present = np.argsort(np.argsort(rng.random((num_terms, num_players)), axis=1), axis=1) < sizes[:, None]
        games.append(of_terms(present, np.zeros_like(present), rng.uniform(-1, 1, num_terms)))
    return games


def neighbors(side: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games on a grid in which every 2 x 2 players play a random game: interactions of neighbors."""
    rng = np.random.default_rng(seed)
    corners = all_coalitions(4).reshape(16, 2, 2)
    games = []
    for _ in range(count):
        present, absent = [], []
        for row in range(side - 1):
            for column in range(side - 1):
                square = np.s_[:, row : row + 2, column : column + 2]
                for parts, corner in ((present, corners), (absent, ~corners)):
                    grid = np.zeros((16, side, side), bool)
                    grid[square] = corner
                    parts.append(grid.reshape(16, -1))
        pay = rng.normal(size=16 * len(present))
        games.append(of_terms(np.concatenate(present), np.concatenate(absent), pay))
    return games


def of_forest(forest: Any, x: np.ndarray, background: np.ndarray, output: int = 1) -> KnownGame:
    """Returns the game of a forest's output at x, with absent features from the background rows, averaged over the rows.

    A leaf is reached if every node on its path turns towards it. Where x and the background row turn the same way, a node
    sets no condition. Otherwise its feature must be present or absent.
    """
    terms: dict[tuple[bytes, bytes], float] = {}
    scale = 1 / (len(forest.estimators_) * len(background))
    for tree in forest.estimators_:
        for present, absent, pay in _leaves(tree.tree_, x, background, output):
            key = present.tobytes(), absent.tobytes()
            terms[key] = terms.get(key, 0.0) + scale * pay
    present, absent = (np.array([np.frombuffer(key[side], bool) for key in terms]) for side in (0, 1))
    return of_terms(present, absent, np.array(list(terms.values())))


def _leaves(
    tree: Any, x: np.ndarray, background: np.ndarray, output: int
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Returns the conditions (present, absent) and the output of each leaf that some coalition reaches."""
    leaves = []
    none = np.zeros(len(x), bool)
    for row in background:
        stack = [(0, none, none)]
        while stack:
            node, present, absent = stack.pop()
            left, right = tree.children_left[node], tree.children_right[node]
            if left == -1:
                value = tree.value[node].ravel()
                leaves.append((present, absent, float(value[output if len(value) > 1 else 0])))
                continue
            feature, threshold = tree.feature[node], tree.threshold[node]
            mine, other = (left if float(source[feature]) <= threshold else right for source in (x, row))
            if mine == other:
                stack.append((mine, present, absent))
                continue
            condition = none.copy()
            condition[feature] = True
            if not absent[feature]:
                stack.append((mine, present | condition, absent))
            if not present[feature]:
                stack.append((other, present, absent | condition))
    return leaves


GAMES = {
    "patients, perceptron (10)": patients,
    "patients, forest (10)": progress,
    "teams (12)": functools.partial(unanimity, 12, 50),
    "sentences, transformer (13)": sentences,
    "tumors, forest (14)": few_measurements,
    "digits, convolutions (16)": digit_regions,
    "tumors, forest (30)": tumors,
    "teams (60)": functools.partial(unanimity, 60, 150),
    "digits, forest (64)": digit_pixels,
    "neighbors (64)": functools.partial(neighbors, 8),
}
