"""The cost of explanations.

  python -m benchmarks quick                       everything in a quick form, under 10 minutes on two CPU cores
  python -m benchmarks full                        everything in full
  python -m benchmarks accelerator                 on a GPU or TPU: what is worthwhile there, in under 10 minutes
  python -m benchmarks compare BEFORE.json AFTER.json   what takes more time or memory, or is less accurate
  python -m benchmarks history FOLDER --out FILE   draws each case's ratio over the records in a folder
  python -m benchmarks goals RECORD.json           what the library aims at, what was measured, and whether that suffices
  python -m benchmarks page FILES                  fills the tables of pages from the newest record in benchmarks/results

Without a command: overhead, parts, solvers and memory in full; --peers or --errors measure only these.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from benchmarks import _compare, _goals, _history, _page, _record
from benchmarks._overhead import Size
from benchmarks._run import SECTIONS, chosen_cases, run

_USUAL = ("overhead", "parts", "solvers", "memory")
_REPEATS = {"quick": 5, "full": 15, "accelerator": 7}
_ON_ACCELERATORS = ("accelerator", "networks", "overhead", "solvers", "first")
_MINUTES = {"quick": 9.0, "accelerator": 8.5}  # the case that has begun then still ends within 10 minutes


def main(arguments: Sequence[str] | None = None) -> Any:
    """Runs a command and returns its result. Comparing exits with status 1 if something is worse."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare_files, "history": _draw_history, "goals": _show_goals, "page": _fill_pages}
    if words and words[0] in commands:
        return commands[words[0]](words[1:])
    return _measure(words)


def _measure(words: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("form", nargs="?", choices=list(_REPEATS), help="all sections, or those of accelerators")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks.json"), help="the JSON file")
    parser.add_argument("--keep", action="store_true", help="also write it to benchmarks/results, by device and date")
    parser.add_argument(
        "--repeats",
        type=_positive,
        help="interleaved repeats of each case, at most: 15, or 5 for quick, 7 on accelerators",
    )
    parser.add_argument("--only", default="", help="part of the names of the cases to run, such as CAM")
    parser.add_argument("--sections", default="", help=f"comma-separated sections, of {','.join(SECTIONS)}")
    parser.add_argument("--without", default="", help="comma-separated sections to leave out, such as errors")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to test the code")
    parser.add_argument(
        "--minutes",
        type=_positive,
        help="no case begins later; what matters most is measured first; default: 9 for quick, 8.5 on accelerators",
    )
    parser.add_argument(
        "--peers", action="store_true", help="only explanations per second, compared with other packages"
    )
    parser.add_argument(
        "--errors",
        action="store_true",
        help="only errors of Shapley estimators at equal evaluations, compared with shap",
    )
    options = parser.parse_args(words)
    form = options.form or "full"
    if form == "accelerator" and jax.default_backend() == "cpu" and not options.small:
        parser.error("accelerator must run on a GPU or TPU, got JAX on CPUs: install jax[cuda12] or jax[tpu].")
    size: Size = "tiny" if options.small else "quick" if form == "quick" else "full"
    sections = _chosen_sections(options, parser)
    if options.only and "overhead" in sections and not chosen_cases("tiny", options.only):
        names = [case.name for case in chosen_cases("tiny", "")]
        parser.error(f"--only must be part of the name of a case, got {options.only!r}: choose among {names}")
    return run(
        command=shlex.join(["python", "-m", "benchmarks", *words]),
        form="small" if options.small else form,
        size=size,
        repeats=options.repeats or _REPEATS[form],
        sections=sections,
        only=options.only,
        paths=[options.out],
        keep=options.keep,
        console=Console(width=150),
        minutes=options.minutes or _MINUTES.get(form),
    )


def _chosen_sections(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    if options.peers or options.errors:
        return [name for name in ("errors", "peers") if getattr(options, name)]
    usual = list(_ON_ACCELERATORS if options.form == "accelerator" else SECTIONS if options.form else _USUAL)
    if options.form == "accelerator" and jax.local_device_count() > 1:
        usual.append("devices")
    chosen, without = (list(filter(None, names.split(","))) for names in (options.sections, options.without))
    for argument, names in (("--sections", chosen), ("--without", without)):
        for name in names:
            if name not in SECTIONS:
                parser.error(f"{argument} must be sections, got {name!r}: choose among {list(SECTIONS)}")
    in_order = usual if options.form == "accelerator" and not chosen else SECTIONS
    return [name for name in in_order if name in (chosen or usual) and name not in without]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _compare_files(words: list[str]) -> _compare.Comparison:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="What takes more time or memory, or is less accurate. The exit status is 1 if anything does.",
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--all", action="store_true", help="show unchanged figures too")
    options = parser.parse_args(words)
    try:
        before, after = (_record.read(path) for path in (options.before, options.after))
    except ValueError as problem:
        parser.error(str(problem))
    comparison = _compare.compare(before, after)
    console = Console(width=150)
    for warning in comparison.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)
    changed = [*comparison.called(_compare.WORSE), *comparison.called(_compare.BETTER)]
    shown = comparison.rows if options.all else changed
    if shown:
        console.print(_compare.table(shown))
    console.print(_compare.summary(comparison), markup=False, highlight=False)
    if comparison.called(_compare.WORSE):
        raise SystemExit(1)
    return comparison


def _show_goals(words: list[str]) -> list[tuple[str, str, str, str]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks goals", description="What the library aims at, next to what a record has measured."
    )
    parser.add_argument("record", type=Path, nargs="?", help="a JSON file; default: the newest in benchmarks/results")
    options = parser.parse_args(words)
    try:
        record = _page.newest_record() if options.record is None else _record.read(options.record)
    except ValueError as problem:
        parser.error(str(problem))
    lines = _goals.lines(record)
    Console(width=150).print(_goals.table(lines))
    return lines


def _fill_pages(words: list[str]) -> dict[Path, str]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks page", description="Fills the tables of pages from the newest record."
    )
    parser.add_argument("files", type=Path, nargs="*", default=[_page.PAGE], help="pages with marked parts")
    options = parser.parse_args(words)
    record = _page.newest_record()
    pages = {path: _page.filled(path.read_text(), record) for path in options.files}
    for path, text in pages.items():
        path.write_text(text)
    return pages


def _draw_history(words: list[str]) -> _history.History:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks history", description="Draws each case's ratio over the records in a folder."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=_record.RESULTS)
    parser.add_argument("--out", type=Path, default=Path("out/history.png"), help="the picture")
    parser.add_argument("--only", default="", help="part of the names of the cases to draw")
    options = parser.parse_args(words)
    console = Console(width=150)
    say = lambda line: console.print(line, markup=False, highlight=False)  # noqa: E731
    try:
        history = _history.history(_history.read_folder(options.folder, say=say), options.only)
    except ValueError as problem:
        parser.error(str(problem))
    _history.save(history, options.out)
    say(f"wrote {options.out}")
    return history


if __name__ == "__main__":
    main()
