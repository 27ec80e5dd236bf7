"""A run: its sections, measured one after another; the record is written after each row, so that a failure loses nothing."""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

import xaijax as xai
from benchmarks import (
    _accelerator,
    _devices,
    _first_calls,
    _growth,
    _lime_peers,
    _prompts,
    _record,
    _shap_peers,
    _tables,
    _torch_peers,
    _tree_peers,
)
from benchmarks._cam_cases import cam_cases, cam_parts
from benchmarks._flops import peak_flops
from benchmarks._goals import GOALS
from benchmarks._gradient_cases import gradient_cases
from benchmarks._lime_cases import lime_cases, lime_parts
from benchmarks._network_cases import network_cases
from benchmarks._overhead import Case, Size, overhead
from benchmarks._peer_comparison import table as peer_table
from benchmarks._shap_cases import shap_cases, shap_parts, solvers
from benchmarks._timing import without_stored_programs
from experiments import _error_tables, error_per_evaluation
from experiments._estimators import ours
from experiments._peers import Peers

Rows = list[dict[str, Any]]
_PARTS = {"cam": cam_parts, "shap": shap_parts, "lime": lime_parts}


class Settings(NamedTuple):
    """The settings of a run.

    size: of the problems.
    repeats: interleaved repeats of each case.
    only: part of the names to measure, or "".
    peak: operations of the device per second.
    say: prints a line during the run.
    limited: whether the time of the run is, so that what matters most is measured first.
    """

    size: Size
    repeats: int
    only: str
    peak: float | None
    say: Callable[[str], None]
    limited: bool = False

    @property
    def form(self) -> dict[str, bool]:
        """Returns the size as the options of sections that choose their own sizes."""
        return {"quick": self.size == "quick", "small": self.size == "tiny"}

    def wants(self, group: str) -> bool:
        return self.only.lower() in ("", group)


class Section(NamedTuple):
    """A part of the benchmark.

    measure: settings -> rows, when each is measured.
    tables: rows -> printed tables.
    rest: of a run of limited time, what is measured after the sections of goals, if anything is.
    """

    measure: Callable[[Settings], Iterable[dict[str, Any]]]
    tables: Callable[[Rows], list[Table]]
    rest: Callable[[Settings], Iterable[dict[str, Any]]] | None = None


def cases(size: Size) -> list[Case]:
    """Returns all cases of the overhead; tiny cases take seconds and only test the code."""
    return [*cam_cases(size), *gradient_cases(size), *shap_cases(size), *lime_cases(size)]


def chosen_cases(size: Size, only: str) -> list[Case]:
    return [case for case in cases(size) if only.lower() in case.name.lower()]


# Cases that a run of limited time measures before all others: those of large batches of rows, and those of goals.
_LARGE = (
    "Grad-CAM, small ResNet at 224", "all eleven in one pass, small ResNet at 224", "Grad-CAM, ViT",
    "Gaussian process SHAP, perceptron", "kernel SHAP, perceptron", "permutation SHAP, perceptron",
    "per-player Gaussian process SHAP, perceptron", "interactions SHAP, perceptron",
    "LIME of numbers, perceptron", "LIME of quartiles, perceptron", "LIME of words, bag of embeddings",
    "LIME on superpixels, small ResNet", "Gaussian process SHAP on a grid, ViT", "integrated gradients, small ResNet",
)  # fmt: skip


def _first_of(settings: Settings) -> Rows:
    return [] if settings.only else _first_calls.measure(settings.size)


def _overhead(settings: Settings) -> Iterable[dict[str, Any]]:
    """Measures all cases, or in limited time those that matter most."""
    chosen = chosen_cases(settings.size, settings.only)
    if settings.limited:
        chosen = [case for case in chosen if _matters(case)]
    return overhead(chosen, settings.repeats, peak=settings.peak, say=settings.say)


def _other_overhead(settings: Settings) -> Iterable[dict[str, Any]]:
    chosen = [case for case in chosen_cases(settings.size, settings.only) if not _matters(case)]
    return overhead(chosen, settings.repeats, peak=settings.peak, say=settings.say)


def _matters(case: Case) -> bool:
    return case.name in _LARGE or any(case.name == goal.fields["name"] for goal in GOALS)


def _networks(settings: Settings) -> Iterable[dict[str, Any]]:
    chosen = [case for case in network_cases(settings.size) if settings.only.lower() in case.name.lower()]
    return overhead(chosen, settings.repeats, peak=settings.peak, say=settings.say)


def _parts(settings: Settings) -> Iterable[dict[str, Any]]:
    for group, measure in _PARTS.items():
        if settings.wants(group):
            yield from measure(settings.repeats, settings.size)


def _solvers(settings: Settings) -> Rows:
    return solvers(settings.repeats, settings.size) if settings.wants("shap") else []


def _prompts_of(settings: Settings) -> Rows:
    return _prompts.measure(settings.repeats, settings.size) if settings.wants("prompts") else []


def _memory_of(settings: Settings) -> Rows:
    return [] if settings.only else _growth.measure_memory(settings.size)


def _growth_of(settings: Settings) -> Rows:
    return [] if settings.only else _growth.measure(**settings.form)


def _devices_of(settings: Settings) -> Rows:
    return [] if settings.only else _devices.measure(**settings.form)


def _accelerator_of(settings: Settings) -> Iterable[dict[str, Any]]:
    return [] if settings.only else _accelerator.measure(**settings.form)


def _peers_of(settings: Settings) -> Iterable[dict[str, Any]]:
    """Yields the rows of each peer; that of a package that is not installed says so. A peer that fails stops no other one."""
    failed = {}
    for name in filter(settings.wants, PEERS):
        try:
            yield from measure_peers(settings.repeats, only=(name,), **settings.form)
            settings.say(f"compared with {name}")
        except Exception as problem:
            failed[name] = f"{type(problem).__name__}: {problem}"
            settings.say(f"{name} failed:\n{traceback.format_exc()}")
    if failed:
        raise RuntimeError(f"comparisons failed: {failed}")


def _errors_of(settings: Settings) -> Rows:
    """Measures in full four instances of 21 games with six seeds each, at six budgets: about 90 minutes on two cores."""
    if settings.only:
        return []
    fewer: dict[str, Any] = {
        "tiny": {"games": ["teams (12)"], "budgets": (5,), "instances": 1, "seeds": 2},
        "quick": {"games": ["teams (12)", "teams (60)"], "budgets": (10,), "instances": 2, "seeds": 6},
        "full": {},
    }[settings.size]
    if settings.size == "quick":
        return error_per_evaluation.measure(ours(), say=settings.say, **fewer)
    with Peers(sys.executable) as peers:
        return error_per_evaluation.measure([*ours(), *peers.estimators()], say=settings.say, **fewer)


PEERS: dict[str, Callable[..., Rows]] = {
    "cam": _torch_peers.measure_pytorch_grad_cam,
    "lime": _lime_peers.measure,
    "captum": _torch_peers.measure_captum,
    "shap": _shap_peers.measure_shap,
    "shapiq": _shap_peers.measure_shapiq,
    "trees": _tree_peers.measure,
}


def measure_peers(
    repeats: int, *, quick: bool = False, small: bool = False, only: tuple[str, ...] = tuple(PEERS)
) -> list[dict[str, Any]]:
    """Returns the rows of each comparison; for a package that is not installed, a row with a sentence, `skipped`.

    Args:
      repeats: interleaved repeats of each pair.
      quick: fewer inputs, and fewer evaluations of images.
      small: tiny sizes, to test the code.
      only: the comparisons to measure, of `PEERS`.
    """
    return [row for name in only for row in PEERS[name](repeats, small=small, quick=quick)]


# In this order: a run of limited time has the sections of the goals first.
SECTIONS = {
    "first": Section(_first_of, lambda rows: [_first_calls.table(rows)]),
    "solvers": Section(_solvers, lambda rows: [_tables.solvers_table(rows)]),
    "overhead": Section(
        _overhead, lambda rows: [_tables.overhead_table(rows), _tables.programs_table(rows)], _other_overhead
    ),
    "networks": Section(_networks, lambda rows: [_tables.overhead_table(rows)]),
    "parts": Section(_parts, lambda rows: [_tables.parts_table(rows)]),
    "peers": Section(_peers_of, lambda rows: [peer_table(rows)]),
    "memory": Section(_memory_of, lambda rows: [_tables.memory_table(rows)]),
    "prompts": Section(_prompts_of, lambda rows: [_prompts.table(rows)]),
    "growth": Section(_growth_of, lambda rows: [_growth.table(rows)]),
    "devices": Section(_devices_of, lambda rows: [_devices.table(rows)]),
    "accelerator": Section(_accelerator_of, _accelerator.table),
    "errors": Section(_errors_of, _error_tables.tables),
}
_AFTER_THE_REST = ("prompts", "growth", "devices", "errors")


def _passes(sections: Sequence[str], limited: bool) -> list[tuple[str, Callable[[Settings], Iterable[dict[str, Any]]]]]:
    """Returns the sections with what measures them, in order; in limited time a section may be measured in two passes."""
    passes = [(name, SECTIONS[name].measure) for name in sections]
    position = next((number for number, name in enumerate(sections) if name in _AFTER_THE_REST), len(sections))
    rests = [(name, rest) for name in sections if (rest := SECTIONS[name].rest) is not None] if limited else []
    return passes[:position] + rests + passes[position:]


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
    minutes: float | None = None,
) -> dict[str, Any]:
    """Measures the sections, writes the record after every row, prints it, and returns it.

    A section that fails is named in the record, and the next one is measured; the exit status is then 1.

    paths: the files to write. keep: whether to write to the folder of results too. minutes: no case begins later.
    """
    record = _record.head(command, form, repeats)
    paths = [*paths, _record.kept_path(record)] if keep else paths
    say = lambda line: console.print(line, markup=False, highlight=False)  # noqa: E731
    with xai.progress(False), without_stored_programs():
        peak = peak_flops(side=64 if size == "tiny" else None)
        settings = Settings(size, repeats, only, peak, say, limited=minutes is not None)
        record |= {"peak_flops": peak, "section_seconds": {}} | {name: [] for name in SECTIONS}
        record |= {"failed": {}, "not_finished": []}
        last = math.inf if minutes is None else time.perf_counter() + 60 * minutes
        for name, measure in _passes(sections, settings.limited):
            start = time.perf_counter()
            try:
                if not _measure(record, name, measure, settings, last, paths) and name not in record["not_finished"]:
                    record["not_finished"].append(name)
            except Exception as problem:
                record["failed"][name] = f"{type(problem).__name__}: {problem}"
                say(f"{name} failed:\n{traceback.format_exc()}")
            record["section_seconds"][name] = record["section_seconds"].get(name, 0) + time.perf_counter() - start
            for path in paths:
                _record.write(record, path)
    say(f"$ {command}")
    for name in sections:
        for table in SECTIONS[name].tables(record[name]) if record[name] else []:
            console.print(table)
    say(", ".join(f"{name} {seconds:.0f} s" for name, seconds in record["section_seconds"].items()))
    if record["not_finished"]:
        say(f"the time was over before the end of {', '.join(record['not_finished'])}")
    for path in paths:
        say(f"wrote {path}")
    if record["failed"]:
        say(f"failed: {record['failed']}")
        raise SystemExit(1)
    return record


def _measure(
    record: dict[str, Any],
    name: str,
    measure: Callable[[Settings], Iterable[dict[str, Any]]],
    settings: Settings,
    last: float,
    paths: Sequence[Path],
) -> bool:
    """Adds the rows of a section to the record, and returns whether the time sufficed for all of them."""
    if time.perf_counter() > last:
        return False
    for row in measure(settings):
        record[name].append(row)
        for path in paths:
            _record.write(record, path)
        if time.perf_counter() > last:
            return False
    return True
