"""The tour's second room: two tables (SHAP and LIME)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import xaijax as xai
from experiments._networks import TableNet
from experiments._report import Report
from experiments._tables import Table, breast_cancer, diabetes
from experiments._train import cross_entropy, train


def visit(report: Report, key: Any, seed: int) -> None:
    report.step("training on breast cancer")
    _cancer(report, key, seed)
    report.step("training on diabetes")
    _diabetes(report, key, seed)


def _cancer(report: Report, key: Any, seed: int) -> None:
    table = breast_cancer(seed)
    model = train_on_cancer(table, key, seed)
    predicted = np.asarray(model(table.test_x).argmax(axis=1))
    accuracy = float((predicted == table.test_y).mean())
    report.numbers["breast cancer: test accuracy"] = accuracy
    report.say(f"breast cancer: {len(predicted)} unseen tumors, test accuracy {accuracy:.1%}")

    report.step("explaining breast cancer")
    malignant = lambda logits: logits[:, 0] - logits[:, 1]  # noqa: E731  (the log odds)
    background = xai.mask.background(table.train_x[:100])
    shap = xai.shap.values(model, table.test_x, background, key=key, target=malignant)
    lime = xai.lime.tabular(
        model, table.test_x, xai.lime.statistics(table.train_x), key=key, target=malignant, num_samples=2000
    )
    case = int(np.argmin(jnp.abs(shap.output - 2)))  # a suspicion, not a certainty
    report.numbers["breast cancer: SHAP, largest gap to efficiency"] = efficiency_gap(shap)
    report.numbers["breast cancer: LIME local R², mean"] = float(lime.r_squared.mean())
    report.keep("breast_cancer_shap", shap)
    report.keep("breast_cancer_lime", lime)
    units = table.in_units(table.test_x)
    common = {"output": "the log odds of malignant", "names": table.names, "examples": [case], "key": key}
    report.section(
        shap, title="Why a tumor may be malignant", inputs=units, options={"background": "100 training rows"}, **common
    )
    report.section(lime, title="The same by a line around it", options={"num_samples": 2000}, **common)

    figure, ax = plt.subplots(figsize=(7.6, 4.8), layout="constrained")
    xai.plot.waterfall(shap, example=case, names=table.names, inputs=units, ax=ax)
    ax.set_title("Why this tumor may be malignant (log odds, SHAP)", fontsize=10)
    report.figure("breast_cancer_waterfall", figure, "one tumor, from the average to its log odds (SHAP)")

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    xai.plot.bars(shap, example=None, names=table.names, ax=axes[0], title="SHAP: mean |value| over the test set")
    xai.plot.bars(lime, example=case, names=table.names, ax=axes[1])
    axes[1].set_title(f"LIME for the same tumor\n{axes[1].get_title().partition(chr(10))[2]}", fontsize=10)
    report.figure("breast_cancer_bars", figure, "what matters overall (SHAP), and around one tumor (LIME)")


def _diabetes(report: Report, key: Any, seed: int) -> None:
    table = diabetes(seed)
    progression = train_on_diabetes(table, key, seed)
    explained = r_squared(progression, table)
    report.numbers["diabetes: test R²"] = explained
    report.say(f"diabetes: {len(table.test_y)} unseen patients, test R² {explained:.2f}")

    report.step("explaining diabetes")
    shap = xai.shap.values(progression, table.test_x, xai.mask.background(table.train_x[:100]), key=key)
    report.numbers["diabetes: SHAP, largest gap to efficiency"] = efficiency_gap(shap)
    report.keep("diabetes_shap", shap)
    case = int(np.argmax(shap.output))
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    units = table.in_units(table.test_x)
    report.section(
        shap, title="The patient with the worst forecast", output="progression of the disease", names=table.names,
        inputs=units, examples=[case], options={"background": "100 training rows"}, key=key,
    )  # fmt: skip
    xai.plot.waterfall(shap, example=case, names=table.names, inputs=units, ax=axes[0])
    axes[0].set_title("The patient with the worst forecast (exact SHAP)", fontsize=10)
    xai.plot.bars(shap, example=None, names=table.names, ax=axes[1], title="SHAP: mean |value| over the test set")
    report.figure("diabetes", figure, "disease progression: one patient and all (exact SHAP)")


def train_on_cancer(table: Table, key: Any, seed: int, *, epochs: int = 60) -> xai.Model:
    """Rows to two logits: malignant, benign."""
    return _fit(table, 2, cross_entropy, key, seed, epochs=epochs)


def train_on_diabetes(table: Table, key: Any, seed: int, *, epochs: int = 40) -> xai.Model:
    """Rows to the disease's progression [N], in its own units."""
    return train_regressor(table, key, seed, epochs=epochs)


def train_regressor(table: Table, key: Any, seed: int, *, epochs: int, **options: Any) -> xai.Model:
    """Rows to one number [N], in its own units; trained on what it is in standard deviations from the mean."""
    center, spread = table.train_y.mean(), table.train_y.std()
    measure = lambda outputs, y: ((outputs[:, 0] - (y - center) / spread) ** 2).mean()  # noqa: E731
    model = _fit(table, 1, measure, key, seed, epochs=epochs, **options)
    return xai.function(lambda model, x: model(x)[:, 0] * spread + center, model)


def r_squared(model: Any, table: Table) -> float:
    """What share of the variance of unseen rows the model explains."""
    errors = np.asarray(model(table.test_x)) - table.test_y
    return 1 - float((errors**2).mean() / table.test_y.var())


def _fit(
    table: Table,
    outputs: int,
    measure: Any,
    key: Any,
    seed: int,
    *,
    epochs: int,
    weight_decay: float = 1e-4,
    dropout: float = 0.2,
) -> xai.Model:
    module = TableNet(outputs, dropout)
    variables = module.init(key, jnp.asarray(table.train_x[:1]), train=False)

    def loss(variables: Any, step_key: Any, batch: Any) -> tuple[jax.Array, Any]:
        step_key, dropout_key = jax.random.split(step_key)
        given = module.apply(variables, batch["x"], train=True, rngs={"dropout": dropout_key})
        return measure(given, batch["y"]), step_key

    data = {"x": table.train_x, "y": table.train_y}
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 32, "rate": 5e-3, "seed": seed}
    variables, _ = train(loss, variables, key, data, weight_decay=weight_decay, **options)
    return xai.linen(module, variables, train=False)


def efficiency_gap(attribution: xai.Attribution) -> float:
    """How far the values are from summing to the output less the base value."""
    assert attribution.base_value is not None
    total = attribution.values.sum(axis=1)
    return float(jnp.abs(total - (attribution.output - attribution.base_value)).max())
