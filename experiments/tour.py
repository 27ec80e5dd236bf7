"""The tour: trains four small Flax models on real data and explains them by every method.

python -m experiments.tour --out out/tour
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax

import xaijax as xai
from experiments import _tour_images, _tour_tables, _tour_texts, founding_game
from experiments._report import Report

_STEPS = 11
_ABOUT = (
    "Three workers and their pay, and four small networks trained on real data, explained by every method: which words give "
    "a sentence away, which measurements speak for a malignant tumor or a bad forecast, and where a network sees a digit."
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train small real Flax models and explain them by every method.")
    parser.add_argument("--out", type=Path, default=Path("out/tour"), help="the folder for figures and numbers")
    parser.add_argument("--seed", type=int, default=0, help="of the data, the training and the sampling")
    parser.add_argument("--cache", type=Path, help="keeps compiled programs for the next tour; default: beside --out")
    options = parser.parse_args(arguments)
    xai.scale.compilation_cache(options.cache or options.out.parent / "programs")

    start = time.perf_counter()
    key = jax.random.key(options.seed)
    with Report(options.out, total=_STEPS) as report:
        report.step("the founding game")
        founding_game.explain(report)
        for number, room in enumerate((_tour_texts, _tour_tables, _tour_images)):
            room.visit(report, jax.random.fold_in(key, number), options.seed)
        report.step("writing the report")
        report.page("The tour of xaijax", _ABOUT)
        report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()
    report.say(f"The tour took {report.numbers['seconds']:.0f} seconds.")


if __name__ == "__main__":
    main()
