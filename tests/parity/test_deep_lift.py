"""DeepLIFT and DeepSHAP on the weights of shap and captum: max pooling and saturating functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xaijax as xai
from tests.parity._models import torch
from tests.parity._peers import captum_attr, error


def torch_net():
    """Convolutions, max pooling and saturating functions."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ELU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(4, 6, 3, padding=1),
        torch.nn.Sigmoid(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(24, 8),
        torch.nn.Tanh(), torch.nn.Linear(8, 7), torch.nn.Softplus(), torch.nn.Linear(7, 3),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    for value in net.state_dict().values():
        value.normal_(0, (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.3, generator=generator)
    return net.eval()


def model(net):
    """The same in JAX, on images with channels first."""
    weights = [jnp.asarray(value.numpy()) for value in net.state_dict().values()]
    return xai.function(outputs, weights)


def outputs(weights, x):
    conv = lambda x, kernel, bias: lax.conv(x, kernel, (1, 1), "SAME") + bias[:, None, None]  # noqa: E731
    pool = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")  # noqa: E731
    x = pool(jax.nn.elu(conv(x, *weights[0:2])))
    x = pool(jax.nn.sigmoid(conv(x, *weights[2:4]))).reshape(len(x), -1)
    x = jax.nn.softplus(jnp.tanh(x @ weights[4].T + weights[5]) @ weights[6].T + weights[7])
    return x @ weights[8].T + weights[9]


RANDOM = np.random.default_rng(2)
X, ROWS = (RANDOM.normal(size=(count, 2, 8, 8)).astype(np.float32) for count in (3, 4))
TARGETS = [2, 0, 1]
OPTIONS = {"target": jnp.array(TARGETS), "channel_axis": 1}


@pytest.mark.filterwarnings("ignore")  # the package says that it sets hooks
def test_values_over_a_background_are_those_of_shap():
    shap, net = pytest.importorskip("shap"), torch_net()
    ours = xai.gradient.deep_shap(model(net), X, ROWS, **OPTIONS)
    theirs = shap.DeepExplainer(net, torch.from_numpy(ROWS)).shap_values(torch.from_numpy(X), check_additivity=False)
    each = np.stack([theirs[row, ..., k] for row, k in enumerate(TARGETS)])  # of [N, C, H, W, K]
    assert np.median(np.abs(ours.values - each)) < 1e-5 * np.abs(each).max()
    assert error(ours.values, each) < 1e-3  # shap divides by differences that are rounding errors


@pytest.mark.filterwarnings("ignore")
def test_max_pooling_adds_up_here_and_not_in_captum():
    """In captum 0.9 the contributions are off where other functions stand before or behind max pooling, as shap's are not."""
    net = torch_net()
    ours = xai.gradient.deep_lift(model(net), X, ROWS[0], **OPTIONS)
    assert np.abs(ours.completeness_gap).max() < 1e-5
    rows = torch.from_numpy(np.repeat(ROWS[:1], len(X), axis=0))
    theirs = captum_attr.DeepLift(net).attribute(torch.from_numpy(X), rows, target=torch.tensor(TARGETS)).detach()
    gap = theirs.numpy().sum(axis=(1, 2, 3)) - np.asarray(ours.output - ours.base_value)
    assert np.abs(gap).max() > 0.1
