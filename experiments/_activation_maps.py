"""Every activation map of the library in one table, with one signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import xaijax as xai

GRADIENT, EVALUATED, PIXELS, CLASSLESS = "gradients", "evaluations", "at the input's size", "independent of the class"
_ROWS = 125  # images explained in one call, which bounds the memory of the early layers' activations


@dataclasses.dataclass(frozen=True)
class Method:
    """A map and how it is called.

    title: its name.
    explain: (model, x, target, key, layer) -> values [N, H, W] at the size of the input.
    source: what the map is computed from.
    share: the share of the images that it explains. Expensive maps explain fewer images and have wider intervals.
    every: whether target="all" gives the maps of all classes, [N, H, W, K], for the evaluations of one class.
    earlier: whether it is cheap and general enough to explain an earlier layer as well.
    """

    title: str
    explain: Callable[..., Any]
    source: str
    share: float = 1.0
    every: bool = False
    earlier: bool = False

    def heat(self, model: Any, images: np.ndarray, labels: np.ndarray, key: Any, layer: str | None) -> np.ndarray:
        """Returns the evidence for each of the labels [N, L] in its image, [N * L, H, W]: the positive part of the maps."""
        if not self.every:
            images, labels = np.repeat(images, labels.shape[1], axis=0), labels.reshape(-1, 1)
        parts = []
        for number, start in enumerate(range(0, len(images), _ROWS)):
            rows = slice(start, start + _ROWS)
            target = "all" if self.every else labels[rows, 0]
            maps = np.asarray(self.explain(model, images[rows], target, jax.random.fold_in(key, number), layer))
            if self.every:
                maps = np.take_along_axis(maps, labels[rows, None, None], axis=-1)
                maps = np.moveaxis(maps, -1, 1).reshape(-1, *maps.shape[1:3])
            parts.append(np.maximum(maps, 0))
        return np.concatenate(parts)


def _at_layer(explain: Callable[..., xai.Attribution]) -> Callable[..., Any]:
    return lambda model, x, target, _, layer: explain(model, x, target=target, layer=layer, upsample=True).values


def _sampled(explain: Callable[..., xai.Attribution]) -> Callable[..., Any]:
    return lambda model, x, target, key, layer: (
        explain(model, x, target=target, layer=layer, upsample=True, key=key).values
    )


def _finer(model: Any, x: Any, target: Any, _: Any, layer: str | None) -> Any:
    return xai.cam.grad_cam(model, x, target=xai.target.finer(target), layer=layer, upsample=True).values


def _channel_shapley(model: Any, x: Any, target: Any, key: Any, layer: str | None) -> Any:
    games = xai.cam.channel_game(model, x, layer=layer, target=target)
    return xai.cam.channel_map(games, xai.shap.permutation(games, num_permutations=2, key=key), upsample=True).values


def _full_grad(model: Any, x: Any, target: Any, _: Any, __: str | None) -> Any:
    return xai.cam.full_grad(model, x, target=target).values


def _guided(model: Any, x: Any, target: Any, _: Any, layer: str | None) -> Any:
    return xai.cam.guided_grad_cam(model, x, target=target, layer=layer).values.clip(0).sum(axis=-1)


def _brightness(_: Any, x: Any, *__: Any) -> Any:
    """Returns the image itself, as a control."""
    return x.mean(axis=-1)


METHODS = (
    Method("CAM", _at_layer(xai.cam.cam), GRADIENT),
    Method("Grad-CAM", _at_layer(xai.cam.grad_cam), GRADIENT, earlier=True),
    Method("Finer-CAM", _finer, GRADIENT, earlier=True),
    Method("Grad-CAM++", _at_layer(xai.cam.grad_cam_plus_plus), GRADIENT, earlier=True),
    Method("Smooth Grad-CAM++", _sampled(xai.cam.smooth_grad_cam_plus_plus), GRADIENT, earlier=True),
    Method("HiResCAM", _at_layer(xai.cam.hires_cam), GRADIENT, earlier=True),
    Method("XGrad-CAM", _at_layer(xai.cam.xgrad_cam), GRADIENT, earlier=True),
    Method("LayerCAM", _at_layer(xai.cam.layer_cam), GRADIENT, earlier=True),
    Method("Element-wise Grad-CAM", _at_layer(xai.cam.elementwise_grad_cam), GRADIENT, earlier=True),
    Method("Shapley-CAM", _at_layer(xai.cam.shapley_cam), GRADIENT, earlier=True),
    Method("EigenGrad-CAM", _at_layer(xai.cam.eigen_grad_cam), GRADIENT, earlier=True),
    Method("Eigen-CAM", _at_layer(xai.cam.eigen_cam), CLASSLESS, earlier=True),
    Method("KPCA-CAM", _at_layer(xai.cam.kpca_cam), CLASSLESS, earlier=True),
    Method("FEM", _at_layer(xai.cam.fem), CLASSLESS, earlier=True),
    Method("the image (control)", _brightness, CLASSLESS),
    Method("Ablation-CAM", _at_layer(xai.cam.ablation_cam), EVALUATED, every=True, earlier=True),
    Method("channel Shapley values", _channel_shapley, EVALUATED, share=1 / 5, every=True, earlier=True),
    Method("Score-CAM", _at_layer(xai.cam.score_cam), EVALUATED, every=True),
    Method("Group-CAM", _at_layer(xai.cam.group_cam), EVALUATED),
    Method("IS-CAM", _at_layer(xai.cam.is_cam), EVALUATED, share=1 / 10, every=True),
    Method("SS-CAM", _sampled(xai.cam.ss_cam), EVALUATED, share=1 / 10, every=True),
    Method("Opti-CAM", _at_layer(xai.cam.opti_cam), EVALUATED, share=1 / 16),
    Method("FullGrad", _full_grad, PIXELS),
    Method("Guided Grad-CAM", _guided, PIXELS),
)
