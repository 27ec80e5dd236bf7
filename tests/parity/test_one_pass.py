"""Maps of one pass agree with pytorch-grad-cam and captum where the formulas are the same."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import TARGETS, flax_net, images, torch, torch_images, torch_net
from tests.parity._peers import (
    captum_attr,
    classes,
    error,
    error_up_to_sign,
    grad_cam_package,
    map_of,
    pytorch_grad_cam,
    torch_layer,
)

TOLERANCE = 1e-4
CLASSES = jnp.array(TARGETS)
LAYERS = ["relu1", "norm", "relu3"]  # as large as the input; signed; small and last
PEERS = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "hires_cam": pytorch_grad_cam.HiResCAM,
    "xgrad_cam": pytorch_grad_cam.XGradCAM,
    "layer_cam": pytorch_grad_cam.LayerCAM,
    "elementwise_grad_cam": pytorch_grad_cam.GradCAMElementWise,
    "shapley_cam": pytorch_grad_cam.ShapleyCAM,
    "kpca_cam": pytorch_grad_cam.KPCA_CAM,
}


@functools.cache
def ours(layer):
    found = xai.cam.several(
        flax_net(), images(), [getattr(xai.cam, name) for name in PEERS], layer=layer, target=CLASSES, relu=False
    )
    return {name: attribution.values for name, attribution in found.items()}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", [name for name in PEERS if name != "kpca_cam"])
def test_the_raw_map_is_that_of_pytorch_grad_cam(name, layer):
    assert error(ours(layer)[name], grad_cam_package(PEERS[name], torch_net(), layer)) < TOLERANCE


@pytest.mark.parametrize("layer", LAYERS)
def test_kpca_cam_is_that_of_pytorch_grad_cam_up_to_sign(layer):
    assert (
        error_up_to_sign(ours(layer)["kpca_cam"], grad_cam_package(PEERS["kpca_cam"], torch_net(), layer)) < TOLERANCE
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_and_hires_cam_are_those_of_captum(layer):
    there = torch_layer(torch_net(), layer)
    targets = torch.tensor(TARGETS)
    grad_cam = captum_attr.LayerGradCam(torch_net(), there).attribute(torch_images(), targets)
    products = captum_attr.LayerGradientXActivation(torch_net(), there).attribute(torch_images(), targets)
    assert error(ours(layer)["grad_cam"], map_of(grad_cam)) < TOLERANCE
    assert error(ours(layer)["hires_cam"], map_of(products)) < TOLERANCE


def test_the_finished_map_is_that_of_pytorch_grad_cam():
    """Clipped, resized and brought to [0, 1]; they also do the last before resizing, which changes nothing."""
    options = {"layer": "relu3", "target": CLASSES, "upsample": True, "normalize": True}
    finished = xai.cam.grad_cam(flax_net(), images(), **options).values
    with pytorch_grad_cam.GradCAM(torch_net(), [torch_net().relu3]) as explainer:
        assert error(finished, explainer(torch_images(), classes())) < TOLERANCE


def test_shapley_cam_of_a_probability_has_the_same_curvature():
    """Logits of a ReLU network have no second derivatives, probabilities have."""
    target = xai.target.probability(CLASSES)
    found = xai.cam.several(
        flax_net(), images(), [xai.cam.shapley_cam, xai.cam.grad_cam], layer="relu3", target=target, relu=False
    )
    softmax = [pytorch_grad_cam.utils.model_targets.ClassifierOutputSoftmaxTarget(number) for number in TARGETS]
    theirs = grad_cam_package(pytorch_grad_cam.ShapleyCAM, torch_net(), "relu3", softmax)
    assert error(found["shapley_cam"].values, theirs) < TOLERANCE
    assert error(found["grad_cam"].values, theirs) > 100 * TOLERANCE


def test_cam_is_the_weights_of_torchs_head_times_captums_activations():
    net = torch_net(hidden=False)
    activations = captum_attr.LayerActivation(net, net.relu3).attribute(torch_images())
    weights = net.head.weight[TARGETS]
    expected = torch.einsum("nk,nkhw->nhw", weights, activations).detach().numpy()
    attribution = xai.cam.cam(flax_net(hidden=False), images(), target=CLASSES, relu=False)
    assert error(attribution.values, expected) < TOLERANCE
    np.testing.assert_allclose(attribution.base_value, net.head.bias[TARGETS].detach(), atol=1e-6)


def test_finer_cam_against_the_nearest_class_is_that_of_pytorch_grad_cam():
    target = xai.target.finer(num_similar=1, gamma=0.6)
    options = {"layer": "relu3", "target": target, "upsample": True, "normalize": True}
    finished = xai.cam.grad_cam(flax_net(), images(), **options).values
    with pytorch_grad_cam.FinerCAM(torch_net(), [torch_net().relu3]) as explainer:
        theirs = explainer(torch_images(), alpha=0.6, comparison_categories=[1])
    assert error(finished, theirs) < TOLERANCE
