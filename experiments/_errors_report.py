"""The measured errors of Shapley estimators as tables and curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from rich.table import Table

import xaijax as xai
from experiments._errors import REFERENCE, best_of, geometric_means, ratio, table

DEFAULT, PRECISE, OWN = "xaijax: default", "xaijax: high precision", "xaijax: permutations"
_BEST = "shapiq, its best"
_COLORS = {
    DEFAULT: "#b2432b",
    PRECISE: "#7b2d8b",
    OWN: "#d98e3a",
    REFERENCE: "#2166ac",
    _BEST: "#3b8f6b",
}


def rival(found: Sequence[dict[str, Any]]) -> str:
    """What errors are held against: shap's permutations where it was measured, else our own."""
    return REFERENCE if any(entry["estimator"] == REFERENCE for entry in found) else OWN


def tables(found: Sequence[dict[str, Any]]) -> list[Table]:
    against = rival(found)
    shown = [_ratios(found, DEFAULT, against), _ratios(found, PRECISE, against)]
    if any(entry["package"] == "shapiq" for entry in found):
        shown += [_best(found, DEFAULT, "shapiq"), _best(found, PRECISE, "shapiq")]
    return [*shown, _means(found, against), _coverage(found)]


def _budgets(found: Sequence[dict[str, Any]]) -> list[int]:
    return sorted({entry["budget"] for entry in found})


def _games(found: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(entry["game"] for entry in found))


def _empty(title: str, first: str, budgets: Sequence[int]) -> Table:
    shown = Table(title=title)
    shown.add_column(first)
    for budget in budgets:
        shown.add_column(f"{budget} M", justify="right")
    return shown


def _ratios(found: Sequence[dict[str, Any]], estimator: str, against: str) -> Table:
    """Of one estimator on every game, with the geometric mean."""
    budgets, cells = _budgets(found), table(found)
    shown = _empty(f"squared error of {estimator} ÷ that of {against}, ± its standard error", "game", budgets)
    for game in _games(found):
        row = []
        for budget in budgets:
            cell = cells.get((game, budget), {})
            known = estimator in cell and against in cell
            row.append("{:.3f} ± {:.3f}".format(*ratio(cell[estimator], cell[against])) if known else "")
        shown.add_row(game, *row)
    means = geometric_means(found, estimator, lambda cell: cell.get(against))
    shown.add_section()
    shown.add_row("geometric mean", *(f"{means[budget][0]:.3f}" if budget in means else "" for budget in budgets))
    return shown


def _best(found: Sequence[dict[str, Any]], estimator: str, package: str) -> Table:
    """Of one estimator over the best of a package on the same game, which is named."""
    budgets, cells, best = _budgets(found), table(found), best_of(package)
    shown = _empty(f"squared error of {estimator} ÷ that of {package}'s best there", "game", budgets)
    for game in _games(found):
        row = []
        for budget in budgets:
            cell = cells.get((game, budget), {})
            other = best(cell)
            if other is None or estimator not in cell:
                row.append("")
                continue
            name = other["estimator"].partition(": ")[2]
            row.append(f"{ratio(cell[estimator], other)[0]:.3f} {name}")
        shown.add_row(game, *row)
    means = geometric_means(found, estimator, best)
    shown.add_section()
    shown.add_row("geometric mean", *(f"{means[budget][0]:.3f}" if budget in means else "" for budget in budgets))
    return shown


def _means(found: Sequence[dict[str, Any]], against: str) -> Table:
    """Geometric means over the games, of every estimator."""
    budgets = _budgets(found)
    shown = _empty(f"geometric mean over the games of the squared error ÷ that of {against}", "estimator", budgets)
    for name in dict.fromkeys(entry["estimator"] for entry in found):
        means = geometric_means(found, name, lambda cell: cell.get(against))
        shown.add_row(name, *(f"{means[budget][0]:.3f}" if budget in means else "" for budget in budgets))
    return shown


def _coverage(found: Sequence[dict[str, Any]]) -> Table:
    """The least and the greatest over the games."""
    budgets = _budgets(found)
    shown = _empty(
        "share of the values in their 95 % intervals, over the games from the least to the most", "estimator", budgets
    )
    for name in dict.fromkeys(entry["estimator"] for entry in found if entry["coverage"] is not None):
        row = []
        for budget in budgets:
            shares = [
                entry["coverage"]
                for entry in found
                if entry["estimator"] == name and entry["budget"] == budget and entry["coverage"] is not None
            ]
            row.append(f"{min(shares):.2f}-{max(shares):.2f}" if shares else "")
        shown.add_row(name, *row)
    return shown


def curves(found: Sequence[dict[str, Any]]) -> Figure:
    """One panel for each game: the error of the estimators that matter against the evaluations for each player."""
    games, cells = _games(found), table(found)
    columns = min(5, len(games))
    lines = -(-len(games) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 2.7 * lines + 0.5), layout="constrained", squeeze=False
    )
    for ax, game in zip(axes.flat, games, strict=False):
        errors = {}
        for name in _COLORS:
            pick = best_of("shapiq") if name == _BEST else lambda cell, name=name: cell.get(name)
            entries = {budget: pick(cell) for (one, budget), cell in cells.items() if one == game}
            errors[name] = {budget: entry["errors"] for budget, entry in entries.items() if entry}
        errors = {name: found for name, found in errors.items() if found}
        xai.plot.error_curves(errors, colors=[_COLORS[name] for name in errors], legend=False, ax=ax, title=game)
        ax.set(xlabel="", ylabel="")
    for ax in axes.flat[len(games) :]:
        ax.set_axis_off()
    figure.supxlabel("evaluations for each player", fontsize=9)
    figure.supylabel("squared error ÷ squared size of the values", fontsize=9)
    handles = {}
    for ax in axes.flat:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    names = [name for name in _COLORS if name in handles]
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside upper center",
        ncols=len(names),
        fontsize=8,
        frameon=False,
    )
    return figure
