"""Explanations per second beside the package lime: the same model, inputs and number of samples, in the same run.

lime explains one input after another; its model is the same one, jitted, and its batches are as large as it lets them be.
The errors are those of sampling: the variance between two seeds, relative to the squared coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import xaijax as xai
from benchmarks._beside import Side, beside, missing, quietly, skipped, spread
from benchmarks._models import bag_of_words, perceptron, small_resnet
from xaijax._model import Model

Explain = Callable[[int], Any]  # of a seed: the coefficients


class _Compared(NamedTuple):
    name: str
    samples: int
    ours: Explain
    inputs: int
    theirs: Explain
    peer_inputs: int


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Medians of interleaved repeats; lime on the first few of the inputs."""
    if sentence := missing("lime"):
        return [skipped("lime", sentence)]
    return [_measured(one, repeats) for one in (*_tables(small, quick), _image(small, quick), _text(small, quick))]


def _measured(one: _Compared, repeats: int) -> dict[str, Any]:
    def error(explain: Explain) -> float:
        return spread(*(quietly(lambda seed=seed: explain(seed)) for seed in (0, 1)))

    ours, theirs = (
        Side(lambda explain=explain: explain(0), inputs, one.samples)
        for explain, inputs in ((one.ours, one.inputs), (one.theirs, one.peer_inputs))
    )
    errors = lambda: (error(one.ours), error(one.theirs))  # noqa: E731
    return beside(one.name, "lime", ours, theirs, repeats=repeats, errors=errors, error_is="spread between seeds")


def _tables(small: bool, quick: bool) -> list[_Compared]:
    from lime.lime_tabular import LimeTabularExplainer  # pyright: ignore[reportMissingImports]

    features, samples, inputs, peer_inputs = (5, 50, 3, 1) if small else (30, 5000, 50 if quick else 1000, 5)
    model = perceptron(features)
    x = jax.random.normal(jax.random.key(0), (inputs, features))
    predict = _of_numpy(model)
    found = []
    for bins in (None, "quartile"):
        statistics = xai.lime.statistics(x, bins=bins)
        explainer = LimeTabularExplainer(np.asarray(x), mode="regression", discretize_continuous=bins is not None)

        def theirs(seed: int, explainer: Any = explainer) -> Any:
            explainer.random_state = explainer.base.random_state = np.random.RandomState(seed)
            options = {"num_samples": samples, "num_features": features}
            found = [explainer.explain_instance(row, predict, **options) for row in np.asarray(x[:peer_inputs])]
            return np.array([_coefficients(one, 1, features) for one in found])

        for definitions in (("xaijax", "lime")[bins is None],) if small else ("xaijax", "lime"):

            def ours(seed: int, statistics: Any = statistics, definitions: str = definitions) -> Any:
                options: dict[str, Any] = {"num_samples": samples, "definitions": definitions, "num_features": features}
                return xai.lime.tabular(model, x, statistics, key=jax.random.key(seed), target=0, **options).values

            name = f"table, {'numbers' if bins is None else 'quartiles'}"
            name += ", lime's definitions" if definitions == "lime" else ""
            found.append(_Compared(name, samples, ours, inputs, theirs, peer_inputs))
    return found


def _image(small: bool, quick: bool) -> _Compared:
    from lime.lime_image import LimeImageExplainer  # pyright: ignore[reportMissingImports]

    side, samples, inputs, cells = (16, 20, 1, 2) if small else (64, 300 if quick else 1000, 1 if quick else 2, 7)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(jax.random.key(0), (inputs, side, side, 3)))
    labels = np.arange(side) * cells // side
    labels = labels[:, None] * cells + labels
    predict = _of_numpy(model)
    explainer = LimeImageExplainer()

    def ours(seed: int) -> Any:
        options: dict[str, Any] = {"target": 0, "num_samples": samples}
        return xai.lime.image(model, x, labels, key=jax.random.key(seed), **options).values

    def theirs(seed: int) -> Any:
        explainer.base.random_state = np.random.RandomState(seed)
        options = {
            "labels": (0,),
            "top_labels": None,
            "num_samples": samples,
            "batch_size": 100,
            "num_features": cells**2,
            "random_seed": seed,
        }
        found = [
            explainer.explain_instance(one, predict, segmentation_fn=lambda _: labels, **options)
            for one in x.astype(np.double)
        ]
        return np.array([_coefficients(one, 0, cells**2) for one in found])

    return _Compared(f"image, {cells**2} regions", samples, ours, inputs, theirs, inputs)


def _text(small: bool, quick: bool) -> _Compared:
    from lime.lime_text import LimeTextExplainer  # pyright: ignore[reportMissingImports]

    length, samples, inputs, peer_inputs = (8, 20, 2, 1) if small else (128, 5000, 4 if quick else 20, 2)
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

    def ours(seed: int) -> Any:
        options: dict[str, Any] = {"num_samples": samples, "num_features": 10, "target": 0, "pad_id": 0}
        read = lambda text: [int(word[1:]) for word in text.split()]  # noqa: E731
        return xai.lime.strings(model, texts, read, key=jax.random.key(seed), **options).values

    def theirs(seed: int) -> Any:
        explainer.random_state = explainer.base.random_state = np.random.RandomState(seed)
        options = {"labels": (0,), "num_samples": samples, "num_features": 10}
        found = [explainer.explain_instance(text, of_texts, **options) for text in texts[:peer_inputs]]
        return np.array([_coefficients(one, 0, length) for one in found])

    return _Compared(f"text, {length} words", samples, ours, inputs, theirs, peer_inputs)


def _coefficients(explanation: Any, label: int, players: int) -> np.ndarray:
    """Of every player, [M]; those that lime left out have none."""
    found = np.zeros(players)
    for player, coefficient in explanation.local_exp[label]:
        found[player] = coefficient
    return found


def _of_numpy(model: Model) -> Callable[[Any], np.ndarray]:
    """The model as lime wants it: arrays in, two columns out for one output (one for regression)."""
    apply = jax.jit(lambda model, x: model(x))
    return lambda rows: np.asarray(
        apply(model, np.asarray(rows).astype(np.int32 if rows.dtype.kind == "i" else np.float32))
    )
