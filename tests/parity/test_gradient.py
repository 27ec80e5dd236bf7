"""Gradients, their rules and occlusion agree with captum on the same weights."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import SIDE, TARGETS, flax_net, images, torch, torch_images, torch_net
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
    "occlusion": (
        lambda net: captum_attr.Occlusion(net), {"sliding_window_shapes": (3, 5, 4), "strides": (3, 3, 2), "baselines": 0.1},
        xai.gradient.occlusion, {"window": (5, 4), "stride": (3, 2), "baseline": 0.1},
    ),
    "feature ablation": (
        lambda net: captum_attr.FeatureAblation(net), {"feature_mask": MASK, "baselines": 0.1},
        xai.gradient.feature_ablation, {"groups": GROUPS, "baseline": 0.1},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # captum says that it sets hooks
@pytest.mark.parametrize(("make", "theirs", "explain", "ours"), METHODS.values(), ids=METHODS)
def test_values_are_those_of_captum(make, theirs, explain, ours):
    expected = make(torch_net()).attribute(torch_images(), target=torch.tensor(TARGETS), **theirs)
    values = explain(flax_net(), images(), target=CLASSES, **ours).values
    assert error(values, expected.detach().permute(0, 2, 3, 1).numpy()) < 1e-5
