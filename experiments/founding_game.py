"""The founding example: three workers, what each team earns, and who is worth how much.

v(A) = 4, v(B) = 7, v(C) = 5, v(AB) = 10, v(AC) = 16, v(BC) = 20, v(ABC) = 35

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

import xaijax as xai
from experiments._report import Report

WORKERS = ("A", "B", "C")
PAY = {"": 0, "A": 4, "B": 7, "C": 5, "AB": 10, "AC": 16, "BC": 20, "ABC": 35}


def pay_of(coalitions: jax.Array) -> jax.Array:
    """v: coalitions[S, 3] -> [S]."""
    teams = ["".join(team) for team in itertools.product(*(("", worker) for worker in WORKERS))]
    table = jnp.array([PAY[team] for team in teams], jnp.float32)
    return table[coalitions @ jnp.array([4, 2, 1])]


def contributions() -> dict[str, list[int]]:
    """What each worker adds, in each of the six orders in which they may come."""
    rows = {}
    for order in itertools.permutations(WORKERS):
        added = {}
        for place, worker in enumerate(order):
            before, after = ("".join(sorted(order[:end])) for end in (place, place + 1))
            added[worker] = PAY[after] - PAY[before]
        rows["".join(order)] = [added[worker] for worker in WORKERS]
    return rows


def explain(report: Report) -> xai.Attribution:
    rows = contributions()
    means = np.mean(list(rows.values()), axis=0)
    attribution = xai.shap.exact(xai.Game(pay_of, num_players=len(WORKERS)))

    report.say(f"{'order':<8}" + "".join(f"{worker:>8}" for worker in WORKERS))
    for order, added in rows.items():
        report.say(f"{order:<8}" + "".join(f"{value:>8}" for value in added))
    report.say(f"{'mean':<8}" + "".join(f"{value:>8.3f}" for value in means))
    report.say(f"{'Shapley':<8}" + "".join(f"{float(value):>8.3f}" for value in attribution.values))
    report.numbers["founding game: Shapley values"] = [float(value) for value in attribution.values]

    figure, ax = plt.subplots(figsize=(6, 2.2), layout="constrained")
    names = [f"worker {worker}" for worker in WORKERS]
    xai.plot.waterfall(attribution, names=names, ax=ax, title="Who earns the 35? (exact Shapley values)")
    report.figure("founding_game", figure, "three workers and their pay (exact Shapley values)")
    report.keep("founding_game", attribution)
    return attribution


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The founding example of Shapley values.")
    parser.add_argument("--out", type=Path, default=Path("out/founding_game"), help="the folder for the figure")
    report = Report(parser.parse_args(arguments).out)
    explain(report)
    report.close()


if __name__ == "__main__":
    main()
