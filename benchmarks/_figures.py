"""What of a record can be compared with another: one number or several repeats of it, all of them better when lower."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

LEAST_ERROR = 1e-10  # squared errors below are rounding


class Figure(NamedTuple):
    """values: repeats, or one number that is the same in every run of the same program.

    kind: "ratio", a time over another one of the same repeat; "time", which depends on what else the device does; "error",
    whose repeats are paired by their seeds; "exact", not measured but counted.
    """

    section: str
    name: str
    what: str
    sizes: Any
    kind: str
    values: list[float]


def figures(record: dict[str, Any]) -> Iterator[Figure]:
    """All of a record."""
    for section, of_row in _ROWS.items():
        for row in record.get(section, []):
            yield from of_row(section, row)


def _overhead(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    name, sizes = row["name"], row["sizes"]
    yield Figure(section, name, "time ÷ bare model", sizes, "ratio", row["repeats"]["ratio"])
    yield Figure(section, name, "compiled again", sizes, "exact", [row["second_compilations"]])
    if row.get("flops_ratio") is not None:
        yield Figure(section, name, "operations ÷ bare model", sizes, "exact", [row["flops_ratio"]])


def _solvers(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    sizes = {"players": row["players"], "evaluations": row["evaluations"]}
    yield Figure(section, row["name"], "time", sizes, "time", row["repeats"]["milliseconds"])


def _memory(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(section, row["name"], "bytes", row["rows"], "exact", [row["bytes"]])


def _growth(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    for size, seconds, size_in_bytes in zip(row["sizes"], row["seconds_each"], row["bytes"], strict=True):
        yield Figure(section, f"{row['name']} {size:,}", "time", size, "time", seconds)
        yield Figure(section, f"{row['name']} {size:,}", "bytes", size, "exact", [size_in_bytes])


def _devices(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    for what in ("collectives", "collectives_in_loops", "work_ratio"):
        yield Figure(section, row["name"], what.replace("_", " "), row["inputs"], "exact", [row[what]])
    if not row["forced"]:
        yield Figure(section, row["name"], "time", row["inputs"], "time", row["seconds_each"])


def _peers(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if "skipped" in row:
        return
    name = f"{row['name']}, beside {row['peer']}"
    sizes = {part: row[part] for part in ("inputs", "peer_inputs", "evaluations", "peer_evaluations")}
    pairs = zip(row["seconds_each"], row["peer_seconds_each"], strict=True)
    yield Figure(section, name, "time ÷ the peer's", sizes, "ratio", [ours / theirs for ours, theirs in pairs])


def _accelerator(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if "ratio" in row:
        name, values = f"{row['name']}, {row['dtype']}", row["repeats"]["ratio"]
        yield Figure(section, name, "time ÷ bare model", row["sizes"], "ratio", values)
    else:
        yield from _peers(section, row)


def _errors(section: str, row: dict[str, Any]) -> Iterator[Figure]:
    if row["package"] != "xaijax":
        return
    name = f"{row['estimator']} on {row['game']} with {row['budget']} evaluations a player"
    yield Figure(section, name, "error", row["asked"], "error", [max(one, LEAST_ERROR) for one in row["errors"]])


_ROWS = {
    "overhead": _overhead,
    "solvers": _solvers,
    "memory": _memory,
    "growth": _growth,
    "devices": _devices,
    "peers": _peers,
    "accelerator": _accelerator,
    "errors": _errors,
}
