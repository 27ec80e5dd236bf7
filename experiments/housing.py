"""What the neighbors' status does to a forecast: four rows as force plots, one feature over all rows, all features.

Shapley values of a small Flax regressor, exact, over a background of training rows. Without further arguments for
scikit-learn's diabetes data (442 patients, 10 features, the disease's progression; does a high body mass index push the
forecast up?), with --boston or --openml for the data with which this is usually shown: 506 districts of Boston, 13
features, the median price of a house (Harrison & Rubinfeld 1978); does lstat, the percentage of people of lower status,
push it down? The four rows are those whose lstat is nearest to 4.98 (the first of the table), 1.6, 7.9 and 20.8; of the
patients, those nearest to four quantiles of the body mass index.

The Boston data do not come with this repository, nor with scikit-learn, which withdrew them in version 1.2. They have a
variable b = 1000 (B - 0.63)², B the share of Black residents, which was built on the assumption that racial
self-segregation had a positive effect on the prices of houses; it cannot be inverted, and the study that made it does not
show that the assumption holds. See Carlisle (2019), "Racist data destruction?", https://medium.com/@docintangible/racist-data-destruction-113e3eff54a8.
Here they are a known yardstick of explanations, which show what a model does with such a variable; no prices should be made
with it.

python -m experiments.housing --out out/housing [--boston boston.csv | --openml]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._report import Report
from experiments._tables import Table, boston_from, boston_from_openml, diabetes
from experiments._tour_tables import efficiency_gap, r_squared, train_regressor
from xaijax.plot._dependence import rank_correlation

WITHDRAWN = (
    "A note on these data: scikit-learn withdrew them (deprecated in 1.0, removed in 1.2), because their variable b was "
    "built on the assumption that racial self-segregation had a positive effect on the prices of houses (Carlisle 2019, "
    '"Racist data destruction?"). They serve as a known yardstick of explanations here, and should serve for nothing else.'
)
_LSTAT = (4.98, 1.6, 7.9, 20.8)
_QUANTILES = (0.05, 0.35, 0.65, 0.95)


@dataclasses.dataclass(frozen=True)
class Study:
    """A table, the feature that is looked at, near which values, and how the regressor is trained."""

    title: str
    forecast: str
    load: Any  # from a seed to a Table
    feature: str
    near: tuple[float, ...] | None = None  # None for quantiles
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""


DIABETES = Study("diabetes", "disease progression", diabetes, "bmi", training={"epochs": 40})


def boston(load: Any) -> Study:
    training = {"epochs": 200, "weight_decay": 1e-2, "dropout": 0.1}
    return Study("Boston housing", "price in $1000", load, "lstat", _LSTAT, training, WITHDRAWN)


def nearest(column: np.ndarray, wanted: tuple[float, ...] | None) -> list[int]:
    """The rows whose value is nearest to each of those wanted, or to quantiles, from the smallest value up."""
    values = np.quantile(column, _QUANTILES) if wanted is None else np.array(wanted)
    rows = [int(np.abs(column - value).argmin()) for value in values]
    return sorted(rows, key=lambda row: column[row])


def draw_forces(study: Study, shap: xai.Attribution, names: list[str], units: np.ndarray, rows: list[int]) -> Figure:
    """One force plot for each row, on one scale."""
    values, output = np.asarray(shap.values)[rows], np.asarray(shap.output)[rows]
    least, most = (output - values.clip(min=0).sum(axis=1)).min(), (output - values.clip(max=0).sum(axis=1)).max()
    margin = 0.03 * (most - least)
    figure, axes = plt.subplots(len(rows), 1, figsize=(10, 1.65 * len(rows)), layout="constrained")
    place = names.index(study.feature)
    for ax, row, added in zip(axes, rows, values[:, place], strict=True):
        pushes = f"pushes the {study.forecast.split(' in ')[0]} {'up' if added > 0 else 'down'} by {abs(added):.3g}"
        title = f"{study.feature} = {units[row, place]:.4g} {pushes}"
        limits = (float(least - margin), float(most + margin))
        xai.plot.force(shap, example=row, names=names, inputs=units, ax=ax, title=title, limits=limits)
    for ax in axes[:-1]:
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(axis="x", bottom=False, labelbottom=False)
    axes[-1].set_xlabel(study.forecast, fontsize=9)
    return figure


def explain(study: Study, model: xai.Model, table: Table, report: Report, options: Any, key: Any) -> None:
    """Explains all rows, those of training among them, and writes the figures and what they show."""
    x = np.concatenate([table.train_x, table.test_x])[: options.rows]
    units, place = table.in_units(x), table.names.index(study.feature)
    background, start = xai.mask.background(table.train_x[: options.background]), time.perf_counter()
    evaluations = options.evaluations or 2 ** len(table.names)
    shap = xai.shap.values(model, x, background, key=key, num_evaluations=evaluations)
    added, column = np.asarray(shap.values, np.float64)[:, place], units[:, place]
    report.numbers["seconds of explaining"] = round(time.perf_counter() - start, 1)
    report.numbers |= {"estimator": shap.method, "rows": len(x), "largest gap to efficiency": efficiency_gap(shap)}
    report.say(f"{len(x)} rows explained in {report.numbers['seconds of explaining']:.0f} s: {shap.method}")

    report.step("drawing")
    rows = nearest(column, study.near)
    report.numbers[f"value of {study.feature} at"] = {f"{column[row]:.4g}": float(added[row]) for row in rows}
    for row in rows:
        said = f"{column[row]:>6.4g}: {added[row]:+7.2f}, forecast {float(shap.output[row]):.4g}"
        report.say(f"value of {study.feature} = {said}")
    correlation = rank_correlation(column, added)
    report.numbers[f"rank correlation of {study.feature} and its value"] = correlation
    report.say(f"Spearman's rank correlation of {study.feature} and its value, over all rows: {correlation:+.3f}")
    sizes = np.abs(np.asarray(shap.values, np.float64)).mean(axis=0)
    sizes_by_name = dict(sorted(zip(table.names, sizes.tolist(), strict=True), key=lambda item: -item[1]))
    report.numbers["mean |value|"] = sizes_by_name
    report.say("mean |value|: " + ", ".join(f"{name} {size:.3g}" for name, size in sizes_by_name.items()))

    report.keep("housing_shap", shap)
    figure = draw_forces(study, shap, table.names, units, rows)
    report.figure("housing_force", figure, f"four rows of {study.title}, from low to high {study.feature}")
    common: dict[str, Any] = {"names": table.names, "inputs": units, "title": f"{study.title}: {len(x)} rows"}
    figure, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    xai.plot.dependence(shap, study.feature, color_by="strongest", ax=ax, **common)
    report.figure("housing_dependence", figure, f"what {study.feature} adds to the forecast, over all rows")
    figure, ax = plt.subplots(figsize=(7.0, 1.2 + 0.36 * len(table.names)), layout="constrained")
    xai.plot.beeswarm(shap, top=len(table.names), ax=ax, **common)
    ax.set_xlabel(f"value: what the feature adds to the {study.forecast}", fontsize=9)
    report.figure("housing_summary", figure, "what all features add, over all rows")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Force, dependence and summary plots of a regressor's Shapley values.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--boston", type=Path, metavar="PATH", help="a CSV file of the Boston housing data")
    source.add_argument("--openml", action="store_true", help="the Boston housing data, downloaded from openml.org")
    parser.add_argument("--out", type=Path, default=Path("out/housing"), help="the folder for figures and numbers")
    parser.add_argument(
        "--splits", type=int, default=5, help="random splits that R² is measured on; the first is shown"
    )
    parser.add_argument("--epochs", type=int, help="of training; default: as many as the data take")
    parser.add_argument("--rows", type=int, help="how many rows to explain; default: all")
    parser.add_argument("--background", type=int, default=100, help="training rows that stand in for absent features")
    parser.add_argument("--evaluations", type=int, help="coalitions for each row; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the first split and of the training")
    options = parser.parse_args(arguments)
    study = DIABETES
    if options.openml:
        study = boston(boston_from_openml)
    elif options.boston is not None:
        study = boston(lambda seed: boston_from(options.boston, seed))
    try:
        tables = [study.load(options.seed + split) for split in range(max(1, options.splits))]
    except (ValueError, ConnectionError) as error:
        parser.error(str(error))

    training = study.training if options.epochs is None else study.training | {"epochs": options.epochs}
    with Report(options.out, total=len(tables) + 2) as report:
        if study.note:
            report.say(study.note)
            report.numbers["note"] = study.note
        models = []
        for number, table in enumerate(tables):
            report.step(f"training on split {number + 1}")
            seed = options.seed + number
            models.append(train_regressor(table, jax.random.key(seed), seed, **training))
        found = [r_squared(model, table) for model, table in zip(models, tables, strict=True)]
        report.numbers |= {"data": study.title, "test R²": found[0], "test R², all splits": found}
        unseen = len(tables[0].test_y)
        report.say(
            f"{study.title}: {unseen} unseen rows, test R² {found[0]:.3f}; "
            f"over {len(found)} random splits {np.mean(found):.3f} (from {min(found):.3f} to {max(found):.3f})"
        )
        report.step("explaining")
        explain(study, models[0], tables[0], report, options, jax.random.key(options.seed))
    report.close()


if __name__ == "__main__":
    main()
