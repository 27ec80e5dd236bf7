"""Games whose Shapley values are known exactly, from real data and from formulas: what estimators are measured on.

Two kinds: tables of all 2^M coalitions, for models that cost little and up to 16 players, and sums of terms, each of
which pays when some players are there and others are not. Forests are such sums, with one term for each leaf and
background row, so that their Shapley values are in closed form for any number of players.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import xaijax as xai
from experiments._networks import SmallDigitNet, SmallTransformer
from experiments._tables import breast_cancer, diabetes
from experiments._texts import LENGTH, UNKNOWN, load_corpus
from experiments._tour_tables import train_on_diabetes
from experiments._train import cross_entropy, train


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Table:
    """worth: [2^M] of every coalition, by the number whose bits are the players."""

    worth: jax.Array

    def __call__(self, coalitions: jax.Array) -> jax.Array:
        num_players = coalitions.shape[1]
        return self.worth[coalitions @ (1 << jnp.arange(num_players))]

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray:
        return np.asarray(self.worth)[coalitions @ (1 << np.arange(coalitions.shape[1]))]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Terms:
    """present, absent: [T, M] who must be there and who must not for a term to pay; pay: [T]."""

    present: jax.Array
    absent: jax.Array
    pay: jax.Array

    def __call__(self, coalitions: jax.Array) -> jax.Array:
        there = coalitions.astype(jnp.float32)
        missing = (1 - there) @ self.present.T.astype(jnp.float32) + there @ self.absent.T.astype(jnp.float32)
        return jnp.matmul((missing < 0.5).astype(jnp.float32), self.pay, precision=jax.lax.Precision.HIGHEST)

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray:
        there = coalitions.astype(np.float32)
        present, absent = np.asarray(self.present, np.float32), np.asarray(self.absent, np.float32)
        return ((1 - there) @ present.T + there @ absent.T < 0.5) @ np.asarray(self.pay, np.float64)


@dataclasses.dataclass(frozen=True)
class KnownGame:
    """value: of coalitions [S, M], one of a number of instances alike; exact: [M] its Shapley values in float64."""

    value: Table | Terms
    exact: np.ndarray

    @property
    def game(self) -> xai.Game:
        return xai.Game(self.value, len(self.exact))


def of_table(worth: np.ndarray) -> KnownGame:
    """Shapley values by the sum over all coalitions, in float64."""
    worth = np.asarray(worth, np.float64)
    num_players = len(worth).bit_length() - 1
    subsets = np.arange(len(worth))
    sizes = np.bitwise_count(subsets)
    exact = np.zeros(num_players)
    for player in range(num_players):
        without = subsets[subsets >> player & 1 == 0]
        weights = 1 / (num_players * np.array([math.comb(num_players - 1, int(size)) for size in sizes[without]]))
        exact[player] = (weights * (worth[without | 1 << player] - worth[without])).sum()
    return KnownGame(Table(jnp.asarray(worth, jnp.float32)), exact)


def of_terms(present: np.ndarray, absent: np.ndarray, pay: np.ndarray) -> KnownGame:
    """Shapley values of each term in closed form: (p-1)! a! / (p+a)! for those present, -p! (a-1)! / (p+a)! for absent ones."""
    members, outsiders = present.sum(axis=1), absent.sum(axis=1)
    both = [math.factorial(int(p) + int(a)) for p, a in zip(members, outsiders, strict=True)]
    gains = [
        math.factorial(int(p) - 1) * math.factorial(int(a)) / total if p else 0.0
        for p, a, total in zip(members, outsiders, both, strict=True)
    ]
    losses = [
        math.factorial(int(p)) * math.factorial(int(a) - 1) / total if a else 0.0
        for p, a, total in zip(members, outsiders, both, strict=True)
    ]
    exact = (pay * gains) @ present - (pay * losses) @ absent
    return KnownGame(Terms(jnp.asarray(present), jnp.asarray(absent), jnp.asarray(pay, jnp.float32)), exact)


def alike(games: Sequence[KnownGame]) -> list[KnownGame]:
    """The games with as many terms each, so that they share compiled programs: those that are added pay nothing."""
    counts = [len(one.value.pay) for one in games if isinstance(one.value, Terms)]

    def filled(one: KnownGame) -> KnownGame:
        terms = one.value
        if not isinstance(terms, Terms):
            return one
        missing = max(counts) - len(terms.pay)
        rows = [(0, missing), (0, 0)]
        terms = Terms(jnp.pad(terms.present, rows), jnp.pad(terms.absent, rows), jnp.pad(terms.pay, rows[:1]))
        return KnownGame(terms, one.exact)

    return [filled(one) for one in games]


def all_coalitions(num_players: int) -> np.ndarray:
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)


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
