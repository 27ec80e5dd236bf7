"""The table of explainers: every one passes every test of composition. A new explainer is one line here."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from tests import models
from xaijax._core.compile import compiled

KEY = jax.random.key(11)


@dataclasses.dataclass(frozen=True)
class Case:
    """explain(model, x, ids=, batch_size=) -> Attribution; model() and inputs() to call it with."""

    explain: Callable[..., Any]
    model: Callable[[], Any]
    inputs: Callable[[], jax.Array]
    sampled: bool = True
    chunked: bool = True
    slow: bool = False  # only before a release
    tolerance: float = 1e-5  # of its standard errors in other compositions, in proportion to the largest

    def __call__(self, model, x, ids=None, batch_size=None):
        options = ({"ids": ids} if self.sampled else {}) | ({"batch_size": batch_size} if self.chunked else {})
        return self.explain(model, x, **options)


def _cam(model, x):
    return xai.cam.cam(model, x, target=1)


# Without eigen_grad_cam, which is eigen_cam of another matrix, and takes as long to compile.
ONE_PASS = {
    name: getattr(xai.cam, name)
    for name in [
        "grad_cam",
        "grad_cam_plus_plus",
        "hires_cam",
        "xgrad_cam",
        "layer_cam",
        "elementwise_grad_cam",
        "shapley_cam",
        "eigen_cam",
        "kpca_cam",
        "fem",
    ]
}


STACKED = "several methods, values [N, method, ...]"


def stacked(attributions):
    """Several maps as one attribution, so that they share the price of compiling a test."""
    first, *_ = attributions
    return dataclasses.replace(first, values=_stack([one.values for one in attributions]), method=STACKED)


def units(attribution):
    """The largest size of the values, of each method by itself where several are stacked: [1, methods, 1, ...]."""
    sizes = np.abs(np.asarray(attribution.values))
    axes = tuple(axis for axis in range(sizes.ndim) if axis != 1 or attribution.method != STACKED)
    return np.maximum(sizes.max(axis=axes, keepdims=True), 1e-30)


@compiled
def _stack(values):
    return jnp.stack([one.reshape(len(one), *one.shape[1:3], -1).sum(axis=-1) for one in values], axis=1)


def _one_pass(model, x):
    maps = list(ONE_PASS.values())
    found = xai.cam.several(model, x, maps, layer="blocks/0", target=1, upsample=True, normalize=True)
    return stacked(list(found.values()))


def _all_classes(model, x):
    return xai.cam.shapley_cam(model, x, layer="conv", target="all", relu=False)


def _fuse(model, x):
    return xai.cam.fuse(model, x, ["conv", "norm"], target=1)


def _evaluated(model, x, batch_size):
    options = {"layer": "conv", "target": 1, "batch_size": batch_size}
    return stacked(
        [
            xai.cam.score_cam(model, x, softmax=False, baseline=0.5, **options),
            xai.cam.is_cam(model, x, num_steps=2, **options),
            xai.cam.ablation_cam(model, x, **options),
            xai.cam.group_cam(model, x, num_groups=2, relu=False, **options),
            xai.cam.opti_cam(model, x, num_steps=3, **options),
        ]
    )


def _noisy(model, x, ids, batch_size):
    options = {"layer": "conv", "target": 1, "batch_size": batch_size, "ids": ids, "key": KEY}
    return stacked(
        [
            xai.cam.ss_cam(model, x, num_samples=2, **options),
            xai.cam.smooth_grad_cam_plus_plus(model, x, num_samples=3, **options),
        ]
    )


def _to_the_input(model, x):
    full = [xai.cam.full_grad(model, x, target=1, rescale=rescale) for rescale in ("channel", "none")]
    return stacked([xai.cam.guided_grad_cam(model, x, target=1), *full])


def _attention(model, x):
    return stacked([xai.cam.attention_rollout(model, x), xai.cam.attention_gradient(model, x, target=1)])


def _channels(model, x, batch_size):
    games = xai.cam.channel_game(model, x, layer="conv", target=1)
    return xai.cam.channel_map(games, xai.shap.exact(games, batch_size=batch_size))


def _exact(model, x, batch_size):
    return xai.shap.exact(xai.game(model, x, xai.mask.grid((3, 2))), batch_size=batch_size)


def _permutation(model, x, ids, batch_size):
    game = xai.game(model, x, xai.mask.background(models.rows(5, seed=1)), target=2)
    return xai.shap.permutation(game, num_permutations=5, key=KEY, ids=ids, batch_size=batch_size)


def _orthogonal(model, x, ids, batch_size):
    game = xai.game(model, x, xai.mask.gaussian(models.rows(15, seed=1)), target=2)
    return xai.shap.permutation(game, num_permutations=3, orders="orthogonal", key=KEY, ids=ids, batch_size=batch_size)


def _kernel(model, x, ids, batch_size):
    rows = models.rows(3, seed=1)
    game = xai.game(model, x, xai.mask.background(rows, weights=[1, 2, 1]), target=_score)
    options = {"num_evaluations": 60, "key": KEY, "ids": ids, "batch_size": batch_size}
    return stacked([xai.shap.kernel(game, **options), xai.shap.kernel(game, sampling="published", **options)])


def _process(model, x, ids, batch_size):
    options = {"num_evaluations": 60, "key": KEY, "ids": ids, "batch_size": batch_size, "scales": "per_player"}
    return xai.shap.gaussian_process(xai.game(model, x, xai.mask.baseline(models.rows(1)[0]), target=2), **options)


def _all_outputs(model, x, ids, batch_size):
    masker = xai.mask.background(models.rows(5, seed=1))
    return xai.shap.values(model, x, masker, key=KEY, target="all", num_evaluations=80, ids=ids, batch_size=batch_size)


def _uniform(model, x, ids, batch_size):
    game = xai.game(model, x, xai.mask.background(models.rows(2, seed=1)), target=2)
    options = {"num_evaluations": 60, "key": KEY, "ids": ids, "batch_size": batch_size}
    return stacked([xai.shap.rise(game, **options), xai.shap.sobol(game, **options)])


def _interactions(model, x, ids, batch_size):
    game = xai.game(model, x, xai.mask.baseline(models.rows(1)[0]), target=_score)
    return xai.shap.interactions(game, num_evaluations=60, key=KEY, ids=ids, batch_size=batch_size)


def _gradients(model, x, ids, batch_size):
    rows = models.rows(5, seed=1)
    return xai.shap.expected_gradients(
        model, x, rows, key=KEY, target=2, num_samples=40, ids=ids, batch_size=batch_size
    )


def _gradient_maps(model, x, batch_size):
    explain, options = xai.gradient, {"target": 1, "batch_size": batch_size}
    baselines = jnp.stack([jnp.zeros(models.IMAGE), jnp.full(models.IMAGE, 0.1)])
    return stacked(
        [
            explain.integrated_gradients(model, x, baselines, weights=[1, 2], num_steps=3, **options),
            explain.deep_lift(model, x, baselines[1], **options),
            explain.saliency(model, x, **options),
            explain.input_x_gradient(model, x, channels="sum", **options),
            explain.guided_backpropagation(model, x, **options),
            explain.deconvolution(model, x, **options),
            explain.propagate(model, x, **options),
            explain.integrated_gradients(model, x, baselines, layer="conv", num_steps=2, **options),
            explain.conductance(model, x, "norm", num_steps=2, **options),
            explain.guided_integrated_gradients(model, x, num_steps=2, **options),
            explain.blur_integrated_gradients(model, x, num_steps=2, max_sigma=1.0, **options),
            explain.occlusion(model, x, (4, 5), stride=(4, 3), baseline=0.1, **options),
            explain.feature_ablation(model, x, groups=np.arange(8) // 4, **options),
        ]
    )


def _integrated_hessians(model, x, batch_size):
    return xai.gradient.integrated_hessians(model, x, target=1, num_steps=2, batch_size=batch_size)


def _smooth(model, x, ids, batch_size):
    smooth, options = xai.gradient.smooth, {"key": KEY, "target": 2, "ids": ids, "batch_size": batch_size}
    rows = models.rows(5, seed=1)
    return stacked(
        [
            smooth(xai.gradient.saliency, num_samples=10, variant="variance")(model, x, **options),
            smooth(xai.gradient.expected_gradients, num_samples=2, scale=jnp.full(12, 0.3))(
                model, x, background=rows, num_samples=32, **options
            ),
        ]
    )


def _score(outputs):
    return outputs[:, 0] * outputs[:, 1]


def _lime_tabular(model, x, ids, batch_size):
    statistics = xai.lime.statistics(models.rows(50, seed=2))
    return xai.lime.tabular(
        model, x, statistics, key=KEY, target=_score, num_samples=64, ids=ids, batch_size=batch_size
    )


def _lime_process(model, x, ids, batch_size):
    # Few samples of a plain output: the models' likelihoods are sums of as many logarithms, and rounded like these.
    statistics = xai.lime.statistics(models.rows(50, seed=2))
    options = {"key": KEY, "target": 2, "num_samples": 48, "ids": ids, "batch_size": batch_size}
    return xai.lime.tabular(model, x, statistics, surrogate="gaussian_process", **options)


def _lime_selection(way, model, x, ids, batch_size):
    """Conditions and numbers in one table, and few features."""
    statistics = xai.lime.statistics(models.rows(50, seed=2), bins={column: [-0.5, 0.5] for column in range(4)})
    options = {"key": KEY, "ids": ids, "batch_size": batch_size, "num_features": 5, "feature_selection": way}
    return xai.lime.tabular(model, x, statistics, target=_score, num_samples=96, **options)


def _lime_game(model, x, ids, batch_size):
    game = xai.game(model, x, xai.mask.background(models.rows(3, seed=2)), target=2)
    options = {"key": KEY, "ids": ids, "batch_size": batch_size}
    return xai.lime.fit(game, num_samples=50, surrogate="gaussian_process", **options)


def _lime_image(model, x, ids, batch_size):
    # Noise and a score bend the game: where a line fits to the last digits, standard errors are those of rounding.
    superpixels = xai.mask.superpixels(9, fill="noise")
    options = {"key": KEY, "num_samples": 200, "ids": ids, "batch_size": batch_size}
    return xai.lime.image(model, x, superpixels, target=_score, **options)


def _lime_text(model, x, ids, batch_size):
    return xai.lime.text(model, x, key=KEY, mask_id=1, pad_id=0, num_samples=40, ids=ids, batch_size=batch_size)


def _chosen(model, x):
    return xai.explain(model, x, target=1)


CASES = {
    "cam": Case(_cam, models.linen_net, models.images, sampled=False, chunked=False),
    "explain, images": Case(_chosen, models.linen_net, models.images, sampled=False, chunked=False, slow=True),
    "cam, one pass": Case(_one_pass, models.nnx_net, models.images, sampled=False, chunked=False),
    "cam, all classes": Case(_all_classes, models.linen_net, models.images, sampled=False, chunked=False),
    "cam, several layers": Case(_fuse, models.linen_net, models.images, sampled=False, chunked=False, slow=True),
    "cam, evaluated": Case(_evaluated, models.linen_net, models.images, sampled=False),
    "cam, noisy": Case(_noisy, models.linen_net, models.images),
    "cam, to the input": Case(_to_the_input, models.relu_net, models.images, sampled=False, chunked=False),
    "cam, attention": Case(_attention, models.vision_transformer, models.images, sampled=False, chunked=False),
    "cam, channels": Case(_channels, models.linen_net, models.images, sampled=False),
    "shap.exact, regions": Case(_exact, models.nnx_net, models.images, sampled=False),
    "shap.permutation, table": Case(_permutation, models.table_net, lambda: models.rows(4)),
    "shap.permutation, orthogonal": Case(_orthogonal, models.table_net, lambda: models.rows(4), slow=True),
    "shap.kernel": Case(_kernel, models.table_net, lambda: models.rows(4)),
    # Its errors are those of scales that fifteen steps of ascent fit, which amplify rounding.
    "shap.gaussian_process": Case(_process, models.table_net, lambda: models.rows(4, seed=3), tolerance=5e-4),
    "shap.values, all outputs": Case(_all_outputs, models.table_net, lambda: models.rows(4)),
    "shap.rise and sobol": Case(_uniform, models.table_net, lambda: models.rows(4)),
    "shap.interactions": Case(_interactions, models.table_net, lambda: models.rows(4, seed=3)),
    "shap.expected_gradients": Case(_gradients, models.table_net, lambda: models.rows(4)),
    "gradient": Case(_gradient_maps, models.relu_net, models.images, sampled=False),
    "gradient.integrated_hessians": Case(
        _integrated_hessians, models.table_net, lambda: models.rows(4), sampled=False, slow=True
    ),
    "gradient.smooth": Case(_smooth, models.table_net, lambda: models.rows(4)),
    "lime.tabular": Case(_lime_tabular, models.table_net, lambda: models.rows(4)),
    "lime.tabular, gaussian process": Case(_lime_process, models.table_net, lambda: models.rows(4), slow=True),
    "lime, lasso path": Case(
        functools.partial(_lime_selection, "lasso_path"), models.table_net, lambda: models.rows(4), slow=True
    ),
    "lime, forward selection": Case(
        functools.partial(_lime_selection, "forward_selection"), models.table_net, lambda: models.rows(4), slow=True
    ),
    "lime.fit, gaussian process": Case(_lime_game, models.table_net, lambda: models.rows(4), slow=True),
    "lime.image": Case(_lime_image, models.linen_net, models.images),
    "lime.text": Case(_lime_text, models.text_net, models.sentences),
}
CHUNKED = {name: case for name, case in CASES.items() if case.chunked}
