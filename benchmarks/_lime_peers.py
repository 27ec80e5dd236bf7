"""Explanations per second compared with the package lime: the same model, inputs and samples, in the same run.

lime explains one input after another. Its model is the same one, jitted, with batches as large as lime allows. The errors
are those of sampling: the variance between two seeds, relative to the squared coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import xaijax as xai
from benchmarks._models import bag_of_words, perceptron, small_resnet
from benchmarks._peer_comparison import Side, compare_with_peer, missing, quietly, skipped, spread
from xaijax._model import Model

Explain = Callable[[int], Any]  # seed -> coefficients


class _Compared(NamedTuple):
    name: str
    samples: int
    ours: Explain
    inputs: int
    theirs: Explain
    peer_inputs: int


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Measures medians of interleaved repeats; lime explains the first few inputs."""
    if sentence := missing("lime"):
        return [skipped("lime", sentence)]
    return [_measured(pair, repeats) for pair in (*_tables(small, quick), _image(small, quick), _text(small, quick))]


def _measured(pair: _Compared, repeats: int) -> dict[str, Any]:
    def error(explain: Explain) -> float:
        return spread(*(quietly(lambda seed=seed: explain(seed)) for seed in (0, 1)))

    ours, theirs = (
        Side(lambda explain=explain: explain(0), inputs, pair.samples)
        for explain, inputs in ((pair.ours, pair.inputs), (pair.theirs, pair.peer_inputs))
    )
    errors = lambda: (error(pair.ours), error(pair.theirs))  # noqa: E731
    options: dict[str, Any] = {"errors": errors, "error_is": "spread between seeds"}
    return compare_with_peer(pair.name, "lime", ours, theirs, repeats=repeats, **options)


def _tables(small: bool, quick: bool) -> list[_Compared]:
    from lime.lime_tabular import LimeTabularExplainer  # pyright: ignore[reportMissingImports]

    features, samples, inputs, peer_inputs = (5, 50, 3, 1) if small else (30, 5000, 50 if quick else 200, 5)
    model = perceptron(features)
    x = jax.random.normal(jax.random.key(0), (inputs, features))
    predict = _in_numpy(model)
    pairs = []
    for bins in (None, "quartile"):
        statistics = xai.lime.statistics(x, bins=bins)
        explainer = LimeTabularExplainer(np.asarray(x), mode="regression", discretize_continuous=bins is not None)

        def theirs(seed: int, explainer: Any = explainer) -> Any:
            explainer.random_state = explainer.base.random_state = np.random.RandomState(seed)
            options = {"num_samples": samples, "num_features": features}
            explanations = [explainer.explain_instance(row, predict, **options) for row in np.asarray(x[:peer_inputs])]
            return np.array([_coefficients(each, 1, features) for each in explanations])

        for definitions in (("xaijax", "lime")[bins is None],) if small else ("xaijax", "lime"):

            def ours(seed: int, statistics: Any = statistics, definitions: str = definitions) -> Any:
                options: dict[str, Any] = {"num_samples": samples, "definitions": definitions, "num_features": features}
                return xai.lime.tabular(model, x, statistics, key=jax.random.key(seed), target=0, **options).values

            name = f"table, {'numbers' if bins is None else 'quartiles'}"
            name += ", lime's definitions" if definitions == "lime" else ""
            pairs.append(_Compared(name, samples, ours, inputs, theirs, peer_inputs))
    return pairs


def _image(small: bool, quick: bool) -> _Compared:
    from lime.lime_image import LimeImageExplainer  # pyright: ignore[reportMissingImports]

    side, samples, inputs, cells = (16, 20, 1, 2) if small else (64, 300 if quick else 500, 1, 7)
    model = small_resnet(side)
    x = np.asarray(jax.random.normal(jax.random.key(0), (inputs, side, side, 3)))
    labels = np.arange(side) * cells // side
    labels = labels[:, None] * cells + labels
    predict = _in_numpy(model)
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
        explanations = [
            explainer.explain_instance(image, predict, segmentation_fn=lambda _: labels, **options)
            for image in x.astype(np.double)
        ]
        return np.array([_coefficients(each, 0, cells**2) for each in explanations])

    return _Compared(f"image, {cells**2} regions", samples, ours, inputs, theirs, inputs)


def _text(small: bool, quick: bool) -> _Compared:
    from lime.lime_text import LimeTextExplainer  # pyright: ignore[reportMissingImports]

    length, samples, inputs, peer_inputs = (8, 20, 2, 1) if small else (128, 5000, 4 if quick else 20, 2)
    model = bag_of_words(length)
    ids = np.stack([np.random.default_rng(row).permutation(np.arange(1, 1000))[:length] for row in range(inputs)])
    texts = [" ".join(f"w{number}" for number in row) for row in ids]
    predict = _in_numpy(model)

    def of_texts(texts: list[str]) -> np.ndarray:
        ids = np.zeros((len(texts), length), np.int32)
        for row, text in enumerate(texts):
            numbers = [int(word[1:]) for word in text.split()]
            ids[row, : len(numbers)] = numbers
        return predict(ids)

    explainer = LimeTextExplainer()

    def ours(seed: int) -> Any:
        options: dict[str, Any] = {"num_samples": samples, "num_features": 10, "target": 0, "pad_id": 0}
        read = lambda text: [int(word[1:]) for word in text.split()]  # noqa: E731
        return xai.lime.strings(model, texts, read, key=jax.random.key(seed), **options).values

    def theirs(seed: int) -> Any:
        explainer.random_state = explainer.base.random_state = np.random.RandomState(seed)
        options = {"labels": (0,), "num_samples": samples, "num_features": 10}
        explanations = [explainer.explain_instance(text, of_texts, **options) for text in texts[:peer_inputs]]
        return np.array([_coefficients(each, 0, length) for each in explanations])

    return _Compared(f"text, {length} words", samples, ours, inputs, theirs, peer_inputs)


def _coefficients(explanation: Any, label: int, players: int) -> np.ndarray:
    """Returns the coefficient of every player, [M], 0 for players that lime did not select."""
    coefficients = np.zeros(players)
    for player, coefficient in explanation.local_exp[label]:
        coefficients[player] = coefficient
    return coefficients


def _in_numpy(model: Model) -> Callable[[Any], np.ndarray]:
    """Returns the model as a function of NumPy arrays, for lime."""
    apply = jax.jit(lambda model, x: model(x))
    return lambda rows: np.asarray(
        apply(model, np.asarray(rows).astype(np.int32 if np.issubdtype(rows.dtype, np.integer) else np.float32))
    )
