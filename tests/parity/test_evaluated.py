"""Maps of changed inputs and activations, and maps at the size of the input, agree with pytorch-grad-cam and captum."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import SIDE, TARGETS, flax_net, images, torch, torch_images, torch_net
from tests.parity._peers import (
    activations_and_gradients,
    captum_attr,
    classes,
    error,
    grad_cam_package,
    pytorch_grad_cam,
    torch_layer,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")  # captum tells how it works

TOLERANCE = 1e-4
CLASSES = jnp.array(TARGETS)
TORCH_CLASSES = torch.tensor(TARGETS)


def channels_last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def test_score_cam_of_a_layer_as_large_as_the_input_is_that_of_pytorch_grad_cam():
    ours = xai.cam.score_cam(flax_net(), images(), layer="relu1", target=CLASSES, relu=False, batch_size=8).values
    assert error(ours, grad_cam_package(pytorch_grad_cam.ScoreCAM, torch_net(), "relu1")) < TOLERANCE


@pytest.mark.parametrize("layer", ["relu1", "norm", "relu3"])
def test_ablation_cam_is_that_of_captums_channel_ablation(layer):
    """captum: y - y_k at every place of channel k. The paper's weight is its share of the score."""
    net = torch_net()
    activations, _ = activations_and_gradients(net, layer)
    ablation = captum_attr.LayerFeatureAblation(net, torch_layer(net, layer))
    channels = torch.arange(activations.shape[-1])[None, :, None, None]
    drops = channels_last(ablation.attribute(torch_images(), target=TORCH_CLASSES, layer_mask=channels))[:, 0, 0]
    scores = net(torch_images())[range(len(TARGETS)), TARGETS].detach().numpy()
    expected = np.einsum("nhwk,nk->nhw", activations, drops / np.abs(scores)[:, None])
    ours = xai.cam.ablation_cam(flax_net(), images(), layer=layer, target=CLASSES, relu=False).values
    assert error(ours, expected) < TOLERANCE


def test_guided_grad_cam_is_that_of_captum_where_it_resizes_linearly():
    ours = xai.cam.guided_grad_cam(flax_net(), images(), layer="relu3", target=CLASSES).values
    explainer = captum_attr.GuidedGradCam(torch_net(), torch_net().relu3)
    smooth = explainer.attribute(torch_images(), TORCH_CLASSES, interpolate_mode="bilinear")
    assert error(ours, channels_last(smooth)) < TOLERANCE
    nearest = explainer.attribute(torch_images(), TORCH_CLASSES)
    assert error(ours, channels_last(nearest)) > 100 * TOLERANCE


def test_guided_grad_cam_is_the_product_of_both_maps_of_pytorch_grad_cam():
    ours = xai.cam.guided_grad_cam(flax_net(), images(), layer="relu3", target=CLASSES).values
    guided = pytorch_grad_cam.GuidedBackpropReLUModel(copy.deepcopy(torch_net()))  # it exchanges the model's ReLUs
    slopes = [guided(image[None], number) for image, number in zip(torch_images(), TARGETS, strict=True)]
    maps = torch.from_numpy(np.maximum(grad_cam_package(pytorch_grad_cam.GradCAM, torch_net(), "relu3"), 0))[:, None]
    large = torch.nn.functional.interpolate(maps, (SIDE, SIDE), mode="bilinear")
    assert error(ours, np.stack(slopes) * channels_last(large)) < TOLERANCE


def test_full_gradients_are_those_of_pytorch_grad_cam_and_captum():
    ours = xai.cam.full_gradients(flax_net(), images(), target=CLASSES)
    explainer = pytorch_grad_cam.FullGrad(torch_net(), [])
    try:
        explainer(torch_images(), classes())
        slopes = explainer.activations_and_grads.gradients
        theirs = [bias * channels_last(slope.cpu()) for bias, slope in zip(explainer.bias_data, slopes, strict=True)]
    finally:
        explainer.activations_and_grads.release()
    conv1, conv2, norm, conv3 = theirs
    assert error(ours.biases["conv1"], conv1) < TOLERANCE
    assert error(ours.biases["conv2"], conv2) < TOLERANCE
    assert error(ours.biases["conv3"], conv3) < TOLERANCE
    assert error(ours.biases["norm"], norm) < TOLERANCE
    products = captum_attr.InputXGradient(torch_net()).attribute(torch_images(), TORCH_CLASSES)
    assert error(ours.inputs, channels_last(products)) < TOLERANCE


def test_full_grad_is_that_of_pytorch_grad_cam():
    found = []

    class Raw(pytorch_grad_cam.FullGrad):
        def compute_cam_per_layer(self, *arguments):
            found.append(super().compute_cam_per_layer(*arguments))
            return found[-1]

    explainer = Raw(torch_net(), [])
    # Of a score so large that the 1e-7 which they add to each channel's range does not count.
    explainer(torch_images(), [lambda output, number=number: 1000 * output[number] for number in TARGETS])
    explainer.activations_and_grads.release()
    theirs = found[0][:, 0]

    ours = xai.cam.full_grad(flax_net(), images(), target=CLASSES).values
    assert error(ours, theirs) < TOLERANCE


def test_fused_layer_cams_are_those_of_refine_cam():
    """Their product is brought to [0, 1] at the end; ours is left as the product of maps within [0, 1]."""
    layers = ["relu1", "relu2", "relu3"]
    ours = xai.cam.fuse(flax_net(), images(), layers, target=CLASSES, upsample=True).values
    least, most = ours.min(axis=(1, 2), keepdims=True), ours.max(axis=(1, 2), keepdims=True)
    net = torch_net()
    explainer = pytorch_grad_cam.RefineCAM(
        net, [torch_layer(net, layer) for layer in layers], base_method=pytorch_grad_cam.LayerCAM
    )
    try:
        theirs = explainer(torch_images(), classes())
    finally:
        for one in explainer.base_cam_per_layer:
            one.activations_and_grads.release()
    assert error((ours - least) / (most - least), theirs) < TOLERANCE


def test_smooth_grad_cam_plus_plus_without_noise_is_their_grad_cam_plus_plus():
    """Of a score so large that the 1e-6 in their denominator does not count."""
    numbers = jnp.array(TARGETS)

    def large(logits):
        return 1000 * jnp.take_along_axis(logits, jnp.resize(numbers, len(logits))[:, None], axis=1)[:, 0]

    targets = [lambda output, number=number: 1000 * output[number] for number in TARGETS]
    theirs = grad_cam_package(pytorch_grad_cam.GradCAMPlusPlus, torch_net(), "relu3", targets)
    options = {"layer": "relu3", "relu": False}
    assert error(xai.cam.grad_cam_plus_plus(flax_net(), images(), target=large, **options).values, theirs) < TOLERANCE
    for n, number in enumerate(TARGETS):
        smooth = xai.cam.smooth_grad_cam_plus_plus(
            flax_net(), images()[n : n + 1], key=jax.random.key(0), num_samples=2, sigma=0.0,
            target=lambda logits, number=number: 1000 * logits[:, number], **options,
        )  # fmt: skip
        assert error(smooth.values, theirs[n : n + 1]) < TOLERANCE
