"""Measures what explanations cost: python -m benchmarks --out results.json"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
import numpy as np
from rich.console import Console
from rich.table import Table

import xaijax as xai
from benchmarks import _cam_peers, _lime_cases, _lime_peers, _memory, _shap_cases, _shap_peers
from benchmarks._cases import cases
from benchmarks._timing import Case, measure
from experiments import _errors as errors
from experiments import _errors_report
from experiments._estimators import ours, peers


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What explanations cost.")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks.json"), help="the JSON file")
    parser.add_argument("--repeats", type=int, default=15, help="interleaved repeats of each case")
    parser.add_argument("--only", default="", help="a part of the names of the cases to run, such as CAM")
    parser.add_argument("--small", action="store_true", help="tiny sizes: shows that it runs, and nothing else")
    parser.add_argument(
        "--peers", action="store_true", help="only this: explanations per second beside pytorch-grad-cam, lime and shap"
    )
    parser.add_argument(
        "--errors",
        action="store_true",
        help="only this: the errors of Shapley estimators for each evaluation, beside shap",
    )
    options = parser.parse_args(arguments)

    console = Console(width=130)
    others = options.peers or options.errors
    chosen = [] if others else [case for case in cases(options.small) if options.only.lower() in case.name.lower()]
    if not chosen and not others:
        parser.error(f"no case has {options.only!r} in its name; there are: {[case.name for case in cases(True)]}")
    results = {
        "command": shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)]),
        "versions": {module.__name__: module.__version__ for module in (xai, jax, jaxlib, flax, np)}
        | {"python": platform.python_version()},
        "device": {
            "kind": jax.devices()[0].device_kind,
            "platform": jax.default_backend(),
            "count": jax.device_count(),
        },
        "repeats": options.repeats,
        "overhead": [_measured(case, options.repeats, console) for case in chosen],
        "memory": [] if options.only or others else _memory.measure(),
        "lime": _lime_cases.parts(options.repeats, small=options.small) if _wants_parts(options, "lime") else [],
        "solvers": _shap_cases.solvers(options.repeats, small=options.small) if _wants_parts(options, "shap") else [],
        "peers": [
            row
            for name, beside in {"cam": _cam_peers, "lime": _lime_peers, "shap": _shap_peers}.items()
            if options.only.lower() in ("", name)
            for row in beside.measure(options.repeats, small=options.small)
        ]
        if options.peers
        else [],
        "errors": _errors(options.small, console) if options.errors else [],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"$ {results['command']}", markup=False, highlight=False)
    if results["overhead"]:
        console.print(_overhead_table(results["overhead"]))
    if results["lime"]:
        console.print(_lime_table(results["lime"]))
    if results["solvers"]:
        console.print(_solvers_table(results["solvers"]))
    for table in _errors_report.tables(results["errors"]) if results["errors"] else []:
        console.print(table)
    if results["peers"]:
        console.print(_peers_table(results["peers"]))
    if results["memory"]:
        console.print(_memory_table(results["memory"]))
    console.print(f"wrote {options.out}", markup=False, highlight=False)
    return results


def _measured(case: Case, repeats: int, console: Console) -> dict[str, Any]:
    """Measures a case and says so: a whole run takes minutes."""
    found = measure(case, repeats)
    console.print(f"{found['name']}: {found['ratio']:.2f}", markup=False, highlight=False)
    return found


def _overhead_table(measured: list[dict[str, Any]]) -> Table:
    table = Table(title="time of the explanation ÷ time of the bare jitted model on as many rows (1.0 is the limit)")
    for name in ("explanation", "rows", "ratio", "quartiles", "seconds", "first call", "rows/s", "bare model"):
        table.add_column(name, justify="left" if name in ("explanation", "bare model") else "right")
    for row in measured:
        low, high = row["ratio_quartiles"]
        table.add_row(
            row["name"],
            f"{row['rows']:,}",
            f"{row['ratio']:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{row['seconds']:.3f}",
            f"{row['first_seconds']:.1f} s",
            f"{row['rows_per_second']:,.0f}",
            row["bare_best"],
        )
    return table


def _errors(small: bool, console: Console) -> list[dict[str, Any]]:
    """Four instances of ten games with six seeds each, at six budgets: three quarters of an hour on two cores."""
    tiny = {"games": ["teams (12)"], "budgets": (5,), "instances": 1, "seeds": 2} if small else {}
    say = lambda line: console.print(line, markup=False, highlight=False)  # noqa: E731
    return errors.measure([*ours(), *peers()], say=say, **tiny)


def _wants_parts(options: argparse.Namespace, method: str) -> bool:
    return not (options.peers or options.errors) and options.only.lower() in ("", method)


def _lime_table(measured: list[dict[str, Any]]) -> Table:
    row = measured[0]
    table = Table(
        title=f"where the time of LIME goes: {row['inputs']:,} rows, {row['samples']:,} samples, {row['features']} features"
    )
    for name in ("bins", "drawing", "model", "solving"):
        table.add_column(name, justify="left" if name == "bins" else "right")
    for row in measured:
        table.add_row(row["bins"], *(f"{row[part]:.2f} s" for part in ("draw", "model", "solve")))
    return table


def _solvers_table(measured: list[dict[str, Any]]) -> Table:
    table = Table(title="what Shapley solvers take once the coalitions are evaluated, for each input and output")
    for name in ("solver", "players", "evaluations", "time", "constants, once"):
        table.add_column(name, justify="left" if name == "solver" else "right")
    for row in measured:
        table.add_row(
            row["solver"],
            f"{row['players']}",
            f"{row['evaluations']:,}",
            f"{row['milliseconds']:.2f} ms",
            f"{row['constants_seconds']:.2f} s",
        )
    return table


def _peers_table(measured: list[dict[str, Any]]) -> Table:
    table = Table(title="explanations per second beside the peers, one model, one run; maps at the size of the input")
    for name in ("explanation", "peer", "inputs", "xaijax", "theirs", "times faster", "first call", "theirs"):
        table.add_column(name, justify="left" if name in ("explanation", "peer") else "right")
    for row in measured:
        table.add_row(
            row["name"],
            row["peer"],
            f"{row['inputs']}, {row['peer_inputs']}",
            f"{row['explanations_per_second']:,.1f}",
            f"{row['peer_explanations_per_second']:,.1f}",
            f"{row['times_faster']:.1f}",
            f"{row['first_seconds']:.1f} s",
            f"{row['peer_first_seconds']:.1f} s",
        )
    return table


def _memory_table(measured: list[dict[str, Any]]) -> Table:
    table = Table(title="temporary memory of permutation SHAP, 20 inputs of 30 features")
    for name in ("batch_size", "background", "permutations", "model rows", "memory", "all rows at once"):
        table.add_column(name, justify="right")
    for row in measured:
        table.add_row(
            f"{row['batch_size']:,}",
            f"{row['background']:,}",
            f"{row['permutations']:,}",
            f"{row['rows']:,}",
            f"{row['bytes'] / 1e6:.1f} MB",
            f"{row['bytes_at_once'] / 1e9:,.1f} GB",
        )
    return table


if __name__ == "__main__":
    main()
