"""Yields right arguments for every public function and method. Models and inputs are tiny."""

import dataclasses
import functools
import importlib.util
import inspect
import os
import re
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai

KEY = jax.random.key(0)
N, M = 3, 4
X = np.linspace(-1.0, 1.0, N * M, dtype=np.float32).reshape(N, M)
IMAGES = np.linspace(0.0, 1.0, 2 * 6 * 6 * 3, dtype=np.float32).reshape(2, 6, 6, 3)
GRAY = IMAGES[..., 0]
WEIGHTS = jnp.linspace(-1.0, 1.0, M * 3).reshape(M, 3)
TOKENS = np.array([[2, 3, 4, 0], [3, 5, 2, 4]])
_CACHE_SETTINGS = (
    "compilation_cache_dir",
    "persistent_cache_min_compile_time_secs",
    "persistent_cache_min_entry_size_bytes",
)
NEW = "the path of a new file or folder"  # replaced in every call
LABELS = np.arange(36).reshape(6, 6) // 9


def table_model(x):
    return jnp.tanh(x @ WEIGHTS)


def tagged_model(x):
    return xai.tag(table_model(x), "hidden") @ WEIGHTS[:3]


def linear_model(x):
    return x @ WEIGHTS


def image_model(x):
    hidden = xai.tag(jax.nn.relu(jnp.einsum("nhwc,ck->nhwk", x, WEIGHTS[:3])), "hidden")
    return xai.tag(hidden * 2.0, "later").mean(axis=(1, 2))


def head_model(features):
    return features.mean(axis=tuple(range(1, features.ndim - 1)))


def token_model(ids):
    return jnp.tanh(WEIGHTS[ids % M].sum(axis=1))


def attention_model(x):
    """Two layers of attention over the four tokens of a batch [N, 4, 3]."""
    for _ in range(2):
        weights = xai.tag(jax.nn.softmax(x @ jnp.swapaxes(x, 1, 2)), "attention_weights")
        x = weights @ x
    return x[:, 0]


def tokenizer(text):
    return [2 + len(word) % 3 for word in re.findall(r"\w+", text)]


def causal_model(ids):
    return jnp.cumsum(jax.nn.one_hot(ids, 5), axis=1)


# Records that functions of the package return, the protocol of models and maskers, whose methods the package calls after its
# own checks, attributions, which as PyTrees hold what a transformation puts in the place of their arrays, and a function that
# Flax calls.
NOT_CALLED = {
    "Layer", "Layers", "Model", "lime.Pick", "lime.Statistics", "cam.ChannelGame", "cam.FullGradients", "cam.Tapped", "metrics.Curve", "metrics.RelevanceGain", "metrics.SensitivityN",
    "metrics.ExplainerBenchmark", "metrics.PartialDependence", "metrics.Removal", "metrics.Road", "metrics.Randomization", "metrics.Score", "metrics.Mean", "metrics.Comparison", "metrics.Agreement",
    "scale.ExportedExplainer", "scale.Failure",
    "scale.Summary", "scale.AttributionSummary", "mask.Background", "mask.Gaussian", "mask.Generative", "mask.Grid", "mask.Joint", "mask.Masker",
    "mask.Patches", "mask.Regions", "Attribution", "Interactions", "Surrogate", "tagged_attention", "mask.Superpixels", "mask.Tokens", "clear_caches",
    "trees.Forest", "gradient.composites.Operation", "text.Cached", "text.Prompt", "text.ResponseGame", "text.Spans", "gradient.rules.Layer", "gradient.rules.Rule",
}  # fmt: skip

if importlib.util.find_spec("shap") is None:  # it is no package of the tests
    NOT_CALLED |= {"from_shap", "to_shap"}


class Results:
    """Results of explainers, each computed when a call needs it."""

    @functools.cached_property
    def masker(self):
        return xai.mask.baseline(jnp.zeros(M))

    @functools.cached_property
    def game(self):
        return xai.game(table_model, X, self.masker, target=1)

    @functools.cached_property
    def prompt(self):
        return xai.text.prompt([[2, 3], [4]], prefix=[1])

    @functools.cached_property
    def response(self):
        return xai.Attribution(jnp.ones((2, 3)), jnp.zeros(3), axes="M K", names=("a", "b"), context=("c", "d"))

    @functools.cached_property
    def own_game(self):
        return xai.Game(lambda coalitions: coalitions.sum(axis=1), num_players=M)

    @functools.cached_property
    def table(self):
        target = jnp.ones(N, jnp.int32)
        return xai.Attribution(
            jnp.asarray(X), jnp.asarray(X.sum(axis=1)), jnp.zeros(N), target=target, inputs=jnp.asarray(X), axes="N M",
            method="SHAP", efficient=True,
        )  # fmt: skip

    @functools.cached_property
    def classes(self):
        values = jnp.stack([jnp.asarray(X)] * 3, axis=-1)
        return xai.Attribution(
            values, values.sum(axis=1), jnp.zeros((N, 3)), axes="N M K", method="SHAP", efficient=True
        )

    @functools.cached_property
    def maps(self):
        return xai.Attribution(
            jnp.asarray(GRAY), jnp.ones(2), target=jnp.zeros(2, jnp.int32), axes="N h w", method="Grad-CAM"
        )

    @functools.cached_property
    def regions(self):
        labels = jnp.stack([jnp.asarray(LABELS)] * 2)
        return xai.Attribution(jnp.ones((2, 4)), jnp.ones(2), jnp.zeros(2), regions=labels, axes="N M", method="SHAP")

    @functools.cached_property
    def pairs(self):
        return xai.shap.interactions(self.game, key=KEY)

    @functools.cached_property
    def statistics(self):
        return xai.lime.statistics(np.eye(5, M, dtype=np.float32))

    @functools.cached_property
    def surrogate(self):
        return xai.lime.tabular(table_model, X, self.statistics, key=KEY, target=1, num_samples=40)

    @functools.cached_property
    def channels(self):
        return xai.cam.channel_game(image_model, IMAGES, layer="hidden", target=1)

    @functools.cached_property
    def summary(self):
        return xai.scale.AttributionSummary.init((M,))

    @functools.cached_property
    def exported(self):
        return xai.load(xai.scale.export(explainer, X, "exported.xai"))

    @functools.cached_property
    def curve(self):
        fractions = jnp.broadcast_to(jnp.linspace(0, 1, 5), (N, 5))
        return xai.metrics.Curve(jnp.ones(N), fractions=fractions, outputs=fractions, metric="deletion", method="SHAP")

    @functools.cached_property
    def comparison(self):
        explainers = [xai.gradient.saliency, xai.gradient.input_x_gradient]
        sizes = {"size": lambda attribution: xai.metrics.Score(abs(attribution.values).sum(axis=1), better="lower")}
        return xai.metrics.compare(explainers, table_model, X, sizes, key=KEY)

    @functools.cached_property
    def dependence(self):
        return xai.metrics.partial_dependence(table_model, X, 0, num_points=4)

    @functools.cached_property
    def removed(self):
        present = jnp.ones((2, 4), bool)
        return xai.metrics.Removal(IMAGES, IMAGES * 0, jnp.ones(2), jnp.ones((2, 2)), present, jnp.ones(2, jnp.int32))

    @functools.cached_property
    def store(self):
        xai.scale.explain_dataset(explainer, X, "store", batch_size=2, progress=False)
        return "store"

    @functools.cached_property
    def file(self):
        return xai.save("saved.npz", self.table)

    @functools.cached_property
    def tree(self):
        from sklearn.tree import DecisionTreeRegressor

        return DecisionTreeRegressor().fit(X, X[:, 0])

    @functools.cached_property
    def forest(self):
        return xai.trees.read(self.tree)

    @functools.cached_property
    def equinox(self):
        import equinox as eqx

        return eqx.nn.Linear(M, 2, key=KEY)

    @functools.cached_property
    def haiku(self):
        import haiku as hk

        transformed = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(2)(x)))
        return transformed, transformed.init(KEY, jnp.asarray(X))

    @functools.cached_property
    def keras(self):
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import keras

        return keras.Sequential([keras.Input((M,)), keras.layers.Dense(2)])

    @functools.cached_property
    def linen(self):
        module = nn.Dense(2)
        return module, module.init(KEY, jnp.asarray(X))


def explainer(x):
    return xai.shap.linear(linear_model, x, jnp.asarray(X))


def sampled(model, x, budget, key):
    game = xai.game(model, x, xai.mask.baseline(jnp.zeros(M)))
    return xai.shap.permutation(game, num_permutations=budget, key=key)


def right_calls(results, chosen=lambda name: True):
    """Yields (name, function, right arguments) of every public function and method whose name is chosen."""
    for name, function, arguments in [*_functions(), *_methods()]:
        if not chosen(name) or name in NOT_CALLED:
            continue
        given = dict(arguments) if isinstance(arguments, dict) else arguments(results)
        yield name, getattr(given.pop("self"), function) if isinstance(function, str) else function, given


def _functions():
    model_x, image_x = {"model": table_model, "x": X}, {"model": image_model, "x": IMAGES, "layer": "hidden"}
    draws = lambda r: {"game": r.game, "key": KEY}  # noqa: E731
    tokens = {"model": attention_model, "x": IMAGES[:, :4, 0]}
    small = {"num_samples": 5, "key": KEY}
    explained_again = {"explainer": xai.gradient.saliency, **model_x, **small}
    special = {
        "game": lambda r: {**model_x, "masker": r.masker},
        "haiku": lambda r: {"transformed": r.haiku[0], "parameters": r.haiku[1]},
        "keras": lambda r: {"model": r.keras},
        "model": {"model": linear_model, "output": lambda outputs: outputs},
        "layers": {"model": image_model, "x": IMAGES},
        "callback": {"predict": lambda x: x[:, :2]},
        "compose": {"features": lambda x: x, "head": table_model},
        "concatenate": lambda r: {"attributions": [r.table, r.table]},
        "tag": {"value": X, "name": "a"},
        "equinox": lambda r: {"module": r.equinox},
        "explain": {**model_x, "background": X[:2], "key": KEY},
        "from_shap": lambda r: {"explanation": xai.to_shap(r.table)},
        "fast": {"model": linear_model},
        "function": {"function": linear_model},
        "linen": lambda r: {"module": r.linen[0], "variables": r.linen[1]},
        "load": lambda r: {"path": r.file},
        "load_options": lambda r: {"path": r.file},
        "save": lambda r: {"path": NEW, "attribution": r.table},
        "progress": {"enabled": True},
        "report": lambda r: {"path": NEW, "sections": [r.table]},
        "Section": lambda r: {"attribution": r.table},
        "Game": {"value": lambda coalitions: coalitions.sum(axis=1), "num_players": 3},
        "cam.cam": {"model": xai.compose(image_hidden, head_model), "x": IMAGES},
        "cam.several": {**image_x, "maps": [xai.cam.grad_cam, xai.cam.layer_cam]},
        "cam.fuse": {"model": image_model, "x": IMAGES, "layers": ["hidden", "later"]},
        "cam.one_pass": {"title": "Max-CAM", "relu": True},
        "cam.full_grad": {"model": image_model, "x": IMAGES},
        "cam.full_gradients": {"model": image_model, "x": IMAGES},
        "cam.channel_map": lambda r: {"games": r.channels, "attribution": xai.shap.exact(r.channels)},
        "cam.attention_rollout": tokens,
        "cam.attention_gradient": tokens,
        "shap.values": lambda r: {**model_x, "masker": r.masker, "key": KEY},
        "shap.expected_gradients": {**model_x, "background": X, "key": KEY, "num_samples": 32},
        "gradient.expected_gradients": {**model_x, "background": X, "key": KEY, "num_samples": 32},
        "shap.deep_shap": {**model_x, "background": X},
        "gradient.deep_shap": {**model_x, "background": X},
        "gradient.guided_backpropagation": {"model": image_model, "x": IMAGES},
        "gradient.deconvolution": {"model": image_model, "x": IMAGES},
        "gradient.occlusion": {**model_x, "window": 2},
        "gradient.blur_integrated_gradients": {"model": image_model, "x": IMAGES, "num_steps": 2, "max_sigma": 2.0},
        "gradient.conductance": {**image_x, "num_steps": 2},
        "gradient.guided_integrated_gradients": {**model_x, "num_steps": 2},
        "gradient.integrated_hessians": {**model_x, "num_steps": 2},
        "gradient.internal_influence": {**image_x, "num_steps": 2},
        "gradient.composites.Composite": {"layers": [("dense", xai.gradient.rules.flat())]},
        "gradient.composites.epsilon_gamma_box": {"low": 0.0, "high": 1.0},
        "gradient.rules.z_box": {"low": 0.0, "high": 1.0},
        "gradient.smooth": {"explainer": xai.gradient.saliency, "num_samples": 2},
        "shap.linear": {"model": linear_model, "x": X, "rows": X[:2]},
        "shap.owen": lambda r: {"game": r.game, "tree": [[0, 1], [2, 3]]},
        "shap.kernel": draws,
        "shap.permutation": draws,
        "shap.gaussian_process": draws,
        "shap.rise": draws,
        "shap.sobol": draws,
        "shap.interactions": draws,
        "shap.trees": lambda r: {"forest": r.forest, "x": X, "masker": r.masker},
        "shap.tree_tables": lambda r: {"forest": r.forest, "masker": r.masker},
        "lime.fit": lambda r: {"game": r.game, **small},
        "lime.tabular": lambda r: {**model_x, "training_statistics": r.statistics, **small},
        "lime.image": {"model": image_model, "x": IMAGES, "masker": xai.mask.grid((2, 2)), **small, "target": 1},
        "lime.text": {"model": token_model, "x": TOKENS, "mask_id": 1, "pad_id": 0, **small},
        "lime.statistics": {"rows": X},
        "lime.strings": {"model": token_model, "texts": ["a bb", "cc"], "tokenizer": tokenizer, "pad_id": 0, **small},
        "lime.submodular_pick": lambda r: {"attribution": r.table, "num_picks": 2},
        "mask.background": {"rows": X},
        "mask.baseline": {"row": X[0]},
        "mask.gaussian": {"rows": np.random.default_rng(0).normal(size=(9, 4))},
        "mask.generative": {"fill": lambda key, x, present: x * 0, "key": KEY},
        "mask.regions": {"labels": LABELS},
        "mask.superpixels": {"num_segments": 4},
        "mask.tokens": {"mask_id": 1},
        "mask.joint": lambda r: {"parts": {"a": r.masker}},
        "mask.k_means": {"rows": X, "num_clusters": 2, "key": KEY},
        "segment.slic": {"images": IMAGES, "num_segments": 4},
        "text.spans": {"text": "It rains. Go!", "tokenize": tokenizer},
        "text.prompt": {"spans": [[2, 3], [4]], "prefix": [1]},
        "text.by_span": lambda r: {"attribution": r.table, "prompt": r.prompt},
        "text.whole_response": lambda r: {"attribution": r.response},
        "text.response_model": {"model": causal_model, "response_ids": [2, 3]},
        "text.cached": {"step": causal_model, "empty_cache": lambda rows, length: jnp.zeros((rows, length, 1))},
        "text.response_game": lambda r: {"model": causal_model, "prompt": r.prompt, "response_ids": [2, 3]},
        "metrics.benchmark_explainers": {
            "models": {"table": table_model}, "explainers": {"sampled": sampled}, "x": X, "budgets": [2], "out": NEW,
            "keys": 1, "show_table": False,
        },
        "metrics.completeness_gap": lambda r: {"attribution": r.table},
        "metrics.null_player_violation": lambda r: {"game": r.game, "attribution": r.table, "num_samples": 4},
        "metrics.symmetry_violation": lambda r: {"game": r.game, "attribution": r.table, "num_samples": 4},
        **{f"metrics.{name}": lambda r: {"attribution": r.table} for name in ("gini", "entropy", "effective_size")},
        **{
            f"metrics.{name}": lambda r: {"maps": r.maps, "masks": np.indices(GRAY.shape)[1] > 1}
            for name in ("pointing_game", "relevance_mass", "relevance_rank", "attribution_auc")
        },
        "metrics.top_k_intersection": lambda r: {"maps": r.maps, "masks": np.indices(GRAY.shape)[1] > 1, "k": 3},
        "metrics.grid_pointing_game": lambda r: {"maps": r.maps, "cells": np.array([0, 1]), "grid": (1, 2)},
        "metrics.box_masks": {"boxes": np.array([[0, 1, 2, 3], [1, 1, 2, 2]]), "shape": (4, 4)},
        "metrics.parameter_randomization": {**explained_again, "model": xai.function(lambda w, x: x @ w, WEIGHTS)},
        "metrics.efficient_randomization": {**explained_again, "model": xai.function(lambda w, x: x @ w, WEIGHTS)},
        "metrics.random_logit": explained_again,
        "metrics.key_agreement": {**explained_again, "explainer": lambda model, x, key: xai.gradient.saliency(model, x)},
        "metrics.max_sensitivity": explained_again,
        "metrics.avg_sensitivity": explained_again,
        "metrics.local_lipschitz": explained_again,
        "metrics.relative_input_stability": explained_again,
        "metrics.relative_output_stability": explained_again,
        "metrics.compare": {
            **model_x, "explainers": {"gradient": xai.gradient.saliency, "product": xai.gradient.input_x_gradient},
            "metrics": {"size": lambda attribution: abs(attribution.values).sum(axis=1)}, "key": KEY,
        },
        "metrics.road": lambda r: {"model": image_model, "x": IMAGES, "attribution": r.maps, "key": KEY, "percentiles": [50]},
        "metrics.infidelity": lambda r: {**model_x, "attribution": r.table, "key": KEY, "num_samples": 2},
        "metrics.partial_dependence": {**model_x, "feature": 0, "num_points": 4},
        "plot.borders": {"images": IMAGES, "labels": LABELS},
        "plot.dependence": lambda r: {"attribution": r.table, "player": 0},
        "plot.partial_dependence": lambda r: {"dependence": r.dependence},
        "plot.interactions": lambda r: {"attribution": r.pairs},
        "plot.network": lambda r: {"attribution": r.pairs},
        "plot.image": lambda r: {"attribution": r.maps, "images": GRAY},
        "plot.image_grid": lambda r: {"attribution": r.maps, "images": GRAY},
        "plot.regions": lambda r: {"attribution": r.regions, "images": GRAY},
        "plot.text": lambda r: {"attribution": r.table, "words": list("abcd")},
        "plot.text_html": lambda r: {"attribution": r.table, "words": list("abcd")},
        **dict.fromkeys(("plot.prompt", "plot.prompt_html"), lambda r: {"attribution": r.response, "prompt": r.prompt}),
        "plot.cohorts": lambda r: {"draw": xai.plot.bars, "attribution": r.table, "labels": [0, 0, 1]},
        "plot.cohort_bars": lambda r: {"attribution": r.table, "labels": [0, 0, 1]},
        "plot.compare": lambda r: {"attributions": {"a": r.maps, "b": r.maps}, "images": GRAY},
        "plot.neighborhood": {"rows": X, "outputs": X[:, 0], "instance": X[0]},
        "plot.curves": lambda r: {"given": r.curve},
        "plot.pair": {"images": GRAY, "after": GRAY},
        "plot.removal": lambda r: {"removed": r.removed},
        "plot.convergence": lambda r: {"attributions": [with_evaluations(r.table, n) for n in (4, 8)]},
        "plot.error_curves": {"errors": {"a": {5: [0.1], 10: [0.05]}}},
        "plot.scores": lambda r: {"comparison": r.comparison},
        "plot.agreement": lambda r: {"comparison": r.comparison},
        "plot.intervals": {"values": [1.0, 2.0], "names": ["a", "b"]},
        "target.box": {"boxes": np.zeros((2, 4)), "classes": [0, 1]},
        "target.each": {"score": lambda y: y.sum(axis=-1)},
        "target.similarity": {"embedding": np.ones(3)},
        "target.region": {"target": 0, "mask": np.ones((3, 3), bool)},
        "target.unit": {"layer": "hidden", "index": 1},
        "scale.explain_dataset": {"explainer": explainer, "source": X, "out": NEW, "batch_size": 2, "progress": False},
        "scale.compare_dataset": {
            "explainers": [xai.gradient.saliency], "model": table_model, "source": X, "out": NEW, "key": KEY, "batch_size": 2,
            "metrics": {"size": lambda attribution: abs(attribution.values).sum(axis=1)}, "progress": False,
        },
        "scale.export": {"explainer": explainer, "x_example": X, "path": NEW},
        "scale.failures": lambda r: {"out": r.store},
        "scale.load_ids": lambda r: {"out": r.store},
        "scale.load_summary": lambda r: {"out": r.store},
        "scale.summarize": lambda r: {"attributions": [r.table]},
        "scale.compilation_cache": {"folder": NEW},
        "scale.connect": {"hosts": 1},
        "trees.read": lambda r: {"model": r.tree},
    }  # fmt: skip
    for name, function in public_functions():
        if name not in NOT_CALLED:
            if name.startswith("target."):
                function = _explained_with(name, function)
            if name == "gradient.smooth":
                function = _called(function)
            if name == "mask.generative":
                function = _explained_by(function)
            if name == "scale.compilation_cache":
                function = _with_old_cache(function)
            yield name, function, special[name] if name in special else functools.partial(_by_name, name, function)


def _explained_with(name, function):
    """Returns a function that makes a target and explains it, as targets are checked with the model's outputs."""
    models = {"target.box": box_model, "target.region": lambda x: x.reshape(-1, 3, 3, 3), "target.unit": tagged_model}
    model = models.get(name, table_model)
    x = np.zeros((2, 27), np.float32) if name == "target.region" else X[:2]

    @functools.wraps(function)
    def explained(*arguments, **options):
        return xai.game(model, x, xai.mask.baseline(x[0]), target=function(*arguments, **options))

    return explained


def _with_old_cache(function):
    """Returns the function with JAX's settings restored after each call."""
    names = [f"jax_{name}" for name in _CACHE_SETTINGS]
    before = [getattr(jax.config, name) for name in names]

    @functools.wraps(function)
    def restoring(*arguments, **options):
        try:
            return function(*arguments, **options)
        finally:
            for name, value in zip(names, before, strict=True):
                jax.config.update(name, value)

    return restoring


def _called(function):
    """Returns a function that makes an explainer and calls it, as some arguments are checked with the inputs."""

    @functools.wraps(function)
    def calling(**arguments):
        return function(**arguments)(table_model, X, key=KEY)

    return calling


def _explained_by(function):
    """Returns a function that makes a masker and a game with it, as some arguments are checked with the inputs."""

    @functools.wraps(function)
    def explained(**arguments):
        return xai.game(table_model, X, function(**arguments))

    return explained


def box_model(x):
    return jnp.tile(x[:, None], (1, 2, 1)), jnp.stack([linear_model(x)] * 2, axis=1)


def image_hidden(x):
    return jax.nn.relu(jnp.einsum("nhwc,ck->nhwk", x, WEIGHTS[:3]))


def with_evaluations(attribution, number):
    return dataclasses.replace(attribution, num_evaluations=jnp.full(N, number))


def _methods():
    """Yields the public methods with arguments, as (name, name of the method, right arguments with `self`)."""
    yield "Attribution.getitem", "__getitem__", lambda r: {"self": r.table, "rows": 0}
    yield "Attribution.axes_of", "axes_of", lambda r: {"self": r.table, "field": "values"}
    yield "Attribution.of_output", "of_output", lambda r: {"self": r.classes, "output": 0}
    yield "Attribution.player_names", "player_names", lambda r: {"self": r.table, "example": 0}
    yield "Attribution.with_names", "with_names", lambda r: {"self": r.classes}
    yield "Game.call", "__call__", lambda r: {"self": r.own_game, "coalitions": np.eye(M, dtype=bool)}
    yield "ModelGame.call", "__call__", lambda r: {"self": r.game, "coalitions": np.eye(M, dtype=bool)}
    yield "ChannelGame.call", "__call__", lambda r: {"self": r.channels, "coalitions": np.eye(3, dtype=bool)}
    yield "trees.Forest.call", "__call__", lambda r: {"self": xai.trees.read(r.tree), "x": X}
    yield "trees.Forest.codes", "codes", lambda r: {"self": xai.trees.read(r.tree), "x": X}
    yield "lime.Statistics.name", "name", lambda r: {"self": r.statistics, "column": 0}
    yield "lime.Statistics.conditions", "conditions", lambda r: {"self": r.statistics, "x": X}
    yield "lime.Statistics.read", "read", lambda r: {"self": r.statistics, "x": X}
    yield "metrics.Comparison.tests", "tests", lambda r: {"self": r.comparison, "test": "t"}
    start = lambda r: {"self": r.summary, "attribution": r.table, "ids": np.arange(N)}  # noqa: E731
    yield "scale.AttributionSummary.init", xai.scale.AttributionSummary.init, {"shape": (M,)}
    yield "scale.AttributionSummary.update", "update", start
    yield "scale.AttributionSummary.merge", "merge", lambda r: {"self": r.summary, "other": r.summary}
    yield "scale.AttributionSummary.save", "save", lambda r: {"self": r.summary, "path": NEW}
    yield "scale.AttributionSummary.quantiles", "quantiles", lambda r: {"self": r.summary, "shares": 0.5}
    yield "scale.ExportedExplainer.call", "__call__", lambda r: {"self": r.exported, "x": X}
    yield "scale.ExportedExplainer.warm_up", "warm_up", lambda r: {"self": r.exported}


def public_functions():
    """Yields (name, callable) of everything in `__all__`, of the package and of its namespaces."""

    def within(prefix, namespace):
        for short in namespace.__all__:
            value = getattr(namespace, short)
            if isinstance(value, types.ModuleType):
                yield from within(f"{prefix}{short}.", value)
            else:
                yield f"{prefix}{short}", value

    return within("", xai)


def _by_name(name, function, results):
    """Returns right values for the required arguments of a function, and small sizes, by their names."""
    of_cam = name.startswith("cam.")
    values = {
        "model": image_model if of_cam else table_model, "x": IMAGES if of_cam else X, "game": results.game,
        "attribution": results.table, "key": KEY, "layer": "hidden", "num_evaluations": 20,
        "num_groups": 2, "num_samples": 2, "num_steps": 2,
    }  # fmt: skip
    parameters = inspect.signature(function).parameters.values()
    small = ("layer", "num_groups", "num_samples", "num_steps") if of_cam else ()
    return {p.name: values[p.name] for p in parameters if p.default is p.empty or p.name in small}
