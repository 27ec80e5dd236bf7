"""The table of explainers: every one passes every test of composition. A new explainer is one line here."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

import xaijax as xai
from tests import models

KEY = jax.random.key(11)


@dataclasses.dataclass(frozen=True)
class Case:
    """explain(model, x, ids=, batch_size=) -> Attribution; model() and inputs() to call it with."""

    explain: Callable[..., Any]
    model: Callable[[], Any]
    inputs: Callable[[], jax.Array]
    sampled: bool = True

    def __call__(self, model, x, ids=None, batch_size=None):
        return self.explain(model, x, **({"ids": ids, "batch_size": batch_size} if self.sampled else {}))


def _cam(model, x):
    return xai.cam.cam(model, x, target=1)


def _grad_cam(model, x):
    return xai.cam.grad_cam(model, x, layer="conv", target=1, upsample=True, normalize=True)


def _exact(model, x, ids, batch_size):
    return xai.shap.exact(xai.game(model, x, xai.mask.grid((3, 2))), batch_size=batch_size)


def _permutation(model, x, ids, batch_size):
    game = xai.game(model, x, xai.mask.background(models.rows(5, seed=1)), target=2)
    return xai.shap.permutation(game, num_permutations=5, key=KEY, ids=ids, batch_size=batch_size)


def _all_outputs(model, x, ids, batch_size):
    masker = xai.mask.background(models.rows(5, seed=1))
    return xai.shap.values(model, x, masker, key=KEY, target="all", num_permutations=3, ids=ids, batch_size=batch_size)


def _score(outputs):
    return outputs[:, 0] * outputs[:, 1]


def _lime_tabular(model, x, ids, batch_size):
    statistics = xai.lime.statistics(models.rows(50, seed=2))
    return xai.lime.tabular(
        model, x, statistics, key=KEY, target=_score, num_samples=64, ids=ids, batch_size=batch_size
    )


def _lime_image(model, x, ids, batch_size):
    return xai.lime.image(
        model, x, key=KEY, num_samples=200, regions=None, fill=0.0, target=0, ids=ids, batch_size=batch_size
    )


def _lime_text(model, x, ids, batch_size):
    return xai.lime.text(model, x, key=KEY, mask_id=1, pad_id=0, num_samples=40, ids=ids, batch_size=batch_size)


CASES = {
    "cam": Case(_cam, models.linen_net, models.images, sampled=False),
    "grad_cam": Case(_grad_cam, models.linen_net, models.images, sampled=False),
    "shap.exact, regions": Case(_exact, models.nnx_net, models.images),
    "shap.permutation, table": Case(_permutation, models.table_net, lambda: models.rows(4)),
    "shap.values, all outputs": Case(_all_outputs, models.table_net, lambda: models.rows(4)),
    "lime.tabular": Case(_lime_tabular, models.table_net, lambda: models.rows(4)),
    "lime.image": Case(_lime_image, models.linen_net, models.images),
    "lime.text": Case(_lime_text, models.text_net, models.sentences),
}
SAMPLED = {name: case for name, case in CASES.items() if case.sampled}
