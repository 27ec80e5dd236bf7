"""The error of Shapley estimators at equal numbers of model evaluations.

Every estimator of this library, and those of shap and shapiq in another Python, are measured on 21 games with known
Shapley values: perceptrons, forests, boosted trees, a convolutional network and a transformer on real data, and games of
teams, rules, votes and neighbors. The figure has one panel for each game; the tables show ratios of errors and the
coverage of the intervals.

python -m experiments.error_per_evaluation --out out/error_per_evaluation
python -m experiments.error_per_evaluation --peers .venv-peers/bin/python       # with shap's and shapiq's, see _peers.py
python -m experiments.error_per_evaluation --quick --kept out/games            # while an estimator is developed
python -m experiments.error_per_evaluation --quick --kept out/games --validation   # after all choices are made
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import xaijax as xai
from experiments._benchmark_games import EXPENSIVE, GAMES, VALIDATION, known_games
from experiments._error_tables import DEFAULT, OWN, PRECISE, REFERENCE, Entries, best_of, cells_of, games_of, tables
from experiments._estimators import Estimator, Failure, ours, stand_in
from experiments._known_games import KnownGame, with_equal_shapes
from experiments._peers import Peers
from experiments._report import Report

BUDGETS = (2, 3, 5, 10, 20, 50)  # evaluations per player


def measure(
    estimators: Sequence[Estimator],
    *,
    games: Sequence[str] = tuple(GAMES),
    budgets: Sequence[int] = BUDGETS,
    instances: int = 4,
    seeds: int = 6,
    seed: int = 0,
    most_players: int | None = None,
    kept: Path | None = None,
    finished: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Returns one entry for each game, budget and estimator.

    most_players: games of more players are left out. kept: a folder that games are written to and read from. finished: a
    folder that entries are written to and read from, so that a run that was interrupted continues.

    errors: [instances * seeds] squared errors of the values, divided by the sum of their squares. coverage: the share of
    the values in the 95 % intervals. evaluations: the number that the estimator used. failure: why there are no errors.
    """
    entries = []
    for name in games:
        start = time.perf_counter()
        known = with_equal_shapes(known_games(name, seed, instances, kept))
        players = len(known[0].exact)
        if most_players is not None and players > most_players:
            continue
        say(f"{name}: {len(known)} games, computed in {time.perf_counter() - start:.0f} s")
        repeats = {"instances": instances, "seeds": seeds, "seed": seed}
        file = None if finished is None else finished / f"{name}.json"
        earlier = json.loads(file.read_text()) if file is not None and file.exists() else []
        for budget in budgets:
            # 2 M + 1 evaluations are those of one permutation, walked in both directions.
            evaluations = max(budget * players, 2 * players + 1)
            if evaluations >= 2**players:
                continue
            for estimator in estimators:
                if budget > estimator.most:
                    continue
                sizes = {"game": name, "players": players, "budget": budget, "asked": evaluations} | repeats
                same = sizes | {"estimator": f"{estimator.package}: {estimator.name}"}
                entry = next((each for each in earlier if same.items() <= each.items()), None)
                if entry is None:
                    entry = sizes | _measure_estimator(estimator, known, evaluations, seeds)
                    earlier.append(entry)
                    if file is not None:
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_text(json.dumps(earlier))
                entries.append(entry)
        say(f"{name}: measured, {time.perf_counter() - start:.0f} s in total")
    return entries


def _measure_estimator(
    estimator: Estimator, known: Sequence[KnownGame], evaluations: int, seeds: int
) -> dict[str, Any]:
    errors, covered, used = [], [], []
    names = {"estimator": f"{estimator.package}: {estimator.name}", "package": estimator.package}
    for number, game in enumerate(known):
        try:
            estimate = estimator.estimate(game, evaluations, range(number * seeds, (number + 1) * seeds))
        except Failure as reason:
            return names | {"failure": str(reason), "coverage": None}
        difference = estimate.values - game.exact
        errors += ((difference**2).sum(axis=1) / (game.exact**2).sum()).tolist()
        used.append(estimate.evaluations)
        if estimate.half_widths is not None and np.isfinite(estimate.half_widths).all():
            bounds = estimate.half_widths + 1e-6 * np.abs(game.exact).max()  # with an allowance for rounding errors
            covered += (np.abs(difference) <= bounds).mean(axis=1).tolist()
    return names | {
        "errors": errors,
        "mean_error": float(np.mean(errors)),
        "coverage": float(np.mean(covered)) if covered else None,
        "evaluations": float(np.mean(used)),
    }


_BEST = "shapiq, its best"
_COLORS = {
    DEFAULT: "#b2432b",
    PRECISE: "#7b2d8b",
    OWN: "#d98e3a",
    REFERENCE: "#2166ac",
    _BEST: "#3b8f6b",
}


def curves(entries: Entries) -> Figure:
    """Draws one panel for each game: the errors of the main estimators against the evaluations per player."""
    games, cells = games_of(entries), cells_of(entries)
    columns = min(5, len(games))
    lines = -(-len(games) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 2.7 * lines + 0.5), layout="constrained", squeeze=False
    )
    for ax, game in zip(axes.flat, games, strict=False):
        errors = {}
        for name in _COLORS:
            pick = best_of("shapiq") if name == _BEST else lambda cell, name=name: cell.get(name)
            picked = {budget: pick(cell) for (name_of_game, budget), cell in cells.items() if name_of_game == game}
            errors[name] = {budget: entry["errors"] for budget, entry in picked.items() if entry}
        errors = {name: by_budget for name, by_budget in errors.items() if by_budget}
        xai.plot.error_curves(errors, colors=[_COLORS[name] for name in errors], legend=False, ax=ax, title=game)
        ax.set(xlabel="", ylabel="")
    for ax in axes.flat[len(games) :]:
        ax.set_axis_off()
    figure.supxlabel("evaluations per player", fontsize=9)
    figure.supylabel("squared error ÷ sum of the squared values", fontsize=9)
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


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description="The error of Shapley estimators at equal numbers of evaluations.")
    parser.add_argument("--out", type=Path, default=Path("out/error_per_evaluation"), help="the folder for the figure")
    parser.add_argument(
        "--read",
        type=Path,
        nargs="+",
        help="numbers.json of earlier runs, or folders of finished entries: draws them and measures nothing",
    )
    parser.add_argument("--games", nargs="+", default=[""], help="parts of the games' names, such as forest")
    parser.add_argument("--most-players", type=int, help="leave out games of more players")
    parser.add_argument("--photographs", action="store_true", help="also the games of an ImageNet network, for minutes")
    parser.add_argument("--validation", action="store_true", help="the validation games instead")
    parser.add_argument("--kept", type=Path, help="a folder that games are written to and read from")
    parser.add_argument("--estimators", nargs="+", default=[""], help="parts of the estimators' names, such as default")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the default estimator beside shap's algorithm, on games of at most 30 players, 2 instances and 3 seeds",
    )
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="evaluations per player")
    parser.add_argument("--instances", type=int, default=4, help="instances of each game")
    parser.add_argument("--seeds", type=int, default=6, help="seeds of each instance")
    parser.add_argument("--peers", type=Path, help="the Python of an environment that has shap, shapiq or both")
    parser.add_argument(
        "--finished", type=Path, help="a folder of entries, so that a run that was interrupted continues"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.most_players, options.instances, options.seeds = 30, 2, 3
        options.estimators = (
            ["default", "algorithm"] if options.estimators == [""] else [*options.estimators, "algorithm"]
        )

    choice = VALIDATION if options.validation else GAMES | (EXPENSIVE if options.photographs else {})
    games = _containing(options.games, list(choice))
    if not games:
        parser.error(f"--games must be parts of the names of games, got {options.games}: choose among {list(choice)}")
    report = Report(options.out)
    if options.read:
        entries = [entry for entry in read(options.read) if entry["game"] in games]
    else:
        with contextlib.ExitStack() as stack:
            others = [stand_in()]
            if options.peers:
                peers = stack.enter_context(Peers(options.peers))
                report.numbers["versions"], others = peers.versions, peers.estimators()
            estimators = {each.name: each for each in ours() + others}
            entries = measure(
                [estimators[name] for name in _containing(options.estimators, list(estimators))],
                games=games,
                budgets=options.budgets,
                instances=options.instances,
                seeds=options.seeds,
                most_players=options.most_players,
                kept=options.kept,
                finished=options.finished,
                say=report.say,
            )
    console = Console(width=130)
    for table in tables(entries):
        console.print(table)
    report.numbers["errors"] = entries
    report.figure(
        "error_per_evaluation", curves(entries), "the error of Shapley estimators by the number of evaluations"
    )
    report.close()
    return entries


def read(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Returns the entries of several runs, from their `numbers.json` or their folders of finished entries.

    Raises:
      ValueError: if the runs have different numbers of repeats.
    """
    entries: list[dict[str, Any]] = []
    for path in paths:
        if path.is_dir():
            entries += [entry for file in sorted(path.glob("*.json")) for entry in json.loads(file.read_text())]
        else:
            entries += json.loads(path.read_text())["errors"]
    repeats = {(entry["instances"], entry["seeds"], entry["seed"]) for entry in entries}
    if len(repeats) > 1:
        raise ValueError(
            f"`--read` must name runs of the same games and repeats, got (instances, seeds, first seed) {sorted(repeats)}: "
            "measure them again with equal ones."
        )
    order = list(GAMES | EXPENSIVE | VALIDATION)
    return sorted(entries, key=lambda entry: (order.index(entry["game"]), entry["budget"]))


def _containing(parts: Sequence[str], names: Sequence[str]) -> list[str]:
    """Returns the names that contain one of the parts."""
    return [name for name in names if any(part.lower() in name.lower() for part in parts)]


if __name__ == "__main__":
    main()
