"""Do forests and a network use the same features? And how far are sampled Shapley values from the exact ones of a forest?

The study trains a random forest, a booster and a Flax network on one table: scikit-learn's diabetes data (442 patients, 10
features, the disease's progression), or the Boston data with --boston, of which experiments/housing.py says what they are
and why they must not be used for anything else. All are explained exactly over the same background of training rows: the
forests by tables (`xai.shap.trees`), the network by all coalitions (`xai.shap.exact`), or, with more than 12 features, by
the default estimator.

It reports how much of the sum of mean |value| each feature has in each model, how the models rank the features, and the
correlation of the values of two models over the rows. Then `xai.shap.permutation`, `kernel` and the default estimate the
values of the random forest, at several evaluations per feature; their squared errors are relative to the squares of the
exact values.

python -m experiments.forests --out out/forests [--boston boston.csv]
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

import xaijax as xai
from experiments._report import Report, efficiency_gap
from experiments._tables import Table, boston_from, diabetes
from experiments._training import r_squared, train_regressor
from experiments.housing import WITHDRAWN

_BUDGETS = (5, 10, 20, 50)  # evaluations per feature


def train(table: Table, seed: int, *, trees: int, epochs: int) -> dict[str, Any]:
    """Returns the models by their names: two forests and a network, in the units of the labels."""
    options: dict[str, Any] = {"n_estimators": trees, "random_state": seed}
    forest = RandomForestRegressor(min_samples_leaf=3, **options).fit(table.train_x, table.train_y)
    booster = GradientBoostingRegressor(max_depth=3, learning_rate=5 / (trees + 50), subsample=0.5, **options)
    booster.fit(table.train_x, table.train_y)
    network = train_regressor(table, jax.random.key(seed), seed, epochs=epochs)
    return {"random forest": xai.trees.read(forest), "booster": xai.trees.read(booster), "network": network}


def explain(models: dict[str, Any], x: np.ndarray, masker: xai.mask.Background, key: Any) -> dict[str, xai.Attribution]:
    """Returns the values of each model; `values` chooses tables for the forests."""
    return {name: xai.shap.values(model, x, masker, key=key) for name, model in models.items()}


def agreement(attributions: dict[str, xai.Attribution]) -> dict[str, Any]:
    """Returns the shares of the features in each model, and for each pair of models how their values agree.

    Rank correlation: of the features' mean |value|. Correlation: of the values over rows and features.
    """
    values = {name: np.asarray(attribution.values, np.float64) for name, attribution in attributions.items()}
    sizes = {name: np.abs(own).mean(axis=0) for name, own in values.items()}
    names = next(iter(attributions.values())).player_names()
    shares = {name: dict(zip(names, (own / own.sum()).tolist(), strict=True)) for name, own in sizes.items()}
    pairs = {}
    for first, second in itertools.combinations(values, 2):
        ranks: Any = spearmanr(sizes[first], sizes[second])
        pairs[f"{first} and {second}"] = {
            "rank correlation of the features": float(ranks.statistic),
            "correlation of the values": float(np.corrcoef(values[first].ravel(), values[second].ravel())[0, 1]),
            "same most important feature, share of rows": float(
                (np.abs(values[first]).argmax(axis=1) == np.abs(values[second]).argmax(axis=1)).mean()
            ),
        }
    return {"share of mean |value|": shares, "agreement": pairs}


def sampled_errors(
    forest: Any,
    x: np.ndarray,
    masker: xai.mask.Background,
    exact: xai.Attribution,
    budgets: tuple[int, ...],
    seeds: int,
) -> dict[str, dict[int, list[float]]]:
    """Returns the relative squared errors of estimators of a forest's values, by evaluations per feature, for each seed."""
    players = exact.num_players
    games = xai.game(forest, x, masker)
    estimate = {
        "permutations": lambda count, key: xai.shap.permutation(
            games, num_permutations=max(1, (count - 2) // (2 * (players - 1))), key=key
        ),
        "kernel": lambda count, key: xai.shap.kernel(games, num_evaluations=count, key=key),
        "default": lambda count, key: xai.shap.values(forest, x, masker, num_evaluations=count, key=key),
    }
    truth = np.asarray(exact.values, np.float64)
    errors: dict[str, dict[int, list[float]]] = {name: {} for name in estimate}
    for (name, run), each in itertools.product(estimate.items(), budgets):
        count = min(each * players, 2**players - 2)
        drawn = [np.asarray(run(count, jax.random.key(seed)).values, np.float64) for seed in range(seeds)]
        errors[name][each] = [float(((own - truth) ** 2).sum() / (truth**2).sum()) for own in drawn]
    return errors


def write(report: Report, attributions: dict[str, xai.Attribution], errors: dict[str, dict[int, list[float]]]) -> None:
    """Writes the figures."""
    alike = [dataclasses.replace(own, num_evaluations=None, choice=None) for own in attributions.values()]
    together = xai.concatenate([dataclasses.replace(own, choices=()) for own in alike])
    labels = np.repeat(list(attributions), [len(own) for own in alike])
    axes = xai.plot.cohorts(functools.partial(xai.plot.bars, top=together.num_players), together, labels)
    for ax in axes.flat:
        ax.set_xlabel("mean |value|", fontsize=9)
    report.figure("forests_features", axes.flat[0].figure, "mean |value| of the features in each model")
    figure, ax = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    xai.plot.error_curves(errors, ax=ax, title="random forest: sampled and exact values")
    ax.set_xlabel("evaluations per feature", fontsize=9)
    ax.set_ylabel("squared error, relative to the exact values", fontsize=9)
    report.figure("forests_errors", figure, "squared errors of sampled values, relative to the exact ones")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Exact Shapley values of forests and a network, and sampled ones.")
    parser.add_argument("--boston", type=Path, metavar="PATH", help="a CSV file of the Boston housing data")
    parser.add_argument("--out", type=Path, default=Path("out/forests"), help="the folder for figures and numbers")
    parser.add_argument("--trees", type=int, default=100, help="trees of each forest")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of the network's training")
    parser.add_argument("--rows", type=int, help="number of test rows to explain; default: all")
    parser.add_argument("--background", type=int, default=100, help="training rows that replace absent features")
    parser.add_argument("--budgets", type=int, nargs="+", default=_BUDGETS, help="evaluations per feature")
    parser.add_argument("--sampled", type=int, default=10, help="rows whose values are sampled")
    parser.add_argument("--seeds", type=int, default=3, help="repeats of the estimators")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of the training")
    options = parser.parse_args(arguments)
    try:
        table = diabetes(options.seed) if options.boston is None else boston_from(options.boston, options.seed)
    except ValueError as error:
        parser.error(str(error))
    with Report(options.out, total=3) as report:
        if options.boston is not None:
            report.say(WITHDRAWN)
            report.numbers["note"] = WITHDRAWN
        report.step("training")
        models = train(table, options.seed, trees=options.trees, epochs=options.epochs)
        scores = {name: r_squared(model, table) for name, model in models.items()}
        report.numbers["test R²"] = scores
        report.say("test R²: " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items()))
        report.step("explaining")
        x = table.test_x[: options.rows]
        masker = xai.mask.background(table.train_x[: options.background], names=table.names)
        attributions = explain(models, x, masker, jax.random.key(options.seed))
        report.numbers |= {"estimators": {name: own.estimator for name, own in attributions.items()}}
        report.numbers |= {"largest gap to efficiency": max(map(efficiency_gap, attributions.values()))}
        report.numbers |= agreement(attributions)
        for name, shares in report.numbers["share of mean |value|"].items():
            first = sorted(shares.items(), key=lambda item: -item[1])[:5]
            report.say(f"{name}: " + ", ".join(f"{feature} {share:.0%}" for feature, share in first))
        for pair, numbers in report.numbers["agreement"].items():
            report.say(f"{pair}: " + ", ".join(f"{name} {number:.2f}" for name, number in numbers.items()))
        report.step("sampling")
        exact = attributions["random forest"]
        few = x[: options.sampled], masker, exact[: options.sampled]
        errors = sampled_errors(models["random forest"], *few, tuple(options.budgets), options.seeds)
        report.numbers["relative squared error, by evaluations per feature"] = {
            name: {str(each): float(np.mean(own)) for each, own in by_budget.items()}
            for name, by_budget in errors.items()
        }
        for name, by_budget in errors.items():
            report.say(f"{name}: " + ", ".join(f"{each}: {np.mean(own):.1e}" for each, own in by_budget.items()))
        report.keep("forests_shap", exact)
        write(report, attributions, errors)
    report.close()


if __name__ == "__main__":
    main()
