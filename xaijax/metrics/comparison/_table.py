"""Prints a comparison of explainers by several metrics on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ARROWS = {"higher": "↑", "lower": "↓", "": ""}


def show(
    records: Sequence[dict[str, Any]],
    ranks: Sequence[dict[str, Any]],
    explainers: Sequence[str],
    agreement: Mapping[str, Any],
    level: float,
    console: Console | None = None,
) -> None:
    """Prints both tables."""
    from rich.console import Console

    console = console or Console()
    console.print(scores(records, ranks, level))
    if agreement:
        console.print(agreements(explainers, agreement["rank_correlation"]))


def scores(records: Sequence[dict[str, Any]], ranks: Sequence[dict[str, Any]], level: float) -> Table:
    """Returns a table with a line for each explainer, the best mean rank first, and a column for each metric."""
    from rich.table import Table

    better = {record["metric"]: record["better"] for record in records}
    caption = f"mean over examples ± half of its {level:.0%} interval; ↑ higher is better, ↓ lower is; * best"
    table = Table(title="Explainers by metric", caption=caption)
    table.add_column("explainer")
    for metric, direction in better.items():
        table.add_column(f"{metric} {_ARROWS[direction]}".strip(), justify="right")
    table.add_column("mean rank", justify="right")
    cells = {(record["explainer"], record["metric"]): record for record in records}
    best = {metric: _best(records, metric) for metric in better}
    for rank in ranks:
        name = rank["explainer"]
        own = (_cell(cells[name, metric], best[metric]) for metric in better)
        table.add_row(name, *own, _number(rank["mean_rank"], "{:.1f}"))
    return table


def agreements(explainers: Sequence[str], agreement: Any) -> Table:
    """Returns the matrix of rank correlations between explainers."""
    from rich.table import Table

    table = Table(title="Agreement: mean Spearman rank correlation")
    for name in ("", *explainers):
        table.add_column(name, justify="right" if name else "left")
    for name, row in zip(explainers, agreement.value, strict=True):
        table.add_row(name, *(_number(value, "{:.2f}") for value in row))
    return table


def _best(records: Sequence[dict[str, Any]], metric: str) -> float:
    """Returns the rank of the best by a metric: 1, or more where several share it; NaN without ranks."""
    ranks = [record["rank"] for record in records if record["metric"] == metric and not np.isnan(record["rank"])]
    return min(ranks, default=float("nan"))


def _cell(record: Mapping[str, Any], best: float) -> str:
    half = (record["high"] - record["low"]) / 2
    text = _number(record["mean"], "{:.3g}")
    if not np.isnan(half):
        text += f" ± {half:.2g}"
    return text + ("*" if record["rank"] == best else " ")


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else form.format(value)
