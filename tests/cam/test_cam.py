"""CAM: the logit laid out in space, and a sentence for networks that are not of its form."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

LAYERS = {"linen": None, "nnx": "blocks/1:1", "function": "hidden"}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("target", [None, 2])
def test_the_mean_of_the_map_plus_the_bias_is_the_logit(name, target):
    model, x = models.IMAGE_MODELS[name](), models.images()
    attribution = xai.cam.cam(model, x, layer=LAYERS[name], target=target)
    logits = model(x)
    expected = logits.max(axis=1) if target is None else logits[:, target]
    np.testing.assert_allclose(attribution.values.mean(axis=(1, 2)) + attribution.base_value, expected, atol=1e-5)
    np.testing.assert_allclose(attribution.output, expected, atol=1e-6)


def test_the_map_is_the_weighted_sum_of_the_channels_by_hand():
    net = models.nnx_net()
    x = models.images()
    features = net.blocks[1](net.blocks[1](net.blocks[0](net.stem(x))))
    expected = np.einsum("nhwk,k->nhw", np.asarray(features, np.float64), np.asarray(net.head.kernel[...])[:, 1])
    for head in (None, "head"):
        attribution = xai.cam.cam(net, x, layer="blocks/1:1", head=head, target=1)
        np.testing.assert_allclose(attribution.values, expected, atol=2e-5)
        np.testing.assert_allclose(attribution.base_value, net.head.bias[1], atol=1e-6)


def test_the_linen_head_is_read_by_its_path():
    model, x = models.linen_net(), models.images()
    by_path, found = (xai.cam.cam(model, x, head=head, target=0).values for head in ("head", None))
    np.testing.assert_allclose(by_path, found, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_grad_cam_is_cam_over_z_after_relu(name):
    model, x = models.IMAGE_MODELS[name](), models.images()
    cam = xai.cam.cam(model, x, layer=LAYERS[name], target=1).values
    grad_cam = xai.cam.grad_cam(model, x, layer=LAYERS[name], target=1).values
    places = cam[0].size
    np.testing.assert_allclose(grad_cam, np.maximum(cam, 0) / places, atol=1e-6)


def _two_layers(x):
    hidden = xai.tag(jnp.tanh(x), "hidden")
    return jnp.maximum(hidden.mean(axis=(1, 2)) @ jnp.ones((2, 4)) + 0.1, 0) @ jnp.ones((4, 3))


def _weighted_pool(x):
    hidden = xai.tag(jnp.tanh(x), "hidden")
    return jnp.einsum("nhwc,h->nc", hidden, jnp.arange(8.0))


def _probabilities(x):
    return jax.nn.softmax(xai.tag(x, "hidden").mean(axis=(1, 2)) @ jnp.eye(2, 3))


def _without_bias(x):
    """ReLU networks without biases satisfy y = sum A dy/dA: the mean of the map is right, the form is not."""
    hidden = xai.tag(jnp.abs(x), "hidden")
    return jnp.maximum(hidden.mean(axis=(1, 2)) @ jnp.array([[1.0, -1, 2], [0.5, 1, -1]]), 0) @ jnp.ones((3, 3))


@pytest.mark.parametrize("model", [_two_layers, _weighted_pool, _probabilities, _without_bias])
def test_other_networks_are_refused_and_give_nan_under_jit(model):
    x = models.images()
    with pytest.raises(ValueError, match="is not global average pooling and a linear layer.*grad_cam"):
        xai.cam.cam(model, x, layer="hidden")
    assert jnp.isnan(jax.jit(lambda x: xai.cam.cam(model, x, layer="hidden").values)(x)).any(axis=(1, 2)).any()


def test_a_head_that_does_not_fit_is_named():
    with pytest.raises(
        ValueError, match=r"`head` must name .*kernel \[4, classes\].*got 'stem' .*'kernel': \[3, 3, 2, 4\]"
    ):
        xai.cam.cam(models.nnx_net(), models.images(), layer="blocks/1:1", head="stem")
    with pytest.raises(TypeError, match="`head` must be the path of a linear layer or None, got 3"):
        xai.cam.cam(models.linen_net(), models.images(), head=3)
    with pytest.raises(ValueError, match="`head` must be .*got 'haed' .did you mean 'head'"):
        xai.cam.cam(models.nnx_net(), models.images(), layer="blocks/1:1", head="haed")
    with pytest.raises(ValueError, match="'haed'.*did you mean 'head'"):
        xai.cam.cam(models.linen_net(), models.images(), head="haed")


def test_signals_and_volumes_have_maps_too():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(5, (3,) * (x.ndim - 2))(x))
            return nn.Dense(2)(x.mean(axis=tuple(range(1, x.ndim - 1))))

    for shape in [(2, 16, 3), (2, 4, 5, 6, 1)]:
        x = jax.random.normal(jax.random.key(0), shape)
        model = xai.linen(Net(), Net().init(jax.random.key(1), x))
        attribution = xai.cam.cam(model, x, target=1, upsample=True)
        assert attribution.values.shape == shape[:-1]
        np.testing.assert_allclose(
            attribution.values.reshape(2, -1).mean(axis=1) + attribution.base_value, model(x)[:, 1], atol=1e-5
        )


def test_bfloat16_models_have_float32_maps():
    module = models.LinenNet()
    x = models.images().astype(jnp.bfloat16)
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), models.linen_net().content)
    model = xai.linen(module, variables, train=False)
    attribution = xai.cam.cam(model, x, target=1)
    assert attribution.values.dtype == jnp.float32
    exact = xai.cam.cam(models.linen_net(), models.images(), target=1)
    np.testing.assert_allclose(attribution.values, exact.values, atol=0.05)
