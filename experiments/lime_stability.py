"""How much another draw changes LIME: xaijax beside the definitions of the package lime, on tables, images and texts.

Each input is explained with many keys, at lime's own kernel width and at a fifth of it, where the surrogate is local.
The truth that errors are measured from is the explanation of 200,000 samples of the same kernel.

python -m experiments.lime_stability --out out/lime_stability   (ten minutes on two cores)
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._digits import load_scenes, train_digit_net
from experiments._report import Report
from experiments._stability import coverage, jaccard, of_keys, relative_error
from experiments._tables import Table, breast_cancer, diabetes
from experiments._texts import PADDING, UNKNOWN, load_corpus
from experiments._tour_tables import train_on_cancer, train_on_diabetes
from experiments._tour_texts import train_on_docstrings

WIDTHS = {"lime's width": 1.0, "a fifth of it": 0.2}
_LIME, _PAPER, _OURS, _PROCESS = "lime", "the paper's sampling", "xaijax", "xaijax, Gaussian process"
_MORE = f"{_LIME}, 5 times the samples"
WAYS: tuple[str, ...] = (_LIME, _PAPER, _OURS, _PROCESS)
_COLORS: dict[str, str] = dict(zip(WAYS, ("#9a9a9a", "#d6a24a", "#3b6fb0", "#7a3f98"), strict=True))


@dataclasses.dataclass(frozen=True)
class Case:
    """Inputs [E, ...] to explain by `explain(inputs, **options)`; width: lime's default for them.

    paper: the options of samples drawn one by one and weighted by the kernel, as in the paper; lime: those of the
    package besides `definitions`; process: whether there is a Gaussian process surrogate (none for the conditions of a
    table).
    """

    inputs: np.ndarray
    explain: Callable[..., xai.Surrogate]
    width: float
    paper: Mapping[str, Any]
    lime: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    process: bool = True

    def options(self, way: str, scale: float) -> dict[str, Any]:
        """lime's kernel is the root of exp(-D²/width²): the same one is sqrt(2) times wider in the paper's formula."""
        if way == _LIME:
            return {"definitions": "lime", "kernel_width": scale * self.width, **self.lime}
        given: dict[str, Any] = {"kernel_width": math.sqrt(2) * scale * self.width}
        if way == _PAPER:
            return given | dict(self.paper)
        return given | ({"surrogate": "gaussian_process"} if way == _PROCESS else {})


def patients(seed: int, examples: int) -> dict[str, Case]:
    """Ten measurements, and how a disease goes on."""
    table = diabetes(seed)
    return _of_table("patients", table, train_on_diabetes(table, jax.random.key(seed), seed), None, examples)


def tumors(seed: int, examples: int) -> dict[str, Case]:
    """Thirty measurements, many of them nearly the same, and the log odds that a tumor is malignant."""
    table = breast_cancer(seed)
    model = train_on_cancer(table, jax.random.key(seed), seed)
    return _of_table("tumors", table, model, lambda logits: logits[:, 0] - logits[:, 1], examples)


def _of_table(name: str, table: Table, model: xai.Model, target: Any, examples: int) -> dict[str, Case]:
    """By the measurements themselves and by the quartiles that these lie in."""
    inputs = table.test_x[:examples]

    def case(bins: str | None, process: bool) -> Case:
        statistics = xai.lime.statistics(table.train_x, bins=bins)
        lime = {"around": "row", "num_features": inputs.shape[1]}

        def explain(x: np.ndarray, **options: Any) -> xai.Surrogate:
            return xai.lime.tabular(model, x, statistics, target=target, **options)

        return Case(inputs, explain, 0.75 * inputs.shape[1] ** 0.5, {"sampling": "independent"}, lime, process)

    return {f"{name}, numbers": case(None, True), f"{name}, quartiles": case("quartile", False)}


def pictures(seed: int, examples: int) -> dict[str, Case]:
    """Digits in photographs, by superpixels."""
    training, test = load_scenes(train_copies=3, seed=seed)
    model = train_digit_net(training, seed)

    def explain(x: np.ndarray, **options: Any) -> xai.Surrogate:
        return xai.lime.image(model, x, target=xai.target.probability(), **options)

    return {"images": Case(test.images[:examples], explain, 0.25, {"sampling": "coins"})}


def sentences(seed: int, examples: int) -> dict[str, Case]:
    """Sentences of two packages' documentation, by words."""
    corpus = load_corpus(vocabulary=2000, seed=seed)
    model = train_on_docstrings(corpus, jax.random.key(seed), seed)
    lengths = (corpus.test_ids > UNKNOWN).sum(axis=1)
    inputs = corpus.test_ids[np.flatnonzero(lengths >= 12)[:examples]]  # long enough for ten words to choose among

    def explain(x: np.ndarray, **options: Any) -> xai.Surrogate:
        return xai.lime.text(model, x, mask_id=UNKNOWN, pad_id=PADDING, target=xai.target.probability(1), **options)

    lime = {"num_features": inputs.shape[1], "sampling": "coins"}  # the same law for all, so that all mean the same
    return {"texts": Case(inputs, explain, 0.25, {"sampling": "coins"}, lime)}


ROOMS = {"patients": patients, "tumors": tumors, "images": pictures, "texts": sentences}


def study(case: Case, *, samples: int, keys: int, reference: int, key: Any) -> dict[str, dict[str, dict[str, float]]]:
    """For each width and way: the relative error, the Jaccard index of the top five, and the coverage of intervals."""
    examples = len(case.inputs)
    repeated = np.repeat(case.inputs, keys, axis=0)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for width, scale in WIDTHS.items():
        found[width] = {}
        options = case.options(_OURS, scale)
        truth = np.asarray(
            case.explain(case.inputs, key=jax.random.fold_in(key, 1), num_samples=reference, **options).values
        )
        for way in WAYS if case.process else WAYS[:-1]:
            options = case.options(way, scale)
            values, errors = of_keys(case.explain(repeated, key=key, num_samples=samples, **options), examples)
            found[width][way] = {
                "relative error": relative_error(values, truth),
                "Jaccard of the top 5": jaccard(values),
                "coverage of 95 %": coverage(values, errors, truth),
            }
        options = case.options(_LIME, scale)
        values, _ = of_keys(case.explain(repeated, key=key, num_samples=5 * samples, **options), examples)
        found[width][_MORE] = {
            "relative error": relative_error(values, truth),
            "Jaccard of the top 5": jaccard(values),
        }
    return found


def say(report: Report, name: str, found: Mapping[str, Any]) -> None:
    for width, ways in found.items():
        for way, numbers in ways.items():
            ratio = numbers["relative error"] / ways[_LIME]["relative error"]
            covered = f", coverage {numbers['coverage of 95 %']:.1%}" if "coverage of 95 %" in numbers else ""
            report.say(
                f"{name}, {width}, {way}: relative error {numbers['relative error']:.3g} ({ratio:.3g} of lime's), "
                f"Jaccard {numbers['Jaccard of the top 5']:.2f}{covered}"
            )


def draw(found: Mapping[str, Any], samples: int) -> Figure:
    """Errors, and how alike the five largest coefficients are from key to key: a column for each width, a row of each model."""
    size = (13.5, 1.9 + 0.85 * len(found))
    figure, axes = plt.subplots(1, 2 * len(WIDTHS), figsize=size, sharey=True, layout="constrained")
    names = {_MORE: f"lime with {5 * samples:,} samples", **{way: way for way in WAYS}}
    panels = {  # the measure, what it is called, and how its numbers are written
        "relative error": ("squared error ÷ squared coefficients", ".1g"),
        "Jaccard of the top 5": ("Jaccard index of the five largest,\nbetween keys", ".2f"),
    }
    for of_measure, (measure, (what, written)) in zip(np.split(axes, len(panels)), panels.items(), strict=True):
        for width, ax in zip(WIDTHS, of_measure, strict=True):
            if ax is not of_measure[0]:
                ax.sharex(of_measure[0])
            values = [[widths[width].get(way, {}).get(measure, np.nan) for way in names] for widths in found.values()]
            xai.plot.intervals(
                values, names=list(found), groups=list(names.values()), colors=["black", *_COLORS.values()],
                log=measure == "relative error", notes=[[f"{value:{written}}" for value in row] for row in values],
                legend=False, ax=ax, title=width,
            )  # fmt: skip
            ax.set_xlabel(what, fontsize=9)
    axes[-1].set_xlim(-0.03, 1.05)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(f"What another draw changes: LIME with {samples:,} samples at the same kernel", fontsize=13)
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How much another draw changes an explanation by LIME.")
    parser.add_argument("--out", type=Path, default=Path("out/lime_stability"), help="the folder for the results")
    parser.add_argument("--rooms", nargs="+", choices=list(ROOMS), default=list(ROOMS), help="which models")
    parser.add_argument("--examples", type=int, default=3, help="inputs of each model")
    parser.add_argument("--keys", type=int, default=20, help="explanations of each input")
    parser.add_argument("--samples", type=int, default=1000, help="model rows for an explanation")
    parser.add_argument("--reference", type=int, default=200_000, help="model rows for what counts as the truth")
    parser.add_argument("--seed", type=int, default=0, help="for training and explaining")
    options = parser.parse_args(arguments)
    if options.keys < 2:
        parser.error("--keys must be at least 2, to say what another draw changes")

    found = {}
    with Report(options.out) as report:
        for room in options.rooms:
            for name, case in ROOMS[room](options.seed, options.examples).items():
                found[name] = study(
                    case, samples=options.samples, keys=options.keys, reference=options.reference,
                    key=jax.random.key(options.seed + 1),
                )  # fmt: skip
                say(report, name, found[name])
        report.numbers |= found
        report.figure("lime_stability", draw(found, options.samples), "what another draw changes, beside lime")
    report.close()


if __name__ == "__main__":
    main()
