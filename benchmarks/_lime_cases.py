"""LIME of tables, images and texts, compared with the bare model on as many rows; and the parts of its time."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import xaijax as xai
from benchmarks._models import (
    KEY,
    VOCABULARY,
    bag_of_words,
    mobile_net,
    perceptron,
    small_resnet,
    text_transformer,
    vision_transformer,
)
from benchmarks._overhead import Case, Size, bare, blocks, pick
from benchmarks._parts import Run, Seconds, measure_parts, parts_of_game
from xaijax.lime import _coalitions, _explain, _rows
from xaijax.lime._neighborhood import KERNEL_WIDTHS


def lime_cases(size: Size) -> list[Case]:
    return [*(_table(size, bins) for bins in (None, "quartile")), *_images(size), *_texts(size)]


def _table(size: Size, bins: str | None) -> Case:
    features, samples, inputs = pick(size, tiny=(5, 20, 2), quick=(30, 5000, 20), full=(30, 5000, 100))
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    statistics = xai.lime.statistics(x, bins=bins)
    return Case(
        "LIME of numbers, perceptron" if bins is None else f"LIME of {bins}s, perceptron",
        inputs * samples,
        lambda: xai.lime.tabular(model, x, statistics, key=KEY, target=0, num_samples=samples),
        partial(bare, model, inputs * samples, (features,), blocks("tables", size)),
        {"features": features, "samples": samples, "inputs": inputs},
    )


def _images(size: Size) -> list[Case]:
    side, samples = pick(size, tiny=(16, 20), quick=(64, 128), full=(64, 256))
    models: list[tuple[str, Any, int, int, int]] = [
        ("small ResNet", small_resnet, side, pick(size, tiny=1, quick=1, full=2), samples),
        ("ViT", vision_transformer, side, pick(size, tiny=1, quick=4, full=8), samples),
    ]
    if size != "quick":
        models.append(("MobileNet", mobile_net, side, 1, samples))
    if size == "full":
        models.append(("small ResNet at 224", small_resnet, 224, 1, 64))
    cases = []
    for name, make, side, inputs, samples in models:
        model = make(side)
        x = jax.random.normal(KEY, (inputs, side, side, 3))
        regions = xai.mask.superpixels(4 if size == "tiny" else 50)
        cases.append(
            Case(
                f"LIME on superpixels, {name}",
                inputs * samples,
                lambda model=model, x=x, regions=regions, samples=samples: xai.lime.image(
                    model, x, regions, key=KEY, target=0, num_samples=samples
                ),
                partial(bare, model, inputs * samples, (side, side, 3), blocks("images", size)),
                {"side": side, "samples": samples, "inputs": inputs},
            )
        )
    return cases


def _texts(size: Size) -> list[Case]:
    cases = []
    for name, make, (length, samples, inputs) in (
        ("bag of embeddings", bag_of_words, pick(size, tiny=(8, 20, 2), quick=(128, 1000, 10), full=(128, 1000, 20))),
        ("text transformer", text_transformer, pick(size, tiny=(8, 20, 2), quick=(32, 500, 2), full=(64, 500, 2))),
    ):
        model = make(length)
        x = jax.random.randint(KEY, (inputs, length), 1, VOCABULARY)
        cases.append(
            Case(
                f"LIME of words, {name}",
                inputs * samples,
                lambda model=model, x=x, samples=samples: xai.lime.text(
                    model, x, key=KEY, mask_id=0, target=0, num_samples=samples
                ),
                partial(bare, model, inputs * samples, (length,), blocks("texts", size), ids=VOCABULARY),
                {"length": length, "samples": samples, "inputs": inputs},
            )
        )
    return cases


def lime_parts(repeats: int, size: Size) -> list[dict[str, Any]]:
    """Measures the parts of LIME of tables, of images and of texts."""
    of_tables = [_parts_of_table(repeats, size, bins) for bins in (None, "quartile")]
    return [*of_tables, _parts_of_images(repeats, size), _parts_of_texts(repeats, size)]


def _parts_of_table(repeats: int, size: Size, bins: str | None) -> dict[str, Any]:
    """Measures the explainer's own functions for drawing and solving, for one example after another."""
    inputs, samples, features = pick(size, tiny=(3, 50, 5), quick=(20, 5000, 30), full=(100, 5000, 30))
    model = perceptron(features)
    x = jax.random.normal(KEY, (inputs, features))
    statistics = xai.lime.statistics(x, bins=bins)
    layout = _rows.row_layout("weighted", samples - 1)
    recipe = _explain.read_recipe(
        layout, num_players=features, sampling="weighted", as_lime=False, surrogate="linear", ridge=None,
        num_features=None, feature_selection="auto", until=None, max_samples=None, top=5,
    )  # fmt: skip

    def draw(key: Any, row: Any) -> Any:
        return _rows.draw_rows("weighted", key, row, statistics, 0.75 * features**0.5, "row", layout)

    drawn, rows = jax.jit(draw)(KEY, x[0])
    values = model(rows)

    no_process: Any = None  # for the linear surrogate

    def fit(key: Any, samples: Any, values: Any) -> Any:
        return _explain.explain(
            lambda _: (samples, values), lambda values: values, key, recipe, active=jnp.ones(features, bool),
            improve=no_process,
        )  # fmt: skip

    keys = jax.random.split(KEY, inputs)
    draw_all = jax.jit(lambda keys, x: jax.lax.map(lambda pair: _sums(draw(*pair)), (keys, x)))
    # The samples differ from key to key, so that the compiler cannot share a part between examples.
    evaluate_all = jax.jit(lambda x, rows: jax.lax.map(lambda row: model(rows + row).sum(), x))
    fit_all = jax.jit(
        lambda keys, drawn, values: jax.lax.map(
            lambda key: _sums(fit(key, drawn, values + jax.random.uniform(key, values.shape))), keys
        )
    )
    runs: dict[str, Run] = {
        "whole": lambda: xai.lime.tabular(model, x, statistics, key=KEY, target=0, num_samples=samples),
        "drawing": lambda: draw_all(keys, x),
        "model": lambda: evaluate_all(x, rows),
        "solving": lambda: fit_all(keys, drawn, values),
    }
    sizes = {"inputs": inputs, "samples": samples, "features": features}
    features_as = "numbers" if bins is None else f"{bins}s"
    return measure_parts(f"LIME of {features_as}, perceptron", runs, _with_rest, repeats, sizes)


def _with_rest(times: Seconds) -> Seconds:
    parts = {name: times[name] for name in ("model", "drawing", "solving")}
    return parts | {"rest": times["whole"] - sum(parts.values())}


def _parts_of_images(repeats: int, size: Size) -> dict[str, Any]:
    side, samples, inputs = pick(size, tiny=(16, 20, 1), quick=(64, 128, 1), full=(64, 256, 2))
    model, players = small_resnet(side), 4 if size == "tiny" else 50
    x = jax.random.normal(KEY, (inputs, side, side, 3))
    regions = xai.mask.superpixels(players)
    players = xai.game(model, x, regions, target=0).num_players
    return parts_of_game(
        "LIME on superpixels, small ResNet",
        lambda game: xai.lime.fit(game, key=KEY, num_samples=samples),
        model, x, regions,
        bare=bare(model, inputs * samples, (side, side, 3), blocks("images", size)),
        repeats=repeats, sizes={"side": side, "samples": samples, "inputs": inputs},
        draw=_drawing(inputs, players, samples),
    )  # fmt: skip


def _parts_of_texts(repeats: int, size: Size) -> dict[str, Any]:
    length, samples, inputs = pick(size, tiny=(8, 20, 2), quick=(128, 1000, 10), full=(128, 1000, 20))
    model = bag_of_words(length)
    return parts_of_game(
        "LIME of words, bag of embeddings",
        lambda game: xai.lime.fit(game, key=KEY, num_samples=samples),
        model, jax.random.randint(KEY, (inputs, length), 1, VOCABULARY), xai.mask.tokens(0),
        bare=bare(model, inputs * samples, (length,), blocks("texts", size), ids=VOCABULARY),
        repeats=repeats, sizes={"length": length, "samples": samples, "inputs": inputs},
        draw=_drawing(inputs, length, samples),
    )  # fmt: skip


def _drawing(inputs: int, players: int, samples: int) -> Run:
    """Returns a function that only draws the neighborhoods of coalitions of all inputs, one after another."""
    layout = _coalitions.coalition_layout("weighted", samples - 1)
    active = jnp.ones(players, bool)

    def draw(key: Any) -> Any:
        return _sums(_coalitions.draw_coalitions("weighted", key, active, "cosine", KERNEL_WIDTHS["cosine"], layout))

    draw_all = jax.jit(lambda keys: jax.lax.map(draw, keys))
    keys = jax.random.split(KEY, inputs)
    return lambda: draw_all(keys)


def _sums(tree: Any) -> Any:
    """Returns the sums of all leaves, so that the compiler must compute them."""
    return jax.tree.map(jnp.sum, tree)
