"""The games that estimators are measured on, from real data and from formulas, with known Shapley values.

`GAMES` are those of the study. Estimators are developed on them. `VALIDATION` has other data, seeds and models: they are not
looked at while choices are made. `EXPENSIVE` has games of the study that take minutes.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from experiments._forest_games import (
    boosted_progress,
    boosted_tumors,
    cultivars,
    digit_pixels,
    digit_squares,
    progress,
    tumors,
    tumors_of_few_measurements,
)
from experiments._formula_games import conjunctions, largest, majority, neighbors, rare_event, unanimity
from experiments._known_games import KnownGame
from experiments._network_games import (
    cultivars_by_perceptron,
    digit_regions,
    digits_by_perceptron,
    patients,
    patients_by_neighbors,
    photographs,
    sentences,
    tumors_by_perceptron,
    tumors_of_few_by_perceptron,
)

# (seed=, count=) -> as many games of equal numbers of players. `functools.partial` needs the names.
Make = Callable[..., list[KnownGame]]

GAMES: dict[str, Make] = {
    "patients, perceptron (10)": patients,
    "patients, forest (10)": progress,
    "patients, boosting (10)": boosted_progress,
    "teams (12)": functools.partial(unanimity, 12, 50),
    "sentences, transformer (13)": sentences,
    "tumors, forest (14)": tumors_of_few_measurements,
    "tumors, perceptron (14)": tumors_of_few_by_perceptron,
    "majority (15)": functools.partial(majority, 15),
    "digits, convolutions (16)": digit_regions,
    "digits, perceptron (16)": digits_by_perceptron,
    "rare event (16)": functools.partial(rare_event, 16),
    "small teams (20)": functools.partial(unanimity, 20, 60, largest=5),
    "largest (20)": functools.partial(largest, 20),
    "neighbors (25)": functools.partial(neighbors, 5),
    "tumors, forest (30)": tumors,
    "tumors, boosting (30)": boosted_tumors,
    "tumors, perceptron (30)": tumors_by_perceptron,
    "conjunctions (30)": functools.partial(conjunctions, 30, 40),
    "teams (60)": functools.partial(unanimity, 60, 150),
    "digits, forest (64)": digit_pixels,
    "neighbors (64)": functools.partial(neighbors, 8),
}
EXPENSIVE: dict[str, Make] = {
    "photographs, logit (13)": functools.partial(photographs, False),
    "photographs, probability (13)": functools.partial(photographs, True),
}
_VALIDATION: dict[str, Make] = {
    "patients, nearest neighbors (10)": patients_by_neighbors,
    "wines, forest (13)": cultivars,
    "wines, perceptron (13)": cultivars_by_perceptron,
    "rare event (14)": functools.partial(rare_event, 14),
    "digits, extra trees (16)": digit_squares,
    "conjunctions (24)": functools.partial(conjunctions, 24, 50),
    "teams (30)": functools.partial(unanimity, 30, 80),
    "neighbors (36)": functools.partial(neighbors, 6),
}
_VALIDATION_SEED = 1000


def _with_other_seeds(make: Make) -> Make:
    return lambda seed, count: make(seed=_VALIDATION_SEED + seed, count=count)


VALIDATION = {name: _with_other_seeds(make) for name, make in _VALIDATION.items()}


def known_games(name: str, seed: int, count: int, kept: Path | None = None) -> list[KnownGame]:
    """Returns the games of a name, from a file in the folder `kept` if an earlier call has written it there."""
    make = (GAMES | EXPENSIVE | VALIDATION)[name]
    if kept is None:
        return make(seed=seed, count=count)
    file = kept / f"{name}, {count} of seed {seed}.pickle"
    if not file.exists():
        games = make(seed=seed, count=count)
        kept.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(jax.tree.map(np.asarray, [(game.value, game.exact) for game in games])))
    return [
        KnownGame(jax.tree.map(jax.numpy.asarray, value), exact) for value, exact in pickle.loads(file.read_bytes())
    ]
