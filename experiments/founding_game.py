"""The founding example of Shapley values: three workers, and the pay of each team.

v(A) = 4, v(B) = 7, v(C) = 5, v(AB) = 10, v(AC) = 16, v(BC) = 20, v(ABC) = 35

The figure shows the pay of every team, what each worker adds in each of the six orders in which they may join, and the
means over the orders, which are the Shapley values 52/6, 73/6 and 85/6.

python -m experiments.founding_game --out out/founding_game
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

import xaijax as xai
from experiments._report import Report

WORKERS = ("A", "B", "C")
PAY = {"": 0, "A": 4, "B": 7, "C": 5, "AB": 10, "AC": 16, "BC": 20, "ABC": 35}


def pay_of(coalitions: jax.Array) -> jax.Array:
    """Returns the pay v of coalitions [S, 3], as [S]."""
    teams = ["".join(team) for team in itertools.product(*(("", worker) for worker in WORKERS))]
    table = jnp.array([PAY[team] for team in teams], jnp.float32)
    return table[coalitions @ jnp.array([4, 2, 1])]


def contributions() -> dict[str, list[int]]:
    """Returns what each worker adds, for each of the six orders in which they may join."""
    rows = {}
    for order in itertools.permutations(WORKERS):
        added = {}
        for position, worker in enumerate(order):
            before, after = ("".join(sorted(order[:end])) for end in (position, position + 1))
            added[worker] = PAY[after] - PAY[before]
        rows["".join(order)] = [added[worker] for worker in WORKERS]
    return rows


def draw(rows: dict[str, list[int]], attribution: xai.Attribution) -> Figure:
    """Draws the pay, the contributions and the means, from left to right."""
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.2), layout="constrained", width_ratios=[2, 3.2, 5])
    figure.get_layout_engine().set(wspace=0.05)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    pay = [[team or "empty", f"{paid}"] for team, paid in PAY.items()]
    write_table(axes[0], [["team", "v"], *pay], "What each team earns")

    sums = [sum(column) for column in zip(*rows.values(), strict=True)]
    shares = [f"{total}/{len(rows)}" for total in sums]
    added = [[", ".join(order), *(f"{value}" for value in values)] for order, values in rows.items()]
    table = [["order", *WORKERS], *added, ["sum", *map(str, sums)], ["mean", *shares]]
    write_table(axes[1], table, "What each worker adds, in every order", bold_rows=(len(table) - 1,))

    names = [f"worker {worker}: {share}" for worker, share in zip(WORKERS, shares, strict=True)]
    title = "How the 35 are shared: the means are the Shapley values"
    xai.plot.waterfall(attribution.with_names(names), ax=axes[2], title=title)
    return figure


def write_table(ax: Axes, cells: list[list[str]], title: str, bold_rows: tuple[int, ...] = ()) -> None:
    """Draws a table as large as its axes, with the first row and `bold_rows` in bold."""
    ax.set_axis_off()
    ax.set_title(title, fontsize=10)
    table = ax.table(cells, bbox=Bbox.unit(), cellLoc="center")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor("0.85")
        cell.set_facecolor("0.95" if row == 0 or row in bold_rows else "white")
        if row == 0 or row in bold_rows:
            cell.set_text_props(fontweight="bold")


def explain(report: Report) -> xai.Attribution:
    """Computes the Shapley values, and prints, draws and keeps them."""
    rows = contributions()
    means = np.mean(list(rows.values()), axis=0)
    attribution = xai.shap.exact(xai.Game(pay_of, num_players=len(WORKERS))).with_names(WORKERS)

    report.say(f"{'order':<8}" + "".join(f"{worker:>8}" for worker in WORKERS))
    for order, added in rows.items():
        report.say(f"{order:<8}" + "".join(f"{value:>8}" for value in added))
    report.say(f"{'mean':<8}" + "".join(f"{value:>8.3f}" for value in means))
    report.say(f"{'Shapley':<8}" + "".join(f"{float(value):>8.3f}" for value in attribution.values))
    report.numbers["founding game: Shapley values"] = [float(value) for value in attribution.values]
    report.numbers["founding game: mean contributions"] = [float(value) for value in means]

    figure = draw(rows, attribution)
    report.figure("founding_game", figure, "three workers and their pay (exact Shapley values)")
    report.keep("founding_game", attribution)
    report.section(attribution, title="Three workers and their pay", output="the pay")
    return attribution


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The founding example of Shapley values.")
    parser.add_argument("--out", type=Path, default=Path("out/founding_game"), help="the folder for the figure")
    report = Report(parser.parse_args(arguments).out)
    explain(report)
    report.close()


if __name__ == "__main__":
    main()
