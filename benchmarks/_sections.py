"""The sections of a run: what each measures and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks import _accelerator, _devices, _growth, _memory, _peers, _tables
from benchmarks._cam_cases import cam_parts
from benchmarks._cases import cases
from benchmarks._lime_cases import lime_parts
from benchmarks._overhead import overhead
from benchmarks._shap_cases import shap_parts, solvers
from benchmarks._sizes import Size
from experiments import _errors as errors
from experiments import _errors_report
from experiments._estimators import ours, peers

Rows = list[dict[str, Any]]
_PARTS = {"cam": cam_parts, "shap": shap_parts, "lime": lime_parts}


class Settings(NamedTuple):
    """size: of the problems; repeats: interleaved ones of each case; only: a part of the names of what is measured, or "";
    peak: operations of the device in a second; say: shows a line while it runs."""

    size: Size
    repeats: int
    only: str
    peak: float | None
    say: Callable[[str], None]

    @property
    def form(self) -> dict[str, bool]:
        """The sizes, as sections that choose their own have it."""
        return {"quick": self.size == "quick", "small": self.size == "tiny"}

    def wants(self, group: str) -> bool:
        return self.only.lower() in ("", group)


class Section(NamedTuple):
    """measure: settings -> rows; tables: rows -> what is printed."""

    measure: Callable[[Settings], Rows]
    tables: Callable[[Rows], list[Table]]


def chosen_cases(size: Size, only: str) -> list[Any]:
    return [case for case in cases(size) if only.lower() in case.name.lower()]


def _overhead(settings: Settings) -> Rows:
    chosen = chosen_cases(settings.size, settings.only)
    return overhead(chosen, settings.repeats, peak=settings.peak, say=settings.say)


def _parts(settings: Settings) -> Rows:
    wanted = [measure for group, measure in _PARTS.items() if settings.wants(group)]
    return [row for measure in wanted for row in measure(settings.repeats, settings.size)]


def _solvers(settings: Settings) -> Rows:
    return solvers(settings.repeats, settings.size) if settings.wants("shap") else []


def _memory_of(settings: Settings) -> Rows:
    return [] if settings.only else _memory.measure(settings.size)


def _growth_of(settings: Settings) -> Rows:
    return [] if settings.only else _growth.measure(**settings.form)


def _devices_of(settings: Settings) -> Rows:
    return [] if settings.only else _devices.measure(**settings.form)


def _accelerator_of(settings: Settings) -> Rows:
    return [] if settings.only else _accelerator.measure(**settings.form)


def _peers_of(settings: Settings) -> Rows:
    """Each of them says by itself where its package is not installed."""
    found = []
    for name in filter(settings.wants, _peers.PEERS):
        found += _peers.measure(settings.repeats, only=(name,), **settings.form)
        settings.say(f"beside {name}: measured")
    return found


def _errors_of(settings: Settings) -> Rows:
    """In full four instances of ten games with six seeds each, at six budgets: three quarters of an hour on two cores."""
    if settings.only:
        return []
    fewer: dict[str, Any] = {
        "tiny": {"games": ["teams (12)"], "budgets": (5,), "instances": 1, "seeds": 2},
        "quick": {"games": ["teams (12)", "teams (60)"], "budgets": (10,), "instances": 2, "seeds": 6},
        "full": {},
    }[settings.size]
    estimators = ours() if settings.size == "quick" else [*ours(), *peers()]
    return errors.measure(estimators, say=settings.say, **fewer)


SECTIONS = {
    "overhead": Section(_overhead, lambda rows: [_tables.overhead_table(rows), _tables.programs_table(rows)]),
    "parts": Section(_parts, lambda rows: [_tables.parts_table(rows)]),
    "solvers": Section(_solvers, lambda rows: [_tables.solvers_table(rows)]),
    "memory": Section(_memory_of, lambda rows: [_tables.memory_table(rows)]),
    "growth": Section(_growth_of, lambda rows: [_growth.table(rows)]),
    "devices": Section(_devices_of, lambda rows: [_devices.table(rows)]),
    "accelerator": Section(_accelerator_of, _accelerator.table),
    "errors": Section(_errors_of, _errors_report.tables),
    "peers": Section(_peers_of, lambda rows: [_peers.table(rows)]),
}
