"""Records the values of every public explainer on fixed inputs, and compares later versions with the record.

    python -m tests.recorded_values --write PATH         records the values
    python -m tests.recorded_values [--only SUBSTRING]   computes them again and compares them with recorded_values.npz

Numbers may differ by `TOLERANCE` of the largest number of their field. New cases and fields are ignored; recorded ones must
still exist, unless `RENAMED` gives their new names.
"""

import os
from importlib.metadata import version

# Before JAX starts: the flags of conftest.py, since the last digits depend on how the programs are compiled.
if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    if version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import dataclasses
import functools
import itertools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from tests import models
from xaijax.cam._map import to_unit_range

RECORD = Path(__file__).with_suffix(".npz")
TOLERANCE = 1e-6
MOST_NUMBERS = 100  # that are kept of a field
# The new names of recorded fields: {"case/field": "case/field"}, or {"field": "field"} for all cases.
RENAMED: dict[str, str] = {"area": "values"}

KEY = jax.random.key(11)

Case = Callable[[], Any]
Fields = dict[str, np.ndarray]


def linear_net(features: int) -> Any:
    weights = jax.random.normal(jax.random.key(20), (features, models.CLASSES))
    return xai.function(lambda parameters, x: x @ parameters["weights"] + 0.5, {"weights": weights})


def segmentation_net() -> Any:
    """A class score at every pixel."""
    first, second = jax.random.split(jax.random.key(21))
    parameters = {
        "kernel": jax.random.normal(first, (models.IMAGE[-1], 4)),
        "head": jax.random.normal(second, (4, models.CLASSES)),
    }

    def places(parameters, x):
        hidden = xai.tag(jax.nn.softplus(x @ parameters["kernel"]), "hidden")
        return jnp.tanh(hidden @ parameters["head"])

    return xai.function(places, parameters)


def detector(x):
    """Three boxes with scores of two classes."""
    hidden = xai.tag(jax.nn.softplus(x), "hidden").mean(axis=(1, 2))
    boxes = jnp.array([[0.0, 0, 4, 4], [2, 2, 6, 6], [0, 0, 1, 1]]) + 0.1 * hidden[:, :1, None]
    return {"boxes": boxes, "scores": jax.nn.sigmoid(hidden[:, None] * jnp.array([[1.0, -1], [2, 1], [-1, 3]]))}


def image_and_row(x):
    seen = jnp.tanh(x["image"].mean(axis=(1, 2, 3)))
    return seen * x["row"][:, 0] + jnp.sin(x["row"]).prod(axis=1) + seen


def picture_net(x):
    """Of pictures of any channels: how bright their quarters are together, so that regions depend on each other."""
    halves = [jnp.array_split(part, 2, axis=2) for part in jnp.array_split(x, 2, axis=1)]
    first, second, third, fourth = ((part**2).mean(axis=(1, 2, 3)) for half in halves for part in half)
    return jnp.stack([first * second * third + jnp.tanh(fourth), jnp.sin(first + second) * third * fourth], axis=1)


def votes(coalitions):
    """A game written by hand: two outputs of six players."""
    count = coalitions @ jnp.array([3.0, 2, 2, 1, 1, 1])
    return jnp.stack([jnp.tanh(count - 4), count * (coalitions[:, 0] ^ coalitions[:, 5])], axis=1)


def vote(coalitions):
    return votes(coalitions)[:, 0]


def score(outputs):
    return outputs[:, 0] * outputs[:, 1]


def weighted(output, weights):
    return jnp.tanh(output) @ weights


@functools.cache
def pictures(channels: int = 3) -> jax.Array:
    """Two pictures of flat patches under noise."""
    rows, columns = np.mgrid[:12, :14]
    patches = np.stack([(rows > 5) + 2 * (columns > 8), (rows + columns > 12) + (columns < 4)])
    colors = np.random.default_rng(1).uniform(0, 2, size=(4, channels))
    noise = np.random.default_rng(2).normal(0, 0.3, (2, 12, 14, channels))
    return jnp.asarray(colors[patches] + noise, jnp.float32)


@functools.cache
def mixed_rows(count: int, seed: int) -> np.ndarray:
    """Rows whose first two columns are categories."""
    rows = np.array(models.rows(count, 6, seed=seed))
    rows[:, 0], rows[:, 1] = np.arange(count) % 3, np.arange(count) // 2 % 2
    return rows


WORDS = ["the", "film", "was", "good", "bad", "not", "at", "all", "and", "music"]
TEXTS = ["the film was not bad, not at all", "good music and the film was bad"]


def tokenize(text: str) -> list[int]:
    return [2 + WORDS.index(word) for word in re.findall(r"\w+", text)]


# Activation maps.

ONE_PASS = [
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "xgrad_cam",
    "layer_cam",
    "elementwise_grad_cam",
    "shapley_cam",
    "eigen_cam",
    "eigen_grad_cam",
    "kpca_cam",
    "fem",
]


def cam(name: str, *arguments: Any, net: Case = models.linen_net, target: Any = 1, **options: Any) -> Case:
    """A map of two images."""
    options |= {} if name == "attention_rollout" else {"target": target}
    return lambda: getattr(xai.cam, name)(net(), models.images(2), *arguments, **options)


def one_pass(name: str) -> Any:
    """The map at the layer's size with the paper's sign, and the signed map at the input's size in the unit range.

    When the values were recorded, normalize=True brought signed maps to the unit range as well.
    """
    explain = getattr(xai.cam, name)
    options = {"layer": "blocks/0", "target": 2}
    signed = explain(models.nnx_net(), models.images(2), relu=False, upsample=True, **options)
    return [
        explain(models.nnx_net(), models.images(2), **options),
        dataclasses.replace(signed, values=to_unit_range(signed.values)),
    ]


def several(**options: Any) -> Case:
    maps = [getattr(xai.cam, name) for name in ONE_PASS]
    return lambda: xai.cam.several(models.nnx_net(), models.images(2), maps, layer="blocks/0", **options)


def channels(estimator: str, groups: Any = None, target: Any = score, **options: Any) -> Any:
    games = xai.cam.channel_game(models.nnx_net(), models.images(2), layer="blocks/0", target=target, groups=groups)
    values = getattr(xai.shap, estimator)(games, **options)
    return [values, xai.cam.channel_map(games, values), xai.cam.channel_map(games, values, relu=True, upsample=True)]


CAM: dict[str, Case] = {
    **{f"cam.{name}": functools.partial(one_pass, name) for name in ONE_PASS},
    "cam.grad_cam, top class, default layer": cam("grad_cam", target=None),
    "cam.grad_cam, a class for each": cam("grad_cam", net=models.function_net, target=np.array([2, 0])),
    "cam.grad_cam, score": cam("grad_cam", net=models.function_net, target=score),
    "cam.grad_cam, tokens": cam("grad_cam", net=models.vision_transformer, layer="norms/1", grid=(4, 4)),
    "cam.grad_cam, size": cam("grad_cam", layer="norm", upsample=(5, 11)),
    "cam.hires_cam, all classes": cam("hires_cam", layer="conv", target="all"),
    "cam.shapley_cam, all classes": cam("shapley_cam", layer="conv", target="all", relu=False),
    "cam.kpca_cam, rbf": cam("kpca_cam", layer="conv", kernel="rbf", gamma=0.3),
    "cam.kpca_cam, linear": cam("kpca_cam", layer="conv", kernel="linear"),
    "cam.fem, deviations": cam("fem", layer="conv", deviations=1.0),
    "cam.several": several(target=2),
    "cam.several, all classes": several(target="all", relu=False, upsample=True),
    "cam.fuse, product": cam("fuse", ["conv", "norm"]),
    "cam.fuse, mean": cam("fuse", ["stem", "blocks/1:0"], net=models.nnx_net, how="mean", upsample=(6, 6)),
    "cam.fuse, max": cam("fuse", ["conv", "norm"], how="max", method=xai.cam.grad_cam),
    "cam.cam": cam("cam"),
    "cam.cam, head": cam("cam", head="head", relu=True, upsample=True),
    "cam.cam, all classes": cam("cam", target="all"),
    "cam.full_grad, channel": cam("full_grad", net=models.relu_net),
    "cam.full_grad, layer": cam("full_grad", net=models.relu_net, rescale="layer", normalize=True),
    "cam.full_grad, none": cam("full_grad", net=models.relu_net, rescale="none", target=None),
    "cam.full_gradients": cam("full_gradients", net=models.relu_net),
    "cam.guided_grad_cam": cam("guided_grad_cam", net=models.relu_net, layer="conv"),
    "cam.score_cam": cam("score_cam", layer="conv"),
    "cam.score_cam, increases": cam("score_cam", layer="conv", softmax=False, baseline=0.5, relu=False),
    "cam.score_cam, all classes": cam("score_cam", layer="conv", target="all", upsample=True),
    "cam.ss_cam": cam("ss_cam", layer="conv", num_samples=3, key=KEY),
    "cam.ss_cam, input": cam("ss_cam", layer="conv", num_samples=3, noise_on="input", sigma=0.5, key=KEY),
    "cam.is_cam": cam("is_cam", layer="conv", num_steps=3),
    "cam.ablation_cam": cam("ablation_cam", net=models.nnx_net, layer="blocks/0"),
    "cam.ablation_cam, all classes": cam("ablation_cam", layer="conv", target="all", relu=False),
    "cam.group_cam": cam("group_cam", net=models.function_net, num_groups=2, quantile=0.5),
    "cam.opti_cam": cam("opti_cam", layer="conv", num_steps=5),
    "cam.smooth_grad_cam_plus_plus": cam("smooth_grad_cam_plus_plus", layer="conv", num_samples=4, key=KEY),
    "cam.attention_rollout": cam("attention_rollout", net=models.vision_transformer),
    "cam.attention_rollout, registers": cam(
        "attention_rollout", net=lambda: models.vision_transformer(2), token=None, upsample=True, normalize=True
    ),
    "cam.attention_gradient": cam("attention_gradient", net=models.vision_transformer),
    "cam.attention_gradient, mean": cam("attention_gradient", net=models.vision_transformer, token=None, target=None),
    "cam.channel_map": lambda: channels("exact"),
    "cam.channel_map, groups": lambda: channels("exact", groups=[0, 1, 0, 2]),
    "cam.channel_map, all classes": lambda: channels("banzhaf", groups=2, target="all"),
}


# Shapley values.


def game(features: int = models.FEATURES, target: Any = 2, count: int = 2) -> xai.Game:
    """Of the features of two rows, or so many, before one baseline."""
    masker = xai.mask.baseline(models.rows(1, features)[0])
    return xai.game(models.table_net(features), models.rows(count, features, seed=3), masker, target=target)


def shap(name: str, *arguments: Any, features: int = models.FEATURES, target: Any = 2, **options: Any) -> Case:
    return lambda: getattr(xai.shap, name)(game(features, target), *arguments, **options)


def values(features: int = models.FEATURES, count: int = 2, **options: Any) -> Case:
    given: dict[str, Any] = {"key": KEY, "target": 2} | options

    def explain() -> Any:
        masker = xai.mask.background(models.rows(2, features, seed=1))
        return xai.shap.values(models.table_net(features), models.rows(count, features), masker, **given)

    return explain


def gradients(**options: Any) -> Case:
    return lambda: xai.shap.expected_gradients(
        models.table_net(), models.rows(2), models.rows(5, seed=1), key=KEY, **options
    )


def linear(count: int, **options: Any) -> Case:
    return lambda: xai.shap.linear(
        linear_net(count), models.rows(3, count), models.rows(30, count, seed=1), target=1, **options
    )


INDICES = ["k-SII", "SII", "STII", "FSII", "BII"]
TREE = [[0, 1], [2, [3, 4]], [5, 6, 7], [[8, 9], [10, 11]]]

SHAP: dict[str, Case] = {
    "shap.exact": shap("exact", features=6),
    "shap.exact, all outputs": shap("exact", features=5, target="all"),
    "shap.exact, by hand": lambda: xai.shap.exact(xai.Game(votes, 6)),
    "shap.banzhaf": shap("banzhaf", features=6),
    "shap.banzhaf, by hand": lambda: xai.shap.banzhaf(xai.Game(vote, 6)),
    "shap.owen": shap("owen", TREE),
    "shap.owen, all outputs": shap("owen", [[0, 1, 2], [3], [4, 5]], features=6, target="all"),
    "shap.permutation": shap("permutation", key=KEY, num_permutations=5),
    "shap.permutation, orthogonal": shap("permutation", key=KEY, num_permutations=13, orders="orthogonal"),
    "shap.permutation, until": shap(
        "permutation", key=KEY, num_permutations=3, until=0.05, max_evaluations=530, target=score
    ),
    "shap.permutation, ids": shap("permutation", key=KEY, num_permutations=2, ids=[7, 3], batch_size=5, target="all"),
    "shap.permutation, by hand": lambda: xai.shap.permutation(xai.Game(votes, 6), key=KEY, num_permutations=4),
    "shap.kernel": shap("kernel", key=KEY, num_evaluations=80),
    "shap.kernel, sizes": shap("kernel", key=KEY, num_evaluations=80, sizes="kernel", target="all"),
    "shap.kernel, published": shap("kernel", key=KEY, num_evaluations=120, sampling="published"),
    "shap.kernel, until": shap("kernel", key=KEY, num_evaluations=40, until=0.02, max_evaluations=640, target=score),
    "shap.kernel, by hand": lambda: xai.shap.kernel(xai.Game(votes, 6), key=KEY, num_evaluations=30),
    **{
        f"shap.gaussian_process, {scales}": shap("gaussian_process", key=KEY, num_evaluations=62, scales=scales)
        for scales in ("isotropic", "per_player", "fixed")
    },
    **{
        f"shap.gaussian_process, {scales}, until": shap(
            "gaussian_process",
            key=KEY,
            num_evaluations=40,
            scales=scales,
            until=0.02,
            max_evaluations=160,
            target=score,
        )
        for scales in ("isotropic", "per_player")
    },
    "shap.gaussian_process, all outputs": shap("gaussian_process", key=KEY, num_evaluations=62, target="all"),
    "shap.values, exact": values(features=6),
    "shap.values, permutation": values(num_evaluations=25),
    "shap.values, stochastic": values(num_evaluations=70, stochastic=True),
    "shap.values, gaussian process": values(num_evaluations=80, target="all"),
    "shap.values, high precision": values(num_evaluations=62, precision="high"),
    "shap.values, until": values(num_evaluations=70, until=0.02, max_evaluations=300),
    "shap.values, kernel": values(features=13, num_evaluations=4200, count=1),
    **{
        f"shap.interactions, {index}, order {order}": shap("interactions", index=index, order=order, features=5)
        for index, order in itertools.product(INDICES, (2, 3))
    },
    **{
        f"shap.interactions, {index}, estimated": shap(
            "interactions", index=index, key=KEY, num_evaluations=60, target=score
        )
        for index in INDICES
    },
    "shap.interactions, by hand": lambda: xai.shap.interactions(xai.Game(votes, 6), order=3),
    "shap.expected_gradients": gradients(target=2, num_samples=48),
    "shap.expected_gradients, top class": gradients(num_samples=33, ids=[5, 2]),
    "shap.rise": shap("rise", features=6),
    "shap.rise, sampled": shap("rise", key=KEY, num_evaluations=82, target="all"),
    "shap.sobol": shap("sobol", features=6),
    "shap.sobol, sampled": shap("sobol", key=KEY, num_evaluations=80, target=score),
    "shap.linear": linear(12),
    "shap.linear, correlated": linear(4, features="correlated"),
    "shap.linear, correlated, sampled": linear(9, features="correlated", num_permutations=20, key=KEY),
}


# Gradients.


def gradient(name: str, *arguments: Any, net: Any = models.relu_net, x: Any = None, **options: Any) -> Case:
    given = {"target": 1} | options
    return lambda: getattr(xai.gradient, name)(net(), models.images(2) if x is None else x(), *arguments, **given)


def smooth(variant: str) -> Case:
    explain = xai.gradient.smooth(xai.gradient.saliency, num_samples=10, variant=variant)
    return lambda: explain(models.table_net(), models.rows(2), target=1, key=KEY)


TABLE: dict[str, Any] = {"net": models.table_net, "x": lambda: models.rows(2)}
UNIT = xai.target.unit("norm", (1, 2, 3))

GRADIENT: dict[str, Case] = {
    "gradient.saliency": gradient("saliency"),
    "gradient.saliency, all outputs": gradient("saliency", absolute=True, channels="sum", target="all"),
    "gradient.saliency, layer": gradient("saliency", layer="norm"),
    "gradient.saliency, unit": gradient("saliency", target=UNIT),
    "gradient.input_x_gradient": gradient("input_x_gradient"),
    "gradient.guided_backpropagation": gradient("guided_backpropagation"),
    "gradient.deconvolution": gradient("deconvolution"),
    "gradient.integrated_gradients": gradient("integrated_gradients", 0.1, num_steps=4),
    "gradient.integrated_gradients, until": gradient("integrated_gradients", num_steps=4, until=1e-3, **TABLE),
    "gradient.integrated_gradients, layer": gradient("integrated_gradients", num_steps=4, layer="norm", channels="sum"),
    "gradient.guided_integrated_gradients": gradient("guided_integrated_gradients", num_steps=9, **TABLE),
    "gradient.blur_integrated_gradients": gradient("blur_integrated_gradients", num_steps=5, max_sigma=2.0),
    "gradient.conductance": gradient("conductance", "norm", num_steps=4),
    "gradient.internal_influence": gradient("internal_influence", "norm", num_steps=4),
    "gradient.integrated_hessians": gradient("integrated_hessians", num_steps=6, **TABLE),
    "gradient.occlusion": gradient("occlusion", (4, 3), stride=2, baseline=0.1),
    "gradient.feature_ablation": gradient("feature_ablation", **TABLE),
    **{f"gradient.smooth, {variant}": smooth(variant) for variant in ("mean", "squared", "variance")},
}


# LIME.


def tabular(statistics: Case | None = None, **options: Any) -> Case:
    """Rows of numbers, or of whatever the statistics say."""

    def explain() -> Any:
        known = xai.lime.statistics(models.rows(50, 6, seed=2)) if statistics is None else statistics()
        x = mixed_rows(2, 6) if known.categorical.any() else models.rows(2, 6)
        given = {"key": KEY, "target": score, "num_samples": 96} | options
        return xai.lime.tabular(models.table_net(6), x, known, **given)

    return explain


def statistics(**options: Any) -> Case:
    """Of training rows with categories where these are named."""
    return lambda: xai.lime.statistics(
        mixed_rows(60, 2) if "categorical" in options else models.rows(60, 6, seed=2), **options
    )


def lime(name: str = "fit", *arguments: Any, **options: Any) -> Case:
    """fit, text or strings, with enough samples for a line."""
    given = {"key": KEY, "num_samples": 60} | options
    if name == "fit":
        return lambda: xai.lime.fit(game(target=score), **given)
    if name == "strings":
        return lambda: xai.lime.strings(models.text_net(), TEXTS, tokenize, pad_id=0, **given)
    return lambda: xai.lime.text(models.text_net(), models.sentences()[:2], pad_id=0, **given)


def lime_image(regions: Case = lambda: None, **options: Any) -> Case:
    given = {"key": KEY, "num_samples": 200, "target": score} | options
    return lambda: xai.lime.image(picture_net, models.images(2), regions(), **given)


def lime_pictures(**options: Any) -> Any:
    """As large as they must be for superpixels to be the default."""
    large = jnp.repeat(jnp.repeat(pictures(), 3, axis=1), 3, axis=2)
    return xai.lime.image(picture_net, large, key=KEY, num_samples=120, **options)


def picks(**options: Any) -> Case:
    def pick() -> Any:
        values = jax.random.normal(jax.random.key(3), (12, 8))
        return xai.lime.submodular_pick(jnp.where(jnp.abs(values) > 1.2, values, 0), 4, **options)

    return pick


STATISTICS: dict[str, Case] = {
    "quartile": statistics(bins="quartile"),
    "decile": statistics(bins="decile"),
    "entropy": statistics(bins="entropy", labels=np.arange(60) % 3),
    "edges": statistics(bins={0: [-0.5, 0.5], 3: [0.2]}),
    "categories": statistics(categorical=[0, 1]),
    "categories and bins": statistics(categorical=[0, 1], bins="quartile"),
}
QUARTERS = np.repeat(np.repeat(np.arange(4).reshape(2, 2), 4, axis=0), 4, axis=1)
GROUPS = np.array([[0, 1, 2, 1, -1, 3], [0, 0, 1, 2, -1, -1]])

LIME: dict[str, Case] = {
    "lime.statistics": statistics(),
    **{f"lime.statistics, {name}": case for name, case in STATISTICS.items()},
    "lime.tabular": tabular(),
    **{f"lime.tabular, {name}": tabular(case) for name, case in STATISTICS.items()},
    "lime.tabular, all outputs": tabular(target="all"),
    "lime.tabular, data": tabular(around="data", kernel_width=2.0, ridge=0.1),
    "lime.tabular, independent": tabular(sampling="independent"),
    "lime.tabular, gaussian process": tabular(surrogate="gaussian_process", target=2, num_samples=48),
    "lime.tabular, lime": tabular(definitions="lime", num_samples=200),
    "lime.tabular, lime, categories and bins": tabular(
        STATISTICS["categories and bins"], definitions="lime", num_samples=200, num_features=4
    ),
    **{
        f"lime.tabular, {selection}": tabular(num_features=3, feature_selection=selection)
        for selection in ("forward_selection", "highest_weights", "lasso_path", "none")
    },
    "lime.tabular, until": tabular(num_samples=40, until=0.2, max_samples=640),
    "lime.fit": lime(),
    "lime.fit, coins": lime(sampling="coins", distance="euclidean"),
    "lime.fit, sizes": lime(sampling="sizes", distance="hamming", kernel_width=0.5),
    "lime.fit, lime": lime(definitions="lime", num_samples=200),
    "lime.fit, gaussian process": lime(surrogate="gaussian_process"),
    "lime.fit, lasso path": lime(num_features=5, feature_selection="lasso_path", top=3, ridge=0.01),
    "lime.fit, until": lime(until=0.1, max_samples=960),
    "lime.fit, by hand": lambda: xai.lime.fit(xai.Game(votes, 6), key=KEY, num_samples=40),
    "lime.image": lime_image(fill="blur", target=1),
    "lime.image, labels": lime_image(lambda: QUARTERS, fill=0.25),
    "lime.image, lime": lime_image(lambda: xai.mask.patches(3, fill="blur"), definitions="lime"),
    "lime.image, superpixels": lime_pictures,
    "lime.text": lime("text", mask_id=1),
    "lime.text, cut": lime("text", groups=GROUPS, target=1),
    "lime.text, lime": lime("text", mask_id=1, definitions="lime", num_samples=200, num_features=3),
    "lime.strings": lime("strings"),
    "lime.strings, places": lime("strings", bag_of_words=False, mask_id=1, target=0),
    "lime.strings, lime": lime("strings", definitions="lime", num_samples=200, length=12),
    "lime.submodular_pick": picks(),
    "lime.submodular_pick, sample": picks(key=KEY, sample_size=7),
}


# Maskers: what some coalitions are worth, and what an estimator makes of the players.


def masked(masker: xai.mask.Masker, model: Any, x: Any, target: Any = 1) -> Any:
    games = xai.game(model, x, masker, target=target)
    coalitions = jax.random.bernoulli(jax.random.key(12), 0.5, (10, games.num_players))
    if games.num_players <= 9:
        return games(coalitions), xai.shap.exact(games)
    return games(coalitions), xai.shap.permutation(games, key=KEY, num_permutations=3)


def table(masker: Case, count: int = 2) -> Case:
    return lambda: masked(masker(), models.table_net(), models.rows(count))


def image(masker: Case) -> Case:
    return lambda: masked(masker(), picture_net, models.images(2))


def superpixels(fill: Any, channels: int = 3, **options: Any) -> Case:
    return lambda: masked(xai.mask.superpixels(9, fill=fill, **options), picture_net, pictures(channels))


def tokens(**options: Any) -> Case:
    return lambda: masked(xai.mask.tokens(**options), models.text_net(), models.sentences()[:2])


def joint() -> Any:
    x = {"image": models.images(2), "row": models.rows(2, 3)}
    background = xai.mask.background(models.rows(3, 3, seed=1), weights=[1, 2, 5])
    masker = xai.mask.joint({"image": xai.mask.grid((1, 2), fill=0.5), "row": background})
    worth, found = masked(masker, image_and_row, x, target=None)
    return worth, found, masker.split(found.values, x)


COLUMNS = [0, 0, 1, 2, 2, 2, 3, 3, 4, 5, 5, 5]

MASK: dict[str, Case] = {
    "mask.background": table(lambda: xai.mask.background(models.rows(5, seed=1))),
    "mask.background, weights": table(lambda: xai.mask.background(models.rows(3, seed=1), weights=[1, 2, 1])),
    "mask.background, groups": table(lambda: xai.mask.background(models.rows(3, seed=1), groups=COLUMNS)),
    "mask.background, images": image(lambda: xai.mask.background(models.images(3), groups=QUARTERS)),
    "mask.baseline": table(lambda: xai.mask.baseline(models.rows(1, seed=1)[0])),
    "mask.gaussian": table(lambda: xai.mask.gaussian(models.rows(15, seed=1))),
    "mask.k_means": table(lambda: xai.mask.k_means(models.rows(40, seed=1), 4, key=jax.random.key(0))),
    "mask.grid": image(lambda: xai.mask.grid((3, 2))),
    "mask.regions": image(lambda: xai.mask.regions(np.stack([QUARTERS, QUARTERS.T // 2]), fill="noise")),
    "mask.patches": image(lambda: xai.mask.patches((3, 4), fill="blur")),
    "mask.superpixels, mean": superpixels("mean"),
    "mask.superpixels, blur": superpixels("blur", sigma=1.0),
    "mask.superpixels, noise": superpixels("noise", compactness=30.0, num_iterations=4),
    "mask.superpixels, number": superpixels(0.5, color_space="channels"),
    "mask.superpixels, color": superpixels([0.2, 0.4], channels=2),
    "mask.superpixels, images": lambda: superpixels(pictures()[:, ::-1])(),
    "mask.tokens, mask": tokens(mask_id=1, pad_id=0),
    "mask.tokens, cut": tokens(pad_id=0),
    "mask.tokens, groups": tokens(mask_id=1, pad_id=0, groups=GROUPS),
    "mask.joint": joint,
}


# The rest.


def targeted(target: Any, net: Case = models.function_net, layer: str = "hidden") -> Case:
    """In a map, by gradients, and in a game, by values."""

    def explain() -> Any:
        game = xai.game(net(), models.images(2), xai.mask.grid((2, 2), fill=2.0), target=target)
        return xai.cam.grad_cam(net(), models.images(2), layer=layer, target=target, relu=False), xai.shap.exact(game)

    return explain


TARGET: dict[str, Case] = {
    "target.probability": targeted(xai.target.probability(np.array([1, 2]))),
    "target.probability, top class": targeted(xai.target.probability()),
    "target.finer": targeted(xai.target.finer()),
    "target.finer, against": targeted(xai.target.finer(0, against=[[1], [2]], gamma=0.8)),
    "target.finer, similar": targeted(xai.target.finer(2, num_similar=1)),
    "target.region": targeted(xai.target.region(1), segmentation_net),
    "target.region, mean": targeted(xai.target.region(None, QUARTERS == 1, reduce="mean"), segmentation_net),
    "target.box": targeted(xai.target.box([[0, 0, 4, 4], [2, 2, 6, 7]], [0, 1]), lambda: detector),
    "target.similarity": targeted(xai.target.similarity([1.0, -0.5, 2.0])),
    "target.each": targeted(xai.target.each(weighted, np.array([[1.0, 0, 2], [0.5, -1, 1]]))),
}

SLIC: dict[str, dict[str, Any]] = {
    "lab": {},
    "channels": {"channels": 2},
    "sigma": {"sigma": 1.0, "num_segments": 20},
    "compact": {"compactness": 40.0, "num_iterations": 3, "color_space": "channels"},
    "pieces": {"enforce_connectivity": False, "compactness": 2.0},
}


def slic(channels: int = 3, num_segments: int = 9, **options: Any) -> Any:
    return xai.segment.slic(pictures(channels), num_segments, **options)


def curve(name: str) -> Any:
    """Of values, of a map, and of a game written by hand."""
    measure = getattr(xai.metrics, name)
    net, x, by_hand = models.linen_net(), models.images(2), xai.Game(vote, 6)
    cells = xai.game(net, x, xai.mask.grid((2, 3), fill="blur"), target=1)
    return [
        measure(cells, xai.shap.exact(cells)),
        measure(cells, xai.cam.grad_cam(net, x, layer="conv", target=1)),
        measure(by_hand, xai.shap.exact(by_hand)),
    ]


def permutations(x: Any, key: Any, ids: Any) -> Any:
    rows = xai.game(models.table_net(), x, xai.mask.background(models.rows(2, seed=1)), target=2)
    return xai.shap.permutation(rows, key=key, ids=ids, num_permutations=3)


def summary() -> Any:
    """In two batches, and of two summaries merged."""
    batches = [xai.Attribution(values=models.rows(count, 5, seed=count), output=jnp.zeros(count)) for count in (30, 12)]
    options: dict[str, Any] = {"top": 3, "bins": np.linspace(-2, 2, 9)}
    ids = [np.arange(30), 30 + np.arange(12)]
    parts = [xai.scale.summarize(batch, ids=own, **options) for batch, own in zip(batches, ids, strict=True)]
    return {
        name: {
            "mean": one.mean,
            "mean_abs": one.mean_abs,
            "mean_errors": one.mean_errors,
            "mean_abs_errors": one.mean_abs_errors,
            "standard_deviations": one.standard_deviations,
            "counts": one.counts,
            "quantiles": one.quantiles([0.1, 0.5, 0.9]),
            "histogram": one.histogram(),
            "top": one.top_examples(),
            "extremes": one.extremes,
        }
        for name, one in {
            "batches": xai.scale.summarize(batches, **options),
            "merged": parts[1].merge(parts[0]),
        }.items()
    }


def dataset() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/store"
        rows = np.asarray(models.rows(11))
        xai.scale.explain_dataset(permutations, rows, out, key=KEY, batch_size=8, progress=False)
        return xai.load(out), xai.scale.load_ids(out)


SCALE: dict[str, Case] = {
    "scale.summarize": summary,
    "scale.explain_dataset": dataset,
}

CASES: dict[str, Case] = {
    **CAM,
    **SHAP,
    **GRADIENT,
    **LIME,
    **MASK,
    **TARGET,
    **{f"segment.slic, {name}": functools.partial(slic, **options) for name, options in SLIC.items()},
    **{f"metrics.{name}": functools.partial(curve, name) for name in ("insertion", "deletion")},
    **SCALE,
}


def compute(name: str) -> Fields:
    """The arrays of a case, by "case/field"."""
    found, _ = jax.tree_util.tree_flatten_with_path(CASES[name]())
    fields = {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in found}
    return {f"{name}/{field}".rstrip("/"): _thinned(array) for field, array in fields.items()}


def _thinned(array: np.ndarray) -> np.ndarray:
    """The array, or numbers spread evenly over a large one."""
    return array if array.size <= MOST_NUMBERS else array.reshape(-1)[:: -(-array.size // MOST_NUMBERS)]


def largest_difference(recorded: np.ndarray, found: np.ndarray) -> float:
    """Returns the difference relative to the largest recorded size; NaN equals NaN, and infinities equal themselves."""
    if recorded.shape != found.shape:
        return float("inf")
    one, other = recorded.astype(np.float64), found.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0, np.nan_to_num(np.abs(one - other), nan=np.inf, posinf=np.inf))
    largest = np.abs(one[np.isfinite(one)]).max(initial=0)
    return float(gaps.max(initial=0) / (largest or 1))


def today(key: str) -> str:
    """Returns the current name of a recorded "case/field"."""
    path, _, field = key.rpartition("/")
    return RENAMED.get(key, f"{path}/{RENAMED.get(field, field)}".lstrip("/"))


def complaints(name: str, recorded: Mapping[str, np.ndarray]) -> list[str]:
    """Returns the differences of a case, the largest first."""
    wanted = {key: array for key, array in recorded.items() if key.split("/")[0] == name}
    try:
        found = compute(name)
    except Exception as error:
        return [f"raised {type(error).__name__}: {error}"]
    gone = [key for key in wanted if today(key) not in found]
    differences = {key: largest_difference(wanted[key], found[today(key)]) for key in wanted.keys() - {*gone}}
    order = sorted((key for key in differences if differences[key] > TOLERANCE), key=lambda key: -differences[key])
    return [f"{key} is gone" for key in gone] + [f"{key} differs by {differences[key]:.2g}" for key in order]


def in_turn(names: Iterable[str]) -> Iterator[str]:
    """Yields the names; clears compiled programs between folders, as a process may have 65,530 memory maps for them."""
    for _, some in itertools.groupby(names, key=lambda name: name.partition(".")[0]):
        yield from some
        jax.clear_caches()


def compare(only: str = "", path: Path = RECORD) -> dict[str, list[str]]:
    """Returns the differences of each case whose name contains `only`; cases that agree are left out."""
    with np.load(path, allow_pickle=False) as file:
        recorded = dict(file)
    names = [name for name in dict.fromkeys(key.split("/")[0] for key in recorded) if only in name]
    found = {name: complaints(name, recorded) if name in CASES else ["is gone"] for name in in_turn(names)}
    return {name: said for name, said in found.items() if said}


def write(path: Path) -> None:
    fields = {key: array for name in in_turn(CASES) for key, array in compute(name).items()}
    np.savez_compressed(path, **fields)  # pyright: ignore[reportArgumentType]
    print(f"{len(CASES)} cases, {len(fields)} fields, {path.stat().st_size / 1000:.0f} kB")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", type=Path, metavar="PATH", help="record the values in this .npz file")
    what.add_argument("--only", default="", metavar="SUBSTRING", help="compare the cases with this in their name")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write)
        return 0
    wrong = compare(arguments.only)
    for name, said in wrong.items():
        print(name, *said, sep="\n    ")
    print(f"{len(wrong)} cases differ." if wrong else "All values are as recorded.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
