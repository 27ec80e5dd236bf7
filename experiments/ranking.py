"""Which explanation should one trust? The explainers of the library, ranked by many metrics, on photographs and on a table.

Photographs: mosaics of two crops, each with an object of another ImageNet class, and EfficientNet-Lite0. The class of one
half is explained, so that the right answer is known: the explanation belongs into this half. The table: scikit-learn's
diabetes data and a small regressor.

Every explainer is scored by faithfulness (symmetric relevance gain, insertion, deletion, infidelity), localization,
complexity, and sanity: does the explanation change when the parameters of the network are replaced by random ones, or when
another class is explained? Two controls look at no parameter: the edges of the picture, and random numbers. A metric by
which a control is not among the worst does not measure faithfulness to the network. The study draws the scores, the
agreement of the explainers, and the rank correlation of the explainers' ranks between metrics.

python -m experiments.ranking --out out/ranking [--images 12] [--rows 60] [--only table] [--quick]

Most of the time is compiling: `--explainers` and `--metrics` choose some of them by name.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

import xaijax as xai
from experiments._efficientnet import load_efficientnet
from experiments._networks import DigitNet
from experiments._pointing_game import HALVES, make_mosaics
from experiments._report import Report
from experiments._tables import Table, diabetes
from experiments._training import train_regressor
from experiments.photograph_mosaics import LEAST_PROBABILITY, draw_crops

SIDE = 128  # pixels of a mosaic
CROPS = 3  # of each photograph, for each mosaic that is wanted: some are not recognized
CELLS = 4  # of each side, the players of games on pictures
STEPS = ("head", "blocks/14", "blocks/10", "blocks/5", "stem")  # layers that are drawn at random, one after the other
STEPS_OF_DIGITS = ("head", "blocks/2", "blocks/0")
CONTROLS = ("edges (control)", "random (control)")
EXPOSED = 0.9  # of the similarity after all steps, above which an explanation ignores the parameters
m = xai.metrics
Explainers = Mapping[str, Callable[..., xai.Attribution]]


class Subject(NamedTuple):
    """A model with its inputs, and how they are explained and scored.

    name: for titles and files. target: [N] classes, or None. masks: [N, *space] where the right answer lies, or None.
    """

    name: str
    model: Any
    x: Any
    target: Any
    masks: Any
    masker: xai.mask.Masker
    explainers: Explainers
    metrics: dict[str, Callable[..., Any]]


def on_pictures(explain: Callable[..., xai.Attribution]) -> Callable[..., xai.Attribution]:
    """Returns the explainer with one form of result: a map of the size of the pictures, summed over the channels."""

    def explained(model: Any, x: Any, target: Any, key: Any, ids: Any) -> xai.Attribution:
        attribution = explain(model, x, target=target, key=key, ids=ids)
        values = attribution.on_input()
        if "C" in attribution.player_axes:
            values = values.sum(axis=-1)
        maps = jax.image.resize(values, x.shape[:3], "linear")
        return xai.Attribution(maps, attribution.output, target=attribution.target, axes="N h w")

    return explained


def on_rows(explain: Callable[..., xai.Attribution]) -> Callable[..., xai.Attribution]:
    """Returns the explainer of a table with one form of result, by which each metric is compiled once for all explainers."""
    return lambda model, x: _values_alone(explain(model, x))


def on_sampled_rows(explain: Callable[..., xai.Attribution]) -> Callable[..., xai.Attribution]:
    """Returns the same for an explainer that samples."""
    return lambda model, x, key, ids: _values_alone(explain(model, x, key=key, ids=ids))


def _values_alone(attribution: xai.Attribution) -> xai.Attribution:
    return xai.Attribution(attribution.values, attribution.output, target=attribution.target)


def _plain(explainer: Callable[..., xai.Attribution], **options: Any) -> Callable[..., xai.Attribution]:
    return on_pictures(lambda model, x, target, key, ids: explainer(model, x, target=target, **options))


def _sampled(explainer: Callable[..., xai.Attribution], **options: Any) -> Callable[..., xai.Attribution]:
    return on_pictures(
        lambda model, x, target, key, ids: explainer(model, x, target=target, key=key, ids=ids, **options)
    )


def _sizes(model: Any, x: Any, target: Any, key: Any, ids: Any) -> xai.Attribution:
    slopes = xai.gradient.saliency(model, x, target=target)
    return xai.Attribution(jnp.abs(slopes.values), slopes.output, target=slopes.target)


def _edges(model: Any, x: Any, target: Any, key: Any, ids: Any) -> xai.Attribution:
    """Returns the size of the picture's differences between neighbors; the network is not looked at."""
    gray = x.mean(axis=-1)
    down, right = jnp.diff(gray, axis=1, append=gray[:, -1:]), jnp.diff(gray, axis=2, append=gray[:, :, -1:])
    return xai.Attribution(jnp.hypot(down, right), jnp.zeros(len(x)), target=target, axes="N h w")


def _random(model: Any, x: Any, target: Any, key: Any, ids: Any) -> xai.Attribution:
    draw = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), x.shape[1:]))
    return xai.Attribution(draw(ids), jnp.zeros(len(x)), target=target)


def explainers_of_pictures(masker: xai.mask.Masker, samples: int) -> dict[str, Callable[..., xai.Attribution]]:
    """Returns the explainers of pictures; `samples` sets the cost of those that sample."""
    gradient, cam = xai.gradient, xai.cam
    maps = {"Grad-CAM": cam.grad_cam, "LayerCAM": cam.layer_cam, "Eigen-CAM": cam.eigen_cam}
    return {
        **{name: _plain(explain) for name, explain in maps.items()},
        "gradient, absolute": on_pictures(_sizes),
        "SmoothGrad": _sampled(gradient.smooth(gradient.saliency, num_samples=max(2, samples // 8))),
        "input x gradient": _plain(gradient.input_x_gradient),
        "integrated gradients": _plain(gradient.integrated_gradients, num_steps=max(4, samples // 4)),
        "DeepLIFT": _plain(gradient.deep_lift),
        "LRP": _plain(gradient.propagate),
        "guided backpropagation": _plain(gradient.guided_backpropagation),
        "deconvolution": _plain(gradient.deconvolution),
        "occlusion": _plain(gradient.occlusion, window=SIDE // CELLS, stride=SIDE // CELLS // 2),
        "LIME": _sampled(xai.lime.image, masker=masker, num_samples=samples),
        "SHAP": _sampled(xai.shap.values, masker=masker, num_evaluations=samples),
        CONTROLS[0]: on_pictures(_edges),
        CONTROLS[1]: on_pictures(_random),
    }


def metrics_of(layers: tuple[str, ...] | None, *, classes: bool, samples: int) -> dict[str, Callable[..., Any]]:
    """Returns the metrics that suit any subject."""
    sanity: dict[str, Callable[..., Any]] = {
        "random parameters": functools.partial(m.parameter_randomization, layers=layers)
    }
    if classes:
        sanity["random class"] = functools.partial(m.random_logit, num_samples=2)
    return {
        "symmetric relevance gain": m.symmetric_relevance_gain,
        "insertion": m.insertion,
        "deletion": m.deletion,
        "infidelity": functools.partial(m.infidelity, num_samples=samples, contributions=True),
        "Gini index": m.gini,
        **sanity,
    }


def photographs(count: int, samples: int, seed: int) -> Subject:
    """Returns mosaics of photographs, whose left or right half is explained."""
    network = xai.fast(load_efficientnet())
    crops, labels = draw_crops(CROPS * count // 6 + 1, SIDE, SIDE // 2, np.random.default_rng(seed))
    probabilities = np.asarray(jax.nn.softmax(network(crops)))
    rng, least = np.random.default_rng(seed), LEAST_PROBABILITY
    mosaics = make_mosaics(crops, labels, count, rng, shape=HALVES, probabilities=probabilities, least=least)
    half = np.arange(count) % 2
    subject = of_pictures(
        "photographs", network, mosaics.images, mosaics.labels[np.arange(count), half], samples, STEPS
    )
    masks = mosaics.cells()[half]
    return subject._replace(masks=masks, metrics=subject.metrics | {"relevance mass": m.relevance_mass})


def digits(count: int, samples: int, seed: int) -> Subject:
    """Returns noise and a network that has not learned anything: a quick run of the study."""
    network = DigitNet(nnx.Rngs(seed))
    network.eval()
    x = np.random.default_rng(seed).random((count, 40, 40, 1), np.float32)
    return of_pictures("digits", network, x, np.arange(count) % 10, samples, STEPS_OF_DIGITS)


def of_pictures(name: str, network: Any, x: np.ndarray, target: np.ndarray, samples: int, layers: Any) -> Subject:
    masker = xai.mask.grid(CELLS, fill="blur")
    explainers = explainers_of_pictures(masker, samples)
    return Subject(
        name, network, x, target, None, masker, explainers, metrics_of(layers, classes=True, samples=samples)
    )


def table(count: int, samples: int, seed: int, epochs: int | None) -> Subject:
    """Returns test rows of the diabetes data, and a regressor."""
    data: Table = diabetes(seed)
    model = train_regressor(data, jax.random.key(seed), seed, epochs=40 if epochs is None else epochs)
    x, background = data.test_x[:count], data.train_x[:30]
    masker = xai.mask.background(background)
    gradient = xai.gradient

    def lime(model: Any, x: Any, key: Any, ids: Any) -> xai.Attribution:
        return xai.lime.fit(xai.game(model, x, masker), key=key, ids=ids, num_samples=samples)

    def control(model: Any, x: Any, key: Any, ids: Any) -> xai.Attribution:
        return _random(model, x, None, key, ids)

    def size(model: Any, x: Any) -> xai.Attribution:
        return xai.Attribution(jnp.abs(x), jnp.zeros(len(x)))

    explainers = {
        "gradient": gradient.saliency,
        "input x gradient": gradient.input_x_gradient,
        "integrated gradients": functools.partial(gradient.integrated_gradients, num_steps=16),
        "expected gradients": functools.partial(
            gradient.expected_gradients, background=background, num_samples=samples
        ),
        "DeepLIFT": gradient.deep_lift,
        "deep SHAP": functools.partial(gradient.deep_shap, background=background),
        "occlusion": functools.partial(gradient.occlusion, window=1),
        "LIME": lime,
        "SHAP": functools.partial(xai.shap.values, masker=masker, num_evaluations=samples),
        "size of the input (control)": size,
        CONTROLS[1]: control,
    }
    metrics = metrics_of(None, classes=False, samples=samples)
    metrics |= {
        "faithfulness correlation": functools.partial(m.faithfulness_correlation, num_samples=samples),
        "max sensitivity": functools.partial(m.max_sensitivity, num_samples=4),
    }
    return Subject("table", model, x, None, None, masker, explainers, metrics)


def chosen(functions: Mapping[str, Any], names: list[str] | None) -> dict[str, Any]:
    """Returns the functions whose names begin with one of the given; all without names."""
    return {name: each for name, each in functions.items() if not names or name.startswith(tuple(names))}


def run(report: Report, subject: Subject, key: Any, explainers: list[str] | None, metrics: list[str] | None) -> None:
    """Compares the explainers of a subject, and writes figures, numbers and the exposed explainers."""
    subject = subject._replace(
        explainers=chosen(subject.explainers, explainers), metrics=chosen(subject.metrics, metrics)
    )
    report.step(f"comparing on {subject.name}")
    start = time.perf_counter()
    comparison = m.compare(
        subject.explainers, subject.model, subject.x, subject.metrics, key=key, masker=subject.masker, masks=subject.masks,
        target=subject.target,
    )  # fmt: skip
    name, seconds = subject.name, time.perf_counter() - start
    report.numbers[f"{name}: seconds"] = round(seconds, 1)
    report.say(f"{name}: {len(subject.x)} inputs, {len(subject.explainers)} explainers in {seconds:.0f} s")
    for record in comparison.table():
        keys = ("mean", "low", "high", "rank", "num_examples")
        report.numbers[f"{name}: {record['metric']}: {record['explainer']}"] = {each: record[each] for each in keys}
    for record in comparison.ranks():
        report.numbers[f"{name}: mean rank: {record['explainer']}"] = record["mean_rank"]
    report.console.print(f"{name}, by mean rank: " + ", ".join(each["explainer"] for each in comparison.ranks()))
    between = comparison.metric_agreement()
    report.numbers[f"{name}: rank correlation between metrics"] = {
        f"{first} - {second}": round(float(between[row, column]), 3)
        for row, first in enumerate(comparison.metrics)
        for column, second in enumerate(comparison.metrics)
        if row < column and not np.isnan(between[row, column])
    }
    exposed = [
        record["explainer"]
        for record in comparison.table()
        if record["metric"] == "random parameters" and record["low"] > EXPOSED
    ]
    report.numbers[f"{name}: ignore the parameters"] = exposed
    report.say(f"{name}: explanations that random parameters do not change: {', '.join(exposed) or 'none'}")

    report.step(f"drawing {subject.name}")
    figures = {
        "scores": (xai.plot.scores(comparison), "the mean score of every explainer by every metric"),
        "explainers": (xai.plot.agreement(comparison), "how far the explainers agree on the same input"),
    }
    if not np.isnan(between).all():
        ax = xai.plot.agreement(comparison, between="metrics")
        figures["metrics"] = ax, "how far the metrics agree on the order of the explainers"
    for figure, (ax, description) in figures.items():
        report.figure(f"ranking_{name}_{figure}", cast(Figure, ax.figure), description)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Explainers ranked by many metrics, and where the metrics disagree.")
    parser.add_argument("--out", type=Path, default=Path("out/ranking"), help="the folder for figures and numbers")
    parser.add_argument("--images", type=int, default=12, help="mosaics of photographs to explain")
    parser.add_argument("--rows", type=int, default=60, help="rows of the table to explain")
    parser.add_argument(
        "--samples",
        type=int,
        default=64,
        help="the samples of explainers and metrics that sample; at least 32 on pictures",
    )
    parser.add_argument("--epochs", type=int, help="epochs of training on the table; default: the number that suits it")
    parser.add_argument("--only", choices=["photographs", "table"], help="one of the subjects; default: both")
    parser.add_argument("--quick", action="store_true", help="noise and an untrained network instead of photographs")
    parser.add_argument("--explainers", nargs="+", help="the first letters of the explainers to compare; default: all")
    parser.add_argument("--metrics", nargs="+", help="the first letters of the metrics; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data, the training and the sampling")
    options = parser.parse_args(arguments)
    key = jax.random.key(options.seed)
    with Report(options.out, total=4) as report:
        if options.only != "table":
            pictures = digits if options.quick else photographs
            subject = pictures(options.images, options.samples, options.seed)
            run(report, subject, key, options.explainers, options.metrics)
        if options.only != "photographs":
            subject = table(options.rows, options.samples, options.seed, options.epochs)
            run(report, subject, key, options.explainers, options.metrics)
    report.close()


if __name__ == "__main__":
    main()
