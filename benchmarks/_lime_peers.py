"""Explanations per second beside the package lime: the same model, inputs and number of samples, in the same run.

lime explains one input after another; its model is the same one, jitted, and its batches are as large as it lets them be.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY
from benchmarks._models import bag_of_words, perceptron, small_resnet
from xaijax._model import Model

Run = Callable[[], Any]


def measure(repeats: int, *, small: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats; lime on the first few of the inputs."""
    found = []
    for name, samples, (count, ours), (peer_count, theirs) in [
        *_tables(small),
        _image(small),
        _text(small),
    ]:
        first = [_seconds(run) for run in (ours, theirs)]
        times = np.array([[_seconds(run) for run in (ours, theirs)] for _ in range(repeats)])
        speeds = np.array([count, peer_count]) / times
        found.append(
            {
                "name": name,
                "peer": "lime",
                "inputs": count,
                "peer_inputs": peer_count,
                "samples": samples,
                "explanations_per_second": float(np.median(speeds[:, 0])),
                "peer_explanations_per_second": float(np.median(speeds[:, 1])),
                "times_faster": float(np.median(speeds[:, 0] / speeds[:, 1])),
                "first_seconds": first[0],
                "peer_first_seconds": first[1],
            }
        )
    return found


def _tables(small: bool) -> list[tuple[str, int, tuple[int, Run], tuple[int, Run]]]:
    from lime.lime_tabular import LimeTabularExplainer  # pyright: ignore[reportMissingImports]

    features, samples, inputs, peer_inputs = (5, 50, 3, 1) if small else (30, 5000, 1000, 5)
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    predict = _of_numpy(model)
    found = []
    for bins in (None, "quartile"):
        statistics = xai.lime.statistics(x, bins=bins)
        explainer = LimeTabularExplainer(np.asarray(x), mode="regression", discretize_continuous=bins is not None)

        def theirs(explainer: Any = explainer) -> Any:
            options = {"num_samples": samples, "num_features": features}
            return [explainer.explain_instance(row, predict, **options) for row in np.asarray(x[:peer_inputs])]

        for definitions in ("xaijax", "lime"):

            def ours(statistics: Any = statistics, definitions: str = definitions) -> Any:
                options: dict[str, Any] = {"num_samples": samples, "definitions": definitions, "num_features": features}
                return xai.lime.tabular(model, x, statistics, key=KEY, target=0, **options).values

            name = f"table, {'numbers' if bins is None else 'quartiles'}"
            name += ", lime's definitions" if definitions == "lime" else ""
            found.append((name, samples, (inputs, ours), (peer_inputs, theirs)))
    return found


def _image(small: bool) -> tuple[str, int, tuple[int, Run], tuple[int, Run]]:
    from lime.lime_image import LimeImageExplainer  # pyright: ignore[reportMissingImports]

    side, samples, inputs, cells = (16, 20, 1, 2) if small else (64, 1000, 2, 7)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(KEY, (inputs, side, side, 3)))
    labels = np.arange(side) * cells // side
    labels = labels[:, None] * cells + labels
    predict = _of_numpy(model)
    explainer = LimeImageExplainer()

    def ours() -> Any:
        return xai.lime.image(model, x, labels, key=KEY, target=0, num_samples=samples).values

    def theirs() -> Any:
        options = {
            "labels": (0,),
            "top_labels": None,
            "num_samples": samples,
            "batch_size": 100,
            "num_features": cells**2,
        }
        return [
            explainer.explain_instance(one, predict, segmentation_fn=lambda _: labels, **options)
            for one in x.astype(np.double)
        ]

    return f"image, {cells**2} regions", samples, (inputs, ours), (inputs, theirs)


def _text(small: bool) -> tuple[str, int, tuple[int, Run], tuple[int, Run]]:
    from lime.lime_text import LimeTextExplainer  # pyright: ignore[reportMissingImports]

    length, samples, inputs, peer_inputs = (8, 20, 2, 1) if small else (128, 5000, 20, 2)
    model = bag_of_words(length)
    ids = np.stack([np.random.default_rng(row).permutation(np.arange(1, 1000))[:length] for row in range(inputs)])
    texts = [" ".join(f"w{number}" for number in row) for row in ids]
    predict = _of_numpy(model)

    def of_texts(texts: list[str]) -> np.ndarray:
        read = np.zeros((len(texts), length), np.int32)
        for row, text in enumerate(texts):
            numbers = [int(word[1:]) for word in text.split()]
            read[row, : len(numbers)] = numbers
        return predict(read)

    explainer = LimeTextExplainer()

    def ours() -> Any:
        options: dict[str, Any] = {"num_samples": samples, "num_features": 10}
        return xai.lime.strings(
            model, texts, lambda text: [int(word[1:]) for word in text.split()], key=KEY, pad_id=0, target=0, **options
        ).attribution.values

    def theirs() -> Any:
        options = {"labels": (0,), "num_samples": samples, "num_features": 10}
        return [explainer.explain_instance(text, of_texts, **options) for text in texts[:peer_inputs]]

    return f"text, {length} words", samples, (inputs, ours), (peer_inputs, theirs)


def _of_numpy(model: Model) -> Callable[[Any], np.ndarray]:
    """The model as lime wants it: arrays in, two columns out for one output (one for regression)."""
    apply = jax.jit(lambda model, x: model(x))
    return lambda rows: np.asarray(
        apply(model, np.asarray(rows).astype(np.int32 if rows.dtype.kind == "i" else np.float32))
    )


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
