"""Prints the comparison of explainers as tables on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_COLUMNS = {
    "model": "model",
    "explainer": "explainer",
    "budget": "budget",
    "evaluations": "evaluations",
    "rows_per_second": "rows/s",
    "relative_error": "error",
    "rank_correlation": "rank correlation",
    "relative_spread": "spread",
    "rank_stability": "rank stability",
}
_SHARES = ("relative_error", "relative_spread")


def show(
    summaries: Sequence[dict[str, Any]], agreements: Sequence[dict[str, Any]], console: Console | None = None
) -> None:
    """Prints both tables."""
    from rich.console import Console

    console = console or Console()
    console.print(comparison(summaries))
    if agreements:
        console.print(agreement(agreements))


def comparison(summaries: Sequence[dict[str, Any]]) -> Table:
    """Returns a table with a line for each model, explainer and budget, without columns that are empty."""
    from rich.table import Table

    columns = [name for name in _COLUMNS if any(name in row for row in summaries)]
    caption = (
        "error and spread between keys: root mean square, relative to the truth and to the values; ranks: Spearman's"
    )
    table = Table(title="Explainers", caption=caption)
    for name in columns:
        table.add_column(_COLUMNS[name], justify="left" if name in ("model", "explainer") else "right")
    for row in summaries:
        table.add_row(*(_text(name, row.get(name)) for name in columns))
    return table


def agreement(agreements: Sequence[dict[str, Any]]) -> Table:
    """Returns a table with a line for each pair of explainers, and a column for each budget."""
    from rich.table import Table

    budgets = list(dict.fromkeys(row["budget"] for row in agreements))
    table = Table(title="Agreement: mean Spearman rank correlation")
    for name in ("model", "explainers"):
        table.add_column(name)
    for budget in budgets:
        table.add_column(f"budget {budget:,}", justify="right")
    lines: dict[tuple[str, Any], dict[int, float]] = {}
    for row in agreements:
        lines.setdefault((row["model"], row["explainers"]), {})[row["budget"]] = row["rank_correlation"]
    for (model, explainers), correlations in lines.items():
        table.add_row(model, " - ".join(explainers), *(_text("", correlations.get(budget)) for budget in budgets))
    return table


def _text(name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, str):
        return value
    if name in _SHARES:
        return f"{100 * value:.3g} %"
    if name in ("rows_per_second", "evaluations", "budget"):
        return f"{value:,.0f}"
    return f"{value:.3f}"
