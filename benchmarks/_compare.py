"""The comparison of two records: what takes more time or memory or is less accurate, and what is noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from scipy import stats

from experiments._error_tables import LEAST_ERROR

DOUBT = 0.05  # the probability that any equal figure is called different because of the noise of repeats
# Smaller differences are ignored: the layout of memory differs between processes, which repeats in one process do not show.
LEAST_TIME, LEAST_EXACT = 0.05, 0.01
# The verdicts on figures that both records have.
WORSE, BETTER, NOISE, UNKNOWN = "worse", "better", "noise", "unknown"
_ORDER = (WORSE, BETTER, UNKNOWN, NOISE)


class Compared(NamedTuple):
    """before, after: medians; change: their ratio with its interval; verdict: worse, better, noise or unknown."""

    section: str
    name: str
    measure: str
    before: float
    after: float
    change: Change
    verdict: str


class Comparison(NamedTuple):
    """rows: every figure that both records have; warnings: sentences on differences of the runs; drift: the ratio of the bare
    models' times, NaN if there are none."""

    rows: list[Compared]
    warnings: list[str]
    drift: float

    def called(self, verdict: str) -> list[Compared]:
        return [row for row in self.rows if row.verdict == verdict]


def compare(before: dict[str, Any], after: dict[str, Any]) -> Comparison:
    """Compares all figures that two records have in common, at the same sizes.

    Times with a bare model or a peer are compared as their ratio to it. Other times are called different only if they
    differ both as measured and after division by the drift of the bare models, so that a busy device does not look like
    a slower program. Counted figures (memory, operations, programs) have no noise.
    """
    warnings = _differences(before, after)
    drift = _drift(before, after)
    if not 1 / (1 + 2 * LEAST_TIME) < drift < 1 + 2 * LEAST_TIME and not math.isnan(drift):
        warnings.append(
            f"the bare models took {drift:.2f} times as long: the device, its load or the libraries differ; "
            "ratios to the bare models are still compared"
        )
    first, second = ({_key(figure): figure for figure in figures(record)} for record in (before, after))
    warnings += _only_in_one(first, second)
    shared = [key for key in first if key in second and first[key].sizes == second[key].sizes]
    changed = [key for key in first if key in second and first[key].sizes != second[key].sizes]
    if changed:
        names = dict.fromkeys(f"{first[key].section}: {first[key].name}" for key in changed)
        warnings.append(f"not compared, as the sizes differ: {_shortened(list(names))}")
    measured = sum(first[key].noise != "none" for key in shared)
    doubt = DOUBT / max(1, measured)
    return Comparison([_compared(first[key], second[key], doubt, drift) for key in shared], warnings, drift)


def table(rows: Sequence[Compared]) -> Table:
    """Returns the rows as a table, worse figures first."""
    table = Table(title="after ÷ before: 1 is no change, more is worse")
    left = ("section", "case", "measure", "verdict")
    for name in ("section", "case", "measure", "before", "after", "ratio", "interval", "verdict"):
        table.add_column(name, justify="left" if name in left else "right")
    for row in sorted(rows, key=lambda row: _ORDER.index(row.verdict)):
        ratio, low, high = row.change
        table.add_row(
            row.section,
            row.name,
            row.measure,
            f"{row.before:.4g}",
            f"{row.after:.4g}",
            f"{ratio:.3f}",
            "" if low == high else "unknown" if math.isnan(low) else f"{low:.2f}-{high:.2f}",
            row.verdict,
        )
    return table


def summary(comparison: Comparison) -> str:
    """Returns the numbers of verdicts in one sentence."""
    counts = {verdict: len(comparison.called(verdict)) for verdict in _ORDER}
    return (
        f"{len(comparison.rows)} figures compared: {counts[WORSE]} worse, {counts[BETTER]} better, {counts[NOISE]} within the "
        f"noise, {counts[UNKNOWN]} with too few repeats"
    )


def _compared(before: Figure, after: Figure, doubt: float, drift: float) -> Compared:
    if before.noise == "none":
        (old,), (new,) = before.values, after.values
        ratio = new / old if old else (1.0 if new == old else math.inf)
        measured = Change(ratio, ratio, ratio)
        verdict = _verdict(measured, LEAST_EXACT)
    else:
        paired = before.noise == "seeds" and len(before.values) == len(after.values)
        measured = change(before.values, after.values, doubt=doubt, paired=paired)
        verdict = _verdict(measured, LEAST_TIME)
        if before.noise == "device" and not math.isnan(drift):
            corrected = _verdict(Change(*(part / drift for part in measured)), LEAST_TIME)
            verdict = verdict if verdict == corrected else NOISE
    medians = [float(np.median(figure.values)) for figure in (before, after)]
    return Compared(before.section, before.name, before.measure, medians[0], medians[1], measured, verdict)


def _verdict(measured: Change, least: float) -> str:
    if math.isnan(measured.low):
        return UNKNOWN
    if measured.low > 1 and measured.ratio > 1 + least:
        return WORSE
    if measured.high < 1 and measured.ratio < 1 / (1 + least):
        return BETTER
    return NOISE


def _key(figure: Figure) -> tuple[str, str, str]:
    return figure.section, figure.name, figure.measure


def _drift(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Returns the median ratio of the bare models' times."""
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
    """Returns sentences on how the two runs differ."""
    sentences = []
    for part, title in (("device", "devices"), ("versions", "versions"), ("peer_versions", "peer versions")):
        old, new = before.get(part, {}), after.get(part, {})
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        details = ", ".join(f"{name} {old.get(name, 'none')} and {new.get(name, 'none')}" for name in changed)
        if changed:
            sentences.append(f"the {title} differ: {details}")
    if before["form"] != after["form"]:
        sentences.append(f"the forms differ: {before['form']} and {after['form']}")
    return sentences


def _only_in_one(first: dict[Any, Figure], second: dict[Any, Figure]) -> list[str]:
    sentences = []
    for title, record, other in (("first", first, second), ("second", second, first)):
        names = dict.fromkeys(f"{record[key].section}: {record[key].name}" for key in record if key not in other)
        if names:
            sentences.append(f"only in the {title}: {_shortened(list(names))}")
    return sentences


def _shortened(names: list[str]) -> str:
    return "; ".join(names[:5]) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")


class Figure(NamedTuple):
    """A number of a record that can be compared with another record; lower is better.

    values: repeats, or one number that is the same in every run of the same program.
    noise: "repeats" of a ratio of two times of the same repeat; "device" of a time, which depends on the load of the
      device; "seeds" of an error, whose repeats are paired by their seeds; "none" of counted numbers.
    """

    section: str
    name: str
    measure: str
    sizes: Any
    noise: str
    values: list[float]


def figures(record: dict[str, Any]) -> Iterator[Figure]:
    """Yields all figures of a record."""
    for section, figures_of_row in _ROWS.items():
        for row in record.get(section, []):
            yield from figures_of_row(section, row)


def _overhead(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    name, sizes = row["name"], row["sizes"]
    yield Figure(section, name, "time ÷ bare model", sizes, "repeats", row["repeats"]["ratio"])
    yield Figure(section, name, "compiled again", sizes, "none", [row["second_compilations"]])
    if row.get("flops_ratio") is not None:
        yield Figure(section, name, "operations ÷ bare model", sizes, "none", [row["flops_ratio"]])
    if "memory_ratio" in row:
        yield Figure(section, name, "memory ÷ bare model", sizes, "none", [row["memory_ratio"]])


def _first(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if "skipped" in row:
        return
    if "repeats" in row:
        yield Figure(section, row["name"], "CPU time", None, "device", row["repeats"]["cpu_seconds"])
        yield Figure(section, row["name"], "CPU time, stored", None, "device", row["repeats"]["stored_cpu_seconds"])
    yield Figure(section, row["name"], "programs", row.get("texts"), "none", [row["programs"]])


def _solvers(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    sizes = {"players": row["players"], "evaluations": row["evaluations"]}
    yield Figure(section, row["name"], "time", sizes, "device", row["repeats"]["milliseconds"])


def _prompts(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    sizes = {"tokens": row["length"], "coalitions": row["coalitions"]}
    yield Figure(section, row["name"], "packed ÷ whole rows", sizes, "repeats", row["repeats"]["packed"])
    yield Figure(section, row["name"], "prefixes ÷ packed rows", sizes, "repeats", row["repeats"]["prefixes"])
    yield Figure(section, row["name"], "tokens", sizes, "none", [row["tokens"]["prefixes"]])


def _memory(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(section, row["name"], "bytes", row["rows"], "none", [row["bytes"]])


def _growth(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    for size, seconds, size_in_bytes in zip(row["sizes"], row["seconds_each"], row["bytes"], strict=True):
        yield Figure(section, f"{row['name']} {size:,}", "time", size, "device", seconds)
        yield Figure(section, f"{row['name']} {size:,}", "bytes", size, "none", [size_in_bytes])


def _devices(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    for count in ("collectives", "collectives_in_loops", "work_ratio"):
        yield Figure(section, row["name"], count.replace("_", " "), row["inputs"], "none", [row[count]])
    if not row["forced"]:
        yield Figure(section, row["name"], "time", row["inputs"], "device", row["seconds_each"])


def _peers(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if "skipped" in row:
        return
    name = f"{row['name']}, compared with {row['peer']}"
    sizes = {part: row[part] for part in ("inputs", "peer_inputs", "evaluations", "peer_evaluations")}
    pairs = zip(row["seconds_each"], row["peer_seconds_each"], strict=True)
    yield Figure(section, name, "time ÷ the peer's", sizes, "repeats", [ours / theirs for ours, theirs in pairs])


def _accelerator(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if "ratio" in row:
        name, values = f"{row['name']}, {row['dtype']}", row["repeats"]["ratio"]
        yield Figure(section, name, "time ÷ bare model", row["sizes"], "repeats", values)
    else:
        yield from _peers(section, row)


def _errors(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if row["package"] != "xaijax":
        return
    name = f"{row['estimator']} on {row['game']} with {row['budget']} evaluations per player"
    yield Figure(section, name, "error", row["asked"], "seeds", [max(error, LEAST_ERROR) for error in row["errors"]])


_ROWS = {
    "first": _first,
    "overhead": _overhead,
    "networks": _overhead,
    "solvers": _solvers,
    "prompts": _prompts,
    "memory": _memory,
    "growth": _growth,
    "devices": _devices,
    "peers": _peers,
    "accelerator": _accelerator,
    "errors": _errors,
}


FEWEST = 3  # repeats, to estimate their spread
# Of a normal distribution: the distance of the quartiles in standard deviations, and the ratio of the standard errors of
# median and mean.
_QUARTILES, _MEDIAN = 1.349, 1.2533


class Change(NamedTuple):
    """ratio: of the medians, b / a; low, high: its interval, NaN if there are too few repeats."""

    ratio: float
    low: float
    high: float


def change(a: Sequence[float], b: Sequence[float], *, doubt: float, paired: bool = False) -> Change:
    """Returns the ratio of two medians with an interval that misses the true ratio with probability `doubt`.

    The standard errors of the logarithms come from their quartiles, which are robust to a straggler among the repeats. The
    interval is that of Student's distribution with half the usual degrees of freedom, since quartiles of few repeats are
    uncertain. For samples of 5 to 15 normal numbers, the interval misses up to 1.4 times as often as `doubt` says at a
    doubt of 5 %, and up to twice as often at 0.1 %.

    paired: whether a's and b's numbers are pairs, such as errors with the same seeds. The noise is then that of the ratios.
    """
    first, second = (np.log(np.asarray(numbers, np.float64)) for numbers in (a, b))
    if paired:
        ratios = second - first
        middle, error, freedom = float(np.median(ratios)), _error(ratios), (len(ratios) - 1) / 2
        few = len(ratios) < FEWEST
    else:
        middle = float(np.median(second) - np.median(first))
        error = math.hypot(_error(first), _error(second))
        freedom = (len(first) + len(second) - 2) / 2
        few = min(len(first), len(second)) < FEWEST
    if few:
        return Change(math.exp(middle), math.nan, math.nan)
    width = float(stats.t.ppf(1 - doubt / 2, freedom)) * error
    return Change(math.exp(middle), math.exp(middle - width), math.exp(middle + width))


def _error(logarithms: np.ndarray) -> float:
    """Returns the standard error of the median."""
    low, high = np.quantile(logarithms, [0.25, 0.75])
    return float(_MEDIAN * (high - low) / _QUARTILES / math.sqrt(len(logarithms)))
