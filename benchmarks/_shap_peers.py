"""Explanations per second beside the package shap: the same model, rows and background, in one run.

At equal evaluations, like beside like and our default beside both; at equal error, measured: each of shap's explainers with
20 evaluations for each feature, ours with as many as it takes for an error that is no larger. The truth is what 200 times
as many evaluations say, or exact. shap's model is the same one, jitted, with all its rows at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY
from benchmarks._beside import Side, beside, missing, skipped, squared_error
from benchmarks._growth import perceptron
from benchmarks._shapley_games import evaluations_of, permutations_for, values
from experiments._tables import breast_cancer
from experiments._tour_tables import train_on_cancer
from xaijax._model import Model

BUDGETS = (2, 3, 5, 7, 10, 14, 20)  # evaluations for each feature


class _Cancer(NamedTuple):
    """The games of a classifier's log odds: of all inputs, and shap's, the first few, with their truth."""

    model: Model
    x: Any
    rows: Any
    masker: xai.mask.Background
    peer_inputs: int
    truth: np.ndarray


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats; shap on the first few of the inputs."""
    if sentence := missing("shap"):
        return [skipped("shap", sentence)]
    return [*_sampled(repeats, small, quick), _enumerated(repeats, small, quick)]


def _sampled(repeats: int, small: bool, quick: bool) -> list[dict[str, Any]]:
    """PermutationExplainer and KernelExplainer on a table of 30 features."""
    cancer = _cancer(small, quick)
    inputs, players = cancer.x.shape
    budget = (5 if small else 20) * players
    walks = permutations_for(budget, players)
    games = xai.game(cancer.model, cancer.x, cancer.masker)
    permutation = lambda: values(xai.shap.permutation, games, num_permutations=walks)  # noqa: E731
    kernel = lambda: values(xai.shap.kernel, games, num_evaluations=budget)  # noqa: E731

    def front(each: int) -> Any:
        return xai.shap.values(cancer.model, cancer.x, cancer.masker, key=KEY, num_evaluations=each * players).values

    alike = {
        "PermutationExplainer": ("permutation SHAP", permutation, evaluations_of(walks, players)),
        "KernelExplainer, l1_reg off": ("kernel SHAP", kernel, budget),
    }
    error = lambda found: squared_error(np.asarray(found)[: cancer.peer_inputs], cancer.truth)  # noqa: E731
    found = []
    for name, theirs in _explainers(cancer, budget).items():
        title, like, evaluations = alike[name]
        peer = {"peer": f"shap {name}", "theirs": Side(theirs, cancer.peer_inputs, budget), "repeats": repeats}
        for kind, ours in (
            (title, Side(like, inputs, evaluations)),
            ("default SHAP", Side(lambda: front(budget // players), inputs, budget)),
        ):
            errors = lambda ours=ours, theirs=theirs: (error(ours.run()), error(theirs()))  # noqa: E731
            found.append(beside(f"{kind}, table, {players} features", ours=ours, errors=errors, **peer))
        peer_error = error(theirs())
        budgets = (5,) if small else BUDGETS
        tried = {each: error(front(each)) for each in budgets}
        each = next((each for each in budgets if tried[each] <= peer_error), budgets[-1])
        ours = Side(lambda each=each: front(each), inputs, budget)
        row = beside(
            f"default SHAP, table, {players} features, {each} and {budget // players} evaluations each",
            ours=ours,
            **peer,
        )
        counts = {"evaluations": each * players, "error": tried[each], "peer_error": peer_error}
        found.append(row | counts | {"at": "equal error, measured"})
    return found


def _cancer(small: bool, quick: bool) -> _Cancer:
    """In a small run a perceptron of random weights and six features takes the place of the classifier."""
    inputs, peer_inputs, background = (3, 1, 5) if small else (40 if quick else 140, 3 if quick else 10, 100)
    if small:
        model, (x, rows) = (
            perceptron(6, 0),
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

    predict, x = _of_numpy(cancer.model), cancer.x[: cancer.peer_inputs]
    independent = shap.maskers.Independent(cancer.rows, max_samples=len(cancer.rows))
    by_walks = lambda: shap.PermutationExplainer(predict, independent, seed=0)(x, max_evals=budget, silent=True)  # noqa: E731
    return {
        "PermutationExplainer": lambda: by_walks().values,
        "KernelExplainer, l1_reg off": lambda: shap.KernelExplainer(predict, cancer.rows).shap_values(
            x, nsamples=budget, l1_reg=False, silent=True
        ),
    }


def _enumerated(repeats: int, small: bool, quick: bool) -> dict[str, Any]:
    """ExactExplainer: all coalitions of few features; the values of both are compared, too."""
    shap: Any = importlib.import_module("shap")

    players, inputs, peer_inputs, background = (4, 3, 2, 5) if small else (10, 20 if quick else 100, 5, 100)
    model = perceptron(players, 0)
    x = np.asarray(jax.random.normal(KEY, (inputs, players)))
    rows = np.asarray(jax.random.normal(jax.random.key(1), (background, players)))
    games = xai.game(model, x, xai.mask.background(rows))
    explainer = shap.ExactExplainer(_of_numpy(model), shap.maskers.Independent(rows, max_samples=background))
    ours = lambda: xai.shap.exact(games).values  # noqa: E731
    theirs = lambda: explainer(x[:peer_inputs], silent=True).values  # noqa: E731
    difference = squared_error(np.asarray(ours())[:peer_inputs], theirs())
    if not difference < 1e-6:
        raise RuntimeError(f"the values of ExactExplainer and shap.exact differ by {difference:.1e} of their squares.")
    return beside(
        f"exact SHAP, table, {players} features",
        "shap ExactExplainer",
        Side(ours, inputs, 2**players),
        Side(theirs, peer_inputs, 2**players),
        repeats=repeats,
        difference=difference,
    )


def _of_numpy(model: Model) -> Callable[[Any], np.ndarray]:
    apply = jax.jit(lambda model, x: model(x))
    return lambda rows: np.asarray(apply(model, np.asarray(rows, np.float32)))
