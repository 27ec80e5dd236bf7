"""Time of an explanation over the time of the bare model on as many rows, in the same run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """explain() computes an explanation; bare() the model alone on the `rows` that the explanation must evaluate."""

    name: str
    rows: int
    explain: Callable[[], Any]
    bare: dict[str, Callable[[], Any]]
    sizes: dict[str, int]


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """The case's times: medians of interleaved repeats, and the quartiles of the paired ratios.

    Of the ways to evaluate the bare model (at once, in blocks) the one that is faster in the median counts.
    """
    first = _seconds(case.explain)
    second = _seconds(case.explain)
    for bare in case.bare.values():
        _seconds(bare)
    explained: list[float] = []
    bared: dict[str, list[float]] = {name: [] for name in case.bare}
    for _ in range(repeats):
        explained.append(_seconds(case.explain))
        for name, bare in case.bare.items():
            bared[name].append(_seconds(bare))
    best = min(bared, key=lambda name: float(np.median(bared[name])))
    ratios = np.array(explained) / np.array(bared[best])
    quartiles = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {
        "name": case.name,
        "rows": case.rows,
        "sizes": case.sizes,
        "seconds": float(np.median(explained)),
        "bare_seconds": {name: float(np.median(times)) for name, times in bared.items()},
        "bare_best": best,
        "ratio": float(quartiles[1]),
        "ratio_quartiles": [float(quartiles[0]), float(quartiles[2])],
        "first_seconds": first,
        "second_seconds": second,
        "rows_per_second": case.rows / float(np.median(explained)),
    }


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
