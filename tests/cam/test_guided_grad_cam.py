"""Guided Grad-CAM: the ReLUs of an unmodified model pass on only what is positive on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models


@pytest.mark.parametrize("relu", [jax.nn.relu, lambda x: jnp.maximum(x, 0), lambda x: jnp.maximum(0.0, x)])
def test_two_layers_by_hand(relu):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4)), rng.normal(size=(4, 3))
    head = rng.normal(size=(3, 2))

    def net(x):
        return relu(xai.tag(relu(x @ first), "hidden") @ second).mean(axis=(1, 2)) @ head

    x = np.asarray(models.images(), np.float64)
    inner, outer = x @ first, np.maximum(x @ first, 0) @ second
    plain = np.broadcast_to(head[:, 1] / 64, outer.shape)
    guided = np.where((outer > 0) & (plain > 0), plain, 0) @ second.T
    guided = np.where((inner > 0) & (guided > 0), guided, 0) @ first.T
    hidden = np.maximum(inner, 0)
    slopes = np.where(outer > 0, plain, 0) @ second.T
    grad_cam = np.maximum(np.einsum("nhwk,nk->nhw", hidden, slopes.mean(axis=(1, 2))), 0)
    values = xai.cam.guided_grad_cam(net, models.images(), layer="hidden", target=1).values
    expected = guided * grad_cam[..., None]
    np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())


def test_the_model_itself_is_not_changed():
    net, x = models.relu_net(), models.images()
    before = jax.grad(lambda x: net(x).sum())(x)
    attribution = xai.cam.guided_grad_cam(net, x, target=1)
    np.testing.assert_array_equal(jax.grad(lambda x: net(x).sum())(x), before)
    assert attribution.values.shape == x.shape
    np.testing.assert_allclose(attribution.output, net(x)[:, 1], atol=1e-6)


def test_networks_without_relus_are_refused():
    with pytest.raises(ValueError, match="must have ReLUs, .*got none"):
        xai.cam.guided_grad_cam(models.linen_net(), models.images())
    with pytest.raises(ValueError, match="`x` must be one array of floating numbers"):
        xai.cam.guided_grad_cam(lambda x: x["a"].mean(axis=(1, 2)), {"a": models.images()})
