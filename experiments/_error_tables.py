"""Ratios of the errors of Shapley estimators and the coverage of their intervals, as tables over games and budgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.table import Table

Entries = Sequence[dict[str, Any]]  # as `error_per_evaluation.measure` returns them
Cell = dict[str, dict[str, Any]]  # the entries of one game and budget, by estimator
REFERENCE = "shap: PermutationExplainer"
DEFAULT, PRECISE, OWN = "xaijax: default", "xaijax: high precision", "xaijax: permutations"
LEAST_ERROR = 1e-10  # relative squared errors below are rounding errors in float32
_STAND_IN = "NumPy: PermutationExplainer's algorithm"
_PEERS = "shap", "shapiq"


def cells_of(entries: Entries) -> dict[tuple[str, int], Cell]:
    """Returns the entries of the estimators by name, for each game and budget, without failures."""
    by_cell: dict[tuple[str, int], Cell] = {}
    for entry in entries:
        if "failure" not in entry:
            by_cell.setdefault((entry["game"], entry["budget"]), {})[entry["estimator"]] = entry
    return by_cell


def ratio(entry: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """Returns the ratio of the mean errors of two entries, and its standard error by the jackknife over the repeats."""
    mine, theirs = (np.maximum(each["errors"], LEAST_ERROR) for each in (entry, other))
    whole = mine.mean() / theirs.mean()
    left_out = ((mine.sum() - mine) / (theirs.sum() - theirs)) if len(mine) > 1 else np.array([whole])
    count = len(left_out)
    return float(whole), float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))


def geometric_means(
    entries: Entries, estimator: str, rival: Callable[[Cell], dict[str, Any] | None]
) -> dict[int, tuple[float, float, int]]:
    """Returns for each budget the geometric mean over the games of the error ratio, its maximum, and the number of games.

    The ratio is that of the estimator's error to that of its rival, the entry that `rival` chooses of a cell.
    """
    ratios: dict[int, list[float]] = {}
    for (_, budget), cell in cells_of(entries).items():
        other = rival(cell)
        if other is not None and estimator in cell:
            ratios.setdefault(budget, []).append(ratio(cell[estimator], other)[0])
    return {
        budget: (float(np.exp(np.mean(np.log(each)))), max(each), len(each)) for budget, each in sorted(ratios.items())
    }


def best_of(*packages: str) -> Callable[[Cell], dict[str, Any] | None]:
    """Returns a function that chooses the packages' entry with the smallest error, which requires the exact values."""

    def best(cell: Cell) -> dict[str, Any] | None:
        entries = [entry for entry in cell.values() if entry["package"] in packages]
        return min(entries, key=lambda entry: entry["mean_error"]) if entries else None

    return best


def reference_of(entries: Entries) -> str:
    """Returns the estimator that others are compared with: shap's permutations if measured, or its algorithm, or ours."""
    measured = {entry["estimator"] for entry in entries}
    return next((name for name in (REFERENCE, _STAND_IN) if name in measured), OWN)


def tables(entries: Entries) -> list[Table]:
    reference = reference_of(entries)
    measured = {entry["estimator"] for entry in entries}
    shown = [_ratios(entries, name, reference) for name in (DEFAULT, PRECISE) if name in measured]
    if any(entry["package"] == "shapiq" for entry in entries):
        shown += [_ratios_to_best(entries, name) for name in (DEFAULT, PRECISE) if name in measured]
    of_games = [_coverage_of_games(entries, name) for name in (DEFAULT, PRECISE) if name in measured]
    failures = [_failures(entries)] if any("failure" in entry for entry in entries) else []
    return [*shown, _means(entries, reference), _coverage(entries), *of_games, *failures]


def _budgets(entries: Entries) -> list[int]:
    return sorted({entry["budget"] for entry in entries})


def games_of(entries: Entries) -> list[str]:
    return list(dict.fromkeys(entry["game"] for entry in entries))


def _empty_table(title: str, first: str, budgets: Sequence[int]) -> Table:
    shown = Table(title=title)
    shown.add_column(first)
    for budget in budgets:
        shown.add_column(f"{budget} M", justify="right")
    return shown


def _ratios(entries: Entries, estimator: str, reference: str) -> Table:
    """Returns the error ratios of an estimator on every game, with the geometric mean."""
    budgets, cells = _budgets(entries), cells_of(entries)
    shown = _empty_table(f"squared error of {estimator} ÷ that of {reference}, ± its standard error", "game", budgets)
    for game in games_of(entries):
        row = []
        for budget in budgets:
            cell = cells.get((game, budget), {})
            measured = estimator in cell and reference in cell
            row.append("{:.3f} ± {:.3f}".format(*ratio(cell[estimator], cell[reference])) if measured else "")
        shown.add_row(game, *row)
    means = geometric_means(entries, estimator, lambda cell: cell.get(reference))
    shown.add_section()
    shown.add_row("geometric mean", *(f"{means[budget][0]:.3f}" if budget in means else "" for budget in budgets))
    return shown


def _ratios_to_best(entries: Entries, estimator: str) -> Table:
    """Returns the error ratios of an estimator to the best peer on the same game, with the name of that one.

    The last lines show the geometric mean and on how many games the estimator is behind.
    """
    budgets, cells, best = _budgets(entries), cells_of(entries), best_of(*_PEERS)
    shown = _empty_table(f"squared error of {estimator} ÷ that of the best peer on the game", "game", budgets)
    behind = dict.fromkeys(budgets, 0)
    for game in games_of(entries):
        row = []
        for budget in budgets:
            cell = cells.get((game, budget), {})
            other = best(cell)
            if other is None or estimator not in cell:
                row.append("")
                continue
            name, value = other["estimator"].partition(": ")[2], ratio(cell[estimator], other)[0]
            behind[budget] += value > 1
            row.append(f"{value:.3f} {name}")
        shown.add_row(game, *row)
    means = geometric_means(entries, estimator, best)
    shown.add_section()
    shown.add_row("geometric mean", *(f"{means[budget][0]:.3f}" if budget in means else "" for budget in budgets))
    counts = (f"{behind[budget]} of {means[budget][2]}" if budget in means else "" for budget in budgets)
    shown.add_row("behind the best peer", *counts)
    return shown


def _failures(entries: Entries) -> Table:
    """Returns the games and budgets on which an estimator has no values, and why."""
    cells: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if "failure" in entry:
            cell = f"{entry['game']} at {entry['budget']} M"
            cells.setdefault((entry["estimator"], entry["failure"]), []).append(cell)
    shown = Table("estimator", "why", "games", title="no values")
    for (name, reason), games in cells.items():
        shown.add_row(name, reason, ", ".join(games))
    return shown


def _means(entries: Entries, reference: str) -> Table:
    """Returns the geometric means over the games of every estimator."""
    budgets = _budgets(entries)
    shown = _empty_table(
        f"geometric mean over the games of the squared error ÷ that of {reference}", "estimator", budgets
    )
    for name in dict.fromkeys(entry["estimator"] for entry in entries):
        means = geometric_means(entries, name, lambda cell: cell.get(reference))
        shown.add_row(name, *(f"{means[budget][0]:.3f}" if budget in means else "" for budget in budgets))
    return shown


def _coverage(entries: Entries) -> Table:
    """Returns the smallest and the largest coverage over the games."""
    budgets = _budgets(entries)
    shown = _empty_table(
        "share of the values in their 95 % intervals, from the smallest to the largest over the games",
        "estimator",
        budgets,
    )
    for name in dict.fromkeys(entry["estimator"] for entry in entries if entry["coverage"] is not None):
        row = []
        for budget in budgets:
            shares = [
                entry["coverage"]
                for entry in entries
                if entry["estimator"] == name and entry["budget"] == budget and entry["coverage"] is not None
            ]
            row.append(f"{min(shares):.2f}-{max(shares):.2f}" if shares else "")
        shown.add_row(name, *row)
    return shown


def _coverage_of_games(entries: Entries, estimator: str) -> Table:
    """Returns the coverage on every game."""
    budgets, cells = _budgets(entries), cells_of(entries)
    shown = _empty_table(f"share of the values in the 95 % intervals of {estimator}", "game", budgets)
    for game in games_of(entries):
        shares = [cells.get((game, budget), {}).get(estimator, {}).get("coverage") for budget in budgets]
        shown.add_row(game, *("" if share is None else f"{share:.2f}" for share in shares))
    return shown
