"""Time of an explanation over the time of the bare model on as many rows, in the same run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from benchmarks._compiling import compiling


@dataclasses.dataclass(frozen=True)
class Case:
    """explain() computes an explanation; bare() makes the ways to evaluate the model alone on as many `rows`.

    The ways hold these rows, which are large: they are made where the case is measured, and let go after it.
    """

    name: str
    rows: int
    explain: Callable[[], Any]
    bare: Callable[[], dict[str, Callable[[], Any]]]
    sizes: dict[str, int]


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """The case's times: medians of interleaved repeats, and the quartiles of the paired ratios.

    Of the ways to evaluate the bare model (at once, in blocks) the one that is faster in the median counts. The first
    explanation is timed with what is compiled for it; the second must find all of it.
    """
    with compiling() as first_compiling:
        first = seconds(case.explain)
    with compiling() as second_compiling:
        second = seconds(case.explain)
    ways = case.bare()
    for bare in ways.values():
        seconds(bare)
    times = interleaved({"": case.explain} | ways, repeats)
    explained = times.pop("")
    best = min(times, key=lambda name: float(np.median(times[name])))
    ratios = np.array(explained) / np.array(times[best])
    quartiles = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {
        "name": case.name,
        "rows": case.rows,
        "sizes": case.sizes,
        "seconds": float(np.median(explained)),
        "bare_seconds": {name: float(np.median(one)) for name, one in times.items()},
        "bare_best": best,
        "ratio": float(quartiles[1]),
        "ratio_quartiles": [float(quartiles[0]), float(quartiles[2])],
        "first_seconds": first,
        "lower_seconds": first_compiling.lower_seconds,
        "compile_seconds": first_compiling.compile_seconds,
        "compilations": first_compiling.compiled,
        "second_seconds": second,
        "second_compilations": second_compiling.compiled + second_compiling.traced,
        "rows_per_second": case.rows / float(np.median(explained)),
        "repeats": {"ratio": ratios.tolist(), "seconds": explained, "bare_seconds": times[best]},
    }


def interleaved(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """The seconds of each, one after another and all over again: what slows the device down slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run))
    return times


def seconds(run: Callable[[], Any]) -> float:
    """The wall-clock time until the result is there."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
