"""Layers of tokens: the maps agree with pytorch-grad-cam and its reshape_transform, the class token apart."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import TARGETS, flax_transformer, images, torch, torch_images, torch_transformer
from tests.parity._peers import (
    captum_attr,
    classes,
    error,
    error_up_to_sign,
    grad_cam_package,
    pytorch_grad_cam,
    scores_with,
    torch_layer,
)

TOLERANCE = 1e-4
LAYER = "blocks/1/norm1"
CLASSES = jnp.array(TARGETS)
RESHAPE = functools.partial(pytorch_grad_cam.utils.reshape_transforms.vit_reshape_transform, height=4, width=4)
PEERS = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "hires_cam": pytorch_grad_cam.HiResCAM,
    "xgrad_cam": pytorch_grad_cam.XGradCAM,
    "layer_cam": pytorch_grad_cam.LayerCAM,
    "elementwise_grad_cam": pytorch_grad_cam.GradCAMElementWise,
    "kpca_cam": pytorch_grad_cam.KPCA_CAM,
    "shapley_cam": pytorch_grad_cam.ShapleyCAM,
}


@functools.cache
def ours():
    chosen = [getattr(xai.cam, name) for name in PEERS]
    return xai.cam.several(flax_transformer(), images(), chosen, layer=LAYER, target=CLASSES, relu=False)


@pytest.mark.parametrize("name", [name for name in PEERS if name not in ("kpca_cam", "shapley_cam")])
def test_the_raw_map_of_tokens_is_that_of_pytorch_grad_cam(name):
    theirs = grad_cam_package(PEERS[name], torch_transformer(), LAYER, reshape_transform=RESHAPE)
    assert error(ours()[name].values, theirs) < TOLERANCE


def test_kpca_cam_of_tokens_is_that_of_pytorch_grad_cam_up_to_sign():
    theirs = grad_cam_package(PEERS["kpca_cam"], torch_transformer(), LAYER, reshape_transform=RESHAPE)
    assert error_up_to_sign(ours()["kpca_cam"].values, theirs) < TOLERANCE


def test_the_class_token_is_moved_in_their_shapley_cam_and_part_of_the_tail_in_ours():
    """H · A: theirs moves the class token too, ours holds it, as it has no place on the map."""
    found = []

    class Weights(pytorch_grad_cam.ShapleyCAM):
        def get_cam_weights(self, *arguments):
            found.append(super().get_cam_weights(*arguments))
            return found[-1]

    net = torch_transformer()
    explainer = Weights(net, [torch_layer(net, LAYER)], reshape_transform=RESHAPE)
    try:
        with pytest.raises(ValueError, match="Invalid activation shape"):  # its weights are right, its map has no shape
            explainer(torch_images(), classes())
    finally:
        explainer.activations_and_grads.release()
    tokens, gradients, moving, holding = _derivatives_with_the_class_token_moved_and_held()
    assert error(found[0], (gradients - moving / 2).mean(axis=1)) < TOLERANCE
    expected = np.einsum("ntc,nc->nt", tokens, (gradients - holding / 2).mean(axis=1)).reshape(-1, 4, 4)
    assert error(ours()["shapley_cam"].values, expected) < TOLERANCE
    moved = np.einsum("ntc,nc->nt", tokens, found[0]).reshape(-1, 4, 4)
    assert error(ours()["shapley_cam"].values, moved) > 100 * TOLERANCE


def _derivatives_with_the_class_token_moved_and_held():
    """A, dy/dA, and both Hessian-vector products at the patches, by torch alone."""
    found = []
    handle = torch_layer(torch_transformer(), LAYER).register_forward_hook(lambda *call: found.append(call[2]))
    outputs = torch_transformer()(torch_images())
    handle.remove()
    (tokens,) = found
    score = sum(target(output) for target, output in zip(classes(), outputs, strict=True))
    (gradients,) = torch.autograd.grad(score, tokens, create_graph=True)
    still = tokens.detach().clone()
    still[:, 0] = 0
    moving, holding = (
        torch.autograd.grad(gradients, tokens, along, retain_graph=True)[0] for along in (tokens.detach(), still)
    )
    return [part.detach().numpy()[:, 1:] for part in (tokens, gradients, moving, holding)]


def test_ablation_cam_of_tokens_is_zero_at_the_patches_where_theirs_is_minus_ten_million_in_the_class_token_too():
    net = torch_transformer()
    explained = xai.cam.ablation_cam(flax_transformer(), images(), layer=LAYER, target=CLASSES, relu=False)
    options = {"reshape_transform": RESHAPE, "ablation_layer": pytorch_grad_cam.AblationLayerVit()}
    theirs = grad_cam_package(pytorch_grad_cam.AblationCAM, net, LAYER, **options)

    def formula(first, fill):
        def channel_at(channel):
            def change(output):
                output[:, first:, channel] = fill(channel)
                return output

            return change

        scores = scores_with(net, LAYER, lambda output: output)[:, None]
        without = np.stack([scores_with(net, LAYER, channel_at(channel)) for channel in range(8)], axis=1)
        tokens = captum_attr.LayerActivation(net, torch_layer(net, LAYER)).attribute(torch_images())
        tokens = tokens.detach().numpy()[:, 1:]
        return np.einsum("ntc,nc->nt", tokens, (scores - without) / scores).reshape(-1, 4, 4)

    signs = np.sign(explained.output)[:, None, None]
    assert error(explained.values, signs * formula(1, lambda _: 0)) < TOLERANCE
    # The least value, which the ten million are taken from, has been lowered by the channels before.
    assert error(theirs, formula(0, lambda channel: -(channel + 1) * 1e7)) < TOLERANCE
    assert error(explained.values, signs * theirs) > 100 * TOLERANCE


def test_ablation_cam_of_tokens_is_that_of_captum_with_the_class_token_as_a_group_of_its_own():
    net = torch_transformer()
    groups = torch.arange(8).expand(1, 17, 8).clone()
    groups[:, 0] = 8
    ablation = captum_attr.LayerFeatureAblation(net, torch_layer(net, LAYER))
    drops = ablation.attribute(torch_images(), target=torch.tensor(TARGETS), layer_mask=groups)[:, 1]
    tokens = captum_attr.LayerActivation(net, torch_layer(net, LAYER)).attribute(torch_images())[:, 1:]
    scores = net(torch_images())[range(len(TARGETS)), TARGETS]
    expected = torch.einsum("ntc,nc->nt", tokens, drops / scores.abs()[:, None]).detach().numpy().reshape(-1, 4, 4)
    explained = xai.cam.ablation_cam(flax_transformer(), images(), layer=LAYER, target=CLASSES, relu=False).values
    assert error(explained, expected) < TOLERANCE
