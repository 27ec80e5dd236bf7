"""SHAP on housing prices: four rows as force plots, one feature over all rows, and all features.

The study computes exact Shapley values of a small Flax regressor over a background of training rows. By default it uses
scikit-learn's diabetes data (442 patients, 10 features, the disease's progression): does a high body mass index push the
forecast up? With --boston or --openml it uses the data of the literature: 506 districts of Boston, 13 features, the median
price of a house (Harrison & Rubinfeld 1978): does lstat, the percentage of people of lower status, push it down? The four
rows of Boston are those whose lstat is nearest to 4.98 (the first of the table), 1.6, 7.9 and 20.8. The four patients are
those nearest to four quantiles of the body mass index.

Neither this repository nor scikit-learn, which withdrew them in version 1.2, contains the Boston data. They have a
variable b = 1000 (B - 0.63)², where B is the share of Black residents. It was built on the assumption that racial
self-segregation had a positive effect on the prices of houses. It cannot be inverted, and the study that introduced it
does not show that the assumption holds. See Carlisle (2019), "Racist data destruction?",
https://medium.com/@docintangible/racist-data-destruction-113e3eff54a8. Here the data are a known yardstick of explanations,
which show how a model uses such a variable. Do not use the data to set prices.

python -m experiments.housing --out out/housing [--boston boston.csv | --openml]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

import xaijax as xai
from experiments._report import Report, efficiency_gap
from experiments._tables import Table, boston_from, boston_from_openml, diabetes
from experiments._training import r_squared, train_regressor

WITHDRAWN = (
    "A note on these data: scikit-learn withdrew them (deprecated in 1.0, removed in 1.2), because their variable b was "
    "built on the assumption that racial self-segregation had a positive effect on the prices of houses (Carlisle 2019, "
    '"Racist data destruction?"). They serve as a known yardstick of explanations here, and should serve for nothing else.'
)
_LSTAT = (4.98, 1.6, 7.9, 20.8)
_QUANTILES = (0.05, 0.35, 0.65, 0.95)


@dataclasses.dataclass(frozen=True)
class Study:
    """A table, the feature under study with the values to show, and how the regressor is trained."""

    title: str
    forecast: str
    load: Callable[[int], Table]  # of a seed
    feature: str
    near: tuple[float, ...] | None = None  # None: quantiles
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""


DIABETES = Study("diabetes", "disease progression", diabetes, "bmi", training={"epochs": 40})


def boston(load: Callable[[int], Table]) -> Study:
    training = {"epochs": 200, "weight_decay": 1e-2, "dropout": 0.1}
    return Study("Boston housing", "price in $1000", load, "lstat", _LSTAT, training, WITHDRAWN)


def nearest(column: np.ndarray, wanted: tuple[float, ...] | None) -> list[int]:
    """Returns the rows whose values are nearest to the wanted ones, or to quantiles, in ascending order of the values."""
    values = np.quantile(column, _QUANTILES) if wanted is None else np.array(wanted)
    rows = [int(np.abs(column - value).argmin()) for value in values]
    return sorted(rows, key=lambda row: column[row])


def draw_forces(study: Study, shap: xai.Attribution, rows: list[int]) -> Figure:
    """Draws a force plot for each row, all on one scale."""
    values, output = np.asarray(shap.values)[rows], np.asarray(shap.output)[rows]
    least, most = (output - values.clip(min=0).sum(axis=1)).min(), (output - values.clip(max=0).sum(axis=1)).max()
    margin = 0.03 * (most - least)
    figure, axes = plt.subplots(len(rows), 1, figsize=(10, 1.65 * len(rows)), layout="constrained")
    player, inputs = shap.player_names().index(study.feature), np.asarray(shap.inputs)
    for ax, row, added in zip(axes, rows, values[:, player], strict=True):
        pushes = f"pushes the {study.forecast.split(' in ')[0]} {'up' if added > 0 else 'down'} by {abs(added):.3g}"
        title = f"{study.feature} = {inputs[row, player]:.4g} {pushes}"
        limits = (float(least - margin), float(most + margin))
        xai.plot.force(shap, example=row, ax=ax, title=title, limits=limits)
    for ax in axes[:-1]:
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(axis="x", bottom=False, labelbottom=False)
    axes[-1].set_xlabel(study.forecast, fontsize=9)
    return figure


def explain(study: Study, model: xai.Model, table: Table, report: Report, options: Any, key: Any) -> None:
    """Explains all rows, training rows included, and writes the figures and their numbers."""
    x = np.concatenate([table.train_x, table.test_x])[: options.rows]
    units, player = table.in_units(x), table.names.index(study.feature)
    background = xai.mask.background(table.train_x[: options.background], names=table.names)
    start = time.perf_counter()
    evaluations = options.evaluations or 2 ** len(table.names)
    shap = xai.shap.values(model, x, background, key=key, num_evaluations=evaluations).with_names(inputs=units)
    added, column = np.asarray(shap.values, np.float64)[:, player], units[:, player]
    report.numbers["seconds of explaining"] = round(time.perf_counter() - start, 1)
    report.numbers |= {"estimator": shap.estimator, "rows": len(x), "largest gap to efficiency": efficiency_gap(shap)}
    report.say(f"{len(x)} rows explained in {report.numbers['seconds of explaining']:.0f} s: {shap.estimator}")

    report.step("drawing")
    rows = nearest(column, study.near)
    report.numbers[f"value of {study.feature} at"] = {f"{column[row]:.4g}": float(added[row]) for row in rows}
    for row in rows:
        forecast = float(shap.output[row])
        report.say(f"value of {study.feature} = {column[row]:>6.4g}: {added[row]:+7.2f}, forecast {forecast:.4g}")
    correlation = float(np.corrcoef(rankdata(column), rankdata(added))[0, 1])
    report.numbers[f"rank correlation of {study.feature} and its value"] = correlation
    report.say(f"Spearman's rank correlation of {study.feature} and its value, over all rows: {correlation:+.3f}")
    sizes = np.abs(np.asarray(shap.values, np.float64)).mean(axis=0)
    sizes_by_name = dict(sorted(zip(table.names, sizes.tolist(), strict=True), key=lambda item: -item[1]))
    report.numbers["mean |value|"] = sizes_by_name
    report.say("mean |value|: " + ", ".join(f"{name} {size:.3g}" for name, size in sizes_by_name.items()))

    report.keep("housing_shap", shap)
    figure = draw_forces(study, shap, rows)
    report.figure("housing_force", figure, f"four rows of {study.title}, from low to high {study.feature}")
    title = f"{study.title}: {len(x)} rows"
    figure, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    xai.plot.dependence(shap, study.feature, color_by="strongest", ax=ax, title=title)
    report.figure("housing_dependence", figure, f"what {study.feature} adds to the forecast, over all rows")
    figure, ax = plt.subplots(figsize=(7.0, 1.2 + 0.36 * len(table.names)), layout="constrained")
    xai.plot.beeswarm(shap, top=len(table.names), ax=ax, title=title)
    ax.set_xlabel(f"value: what the feature adds to the {study.forecast}", fontsize=9)
    report.figure("housing_summary", figure, "what all features add, over all rows")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Force, dependence and summary plots of a regressor's Shapley values.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--boston", type=Path, metavar="PATH", help="a CSV file of the Boston housing data")
    source.add_argument("--openml", action="store_true", help="the Boston housing data, downloaded from openml.org")
    parser.add_argument("--out", type=Path, default=Path("out/housing"), help="the folder for figures and numbers")
    parser.add_argument(
        "--splits", type=int, default=5, help="random splits for which R² is measured; the first is drawn"
    )
    parser.add_argument("--epochs", type=int, help="epochs of training; default: the number that suits the data")
    parser.add_argument("--rows", type=int, help="number of rows to explain; default: all")
    parser.add_argument("--background", type=int, default=100, help="training rows that replace absent features")
    parser.add_argument("--evaluations", type=int, help="coalitions for each row; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first split and of the training")
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
        scores = [r_squared(model, table) for model, table in zip(models, tables, strict=True)]
        report.numbers |= {"data": study.title, "test R²": scores[0], "test R², all splits": scores}
        unseen = len(tables[0].test_y)
        report.say(
            f"{study.title}: {unseen} unseen rows, test R² {scores[0]:.3f}; "
            f"over {len(scores)} random splits {np.mean(scores):.3f} (from {min(scores):.3f} to {max(scores):.3f})"
        )
        report.step("explaining")
        explain(study, models[0], tables[0], report, options, jax.random.key(options.seed))
    report.close()


if __name__ == "__main__":
    main()
