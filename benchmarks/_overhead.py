"""Every case beside its bare model: time, what is compiled, and operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks._flops import flops
from benchmarks._timing import Case, measure


def overhead(
    chosen: list[Case], repeats: int, *, peak: float | None = None, say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """A row for each case.

    peak: operations of the device in a second, of which `peak_fraction` and `bare_peak_fraction` say how much is reached.
    Each row is said as soon as it is there: a whole run takes minutes.
    """
    found = []
    for case in chosen:
        start = time.perf_counter()
        row = measure(case, repeats)
        row |= _operations(case, row, peak)
        say(f"{case.name}: {row['ratio']:.2f} ({time.perf_counter() - start:.0f} s)")
        found.append(row)
    return found


def _operations(case: Case, row: dict[str, Any], peak: float | None) -> dict[str, Any]:
    explained, bare = flops(case.explain), flops(case.bare()[row["bare_best"]])
    seconds = row["bare_seconds"][row["bare_best"]]
    return {
        "flops": explained,
        "bare_flops": bare,
        "flops_ratio": explained / bare if explained and bare else None,
        "peak_fraction": explained / row["seconds"] / peak if explained and peak else None,
        "bare_peak_fraction": bare / seconds / peak if bare and peak else None,
    }
