"""What became slower, less accurate or hungrier between two records, and what is noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from benchmarks._figures import Figure, figures
from benchmarks._noise import Change, change

DOUBT = 0.05  # the chance that anything at all is called different that is not, by the noise of repeats
# Differences that are not called so: where things lie in memory differs from process to process, which repeats in one do
# not show.
LEAST_TIME, LEAST_EXACT = 0.05, 0.01
# One verdict for each figure that both records have.
WORSE, BETTER, NOISE, UNKNOWN = "worse", "better", "noise", "unknown"
_ORDER = (WORSE, BETTER, UNKNOWN, NOISE)


class Compared(NamedTuple):
    """before, after: medians; change: their ratio with its interval; verdict: worse, better, noise or unknown."""

    section: str
    name: str
    what: str
    before: float
    after: float
    change: Change
    verdict: str


class Comparison(NamedTuple):
    """rows: every figure that both have; warnings: sentences on what makes them hard to compare; drift: how many times as
    long the bare models take, nan where there are none."""

    rows: list[Compared]
    warnings: list[str]
    drift: float

    def called(self, verdict: str) -> list[Compared]:
        return [row for row in self.rows if row.verdict == verdict]


def compare(before: dict[str, Any], after: dict[str, Any]) -> Comparison:
    """Compares all figures that two records have in common, at the same sizes.

    Times that are measured beside a bare model or a peer are compared as their ratio to it. Other times are called
    different only if they are so both as they stand and after division by the drift of the bare models, so that a busy
    device is not taken for a slower program. Counted figures (memory, operations, programs) have no noise.
    """
    warnings = _differences(before, after)
    drift = _drift(before, after)
    if not 1 / (1 + 2 * LEAST_TIME) < drift < 1 + 2 * LEAST_TIME and not math.isnan(drift):
        warnings.append(
            f"the bare models took {drift:.2f} times as long: the device, its load or the libraries are not the same; "
            "ratios to them are compared all the same"
        )
    first, second = ({_key(one): one for one in figures(record)} for record in (before, after))
    warnings += _only_in_one(first, second)
    shared = [key for key in first if key in second and first[key].sizes == second[key].sizes]
    changed = [key for key in first if key in second and first[key].sizes != second[key].sizes]
    if changed:
        names = dict.fromkeys(f"{first[key].section}: {first[key].name}" for key in changed)
        warnings.append(f"not compared, as the sizes differ: {_some(list(names))}")
    measured = sum(first[key].kind != "exact" for key in shared)
    doubt = DOUBT / max(1, measured)
    return Comparison([_compared(first[key], second[key], doubt, drift) for key in shared], warnings, drift)


def table(rows: Sequence[Compared]) -> Table:
    """What became worse first."""
    found = Table(title="after ÷ before: 1 is no change, more is worse")
    left = ("section", "case", "of", "verdict")
    for name in ("section", "case", "of", "before", "after", "ratio", "interval", "verdict"):
        found.add_column(name, justify="left" if name in left else "right")
    for row in sorted(rows, key=lambda row: _ORDER.index(row.verdict)):
        ratio, low, high = row.change
        found.add_row(
            row.section,
            row.name,
            row.what,
            f"{row.before:.4g}",
            f"{row.after:.4g}",
            f"{ratio:.3f}",
            "" if low == high else "not known" if math.isnan(low) else f"{low:.2f}-{high:.2f}",
            row.verdict,
        )
    return found


def summary(comparison: Comparison) -> str:
    """One sentence."""
    counts = {verdict: len(comparison.called(verdict)) for verdict in _ORDER}
    return (
        f"{len(comparison.rows)} figures compared: {counts[WORSE]} worse, {counts[BETTER]} better, {counts[NOISE]} within the "
        f"noise, {counts[UNKNOWN]} with too few repeats to know"
    )


def _compared(before: Figure, after: Figure, doubt: float, drift: float) -> Compared:
    if before.kind == "exact":
        (one,), (other,) = before.values, after.values
        ratio = other / one if one else (1.0 if other == one else math.inf)
        found = Change(ratio, ratio, ratio)
        verdict = _verdict(found, LEAST_EXACT)
    else:
        paired = before.kind == "error" and len(before.values) == len(after.values)
        found = change(before.values, after.values, doubt=doubt, paired=paired)
        verdict = _verdict(found, LEAST_TIME)
        if before.kind == "time" and not math.isnan(drift):
            corrected = _verdict(Change(*(part / drift for part in found)), LEAST_TIME)
            verdict = verdict if verdict == corrected else NOISE
    medians = [float(np.median(one.values)) for one in (before, after)]
    return Compared(before.section, before.name, before.what, medians[0], medians[1], found, verdict)


def _verdict(found: Change, least: float) -> str:
    if math.isnan(found.low):
        return UNKNOWN
    if found.low > 1 and found.ratio > 1 + least:
        return WORSE
    if found.high < 1 and found.ratio < 1 / (1 + least):
        return BETTER
    return NOISE


def _key(figure: Figure) -> tuple[str, str, str]:
    return figure.section, figure.name, figure.what


def _drift(before: dict[str, Any], after: dict[str, Any]) -> float:
    """The median ratio of the bare models' times."""
    first, second = (
        {
            row["name"]: (row["sizes"], float(np.median(row["repeats"]["bare_seconds"])))
            for row in record.get("overhead", [])
        }
        for record in (before, after)
    )
    ratios = [second[name][1] / taken for name, (sizes, taken) in first.items() if second.get(name, ({},))[0] == sizes]
    return float(np.median(ratios)) if ratios else math.nan


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Sentences on how the two runs differ."""
    found = []
    for what in ("device", "versions", "peer_versions"):
        one, other = before.get(what, {}), after.get(what, {})
        changed = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        said = ", ".join(f"{name} {one.get(name, 'none')} and {other.get(name, 'none')}" for name in changed)
        if changed:
            found.append(f"the {what.replace('_', ' ')} differ: {said}")
    if before["form"] != after["form"]:
        found.append(f"the forms differ: {before['form']} and {after['form']}")
    return found


def _only_in_one(first: dict[Any, Figure], second: dict[Any, Figure]) -> list[str]:
    said = []
    for which, one, other in (("first", first, second), ("second", second, first)):
        names = dict.fromkeys(f"{one[key].section}: {one[key].name}" for key in one if key not in other)
        if names:
            said.append(f"only in the {which}: {_some(list(names))}")
    return said


def _some(names: list[str]) -> str:
    return "; ".join(names[:5]) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")
