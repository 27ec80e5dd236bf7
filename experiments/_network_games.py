"""Games of networks on real data, with known Shapley values: by enumeration, or by a long run for many players."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier

import xaijax as xai
from experiments._efficientnet import PHOTOGRAPHS, load_efficientnet, read_photographs
from experiments._known_games import KnownGame, all_coalitions, of_table
from experiments._networks import SmallDigitNet, SmallTransformer
from experiments._sentences import LENGTH, UNKNOWN, load_corpus
from experiments._tables import breast_cancer, diabetes, digits, wine
from experiments._training import train_classifier, train_on_diabetes

SUPERPIXELS = 13
_BACKGROUND_ROWS = 10


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Perceptron:
    """The output of a perceptron at x, with absent features from background rows, averaged over the rows.

    layers: weights [D, E] and biases [E] of each layer, with ReLU between them; the last has one output.
    x: [M]. background: [B, M].
    """

    layers: list[tuple[jax.Array, jax.Array]]
    x: jax.Array
    background: jax.Array

    def __call__(self, coalitions: jax.Array) -> jax.Array:
        return self._mean(jnp, coalitions)

    def in_numpy(self, coalitions: np.ndarray) -> np.ndarray:
        blocks = np.array_split(coalitions, -(-len(coalitions) // 2**14))
        return np.concatenate([jax.tree.map(np.asarray, self)._mean(np, block) for block in blocks])

    def _mean(self, numpy: Any, coalitions: Any) -> Any:
        total = 0.0
        for row in self.background:
            y = numpy.where(coalitions, self.x[None], row[None])
            for number, (weights, biases) in enumerate(self.layers):
                y = y @ weights + biases[None]
                y = y if number == len(self.layers) - 1 else numpy.maximum(y, 0)
            total = total + y[:, 0]
        return total / len(self.background)


def long_run(value: Perceptron, seed: int, pairs: int = 300_000) -> np.ndarray:
    """Returns [M] Shapley values by a regression on many random pairs of coalitions, in float64.

    Sizes are drawn uniformly, as in leverage score sampling (Musco & Witter 2025), and so all pairs of them have the
    same weight but for the Shapley kernel.
    """
    rng, num_players = np.random.default_rng(seed), len(value.x)
    sizes = rng.integers(1, num_players, pairs)
    coalitions = np.argsort(np.argsort(rng.random((pairs, num_players)), axis=1), axis=1) < sizes[:, None]
    odd = (value.in_numpy(coalitions) - value.in_numpy(~coalitions)).astype(np.float64) / 2
    empty, grand = value.in_numpy(np.stack([np.zeros(num_players, bool), np.ones(num_players, bool)])).astype(float)
    spins = coalitions - 0.5
    centered = spins - spins.mean(axis=1, keepdims=True)
    share = (grand - empty) / num_players
    root = np.sqrt(1 / (sizes * (num_players - sizes)))[:, None]
    goal = odd - spins.sum(axis=1) * share
    return share + np.linalg.lstsq(root * centered, root[:, 0] * goal, rcond=None)[0]


def tumors_by_perceptron(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirty measurements of a tumor; a perceptron's log odds of benign; ten background rows."""
    table = breast_cancer(seed)
    model: Any = MLPClassifier((32, 16), alpha=1e-2, max_iter=300, random_state=seed).fit(table.train_x, table.train_y)
    layers = [
        (jnp.asarray(weights, jnp.float32), jnp.asarray(biases, jnp.float32))
        for weights, biases in zip(model.coefs_, model.intercepts_, strict=True)
    ]
    background = jnp.asarray(table.train_x[:_BACKGROUND_ROWS])
    values = [Perceptron(layers, jnp.asarray(row), background) for row in table.test_x[:count]]
    return [KnownGame(value, long_run(value, seed + number)) for number, value in enumerate(values)]


def tumors_of_few_by_perceptron(seed: int, count: int) -> list[KnownGame]:
    """Returns games of fourteen measurements of a tumor; a perceptron's probability of benign; ten background rows."""
    table = breast_cancer(seed)
    some = np.random.default_rng(seed).permutation(table.train_x.shape[1])[:14]
    model: Any = MLPClassifier((32, 16), alpha=1e-2, max_iter=300, random_state=seed).fit(
        table.train_x[:, some], table.train_y
    )
    return _of_function(
        lambda rows: model.predict_proba(rows)[:, 1],
        table.test_x[:count, some],
        table.train_x[:_BACKGROUND_ROWS, some],
    )


def cultivars_by_perceptron(seed: int, count: int) -> list[KnownGame]:
    """Returns games of thirteen measurements of a wine; a perceptron's probability of its cultivar; ten background rows."""
    table = wine(seed)
    model: Any = MLPClassifier((24,), alpha=1e-2, max_iter=500, random_state=seed).fit(table.train_x, table.train_y)
    games = []
    for row, label in zip(table.test_x[:count], table.test_y[:count], strict=True):
        probability = lambda rows, label=int(label): model.predict_proba(rows)[:, label]  # noqa: E731
        games += _of_function(probability, row[None], table.train_x[:_BACKGROUND_ROWS])
    return games


def digits_by_perceptron(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the 16 squares of a digit; a perceptron's probability of its class; absent squares are black."""
    images, labels = digits(seed)
    x = images.reshape(len(images), 64)
    model: Any = MLPClassifier((64,), alpha=1e-2, max_iter=100, random_state=seed).fit(x[:1400], labels[:1400])
    squares = np.arange(64).reshape(8, 8) // 16 * 4 + np.arange(8) // 2
    games = []
    for row, label in zip(x[1400 : 1400 + count], labels[1400 : 1400 + count], strict=True):
        worth = model.predict_proba(np.where(all_coalitions(16)[:, squares.ravel()], row, 0))[:, int(label)]
        games.append(of_table(worth))
    return games


def patients_by_neighbors(seed: int, count: int) -> list[KnownGame]:
    """Returns games of ten measurements of a patient; the mean of the 15 most similar patients; ten background rows."""
    table = diabetes(seed)
    model = KNeighborsRegressor(15).fit(table.train_x, table.train_y)
    return _of_function(model.predict, table.test_x[:count], table.train_x[:_BACKGROUND_ROWS])


def _of_function(function: Any, x: np.ndarray, background: np.ndarray) -> list[KnownGame]:
    """Returns the games of a NumPy function of rows, averaged over the background rows."""
    coalitions = all_coalitions(x.shape[1])
    return [
        of_table(np.mean([function(np.where(coalitions, row, other)) for other in background], axis=0)) for row in x
    ]


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


def digit_regions(seed: int, count: int) -> list[KnownGame]:
    """Returns games of the 16 regions of a digit; a convolutional network's probability; absent regions in their mean gray."""
    images, labels = digits(seed)
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


def photographs(probability: bool, seed: int, count: int) -> list[KnownGame]:
    """Returns games of the superpixels of photographs; EfficientNet-Lite0's logit or probability of the right class.

    Absent superpixels have their mean color. The network evaluates 2^13 coalitions of each photograph, for minutes.
    """
    logits, target = _logits_of_photographs(count), list(PHOTOGRAPHS.values())[:count]
    if probability:
        shifted = np.exp(logits - logits.max(axis=2, keepdims=True))
        logits = shifted / shifted.sum(axis=2, keepdims=True)
    return [of_table(worth[:, label]) for worth, label in zip(logits, target, strict=True)]


@functools.lru_cache(maxsize=1)
def _logits_of_photographs(count: int) -> np.ndarray:
    """Returns [N, 2^M, 1000] the logits of all coalitions of superpixels."""
    network, pictures = load_efficientnet(), np.stack(list(read_photographs().values())[:count])
    segments = np.asarray(xai.segment.slic(pictures, 16, compactness=30.0))
    games = xai.game(network, pictures, xai.mask.regions(_joined(segments)), target="all")
    return np.asarray(games(all_coalitions(SUPERPIXELS)), np.float32)


def _joined(segments: np.ndarray) -> np.ndarray:
    """Returns the segments with the smallest ones of each picture joined, so that all pictures have as many."""
    joined = []
    for labels in segments:
        sizes = np.bincount(labels.ravel())
        assert (sizes > 0).sum() >= SUPERPIXELS, "pictures have at least as many superpixels as players"
        ranks = np.argsort(np.argsort(-sizes))
        joined.append(np.minimum(ranks, SUPERPIXELS - 1)[labels])
    return np.stack(joined)
