"""The games that estimators are measured on, from real data and from formulas, with their exact Shapley values."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import xaijax as xai
from experiments._known_games import KnownGame, all_coalitions, of_table, of_terms
from experiments._networks import SmallDigitNet, SmallTransformer
from experiments._tables import breast_cancer, diabetes
from experiments._texts import LENGTH, UNKNOWN, load_corpus
from experiments._tour_tables import train_on_diabetes
from experiments._train import cross_entropy, train


def tabulate(model: Any, x: np.ndarray, masker: Any, target: Any) -> list[KnownGame]:
    """The games of a model, each of whose coalitions is evaluated once."""
    games = xai.game(model, x, masker, target=target)
    coalitions = all_coalitions(games.num_players)
    worth = np.asarray(games(coalitions), np.float64)
    return [of_table(row) for row in worth]


def patients(seed: int, count: int) -> list[KnownGame]:
    """Ten measurements of a patient; a perceptron for how the disease goes on; 50 background rows."""
    table = diabetes(seed)
    model = train_on_diabetes(table, jax.random.key(seed), seed)
    return tabulate(model, table.test_x[:count], xai.mask.background(table.train_x[:50]), 0)


def tumors(seed: int, count: int) -> list[KnownGame]:
    """Thirty measurements of a tumor; a forest's chance that it is benign; 20 background rows."""
    table = breast_cancer(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    return [of_forest(forest, row, table.train_x[:20]) for row in table.test_x[:count]]


def few_measurements(seed: int, count: int) -> list[KnownGame]:
    """The fourteen measurements that tell most of a tumor; a forest of their own."""
    table = breast_cancer(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    best = np.argsort(-forest.feature_importances_)[:14]
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x[:, best], table.train_y)
    return [of_forest(forest, row[best], table.train_x[:20][:, best]) for row in table.test_x[:count]]


def progress(seed: int, count: int) -> list[KnownGame]:
    """Ten measurements of a patient and a forest of deep trees."""
    table = diabetes(seed)
    forest = RandomForestRegressor(100, max_depth=8, min_samples_leaf=3, random_state=seed)
    forest.fit(table.train_x, table.train_y)
    return [of_forest(forest, row, table.train_x[:20]) for row in table.test_x[:count]]


def digit_pixels(seed: int, count: int) -> list[KnownGame]:
    """The 64 pixels of a digit; a forest's chance of its class; 20 background digits."""
    images, y = _digits(seed)
    x = images.reshape(len(images), -1)
    forest = RandomForestClassifier(60, max_depth=8, random_state=seed).fit(x[:1000], y[:1000])
    test, labels = x[1000 : 1000 + count], y[1000 : 1000 + count]
    return [of_forest(forest, row, x[:20], int(label)) for row, label in zip(test, labels, strict=True)]


def _digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits in a random order: images [N, 8, 8, 1] in [0, 1], and labels [N]."""
    data: Any = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.images))
    return (data.images[order, :, :, None] / 16).astype(np.float32), data.target[order].astype(np.int32)


def digit_regions(seed: int, count: int) -> list[KnownGame]:
    """The 16 regions of a digit; a convolutional network's chance of its class; absent regions in their mean gray."""
    images, labels = _digits(seed)
    module = SmallDigitNet()
    variables = module.init(jax.random.key(seed), jnp.asarray(images[:1]))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits: Any = module.apply(variables, batch["x"])
        return cross_entropy(logits, batch["y"]), state

    data = {"x": images[:1400], "y": labels[:1400]}
    variables, _ = train(loss, variables, (), data, epochs=15, batch_size=64, rate=3e-3, seed=seed)
    test = images[1400 : 1400 + count]
    return tabulate(xai.linen(module, variables), test, xai.mask.grid(4), xai.target.probability())


def sentences(seed: int, count: int) -> list[KnownGame]:
    """Thirteen words of a sentence; a transformer's log odds of what it is about; absent words become unknown."""
    corpus = load_corpus(vocabulary=1000, seed=seed)
    model = train_transformer(corpus, seed)
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


def train_transformer(corpus: Any, seed: int) -> xai.Model:
    module = SmallTransformer(len(corpus.words))
    variables = module.init(jax.random.key(seed), jnp.asarray(corpus.train_ids[:1]))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits: Any = module.apply(variables, batch["x"])
        return cross_entropy(logits, batch["y"]), state

    data = {"x": corpus.train_ids, "y": corpus.train_labels}
    variables, _ = train(loss, variables, (), data, epochs=6, batch_size=64, rate=2e-3, seed=seed)
    return xai.linen(module, variables)


def unanimity(num_players: int, num_terms: int, seed: int, count: int) -> list[KnownGame]:
    """Teams of random sizes that pay when they are complete: interactions of every order."""
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(count):
        sizes = rng.integers(1, num_players + 1, num_terms)
        present = np.argsort(np.argsort(rng.random((num_terms, num_players)), axis=1), axis=1) < sizes[:, None]
        games.append(of_terms(present, np.zeros_like(present), rng.uniform(-1, 1, num_terms)))
    return games


def neighbors(side: int, seed: int, count: int) -> list[KnownGame]:
    """A grid of players of which every 2 x 2 are in a random game: interactions of neighbors."""
    rng = np.random.default_rng(seed)
    corners = all_coalitions(4).reshape(16, 2, 2)
    games = []
    for _ in range(count):
        present, absent = [], []
        for row in range(side - 1):
            for column in range(side - 1):
                place = np.s_[:, row : row + 2, column : column + 2]
                for parts, corner in ((present, corners), (absent, ~corners)):
                    grid = np.zeros((16, side, side), bool)
                    grid[place] = corner
                    parts.append(grid.reshape(16, -1))
        pay = rng.normal(size=16 * len(present))
        games.append(of_terms(np.concatenate(present), np.concatenate(absent), pay))
    return games


def of_forest(forest: Any, x: np.ndarray, background: np.ndarray, output: int = 1) -> KnownGame:
    """What a forest says of x when absent features come from the background rows, averaged over them.

    A leaf is reached if, at each node on its way, the feature goes the leaf's way: where x and the background row go the
    same way the node asks for nothing, else the feature must be present or absent.
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
    found = []
    nobody = np.zeros(len(x), bool)
    for row in background:
        stack = [(0, nobody, nobody)]
        while stack:
            node, present, absent = stack.pop()
            left, right = tree.children_left[node], tree.children_right[node]
            if left == -1:
                value = tree.value[node].ravel()
                found.append((present, absent, float(value[output if len(value) > 1 else 0])))
                continue
            feature, threshold = tree.feature[node], tree.threshold[node]
            mine, other = (left if float(source[feature]) <= threshold else right for source in (x, row))
            if mine == other:
                stack.append((mine, present, absent))
                continue
            one = nobody.copy()
            one[feature] = True
            if not absent[feature]:
                stack.append((mine, present | one, absent))
            if not present[feature]:
                stack.append((other, present, absent | one))
    return found


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
