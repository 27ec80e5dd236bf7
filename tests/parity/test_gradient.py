"""Gradients, their rules, occlusion, and the attribution of layers and units agree with captum on the same weights."""

import copy

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import (
    SIDE,
    TARGETS,
    flax_net,
    flax_transformer,
    images,
    torch,
    torch_images,
    torch_net,
    torch_transformer,
)
from tests.parity._peers import captum_attr, error

CLASSES = jnp.array(TARGETS)
GROUPS = (np.arange(SIDE)[:, None] // 5 * 3 + np.arange(SIDE) // 5).astype(np.int64)  # [H, W], nine of them
MASK = torch.from_numpy(GROUPS)[None, None]

METHODS = {
    "saliency": (lambda net: captum_attr.Saliency(net), {"abs": False}, xai.gradient.saliency, {}),
    "absolute saliency": (lambda net: captum_attr.Saliency(net), {}, xai.gradient.saliency, {"absolute": True}),
    "input x gradient": (lambda net: captum_attr.InputXGradient(net), {}, xai.gradient.input_x_gradient, {}),
    "guided backpropagation": (
        lambda net: captum_attr.GuidedBackprop(net), {}, xai.gradient.guided_backpropagation, {},
    ),
    "deconvolution": (lambda net: captum_attr.Deconvolution(net), {}, xai.gradient.deconvolution, {}),
    "integrated gradients": (
        lambda net: captum_attr.IntegratedGradients(net), {"baselines": 0.2, "n_steps": 50},
        xai.gradient.integrated_gradients, {"baseline": 0.2},
    ),
    "DeepLIFT": (lambda net: captum_attr.DeepLift(net), {"baselines": 0.1}, xai.gradient.deep_lift, {"baseline": 0.1}),
    "occlusion": (
        lambda net: captum_attr.Occlusion(net), {"sliding_window_shapes": (3, 5, 4), "strides": (3, 3, 2), "baselines": 0.1},
        xai.gradient.occlusion, {"window": (5, 4), "stride": (3, 2), "baseline": 0.1},
    ),
    "feature ablation": (
        lambda net: captum_attr.FeatureAblation(net), {"feature_mask": MASK, "baselines": 0.1},
        xai.gradient.feature_ablation, {"groups": GROUPS, "baseline": 0.1},
    ),
}  # fmt: skip


OF_LAYER = {
    "gradient x activation": (captum_attr.LayerGradientXActivation, {}, xai.gradient.input_x_gradient, {}),
    "integrated gradients": (
        captum_attr.LayerIntegratedGradients, {"baselines": 0.2, "n_steps": 20},
        xai.gradient.integrated_gradients, {"baseline": np.full((SIDE, SIDE, 3), 0.2, np.float32), "num_steps": 20},
    ),
    "DeepLIFT": (
        captum_attr.LayerDeepLift, {"baselines": 0.2},
        xai.gradient.deep_lift, {"baseline": np.full((SIDE, SIDE, 3), 0.2, np.float32)},
    ),
    "internal influence": (
        captum_attr.InternalInfluence, {"baselines": 0.2, "n_steps": 20},
        xai.gradient.internal_influence, {"baseline": 0.2, "num_steps": 20},
    ),
}  # fmt: skip
OF_UNIT = {
    "gradient": (captum_attr.NeuronGradient, {}, xai.gradient.saliency, {}),
    "integrated gradients": (
        captum_attr.NeuronIntegratedGradients, {"baselines": 0.2, "n_steps": 20},
        xai.gradient.integrated_gradients, {"baseline": 0.2, "num_steps": 20},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "theirs", "explain", "ours"), OF_LAYER.values(), ids=OF_LAYER)
def test_values_of_a_layer_are_those_of_captum(make, theirs, explain, ours):
    net = torch_net()
    if "baselines" in theirs:
        theirs = theirs | {"baselines": torch.full_like(torch_images(), theirs["baselines"])}
    expected = make(net, net.relu2).attribute(torch_images(), target=torch.tensor(TARGETS), **theirs)
    values = explain(flax_net(), images(), layer="relu2", target=CLASSES, **ours).values
    assert error(values, expected.detach().permute(0, 2, 3, 1).numpy()) < 1e-5


@pytest.mark.filterwarnings("ignore::UserWarning")  # captum asks for gradients of the images
@pytest.mark.parametrize(("make", "theirs", "explain", "ours"), OF_UNIT.values(), ids=OF_UNIT)
def test_values_of_a_unit_are_those_of_captum(make, theirs, explain, ours):
    net = torch_net()
    expected = make(net, net.relu3).attribute(torch_images(), (4, 2, 5), **theirs)  # channel, row, column
    values = explain(flax_net(), images(), target=xai.target.unit("relu3", (2, 5, 4)), **ours).values
    assert error(values, expected.detach().permute(0, 2, 3, 1).numpy()) < 1e-5


def test_conductance_is_the_limit_of_captums():
    """captum sums over steps of the activations, with an error c h + d h², which three numbers of steps reveal."""
    net = copy.deepcopy(torch_transformer()).double()
    explainer = captum_attr.LayerConductance(net, net.blocks[0])
    image = torch_images()[:1].double()

    def of_steps(number):
        options = {"target": 4, "baselines": 0.8 * image, "n_steps": number, "method": "riemann_trapezoid"}
        return explainer.attribute(image, **options).detach().numpy()

    expected = (8 * of_steps(100) - 6 * of_steps(50) + of_steps(25)) / 3
    own = images()[:1]
    values = xai.gradient.conductance(flax_transformer(), own, "blocks/0", 0.8 * own[0], target=4, num_steps=10).values
    assert error(values, expected) < 1e-5


@pytest.mark.filterwarnings("ignore::UserWarning")  # captum says that it sets hooks
@pytest.mark.parametrize(("make", "theirs", "explain", "ours"), METHODS.values(), ids=METHODS)
def test_values_are_those_of_captum(make, theirs, explain, ours):
    expected = make(torch_net()).attribute(torch_images(), target=torch.tensor(TARGETS), **theirs)
    values = explain(flax_net(), images(), target=CLASSES, **ours).values
    assert error(values, expected.detach().permute(0, 2, 3, 1).numpy()) < 1e-5
