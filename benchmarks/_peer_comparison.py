"""Explanations per second of two packages on the same model and inputs, timed alternately in one run."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.table import Table

from benchmarks._timing import repeated
from experiments._error_tables import LEAST_ERROR


class Side(NamedTuple):
    """run() explains `inputs` inputs with `evaluations` evaluations of the model's game for each."""

    run: Callable[[], Any]
    inputs: int
    evaluations: int


def compare_with_peer(
    name: str,
    peer: str,
    ours: Side,
    theirs: Side,
    *,
    repeats: int,
    errors: Callable[[], tuple[float, float]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Returns a row of the comparison: medians of interleaved repeats that begin with either side in turn.

    Args:
      name: the explainer and the model.
      peer: the other package and its explainer.
      ours, theirs: the timed sides. Each runs once before the repeats.
      repeats: number of repeats, at most: see `_timing.repeated`.
      errors: returns the mean squared errors of ours and theirs, relative to the square of the exact values, at these
        evaluations; None where these are unknown. It is called after the first calls are timed. Errors of sampling
        fall as 1/n, so that an estimator with k times the error needs k times the evaluations for the same error:
        `times_faster_at_equal_error` follows this law.
      more: further fields of the row.

    Returns:
      explanations_per_second of both; times_faster, the ratio at equal evaluations (where the counts differ it is scaled
      by them), with quartiles; wins, "xaijax", the peer, or "neither" if the quartiles are on both sides of 1; the
      same at equal error, None if that is unknown; the raw seconds_each of both, and their first calls.
    """
    firsts = [_seconds(side.run) for side in (ours, theirs)]
    seconds: tuple[list[float], list[float]] = ([], [])

    def measure(repeat: int) -> None:
        for number in (0, 1) if repeat % 2 == 0 else (1, 0):
            seconds[number].append(_seconds((ours, theirs)[number].run))

    repeated(measure, repeats)
    each = [np.array(taken) / side.inputs for taken, side in zip(seconds, (ours, theirs), strict=True)]
    low, ratio, high = np.quantile(each[1] / each[0] * ours.evaluations / theirs.evaluations, [0.25, 0.5, 0.75])
    row = {
        "name": name,
        "peer": peer,
        "inputs": ours.inputs,
        "peer_inputs": theirs.inputs,
        "evaluations": ours.evaluations,
        "peer_evaluations": theirs.evaluations,
        "explanations_per_second": float(1 / np.median(each[0])),
        "peer_explanations_per_second": float(1 / np.median(each[1])),
        "times_faster": float(ratio),
        "times_faster_quartiles": [float(low), float(high)],
        "wins": _winner(low, high, peer),
        "seconds": float(np.median(seconds[0])),
        "seconds_each": seconds[0],
        "peer_seconds": float(np.median(seconds[1])),
        "peer_seconds_each": seconds[1],
        "first_seconds": firsts[0],
        "peer_first_seconds": firsts[1],
        "error": None,
        "peer_error": None,
        "times_faster_at_equal_error": None,
        "wins_at_equal_error": None,
    }
    if errors is not None:
        row |= _at_equal_error(np.array([low, ratio, high]), errors(), peer, ours.evaluations / theirs.evaluations)
    return row | more


def missing(*packages: str) -> str | None:
    """Returns a sentence if any of these packages is not installed."""
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    if not absent:
        return None
    names = f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed"
    return f"{names}: the extra `peers` names the versions, and .ci/run shows how they are installed."


def skipped(peer: str, sentence: str) -> dict[str, Any]:
    """Returns the row that states why there is no comparison."""
    return {"name": f"compared with {peer}", "peer": peer, "skipped": sentence}


def table(rows: list[dict[str, Any]]) -> Table:
    """Returns a line for each row; skipped comparisons are named below."""
    table = Table(
        title="explanations per second compared with the peers, on one model, in one run; (peer): the peer wins",
        caption="\n".join(
            ["at equal error: measured errors at these evaluations, scaled by the 1/n law"]
            + [f"{row['name']}: {row['skipped']}" for row in rows if "skipped" in row]
        ),
    )
    left = ("explanation", "peer")
    for name in (
        *left, "evaluations", "xaijax", "theirs", "times faster", "quartiles", "errors", "at equal error", "first call"
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in left else "right")
    for row in rows:
        if "skipped" in row:
            continue
        low, high = row["times_faster_quartiles"]
        table.add_row(
            row["name"],
            row["peer"],
            _both(f"{row['evaluations']:,}", f"{row['peer_evaluations']:,}"),
            f"{row['explanations_per_second']:,.4g}",
            f"{row['peer_explanations_per_second']:,.4g}",
            _marked(f"{row['times_faster']:.3g}", row["wins"], row["peer"]),
            f"{low:.3g}-{high:.3g}",
            "" if row["error"] is None else f"{row['error']:.1e}, {row['peer_error']:.1e}",
            _equal_error(row),
            f"{row['first_seconds']:.1f}, {row['peer_first_seconds']:.1f} s",
        )
    return table


def quietly(run: Callable[[], Any]) -> Any:
    """Calls run() without the progress bars of the peers."""
    with contextlib.redirect_stderr(io.StringIO()):
        return run()


def squared_error(values: Any, truth: Any) -> float:
    """Returns the squared error divided by the square of the exact values, over all inputs."""
    values, truth = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    if values.shape != truth.shape:
        raise ValueError(f"`values` must have the shape {list(truth.shape)} of `truth`, got {list(values.shape)}.")
    return float(((values - truth) ** 2).sum() / (truth**2).sum())


def spread(first: Any, second: Any) -> float:
    """Returns the variance of an estimator relative to its square, from two runs with different seeds.

    Half the squared difference of the runs estimates the variance.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(((first - second) ** 2).sum() / (first**2 + second**2).sum())


def _at_equal_error(ratios: np.ndarray, errors: tuple[float, float], peer: str, evaluations: float) -> dict[str, Any]:
    """Returns the comparison at equal error: the time to an error is time times error.

    `ratios` are scaled to equal evaluations, which is undone here.
    """
    ours, theirs = errors
    if not all(map(math.isfinite, errors)):  # the exact values are 0
        return {}
    row: dict[str, Any] = {"error": ours, "peer_error": theirs}
    if min(errors) < LEAST_ERROR:  # rounding errors, which more evaluations do not reduce
        exact = [side for side, error in (("xaijax", ours), (peer, theirs)) if error < LEAST_ERROR]
        return row | {"wins_at_equal_error": exact[0] if len(exact) == 1 else None}
    low, ratio, high = ratios / evaluations * theirs / ours
    return row | {"times_faster_at_equal_error": float(ratio), "wins_at_equal_error": _winner(low, high, peer)}


def _winner(low: float, high: float, peer: str) -> str:
    return "xaijax" if low > 1 else peer if high < 1 else "neither"


def _equal_error(row: dict[str, Any]) -> str:
    if row["times_faster_at_equal_error"] is not None:
        return _marked(f"{row['times_faster_at_equal_error']:.3g}", row["wins_at_equal_error"], row["peer"])
    if row["wins_at_equal_error"] is not None:
        return _marked("exact", row["wins_at_equal_error"], row["peer"])
    return ""


def _marked(text: str, winner: str, peer: str) -> str:
    return f"{text} (peer)" if winner == peer else text


def _both(ours: str, theirs: str) -> str:
    return ours if ours == theirs else f"{ours}, {theirs}"


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(quietly(run))
    return time.perf_counter() - start
