"""The stability of LIME: xaijax compared with the definitions of the package lime, on tables, images and texts.

Each input is explained with many keys, at the kernel width of lime and at a fifth of it, where the surrogate is local.
Errors are relative to the explanation of 200,000 samples with the same kernel.

python -m experiments.lime_stability --out out/lime_stability   (ten minutes on two cores)
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._digits import load_scenes
from experiments._report import Report
from experiments._sentences import PADDING, UNKNOWN, load_corpus
from experiments._tables import Table, breast_cancer, diabetes
from experiments._training import train_digit_net, train_on_cancer, train_on_diabetes, train_on_docstrings

WIDTHS = {"lime's width": 1.0, "a fifth of it": 0.2}
_LIME, _PAPER, _OURS, _PROCESS = "lime", "the paper's sampling", "xaijax", "xaijax, Gaussian process"
_MORE = f"{_LIME}, 5 times the samples"
VARIANTS: tuple[str, ...] = (_LIME, _PAPER, _OURS, _PROCESS)
_COLORS: dict[str, str] = dict(zip(VARIANTS, ("#9a9a9a", "#d6a24a", "#3b6fb0", "#7a3f98"), strict=True))


@dataclasses.dataclass(frozen=True)
class Case:
    """Inputs [E, ...] to explain by `explain(inputs, **options)`; width: lime's default for them.

    paper: the options of independent samples that are weighted by the kernel, as in the paper.
    lime: the options of the package lime, in addition to `definitions`.
    process: whether there is a Gaussian process surrogate (there is none for the conditions of a table).
    """

    inputs: np.ndarray
    explain: Callable[..., xai.Surrogate]
    width: float
    paper: Mapping[str, Any]
    lime: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    process: bool = True

    def options(self, variant: str, scale: float) -> dict[str, Any]:
        """Returns the options of a variant at `scale` times the width.

        The kernel of lime is the root of exp(-D²/width²), so that the same kernel is sqrt(2) times wider in the paper's
        formula.
        """
        if variant == _LIME:
            return {"definitions": "lime", "kernel_width": scale * self.width, **self.lime}
        options: dict[str, Any] = {"kernel_width": math.sqrt(2) * scale * self.width}
        if variant == _PAPER:
            return options | dict(self.paper)
        return options | ({"surrogate": "gaussian_process"} if variant == _PROCESS else {})


def patients(seed: int, examples: int) -> dict[str, Case]:
    """Returns ten measurements of patients, and a forecast of a disease's progression."""
    table = diabetes(seed)
    return _table_cases("patients", table, train_on_diabetes(table, jax.random.key(seed), seed), None, examples)


def tumors(seed: int, examples: int) -> dict[str, Case]:
    """Returns thirty measurements of tumors, many of them correlated, and the log odds of malignant."""
    table = breast_cancer(seed)
    model = train_on_cancer(table, jax.random.key(seed), seed)
    return _table_cases("tumors", table, model, lambda logits: logits[:, 0] - logits[:, 1], examples)


def _table_cases(name: str, table: Table, model: xai.Model, target: Any, examples: int) -> dict[str, Case]:
    """Returns a case of the measurements themselves, and one of their quartiles."""
    inputs = table.test_x[:examples]

    def case(bins: str | None, process: bool) -> Case:
        statistics = xai.lime.statistics(table.train_x, bins=bins)
        lime = {"around": "row", "num_features": inputs.shape[1]}

        def explain(x: np.ndarray, **options: Any) -> xai.Surrogate:
            return xai.lime.tabular(model, x, statistics, target=target, **options)

        return Case(inputs, explain, 0.75 * inputs.shape[1] ** 0.5, {"sampling": "independent"}, lime, process)

    return {f"{name}, numbers": case(None, True), f"{name}, quartiles": case("quartile", False)}


def pictures(seed: int, examples: int) -> dict[str, Case]:
    """Returns digits in photographs, explained by superpixels."""
    training, test = load_scenes(train_copies=3, seed=seed)
    model = train_digit_net(training, seed)

    def explain(x: np.ndarray, **options: Any) -> xai.Surrogate:
        return xai.lime.image(model, x, target=xai.target.probability(), **options)

    return {"images": Case(test.images[:examples], explain, 0.25, {"sampling": "coins"})}


def sentences(seed: int, examples: int) -> dict[str, Case]:
    """Returns sentences of two packages' documentation, explained by words."""
    corpus = load_corpus(vocabulary=2000, seed=seed)
    model = train_on_docstrings(corpus, jax.random.key(seed), seed)
    lengths = (corpus.test_ids > UNKNOWN).sum(axis=1)
    inputs = corpus.test_ids[np.flatnonzero(lengths >= 12)[:examples]]  # long enough for a choice of ten words

    def explain(x: np.ndarray, **options: Any) -> xai.Surrogate:
        return xai.lime.text(model, x, mask_id=UNKNOWN, pad_id=PADDING, target=xai.target.probability(1), **options)

    # The samples have one distribution for all variants, so that they estimate the same coefficients.
    lime = {"num_features": inputs.shape[1], "sampling": "coins"}
    return {"texts": Case(inputs, explain, 0.25, {"sampling": "coins"}, lime)}


MODELS = {"patients": patients, "tumors": tumors, "images": pictures, "texts": sentences}


def study(case: Case, *, samples: int, keys: int, reference: int, key: Any) -> dict[str, dict[str, dict[str, float]]]:
    """Returns for each width and variant the relative error, the Jaccard index of the top five and the coverage."""
    examples = len(case.inputs)
    repeated = np.repeat(case.inputs, keys, axis=0)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for width, scale in WIDTHS.items():
        scores[width] = {}
        options = case.options(_OURS, scale)
        truth = np.asarray(
            case.explain(case.inputs, key=jax.random.fold_in(key, 1), num_samples=reference, **options).values
        )
        for variant in VARIANTS if case.process else VARIANTS[:-1]:
            options = case.options(variant, scale)
            values, errors = of_keys(case.explain(repeated, key=key, num_samples=samples, **options), examples)
            scores[width][variant] = {
                "relative error": relative_error(values, truth),
                "Jaccard of the top 5": jaccard(values),
                "coverage of 95 %": coverage(values, errors, truth),
            }
        options = case.options(_LIME, scale)
        values, _ = of_keys(case.explain(repeated, key=key, num_samples=5 * samples, **options), examples)
        scores[width][_MORE] = {
            "relative error": relative_error(values, truth),
            "Jaccard of the top 5": jaccard(values),
        }
    return scores


def say(report: Report, name: str, scores: Mapping[str, Any]) -> None:
    for width, variants in scores.items():
        for variant, numbers in variants.items():
            ratio = numbers["relative error"] / variants[_LIME]["relative error"]
            covered = f", coverage {numbers['coverage of 95 %']:.1%}" if "coverage of 95 %" in numbers else ""
            report.say(
                f"{name}, {width}, {variant}: relative error {numbers['relative error']:.3g} ({ratio:.3g} of lime's), "
                f"Jaccard {numbers['Jaccard of the top 5']:.2f}{covered}"
            )


def draw(scores: Mapping[str, Any], samples: int) -> Figure:
    """Draws errors and Jaccard indices: a column for each width, a row for each model."""
    size = (13.5, 1.9 + 0.85 * len(scores))
    figure, axes = plt.subplots(1, 2 * len(WIDTHS), figsize=size, sharey=True, layout="constrained")
    names = {_MORE: f"lime with {5 * samples:,} samples", **{variant: variant for variant in VARIANTS}}
    panels = {  # the measure: its label, and the format of its numbers
        "relative error": ("squared error ÷ squared coefficients", ".1g"),
        "Jaccard of the top 5": ("Jaccard index of the five largest,\nbetween keys", ".2f"),
    }
    for of_measure, (measure, (label, written)) in zip(np.split(axes, len(panels)), panels.items(), strict=True):
        for width, ax in zip(WIDTHS, of_measure, strict=True):
            if ax is not of_measure[0]:
                ax.sharex(of_measure[0])
            values = [[widths[width].get(key, {}).get(measure, np.nan) for key in names] for widths in scores.values()]
            xai.plot.intervals(
                values, names=list(scores), groups=list(names.values()), colors=["black", *_COLORS.values()],
                log=measure == "relative error", notes=[[f"{value:{written}}" for value in row] for row in values],
                legend=False, ax=ax, title=width,
            )  # fmt: skip
            ax.set_xlabel(label, fontsize=9)
    axes[-1].set_xlim(-0.03, 1.05)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(f"How much LIME changes from draw to draw: {samples:,} samples of the same kernel", fontsize=13)
    return figure


def relative_error(values: np.ndarray, truth: np.ndarray) -> float:
    """Returns the mean squared error over keys and examples, relative to the square of each example's coefficients.

    values: [E, K, M] coefficients for E examples and K keys; truth: [E, M] the coefficients of very many samples.
    """
    values, truth = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    return float((((values - truth[:, None]) ** 2).sum(axis=2) / (truth**2).sum(axis=1)[:, None]).mean())


def jaccard(values: np.ndarray, top: int = 5) -> float:
    """Returns the Jaccard index of the `top` largest coefficients of two keys, averaged over pairs of keys."""
    first = np.argsort(-np.abs(values), axis=2, kind="stable")[:, :, :top]
    shares = [
        len(set(players) & set(others)) / len(set(players) | set(others))
        for example in first
        for players, others in itertools.combinations(example.tolist(), 2)
    ]
    return float(np.mean(shares))


def coverage(values: np.ndarray, errors: np.ndarray, truth: np.ndarray) -> float:
    """Returns the share of 95 % intervals that contain the truth. Players that are padding (error 0) have no interval."""
    inside = np.abs(values - truth[:, None]) <= 1.96 * errors
    return float(inside[errors > 0].mean())


def of_keys(surrogates: xai.Surrogate, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns coefficients and standard errors [E, K, M] of E examples that were repeated K times each."""
    values, errors = np.asarray(surrogates.values), np.asarray(surrogates.std_errors)
    return values.reshape(examples, -1, values.shape[1]), errors.reshape(examples, -1, values.shape[1])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How much an explanation by LIME changes from draw to draw.")
    parser.add_argument("--out", type=Path, default=Path("out/lime_stability"), help="the folder for the results")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="models to explain")
    parser.add_argument("--examples", type=int, default=3, help="inputs of each model")
    parser.add_argument("--keys", type=int, default=20, help="explanations of each input")
    parser.add_argument("--samples", type=int, default=1000, help="model rows for an explanation")
    parser.add_argument("--reference", type=int, default=200_000, help="model rows for the reference")
    parser.add_argument("--seed", type=int, default=0, help="seed of training and explaining")
    options = parser.parse_args(arguments)
    if options.keys < 2:
        parser.error(f"--keys must be at least 2, got {options.keys}: a single key has no spread")

    scores = {}
    with Report(options.out) as report:
        for model in options.models:
            for name, case in MODELS[model](options.seed, options.examples).items():
                scores[name] = study(
                    case, samples=options.samples, keys=options.keys, reference=options.reference,
                    key=jax.random.key(options.seed + 1),
                )  # fmt: skip
                say(report, name, scores[name])
        report.numbers |= scores
        report.figure("lime_stability", draw(scores, options.samples), "the stability of LIME, compared with lime")
    report.close()


if __name__ == "__main__":
    main()
