"""The printed tables of a run: overheads, programs, parts, solvers and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

Rows = list[dict[str, Any]]
_PARTS = ("model", "map", "drawing", "regions", "masks", "solving", "drawing and solving", "resize", "rest")


def overhead_table(rows: Rows) -> Table:
    table = _table(
        "time of the explanation ÷ time of the bare jitted model on as many rows (1.0 is the limit)",
        ("explanation", "bare model"),
        ("explanation", "rows", "ratio", "quartiles", "seconds", "rows/s", "memory", "bare model"),
        caption="memory: the planned peak ÷ that of the bare model, where it is measured",
    )
    for row in rows:
        low, high = row["ratio_quartiles"]
        table.add_row(
            row["name"],
            f"{row['rows']:,}",
            f"{row['ratio']:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{row['seconds']:.3f}",
            f"{row['rows_per_second']:,.0f}",
            f"{row['memory_ratio']:.2f}" if "memory_ratio" in row else "",
            row["bare_best"],
        )
    return table


def programs_table(rows: Rows) -> Table:
    table = _table(
        "programs: compilation, and operations ÷ those of the bare model by XLA's cost analysis, with the share of the peak",
        ("explanation",),
        (
            "explanation",
            "first call",
            "compiling",
            "second call",
            "compiled again",
            "operations",
            "of peak",
            "bare model's",
        ),
        caption="peak: the fastest of several float32 matrix products, measured in this run",
    )
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['first_seconds']:.1f} s",
            f"{row['lower_seconds'] + row['compile_seconds']:.1f} s",
            f"{row['second_seconds']:.3f} s",
            f"{row['second_compilations']}",
            _known(row["flops_ratio"], "{:.2f}"),
            _known(row["peak_fraction"], "{:.1%}"),
            _known(row["bare_peak_fraction"], "{:.1%}"),
        )
    return table


def parts_table(rows: Rows) -> Table:
    shown = [part for part in _PARTS if any(part in row["parts"] for row in rows)]
    table = _table(
        "parts of the time: milliseconds of the whole, and shares",
        ("explanation",),
        ("explanation", "whole", *shown),
        caption="parts are medians of differences within a repeat: below zero means within the noise of the other parts",
    )
    for row in rows:
        shares = {part: f"{seconds / row['whole']:.0%}" for part, seconds in row["parts"].items()}
        table.add_row(row["name"], f"{1e3 * row['whole']:,.3g}", *(shares.get(part, "") for part in shown))
    return table


def solvers_table(rows: Rows) -> Table:
    table = _table(
        "time of Shapley solvers after the coalitions are evaluated, for each input and output",
        ("solver",),
        ("solver", "players", "evaluations", "time", "constants, once"),
    )
    for row in rows:
        table.add_row(
            row["solver"],
            f"{row['players']}",
            f"{row['evaluations']:,}",
            f"{row['milliseconds']:.2f} ms",
            f"{row['constants_seconds']:.2f} s",
        )
    return table


def memory_table(rows: Rows) -> Table:
    table = _table(
        "temporary memory of permutation SHAP, 20 inputs of 30 features",
        (),
        ("batch_size", "background", "permutations", "model rows", "memory", "all rows at once"),
    )
    for row in rows:
        table.add_row(
            f"{row['batch_size']:,}",
            f"{row['background']:,}",
            f"{row['permutations']:,}",
            f"{row['rows']:,}",
            f"{row['bytes'] / 1e6:.1f} MB",
            f"{row['bytes_at_once'] / 1e9:,.1f} GB",
        )
    return table


def _table(title: str, left: Sequence[str], columns: Sequence[str], caption: str | None = None) -> Table:
    """Returns an empty table with numbers aligned to the right."""
    table = Table(title=title, caption=caption)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def _known(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)
