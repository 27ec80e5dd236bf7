"""Games of ensembles of trees on real data, and their exact Shapley values: each leaf is a term."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from experiments._known_games import KnownGame, of_terms
from experiments._tables import breast_cancer, diabetes, digits, wine

_BACKGROUND_ROWS = 20


def tumors(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirty measurements of a tumor; a forest's probability of benign; 20 background rows."""
    table = breast_cancer(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    return [of_forest(forest, row, table.train_x[:_BACKGROUND_ROWS]) for row in table.test_x[:count]]


def tumors_of_few_measurements(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the fourteen most important measurements of a tumor, with a forest of these."""
    table = breast_cancer(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    best = np.argsort(-forest.feature_importances_)[:14]
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x[:, best], table.train_y)
    return [of_forest(forest, row[best], table.train_x[:_BACKGROUND_ROWS][:, best]) for row in table.test_x[:count]]


def progress(seed: int, count: int) -> list[KnownGame]:
    """Returns games of ten measurements of a patient and a forest of deep trees."""
    table = diabetes(seed)
    forest = RandomForestRegressor(100, max_depth=8, min_samples_leaf=3, random_state=seed)
    forest.fit(table.train_x, table.train_y)
    return [of_forest(forest, row, table.train_x[:_BACKGROUND_ROWS]) for row in table.test_x[:count]]


def digit_pixels(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the 64 pixels of a digit; a forest's probability of its class; 20 background digits."""
    images, y = digits(seed)
    x = images.reshape(len(images), -1)
    forest = RandomForestClassifier(60, max_depth=8, random_state=seed).fit(x[:1000], y[:1000])
    test, labels = x[1000 : 1000 + count], y[1000 : 1000 + count]
    return [of_forest(forest, row, x[:_BACKGROUND_ROWS], int(label)) for row, label in zip(test, labels, strict=True)]


def boosted_progress(seed: int, count: int) -> list[KnownGame]:
    """Returns games of ten measurements of a patient and 100 boosted trees."""
    table = diabetes(seed)
    model = GradientBoostingRegressor(n_estimators=100, max_depth=3, subsample=0.8, random_state=seed)
    model.fit(table.train_x, table.train_y)
    return [of_forest(model, row, table.train_x[:_BACKGROUND_ROWS]) for row in table.test_x[:count]]


def boosted_tumors(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirty measurements of a tumor and the log odds of 60 boosted trees."""
    table = breast_cancer(seed)
    model = GradientBoostingClassifier(n_estimators=60, max_depth=3, subsample=0.8, random_state=seed)
    model.fit(table.train_x, table.train_y)
    return [of_forest(model, row, table.train_x[:_BACKGROUND_ROWS]) for row in table.test_x[:count]]


def cultivars(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirteen measurements of a wine; a forest's probability of its cultivar."""
    table = wine(seed)
    forest = RandomForestClassifier(100, max_depth=6, random_state=seed).fit(table.train_x, table.train_y)
    rows = zip(table.test_x[:count], table.test_y[:count], strict=True)
    return [of_forest(forest, row, table.train_x[:_BACKGROUND_ROWS], int(label)) for row, label in rows]


def digit_squares(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the mean gray of 16 squares of a digit; extremely random trees' probability of its class."""
    images, y = digits(seed)
    x = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(images), 16)
    forest = ExtraTreesClassifier(80, max_depth=8, random_state=seed).fit(x[:1000], y[:1000])
    rows = zip(x[1000 : 1000 + count], y[1000 : 1000 + count], strict=True)
    return [of_forest(forest, row, x[:_BACKGROUND_ROWS], int(label)) for row, label in rows]


def of_forest(forest: Any, x: np.ndarray, background: np.ndarray, output: int = 1) -> KnownGame:
    """Returns the game of a forest's output at x, with absent features from the background rows, averaged over the rows.

    A forest's output is the mean of its trees', that of boosted trees a multiple of their sum, up to a constant.

    A leaf is reached if every node on its path turns towards it. Where x and the background row turn the same way, a node
    sets no condition. Otherwise its feature must be present or absent.
    """
    terms: dict[tuple[bytes, bytes], float] = {}
    trees = np.ravel(forest.estimators_)
    scale = getattr(forest, "learning_rate", 1 / len(trees)) / len(background)
    for tree in trees:
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
