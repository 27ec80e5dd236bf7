"""A run: one section after another, written down after each, so that nothing is lost where one fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import xaijax as xai
from benchmarks import _record
from benchmarks._compiling import without_stored_programs
from benchmarks._flops import peak_flops
from benchmarks._sections import SECTIONS, Settings
from benchmarks._sizes import Size


def run(
    *,
    command: str,
    form: str,
    size: Size,
    repeats: int,
    sections: Sequence[str],
    only: str,
    paths: Sequence[Path],
    keep: bool,
    console: Console,
) -> dict[str, Any]:
    """Measures, writes and prints; returns the record.

    paths: the files that are written. keep: write to the folder of results too.
    """
    record = _record.head(command, form, repeats)
    paths = [*paths, _record.kept_path(record)] if keep else paths
    say = lambda line: console.print(line, markup=False, highlight=False)  # noqa: E731
    with xai.progress(False), without_stored_programs():
        peak = peak_flops(side=64 if size == "tiny" else None)
        settings = Settings(size, repeats, only, peak, say)
        record |= {"peak_flops": peak, "section_seconds": {}} | {name: [] for name in SECTIONS}
        for name in sections:
            start = time.perf_counter()
            record[name] = SECTIONS[name].measure(settings)
            record["section_seconds"][name] = time.perf_counter() - start
            for path in paths:
                _record.write(record, path)
    say(f"$ {command}")
    for name in sections:
        for table in SECTIONS[name].tables(record[name]) if record[name] else []:
            console.print(table)
    say(", ".join(f"{name} {seconds:.0f} s" for name, seconds in record["section_seconds"].items()))
    for path in paths:
        say(f"wrote {path}")
    return record
