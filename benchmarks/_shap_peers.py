"""Explanations per second compared with the packages shap and shapiq: the same model, rows and evaluations, in one run.

shap: at equal evaluations, each of its explainers is compared with the same estimator and with our default. At equal
error, its explainers have 20 evaluations per feature, and our default has as many as an error of at most theirs requires.
The reference values have 200 times as many evaluations, or are exact. The model of shap is the same one, jitted, with all
its rows at once.

shapiq: it takes a game of NumPy arrays, here the same model, jitted, and explains one input after another.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import xaijax as xai
from benchmarks._models import KEY, plain_perceptron
from benchmarks._peer_comparison import Side, compare_with_peer, missing, skipped, squared_error
from experiments._tables import breast_cancer
from experiments._training import train_on_cancer
from xaijax._model import Model

BUDGETS = (2, 3, 5, 7, 10, 14, 20)  # evaluations per feature


class _Cancer(NamedTuple):
    """The games of a classifier's log odds; shap explains the first `peer_inputs` of them, whose values are `truth`."""

    model: Model
    x: Any
    rows: Any
    masker: xai.mask.Background
    peer_inputs: int
    truth: np.ndarray


def measure_shap(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Measures medians of interleaved repeats; shap explains the first few inputs."""
    if sentence := missing("shap"):
        return [skipped("shap", sentence)]
    return [*_sampled(repeats, small, quick), _enumerated(repeats, small, quick)]


def _sampled(repeats: int, small: bool, quick: bool) -> list[dict[str, Any]]:
    """Compares with PermutationExplainer and KernelExplainer on a table of 30 features."""
    cancer = _cancer(small, quick)
    inputs, players = cancer.x.shape
    budget = (5 if small else 20) * players
    permutations = permutations_for(budget, players)
    games = xai.game(cancer.model, cancer.x, cancer.masker)
    permutation = lambda: values(xai.shap.permutation, games, num_permutations=permutations)  # noqa: E731
    kernel = lambda: values(xai.shap.kernel, games, num_evaluations=budget)  # noqa: E731

    def default(each: int) -> Any:
        return xai.shap.values(cancer.model, cancer.x, cancer.masker, key=KEY, num_evaluations=each * players).values

    same_estimators = {
        "PermutationExplainer": ("permutation SHAP", permutation, evaluations_of(permutations, players)),
        "KernelExplainer, l1_reg off": ("kernel SHAP", kernel, budget),
    }
    error = lambda values: squared_error(np.asarray(values)[: cancer.peer_inputs], cancer.truth)  # noqa: E731
    rows = []
    for name, theirs in _explainers(cancer, budget).items():
        title, same, evaluations = same_estimators[name]
        peer = {"peer": f"shap {name}", "theirs": Side(theirs, cancer.peer_inputs, budget), "repeats": repeats}
        for estimator, ours in (
            (title, Side(same, inputs, evaluations)),
            ("default SHAP", Side(lambda: default(budget // players), inputs, budget)),
        ):
            errors = lambda ours=ours, theirs=theirs: (error(ours.run()), error(theirs()))  # noqa: E731
            rows.append(compare_with_peer(f"{estimator}, table, {players} features", ours=ours, errors=errors, **peer))
        peer_error = error(theirs())
        budgets = (5,) if small else BUDGETS
        tried = {each: error(default(each)) for each in budgets}
        each = next((each for each in budgets if tried[each] <= peer_error), budgets[-1])
        ours = Side(lambda each=each: default(each), inputs, budget)
        row = compare_with_peer(
            f"default SHAP, table, {players} features, {each} and {budget // players} evaluations each",
            ours=ours,
            **peer,
        )
        counts = {"evaluations": each * players, "error": tried[each], "peer_error": peer_error}
        rows.append(row | counts | {"at": "equal error, measured"})
    return rows


def _cancer(small: bool, quick: bool) -> _Cancer:
    """Trains the classifier; a small run uses a perceptron of random weights and six features instead."""
    inputs, peer_inputs, background = (3, 1, 5) if small else (40 if quick else 140, 3 if quick else 10, 100)
    if small:
        model, (x, rows) = (
            plain_perceptron(6, 0),
            (np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32) for count in (inputs, background)),
        )
    else:
        table = breast_cancer(0)
        classifier = train_on_cancer(table, KEY, 0)
        model = xai.function(lambda model, x: model(x)[:, 0] - model(x)[:, 1], classifier)
        x, rows = table.test_x[:inputs], table.train_x[:background]
    masker = xai.mask.background(rows)
    games = xai.game(model, x[:peer_inputs], masker)
    evaluations = 64 if small else (1000 if quick else 4000) * x.shape[1]
    truth = xai.shap.kernel(games, key=jax.random.key(1), num_evaluations=evaluations).values
    return _Cancer(model, x, rows, masker, peer_inputs, np.asarray(truth))


def _explainers(cancer: _Cancer, budget: int) -> dict[str, Callable[[], Any]]:
    shap: Any = importlib.import_module("shap")

    predict, x = _in_numpy(cancer.model), cancer.x[: cancer.peer_inputs]
    independent = shap.maskers.Independent(cancer.rows, max_samples=len(cancer.rows))
    permutation = lambda: shap.PermutationExplainer(predict, independent, seed=0)(x, max_evals=budget, silent=True)  # noqa: E731
    return {
        "PermutationExplainer": lambda: permutation().values,
        "KernelExplainer, l1_reg off": lambda: shap.KernelExplainer(predict, cancer.rows).shap_values(
            x, nsamples=budget, l1_reg=False, silent=True
        ),
    }


def _enumerated(repeats: int, small: bool, quick: bool) -> dict[str, Any]:
    """Compares with ExactExplainer on all coalitions of a few features, values included."""
    shap: Any = importlib.import_module("shap")

    players, inputs, peer_inputs, background = (4, 3, 2, 5) if small else (10, 20 if quick else 100, 5, 100)
    model = plain_perceptron(players, 0)
    x = np.asarray(jax.random.normal(KEY, (inputs, players)))
    rows = np.asarray(jax.random.normal(jax.random.key(1), (background, players)))
    games = xai.game(model, x, xai.mask.background(rows))
    explainer = shap.ExactExplainer(_in_numpy(model), shap.maskers.Independent(rows, max_samples=background))
    ours = lambda: xai.shap.exact(games).values  # noqa: E731
    theirs = lambda: explainer(x[:peer_inputs], silent=True).values  # noqa: E731
    difference = squared_error(np.asarray(ours())[:peer_inputs], theirs())
    if not difference < 1e-6:
        raise RuntimeError(f"The values of ExactExplainer and shap.exact differ by {difference:.1e} of their squares.")
    return compare_with_peer(
        f"exact SHAP, table, {players} features",
        "shap ExactExplainer",
        Side(ours, inputs, 2**players),
        Side(theirs, peer_inputs, 2**players),
        repeats=repeats,
        difference=difference,
    )


def _in_numpy(model: Model) -> Callable[[Any], np.ndarray]:
    apply = jax.jit(lambda model, x: model(x))
    return lambda rows: np.asarray(apply(model, np.asarray(rows, np.float32)))


# The estimators of shapiq with the smallest errors over ten games (`python -m benchmarks --errors`), and their options.
ESTIMATORS: dict[str, dict[str, Any]] = {"KernelSHAP": {"pairing_trick": True}, "kADDSHAP": {"max_order": 2}}


def measure_shapiq(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Measures our kernel and our default, compared with shapiq, which explains the first few inputs."""
    if sentence := missing("shapiq"):
        return [skipped("shapiq", sentence)]
    approximator: Any = importlib.import_module("shapiq.approximator")

    players, inputs, peer_inputs = (5, 4, 2) if small else (12, 200 if quick else 1000, 5)
    evaluations = 4 * players if small else 20 * players
    table = known_table(players, inputs)
    value = jax.jit(lambda model, row, coalitions: model(coalitions * row))

    def theirs(name: str) -> np.ndarray:
        estimates = []
        for number, row in enumerate(np.asarray(table.x[:peer_inputs])):
            empty = float(table.model(np.zeros((1, players), np.float32))[0])
            game = lambda coalitions, row=row, empty=empty: (  # noqa: E731
                np.asarray(value(table.model, row, np.asarray(coalitions, np.float32)), np.float64) - empty
            )
            with contextlib.redirect_stdout(None), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                estimator = getattr(approximator, name)(n=players, random_state=number, **ESTIMATORS[name])
                estimate = estimator.approximate(evaluations, game).dict_values
            estimates.append([estimate.get((player,), 0.0) for player in range(players)])
        return np.array(estimates)

    ours = {
        "kernel": lambda: values(xai.shap.kernel, table.game, num_evaluations=evaluations),
        "Gaussian process": lambda: values(xai.shap.gaussian_process, table.game, num_evaluations=evaluations),
    }
    rows = []
    for peer in ESTIMATORS:
        for name, explain in ours.items():

            def errors(explain: Any = explain, peer: str = peer) -> tuple[float, float]:
                return (
                    squared_error(explain(), table.truth),
                    squared_error(theirs(peer), table.truth[:peer_inputs]),
                )

            sides = (
                Side(explain, inputs, evaluations),
                Side(lambda peer=peer: theirs(peer), peer_inputs, evaluations),
            )
            title = f"{name} SHAP, table, {players} features"
            rows.append(compare_with_peer(title, f"shapiq {peer}", *sides, repeats=repeats, errors=errors))
    return rows


class KnownTable(NamedTuple):
    """A perceptron, rows x [N, M], a baseline row [M] of zeros, the games, and their exact Shapley values [N, M]."""

    model: xai.Model
    x: jax.Array
    masker: xai.mask.Background
    game: xai.Game
    truth: np.ndarray


def known_table(players: int, inputs: int) -> KnownTable:
    """Returns games of `players` players, with one model row for each coalition."""
    model = plain_perceptron(players, 0)
    x = jax.random.normal(KEY, (inputs, players))
    masker = xai.mask.baseline(np.zeros(players, np.float32))
    game = xai.game(model, x, masker)
    return KnownTable(model, x, masker, game, np.asarray(xai.shap.exact(game).values))


def permutations_for(evaluations: int, players: int) -> int:
    """Returns the largest number of permutations, each walked in both directions, within `evaluations`."""
    return max(1, (evaluations - 2) // (2 * (players - 1)))


def evaluations_of(permutations: int, players: int) -> int:
    """Returns the evaluations of so many permutations."""
    return 2 * permutations * (players - 1) + 2


def values(estimate: Any, game: xai.Game, **options: Any) -> Any:
    """Returns the values of one of our estimators."""
    return estimate(game, key=KEY, **options).values
