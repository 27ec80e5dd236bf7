"""The tour: an ImageNet network on real photographs, and four small Flax models that it trains on real data, explained.

python -m experiments.tour --out out/tour
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments import founding_game, photographs
from experiments._digits import Scenes, load_scenes
from experiments._pointing_game import mass_within, points_into
from experiments._report import Report, efficiency_gap
from experiments._sentences import CLASSES, PADDING, UNKNOWN, load_corpus
from experiments._tables import breast_cancer, diabetes
from experiments._training import (
    accuracy_of,
    r_squared,
    train_digit_net,
    train_on_cancer,
    train_on_diabetes,
    train_on_docstrings,
)

LEAST_ACCURACY = 0.95  # of the digit network
DIGITS = (3, 5, 2, 8, 7)  # of which one is explained each
_STEPS = 13
_ABOUT = (
    "An ImageNet network on real photographs, three workers and their pay, and four small networks trained on real data, "
    "explained by every method: what shows a cat or an espresso, which words reveal a sentence's package, which "
    "measurements increase the odds of a malignant tumor or a forecast of disease progression, and which pixels show a digit."
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Explain an ImageNet network, and train small real Flax models and explain them, by every method."
    )
    parser.add_argument("--out", type=Path, default=Path("out/tour"), help="the folder for figures and numbers")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data, the training and the sampling")
    parser.add_argument(
        "--cache", type=Path, help="folder of compiled programs, kept for the next tour; default: next to --out"
    )
    parser.add_argument("--epochs", type=int, default=3, help="epochs of training of the digit network")
    options = parser.parse_args(arguments)
    xai.scale.compilation_cache(options.cache or options.out.parent / "programs")

    start = time.perf_counter()
    keys = [jax.random.fold_in(jax.random.key(options.seed), number) for number in range(4)]
    text_key, table_key, image_key, photograph_key = keys
    with Report(options.out, total=_STEPS) as report:
        photographs.explain(report, photograph_key)
        report.step("the founding game")
        founding_game.explain(report)
        explain_sentences(report, text_key, options.seed)
        explain_tumors(report, table_key, options.seed)
        explain_patients(report, table_key, options.seed)
        explain_digits(report, image_key, options.seed, options.epochs)
        report.step("writing the report")
        report.page("The tour of xaijax", _ABOUT)
        report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()
    report.say(f"The tour took {report.numbers['seconds']:.0f} seconds.")


def explain_sentences(report: Report, key: Any, seed: int) -> None:
    """Explains by LIME which words distinguish machine learning from image processing."""
    report.step("training on docstrings")
    corpus = load_corpus(vocabulary=2000, seed=seed)
    model = train_on_docstrings(corpus, key, seed)
    logits = np.asarray(model(corpus.test_ids))
    accuracy = accuracy_of(logits, corpus.test_labels)
    report.numbers["docstrings: test accuracy"] = accuracy
    report.say(f"docstrings: {len(logits)} sentences from unseen modules, test accuracy {accuracy:.1%}")

    report.step("explaining docstrings")
    log_odds = lambda logits: logits[:, 1] - logits[:, 0]  # noqa: E731
    lengths = (corpus.test_ids > UNKNOWN).sum(axis=1)
    rows = np.argsort(log_odds(logits))
    rows = rows[lengths[rows] >= 12]  # long enough to be worth reading
    shown = np.concatenate([rows[:2], rows[-2:]])  # the surest of either class
    sentences = [corpus.read(ids) for ids in corpus.test_ids[shown]]
    lime = xai.lime.text(
        model, corpus.test_ids[shown], key=key, mask_id=UNKNOWN, pad_id=PADDING, target=log_odds, num_samples=1000
    )
    report.numbers["docstrings: LIME local R², mean"] = float(lime.r_squared.mean())
    report.keep("docstrings_lime", lime)
    report.section(
        lime, title="Which words reveal a sentence's package", output=f"the log odds of {CLASSES[1]}",
        words=sentences, examples=list(range(len(shown))), options={"num_samples": 1000}, key=key,
    )  # fmt: skip

    figure, axes = plt.subplots(len(shown), 1, figsize=(9, 1.15 * len(shown)), layout="constrained")
    figure.suptitle(f"LIME: red words speak for {CLASSES[1]}, blue words for {CLASSES[0]}", fontsize=11)
    for example, (words, ax) in enumerate(zip(sentences, axes, strict=True)):
        predicted = CLASSES[int(lime.output[example] > 0)]
        title = f"the model predicts {predicted}; local R² {lime.r_squared[example]:.2f}"
        xai.plot.text(lime, words, example=example, ax=ax, title=title)
    report.figure("docstrings", figure, "which words reveal a sentence's package (LIME)")


def explain_tumors(report: Report, key: Any, seed: int) -> None:
    """Explains a classifier of tumors by SHAP and LIME: all test tumors, and one that is suspected, not certain."""
    report.step("training on breast cancer")
    table = breast_cancer(seed)
    model = train_on_cancer(table, key, seed)
    accuracy = accuracy_of(model(table.test_x), table.test_y)
    report.numbers["breast cancer: test accuracy"] = accuracy
    report.say(f"breast cancer: {len(table.test_y)} unseen tumors, test accuracy {accuracy:.1%}")

    report.step("explaining breast cancer")
    log_odds = lambda logits: logits[:, 0] - logits[:, 1]  # noqa: E731  (of malignant)
    background = xai.mask.background(table.train_x[:50], names=table.names)
    statistics = xai.lime.statistics(table.train_x, names=table.names)
    shap = xai.shap.values(model, table.test_x, background, key=key, target=log_odds)
    lime = xai.lime.tabular(model, table.test_x, statistics, key=key, target=log_odds, num_samples=1000)
    shap = shap.with_names(inputs=table.in_units(table.test_x))
    example = int(np.argmin(jnp.abs(shap.output - 2)))
    report.numbers["breast cancer: SHAP, largest gap to efficiency"] = efficiency_gap(shap)
    report.numbers["breast cancer: LIME local R², mean"] = float(lime.r_squared.mean())
    report.keep("breast_cancer_shap", shap)
    report.keep("breast_cancer_lime", lime)
    common = {"output": "the log odds of malignant", "examples": [example], "key": key}
    report.section(shap, title="Why a tumor may be malignant", options={"background": "50 training rows"}, **common)
    report.section(lime, title="The same tumor, by a local linear model", options={"num_samples": 1000}, **common)

    figure, ax = plt.subplots(figsize=(7.6, 4.8), layout="constrained")
    xai.plot.waterfall(shap, example=example, ax=ax)
    ax.set_title("Why this tumor may be malignant (log odds, SHAP)", fontsize=10)
    report.figure("breast_cancer_waterfall", figure, "one tumor, from the average to its log odds (SHAP)")

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    xai.plot.bars(shap, example=None, ax=axes[0], title="SHAP: mean |value| over the test set")
    xai.plot.bars(lime, example=example, ax=axes[1])
    axes[1].set_title(f"LIME for the same tumor\n{axes[1].get_title().partition(chr(10))[2]}", fontsize=10)
    report.figure("breast_cancer_bars", figure, "what matters overall (SHAP), and around one tumor (LIME)")


def explain_patients(report: Report, key: Any, seed: int) -> None:
    """Explains forecasts of a disease's progression by exact Shapley values."""
    report.step("training on diabetes")
    table = diabetes(seed)
    model = train_on_diabetes(table, key, seed)
    score = r_squared(model, table)
    report.numbers["diabetes: test R²"] = score
    report.say(f"diabetes: {len(table.test_y)} unseen patients, test R² {score:.2f}")

    report.step("explaining diabetes")
    background = xai.mask.background(table.train_x[:50], names=table.names)
    shap = xai.shap.values(model, table.test_x, background, key=key).with_names(inputs=table.in_units(table.test_x))
    report.numbers["diabetes: SHAP, largest gap to efficiency"] = efficiency_gap(shap)
    report.keep("diabetes_shap", shap)
    example = int(np.argmax(shap.output))
    report.section(
        shap, title="The patient with the worst forecast", output="progression of the disease", examples=[example],
        options={"background": "50 training rows"}, key=key,
    )  # fmt: skip
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    xai.plot.waterfall(shap, example=example, ax=axes[0])
    axes[0].set_title("The patient with the worst forecast (exact SHAP)", fontsize=10)
    xai.plot.bars(shap, example=None, ax=axes[1], title="SHAP: mean |value| over the test set")
    report.figure("diabetes", figure, "disease progression: one patient and all (exact SHAP)")


def explain_digits(report: Report, key: Any, seed: int, epochs: int) -> None:
    """Explains by CAM, Grad-CAM, LIME and SHAP where a network sees the digit in a photograph."""
    report.step("training the digit network")
    training, test = load_scenes(train_copies=3, seed=seed)
    model = train_digit_net(training, seed, epochs=epochs)
    logits = np.asarray(jax.jit(lambda model, x: model(x))(model, test.images))
    accuracy = accuracy_of(logits, test.labels)
    report.numbers["digits: test accuracy"] = accuracy
    report.say(f"digits: {len(test.labels)} unseen digits, test accuracy {accuracy:.1%}")
    if accuracy < LEAST_ACCURACY:
        raise RuntimeError(
            f"the digit network must reach {LEAST_ACCURACY:.0%} on test images, got {accuracy:.1%}: raise --epochs."
        )

    report.step("explaining digits")
    maps = {
        "CAM": xai.cam.cam(model, test.images, head="head", upsample=True),
        "Grad-CAM": xai.cam.grad_cam(model, test.images, upsample=True),
        "Grad-CAM, an earlier layer": xai.cam.grad_cam(model, test.images, layer="blocks/2", upsample=True),
    }
    _report_localization(report, maps, test)

    right = logits.argmax(axis=1) == test.labels
    shown = np.array([np.argmax((test.labels == digit) * (1 + right)) for digit in DIGITS])
    images = test.images[shown]
    report.step("LIME and SHAP on digits")
    lime = xai.lime.image(model, images, xai.mask.superpixels(40), key=key, num_samples=300)
    games = xai.game(model, images, xai.mask.grid(8))
    shap = xai.shap.permutation(games, num_permutations=4, key=key)
    report.numbers["digits: LIME local R², mean"] = float(lime.r_squared.mean())
    report.numbers["digits: SHAP largest standard error"] = float(jnp.max(jnp.asarray(shap.std_errors)))
    report.figure("digits", _draw_digits(test, shown, maps, lime, shap), "where the network sees the digit")
    examples = list(range(min(2, len(shown))))  # of the page
    common = {"images": images, "output": "the logit of the digit", "examples": examples}
    report.section(maps["Grad-CAM"][shown], title="Where the network sees the digit", **common)
    report.section(
        lime,
        title="Which superpixels speak for the digit",
        options={"regions": 40, "num_samples": 300},
        key=key,
        **common,
    )
    report.section(shap, title="What each cell of a grid adds", options={"num_permutations": 4}, key=key, **common)
    for name, attribution in {**maps, "LIME": lime, "SHAP": shap}.items():
        report.keep(f"digits_{name.lower().replace(' ', '_').replace(',', '')}", attribution)


def _report_localization(report: Report, maps: dict[str, xai.Attribution], test: Scenes) -> None:
    """Reports how often the strongest pixel of a map is in the digit's box, and the share of the map's mass there."""
    boxes = test.boxes()
    chance = float(boxes.mean())
    report.numbers["digits: share of the box, chance of pointing into it"] = chance
    for name, attribution in maps.items():
        heat = np.asarray(attribution.values)
        points, mass = float(points_into(heat, boxes).mean()), float(mass_within(heat, boxes).mean())
        report.numbers |= {f"digits: {name}, pointing game": points, f"digits: {name}, mass in the box": mass}
        report.say(
            f"digits: {name} points into the box {points:.1%} of the time, with {mass:.0%} of its mass "
            f"(chance {chance:.0%})"
        )


def _draw_digits(
    test: Scenes, shown: np.ndarray, maps: dict[str, xai.Attribution], lime: xai.Surrogate, shap: xai.Attribution
) -> Figure:
    """Draws a row for each digit: the image, and what speaks for its class by four methods."""
    columns = {name: maps[name][shown] for name in ("CAM", "Grad-CAM")}
    columns |= {"LIME, superpixels": lime, "SHAP, 8 x 8 grid": shap}
    images = test.images[shown]
    figure, grid = plt.subplots(len(shown), 5, squeeze=False, figsize=(13.5, 2.45 * len(shown)), layout="constrained")
    for row, index in enumerate(shown):
        grid[row, 0].imshow(images[row, ..., 0], cmap="gray", vmin=0, vmax=1)
        grid[row, 0].set_axis_off()
        grid[row, 0].set_title(f"a {test.labels[index]}, classified correctly", fontsize=10)
        for column, (name, attribution) in enumerate(columns.items(), start=1):
            xai.plot.image(attribution, images, example=row, ax=grid[row, column], title=name if row == 0 else "")
        for ax in grid[row]:
            test.draw_frame(ax, index)
    figure.suptitle("What speaks for the class: color is evidence, the frame is the digit's true position", fontsize=12)
    return figure


if __name__ == "__main__":
    main()
