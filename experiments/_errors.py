"""Error at an equal number of evaluations: every estimator on every game whose Shapley values are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments._estimators import Estimator, Found
from experiments._games import GAMES
from experiments._known_games import KnownGame, alike

BUDGETS = (2, 3, 5, 10, 20, 50)  # evaluations for each player
REFERENCE = "shap: PermutationExplainer"


def measure(
    estimators: Sequence[Estimator],
    *,
    games: Sequence[str] = tuple(GAMES),
    budgets: Sequence[int] = BUDGETS,
    instances: int = 4,
    seeds: int = 6,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """One entry for each game, budget and estimator.

    errors: [instances * seeds] squared errors of the values, over the sum of their squares; coverage: the share of the
    values that the 95 % intervals hold; evaluations: those that the estimator used.
    """
    found = []
    for name in games:
        start = time.perf_counter()
        known = alike(GAMES[name](seed=seed, count=instances))
        players = len(known[0].exact)
        say(f"{name}: {len(known)} games, made in {time.perf_counter() - start:.0f} s")
        for budget in budgets:
            # Two evaluations for each player, and one: what a permutation there and back takes.
            evaluations = max(budget * players, 2 * players + 1)
            if evaluations >= 2**players:
                continue
            for estimator in estimators:
                if budget <= estimator.most:
                    one = _one(estimator, known, evaluations, seeds)
                    found.append({"game": name, "players": players, "budget": budget, "asked": evaluations} | one)
        say(f"{name}: measured, {time.perf_counter() - start:.0f} s in all")
    return found


def _one(estimator: Estimator, known: Sequence[KnownGame], evaluations: int, seeds: int) -> dict[str, Any]:
    errors, held, used = [], [], []
    for number, one in enumerate(known):
        given: Found = estimator.estimate(one, evaluations, range(number * seeds, (number + 1) * seeds))
        off = given.values - one.exact
        errors += ((off**2).sum(axis=1) / (one.exact**2).sum()).tolist()
        used.append(given.evaluations)
        if given.half_widths is not None and np.isfinite(given.half_widths).all():
            held += (np.abs(off) <= given.half_widths + 1e-6 * np.abs(one.exact).max()).mean(axis=1).tolist()
    return {
        "estimator": f"{estimator.package}: {estimator.name}",
        "package": estimator.package,
        "errors": errors,
        "mean_error": float(np.mean(errors)),
        "coverage": float(np.mean(held)) if held else None,
        "evaluations": float(np.mean(used)),
    }


def table(found: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
    """By game and budget, the entries of the estimators by name."""
    by_cell: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for entry in found:
        by_cell.setdefault((entry["game"], entry["budget"]), {})[entry["estimator"]] = entry
    return by_cell


def ratio(entry: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """The mean error over the other's, and its standard error, by leaving out one repeat after another."""
    mine, theirs = np.asarray(entry["errors"]), np.asarray(other["errors"])
    whole = mine.mean() / theirs.mean()
    left_out = ((mine.sum() - mine) / (theirs.sum() - theirs)) if len(mine) > 1 else np.array([whole])
    count = len(left_out)
    return float(whole), float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))


def geometric_means(
    found: Sequence[dict[str, Any]], estimator: str, rival: Callable[[dict[str, dict[str, Any]]], dict[str, Any] | None]
) -> dict[int, tuple[float, float, int]]:
    """For each budget, over the games: the geometric mean of the error over the rival's, the greatest, and of how many."""
    ratios: dict[int, list[float]] = {}
    for (_, budget), cell in table(found).items():
        other = rival(cell)
        if other is not None and estimator in cell:
            ratios.setdefault(budget, []).append(ratio(cell[estimator], other)[0])
    return {
        budget: (float(np.exp(np.mean(np.log(some)))), max(some), len(some)) for budget, some in sorted(ratios.items())
    }


def best_of(package: str) -> Callable[[dict[str, dict[str, Any]]], dict[str, Any] | None]:
    """The entry of a package with the smallest error, chosen with knowledge of the truth."""

    def best(cell: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
        entries = [entry for entry in cell.values() if entry["package"] == package]
        return min(entries, key=lambda entry: entry["mean_error"]) if entries else None

    return best
