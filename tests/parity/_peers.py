"""pytorch-grad-cam and captum, asked for raw maps; whoever imports this is skipped where they are not installed."""

import numpy as np
import pytest

from benchmarks._torch_models import install_torchvision_stub
from tests.parity._models import TARGETS, torch_images

install_torchvision_stub()
pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam")
captum_attr = pytest.importorskip("captum.attr")

from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402


def classes():
    return [ClassifierOutputTarget(number) for number in TARGETS]


def torch_layer(net, path):
    return net.get_submodule(path.replace("/", "."))


def grad_cam_package(kind, net, layer, targets=None, reshape_transform=None, **options):
    """The raw map [N, h, w] of a class of pytorch-grad-cam: before it is clipped, brought to [0, 1] and resized."""
    found = []

    class Raw(kind):
        def get_cam_image(self, *arguments):
            found.append(super().get_cam_image(*arguments))
            return found[-1]

    # Not in a with-statement: it would swallow every IndexError.
    explainer = Raw(net, [torch_layer(net, layer)], reshape_transform=reshape_transform, **options)
    try:
        explainer(torch_images(), classes() if targets is None else targets)
    finally:
        explainer.activations_and_grads.release()
    return found[0]


def activations_and_gradients(net, layer, targets=None, reshape_transform=None):
    """A and dy/dA as pytorch-grad-cam finds them, [N, h, w, C], in float64 for formulas written out."""
    tap = pytorch_grad_cam.ActivationsAndGradients(net, [torch_layer(net, layer)], reshape_transform)
    try:
        outputs = tap(torch_images())
        sum(target(output) for target, output in zip(targets or classes(), outputs, strict=True)).backward()
        return [np.moveaxis(part[0].numpy(), 1, -1).astype(float) for part in (tap.activations, tap.gradients)]
    finally:
        tap.release()


def scores_with(net, layer, change):
    """The scores with the layer's output changed, [N]."""
    handle = torch_layer(net, layer).register_forward_hook(lambda *call: change(call[2].clone()))
    outputs = net(torch_images())
    handle.remove()
    return outputs[range(len(TARGETS)), TARGETS].detach().numpy()


def map_of(tensor):
    """captum's [N, 1, h, w] or [N, C, h, w], summed over the channels."""
    return tensor.detach().sum(dim=1).numpy()


def error(ours, theirs):
    """The largest difference over the largest value."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 1e-4, "nothing to compare"
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def error_up_to_sign(ours, theirs):
    """The same where each map's sign is arbitrary."""
    agreement = np.sign((np.asarray(ours) * theirs).sum(axis=(1, 2), keepdims=True))
    return error(ours, agreement * theirs)
