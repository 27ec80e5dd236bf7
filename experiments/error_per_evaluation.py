"""Which Shapley estimator has the smallest error for the model evaluations it is given?

Every estimator of this library, and those of shap and shapiq where they are installed, on ten games whose Shapley values
are known exactly: perceptrons, forests, a convolutional network and a transformer on real data, and games of teams and
of neighbors. The figure has one panel for each game; the tables say ratios, and the coverage of the intervals.

python -m experiments.error_per_evaluation --out out/error_per_evaluation
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import _errors, _errors_report
from experiments._estimators import ours, peers
from experiments._games import GAMES
from experiments._report import Report


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description="The error of Shapley estimators for each evaluation.")
    parser.add_argument("--out", type=Path, default=Path("out/error_per_evaluation"), help="the folder for the figure")
    parser.add_argument("--read", type=Path, help="numbers.json of a former run: draws it, and measures nothing")
    parser.add_argument("--games", default="", help="a part of the names of the games, such as forest")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(_errors.BUDGETS), help="for each player")
    parser.add_argument("--instances", type=int, default=4, help="of each game")
    parser.add_argument("--seeds", type=int, default=6, help="of each instance")
    parser.add_argument("--no-peers", action="store_true", help="only this library's estimators")
    options = parser.parse_args(arguments)

    games = [name for name in GAMES if options.games.lower() in name.lower()]
    if not games:
        parser.error(f"no game has {options.games!r} in its name; there are: {list(GAMES)}")
    report = Report(options.out)
    if options.read:
        found = json.loads(options.read.read_text())["errors"]
    else:
        estimators = ours() + ([] if options.no_peers else peers())
        found = _errors.measure(
            estimators,
            games=games,
            budgets=options.budgets,
            instances=options.instances,
            seeds=options.seeds,
            say=report.say,
        )
    console = Console(width=130)
    for table in _errors_report.tables(found):
        console.print(table)
    report.numbers["errors"] = found
    report.figure(
        "error_per_evaluation", _errors_report.curves(found), "the error of Shapley estimators for each evaluation"
    )
    report.close()
    return found


if __name__ == "__main__":
    main()
