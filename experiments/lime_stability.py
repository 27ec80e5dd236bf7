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
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

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


def tumours(seed: int, examples: int) -> dict[str, Case]:
    """Thirty measurements, many of them nearly the same, and the log odds that a tumour is malignant."""
    table = breast_cancer(seed)
    model = train_on_cancer(table, jax.random.key(seed), seed)
    return _of_table("tumours", table, model, lambda logits: logits[:, 0] - logits[:, 1], examples)


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


ROOMS = {"patients": patients, "tumours": tumours, "images": pictures, "texts": sentences}


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
        found[width][f"{_LIME}, 5 times the samples"] = {
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
    """Above, errors; below, how alike the five largest coefficients are from key to key."""
    figure, axes = plt.subplots(
        2, len(found), figsize=(3.1 * len(found) + 0.6, 6.8), layout="constrained", squeeze=False
    )
    lowest = min(
        numbers["relative error"] for widths in found.values() for ways in widths.values() for numbers in ways.values()
    )
    for (name, widths), (above, below) in zip(found.items(), axes.T, strict=True):
        for place, ways in enumerate(widths.values()):
            bars = [way for way in WAYS if way in ways]
            for number, way in enumerate(bars):
                at = place + 0.2 * (number - (len(bars) - 1) / 2)
                error = ways[way]["relative error"]
                above.plot(at, error, "o", markersize=9, color=_COLORS[way])
                above.annotate(f"{error:.1g}", (at, error), (0, 7), textcoords="offset points", ha="center", fontsize=7)
                below.bar(at, ways[way]["Jaccard of the top 5"], 0.18, color=_COLORS[way])
            more = ways[f"{_LIME}, 5 times the samples"]["Jaccard of the top 5"]
            below.hlines(more, place - 0.42, place + 0.42, color="black", linestyle="--", linewidth=1.2)
        above.set(yscale="log", ylim=(lowest / 2, 5), xlim=(-0.5, len(widths) - 0.5))
        above.grid(axis="y", color="#dddddd")
        above.set_title(name)
        below.set_ylim(0, 1.05)
        for ax in (above, below):
            ax.set_xticks(range(len(widths)), list(widths))
            ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("squared error ÷ squared coefficients")
    axes[1, 0].set_ylabel("Jaccard index of the five largest\nbetween keys")
    handles = [Patch(color=color) for color in _COLORS.values()]
    line = Line2D([], [], color="black", linestyle="--")
    labels = [*_COLORS, f"lime with {5 * samples:,} samples"]
    figure.legend([*handles, line], labels, loc="outside lower center", ncols=5, frameon=False)
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
