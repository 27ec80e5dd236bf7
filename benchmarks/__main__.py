"""What explanations cost.

  python -m benchmarks quick                       everything in a quick form, under 10 minutes on two CPU cores
  python -m benchmarks full                        everything in full
  python -m benchmarks compare BEFORE.json AFTER.json   what became slower, less accurate or hungrier
  python -m benchmarks history FOLDER --out FILE   draws each case's ratio over the records in a folder

Without a command: overhead, parts, solvers and memory in full; --peers or --errors, only these.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import _compare, _history, _record
from benchmarks._run import run
from benchmarks._sections import SECTIONS, chosen_cases
from benchmarks._sizes import Size

_USUAL = ("overhead", "parts", "solvers", "memory")
_REPEATS = {"quick": 5, "full": 15}


def main(arguments: Sequence[str] | None = None) -> Any:
    """Runs a command: returns what was measured, compared or drawn. Comparing exits with 1 where something is worse."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare_files, "history": _draw_history}
    if given and given[0] in commands:
        return commands[given[0]](given[1:])
    return _measure(given)


def _measure(given: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("form", nargs="?", choices=["quick", "full"], help="all sections, quickly or in full")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks.json"), help="the JSON file")
    parser.add_argument("--keep", action="store_true", help="write it to benchmarks/results too, by device and date")
    parser.add_argument("--repeats", type=_positive, help="interleaved repeats of each case: 15, or 5 for quick")
    parser.add_argument("--only", default="", help="a part of the names of the cases to run, such as CAM")
    parser.add_argument("--sections", default="", help=f"some of {','.join(SECTIONS)}, with commas between them")
    parser.add_argument("--small", action="store_true", help="tiny sizes: shows that it runs, and nothing else")
    parser.add_argument("--peers", action="store_true", help="only this: explanations per second beside other packages")
    parser.add_argument(
        "--errors", action="store_true", help="only this: errors of Shapley estimators for each evaluation, beside shap"
    )
    options = parser.parse_args(given)
    form = options.form or "full"
    size: Size = "tiny" if options.small else form
    sections = _chosen_sections(options, parser)
    if options.only and "overhead" in sections and not chosen_cases("tiny", options.only):
        names = [case.name for case in chosen_cases("tiny", "")]
        parser.error(f"no case has {options.only!r} in its name; there are: {names}")
    return run(
        command=shlex.join(["python", "-m", "benchmarks", *given]),
        form="small" if options.small else form,
        size=size,
        repeats=options.repeats or _REPEATS[form],
        sections=sections,
        only=options.only,
        paths=[options.out],
        keep=options.keep,
        console=Console(width=150),
    )


def _chosen_sections(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    if options.peers or options.errors:
        return [name for name in ("errors", "peers") if getattr(options, name)]
    if not options.sections:
        return list(SECTIONS if options.form else _USUAL)
    chosen = options.sections.split(",")
    for name in chosen:
        if name not in SECTIONS:
            parser.error(f"there is no section {name!r}; there are: {list(SECTIONS)}")
    return [name for name in SECTIONS if name in chosen]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, but it is {number}")
    return number


def _compare_files(given: list[str]) -> _compare.Comparison:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="What became slower, less accurate or hungrier. The exit status is 1 where something did.",
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--all", action="store_true", help="show what did not change too")
    options = parser.parse_args(given)
    try:
        before, after = (_record.read(path) for path in (options.before, options.after))
    except ValueError as problem:
        parser.error(str(problem))
    found = _compare.compare(before, after)
    console = Console(width=150)
    for warning in found.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)
    shown = found.rows if options.all else [*found.called(_compare.WORSE), *found.called(_compare.BETTER)]
    if shown:
        console.print(_compare.table(shown))
    console.print(_compare.summary(found), markup=False, highlight=False)
    if found.called(_compare.WORSE):
        raise SystemExit(1)
    return found


def _draw_history(given: list[str]) -> _history.History:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks history", description="Draws each case's ratio over the records in a folder."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=_record.RESULTS)
    parser.add_argument("--out", type=Path, default=Path("out/history.png"), help="the picture")
    parser.add_argument("--only", default="", help="a part of the names of the cases to draw")
    options = parser.parse_args(given)
    console = Console(width=150)
    say = lambda line: console.print(line, markup=False, highlight=False)  # noqa: E731
    try:
        found = _history.history(_history.read_folder(options.folder, say=say), options.only)
    except ValueError as problem:
        parser.error(str(problem))
    _history.save(found, options.out)
    say(f"wrote {options.out}")
    return found


if __name__ == "__main__":
    main()
