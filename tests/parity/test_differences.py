"""Where pytorch-grad-cam computes something else: both formulas, written out, and each package is its own."""

import jax.numpy as jnp
import numpy as np

import xaijax as xai
from tests.parity._models import TARGETS, flax_net, images, torch, torch_net
from tests.parity._peers import (
    activations_and_gradients,
    error,
    error_up_to_sign,
    grad_cam_package,
    pytorch_grad_cam,
    scores_with,
)

TOLERANCE = 1e-4
CLEAR = 100 * TOLERANCE
CLASSES = jnp.array(TARGETS)
OPTIONS = {"layer": "relu3", "target": CLASSES, "relu": False}


def weighed(activations, weights):
    return np.einsum("nhwk,nk->nhw", activations, weights)


def test_their_grad_cam_plus_plus_adds_a_millionth_to_the_denominator():
    a, g = activations_and_gradients(torch_net(), "relu3")

    def formula(epsilon):
        parts = 2 * g**2 + a.sum(axis=(1, 2), keepdims=True) * g**3 + epsilon
        alphas = np.divide(g**2, parts, out=np.zeros_like(g), where=g != 0)
        return weighed(a, (alphas * np.maximum(g, 0)).sum(axis=(1, 2)))

    ours = xai.cam.grad_cam_plus_plus(flax_net(), images(), **OPTIONS).values
    theirs = grad_cam_package(pytorch_grad_cam.GradCAMPlusPlus, torch_net(), "relu3")
    assert error(ours, formula(0)) < TOLERANCE
    assert error(theirs, formula(1e-6)) < TOLERANCE
    assert error(ours, theirs) > CLEAR


def test_their_principal_components_are_those_of_centered_rows():
    a, g = activations_and_gradients(torch_net(), "relu3")
    for name, kind, rows in [
        ("eigen_cam", pytorch_grad_cam.EigenCAM, a),
        ("eigen_grad_cam", pytorch_grad_cam.EigenGradCAM, g * a),
    ]:
        ours = getattr(xai.cam, name)(flax_net(), images(), **OPTIONS).values
        theirs = grad_cam_package(kind, torch_net(), "relu3")
        assert error_up_to_sign(ours, _first_component(rows)) < TOLERANCE
        assert error_up_to_sign(theirs, _first_component(rows - rows.mean(axis=(1, 2), keepdims=True))) < TOLERANCE
        assert error_up_to_sign(ours, theirs) > CLEAR


def _first_component(rows):
    flat = rows.reshape(len(rows), -1, rows.shape[-1])
    return np.stack([one @ np.linalg.svd(one)[2][0] for one in flat]).reshape(rows.shape[:-1])


def test_their_eigen_cam_is_our_kpca_cam_with_a_linear_kernel_up_to_sign():
    ours = xai.cam.kpca_cam(flax_net(), images(), kernel="linear", **OPTIONS).values
    assert error_up_to_sign(ours, grad_cam_package(pytorch_grad_cam.EigenCAM, torch_net(), "relu3")) < TOLERANCE


def test_their_fem_sums_activations_by_the_share_of_strong_places_not_strong_places_by_the_mean():
    a, _ = activations_and_gradients(torch_net(), "relu3")
    means, deviations = a.mean(axis=(1, 2), keepdims=True), a.std(axis=(1, 2), keepdims=True)
    strong = a > means + 2 * deviations
    ours = xai.cam.fem(flax_net(), images(), **OPTIONS).values
    theirs = grad_cam_package(pytorch_grad_cam.FEM, torch_net(), "relu3")
    assert error(ours, (means * strong).sum(axis=-1)) < TOLERANCE
    assert error(theirs, weighed(a, strong.mean(axis=(1, 2)))) < TOLERANCE
    assert error(ours, theirs) > CLEAR


def test_their_score_cam_resizes_from_corner_to_corner(monkeypatch):
    ours = xai.cam.score_cam(flax_net(), images(), **OPTIONS).values
    theirs = grad_cam_package(pytorch_grad_cam.ScoreCAM, torch_net(), "relu3")
    assert error(ours, theirs) > 10 * TOLERANCE

    def by_centers(size):
        return torch.nn.Upsample(size, mode="bilinear", align_corners=False)

    monkeypatch.setattr(torch.nn, "UpsamplingBilinear2d", by_centers)
    assert error(ours, grad_cam_package(pytorch_grad_cam.ScoreCAM, torch_net(), "relu3")) < TOLERANCE


def test_their_ablation_cam_of_a_negative_score_is_turned_around():
    ours = xai.cam.ablation_cam(flax_net(), images(), **OPTIONS)
    theirs = grad_cam_package(pytorch_grad_cam.AblationCAM, torch_net(), "relu3")
    signs = np.sign(ours.output)
    assert set(signs.tolist()) == {-1, 1}
    assert error(ours.values, signs[:, None, None] * theirs) < TOLERANCE


def test_their_ablation_of_signed_channels_sets_them_to_minus_ten_million_and_less():
    """Zero where the layer's least value is zero; else ten million below the least, which the next channel finds."""
    a, _ = activations_and_gradients(torch_net(), "conv2")
    ours = xai.cam.ablation_cam(flax_net(), images(), **OPTIONS | {"layer": "conv2"})
    theirs = grad_cam_package(pytorch_grad_cam.AblationCAM, torch_net(), "conv2")

    def formula(fill):
        without = np.stack(
            [scores_with(torch_net(), "conv2", _channel_at(k, fill(k))) for k in range(a.shape[-1])], axis=1
        )
        scores = np.asarray(ours.output, float)[:, None]
        return weighed(a, (scores - without) / scores)

    signs = np.sign(ours.output)[:, None, None]
    assert error(ours.values, signs * formula(lambda _: 0)) < TOLERANCE
    assert error(theirs, formula(lambda k: -(k + 1) * 1e7)) < TOLERANCE
    assert error(ours.values, signs * theirs) > CLEAR


def _channel_at(channel, value):
    def change(output):
        output[:, channel] = value
        return output

    return change


def test_their_finer_cam_weighs_the_classes_by_their_probabilities():
    """The gradient of the weights is part of theirs; ours is the plain mean over the classes."""
    others = [[0, 2], [1, 3], [3, 0]]
    weighted = pytorch_grad_cam.utils.model_targets.FinerWeightedTarget
    targets = [weighted(number, against, 0.6) for number, against in zip(TARGETS, others, strict=True)]
    theirs = grad_cam_package(pytorch_grad_cam.GradCAM, torch_net(), "relu3", targets)
    equal = [
        lambda output, number=number, against=against: output[number] - 0.6 * output[against].mean()
        for number, against in zip(TARGETS, others, strict=True)
    ]
    finer = xai.target.finer(CLASSES, against=jnp.array(others), gamma=0.6)
    ours = xai.cam.grad_cam(flax_net(), images(), **OPTIONS | {"target": finer}).values
    assert error(ours, grad_cam_package(pytorch_grad_cam.GradCAM, torch_net(), "relu3", equal)) < TOLERANCE
    assert error(ours, theirs) > CLEAR
