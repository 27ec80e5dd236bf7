"""Grad-CAM by hand, in float64, and at its borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models


def test_a_small_network_by_hand():
    """One image of 2 x 2 places and two channels; y = sum over places of A_1 squared minus three times A_2."""
    activations = jnp.array([[[[1.0, 2.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 1.0]]]])

    def head(a):
        return jnp.stack([(a[..., 0] ** 2 - 3 * a[..., 1]).sum(axis=(1, 2)), jnp.zeros(len(a))], axis=1)

    model = xai.compose(lambda x: x, head)
    # dy/dA_1 = 2 A_1 = [2, 0, 4, 2], mean 2; dy/dA_2 = -3, so the map is 2 A_1 - 3 A_2.
    signed = xai.cam.grad_cam(model, activations, layer="features", target=0, relu=False)
    np.testing.assert_allclose(signed.values, [[[-4, -3], [4, -1]]])
    attribution = xai.cam.grad_cam(model, activations, layer="features", target=0)
    np.testing.assert_allclose(attribution.values, [[[0, 0], [4, 0]]])
    np.testing.assert_allclose(attribution.output, [6 - 12])
    normalized = xai.cam.grad_cam(model, activations, layer="features", target=0, relu=False, normalize=True)
    np.testing.assert_allclose(normalized.values, [[[-1, -3 / 4], [1, -1 / 4]]], rtol=1e-6)


@pytest.mark.parametrize("layer", ["stem", "blocks/0/conv", "blocks/1/norm:0", "blocks/1:1"])
def test_a_deep_layer_against_float64_by_other_means(layer):
    """The gradient by adding a perturbation at the layer, written out by hand in float64."""
    net = models.nnx_net()
    x = models.images()
    attribution = xai.cam.grad_cam(net, x, layer=layer, target=2, relu=False)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, net)
        wide = x.astype(jnp.float64)
        found = {}

        def run(bump):
            def visit(name, value):
                if name == layer:
                    found["activation"] = value
                    return value + bump
                return value

            hidden = visit("stem", double.stem(wide))
            for place, name in [(0, "blocks/0"), (1, "blocks/1:0"), (1, "blocks/1:1")]:
                block, _, call = name.partition(":")
                suffix = f":{call}" if call else ""
                hidden = visit(f"{block}/conv{suffix}", double.blocks[place].conv(hidden))
                hidden = visit(f"{block}/norm{suffix}", double.blocks[place].norm(hidden))
                hidden = visit(name, jax.nn.softplus(hidden))
            return double.head(hidden.mean(axis=(1, 2)))[:, 2].sum()

        gradient = np.asarray(jax.grad(run)(jnp.zeros((4, 4, 4, 4))))
        run(jnp.zeros((4, 4, 4, 4)))
        activation = np.asarray(found["activation"])
    expected = np.einsum("nhwk,nk->nhw", activation, gradient.mean(axis=(1, 2)))
    np.testing.assert_allclose(attribution.values, expected, atol=1e-5 * np.abs(expected).max())


def test_upsampling_is_linear_to_the_size_of_the_input():
    attribution = xai.cam.grad_cam(models.nnx_net(), models.images(), layer="blocks/1:1", target=0)
    large = xai.cam.grad_cam(models.nnx_net(), models.images(), layer="blocks/1:1", target=0, upsample=True)
    assert attribution.values.shape == (4, 4, 4)
    np.testing.assert_allclose(large.values, jax.image.resize(attribution.values, (4, 8, 8), "bilinear"), atol=1e-7)


def test_targets_are_per_example_and_callables_see_the_outputs():
    net, x = models.nnx_net(), models.images()
    options = {"layer": "blocks/0", "relu": False}
    mixed = xai.cam.grad_cam(net, x, target=jnp.array([0, 1, 2, 1]), **options)
    ones = xai.cam.grad_cam(net, x, target=1, **options)
    np.testing.assert_allclose(mixed.values[1::2], ones.values[1::2], atol=1e-6)
    contrast = xai.cam.grad_cam(net, x, target=lambda y: y[:, 0] - y[:, 1], **options)
    zeros = xai.cam.grad_cam(net, x, target=0, **options)
    np.testing.assert_allclose(contrast.values, zeros.values - ones.values, atol=1e-6)
    top = xai.cam.grad_cam(net, x, **options)
    np.testing.assert_array_equal(top.target, net(x).argmax(axis=1))


def test_dead_and_constant_maps_are_zero_not_nan():
    model = xai.compose(lambda x: x, lambda a: 0 * a.sum(axis=(1, 2)))
    attribution = xai.cam.grad_cam(model, models.images(), normalize=True)
    assert (attribution.values == 0).all()
    flat = xai.compose(lambda x: jnp.ones_like(x), lambda a: a.sum(axis=(1, 2)))

    def loss(scale):
        return xai.cam.grad_cam(flat, scale * models.images(), normalize=True, target=0).values.sum()

    assert jnp.isfinite(jax.grad(loss)(1.0))


def test_only_the_tail_is_differentiated():
    """Flops over those of a forward pass: 1 + 2 t, where t is the share of the network behind the tap."""
    widths = [jax.random.normal(jax.random.key(i), (3, 3, 16, 16)) / 12 for i in range(6)]

    def net(kernels, x):
        for kernel in kernels:
            x = jnp.tanh(
                jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            )
            x = xai.tag(x, "layer")
        return x.mean(axis=(1, 2))

    model, x = xai.function(net, widths), jnp.ones((2, 16, 16, 16))
    forward = jax.jit(lambda m, x: m(x)).lower(model, x).compile().cost_analysis()["flops"]
    for layer, behind in [("layer:5", 0), ("layer:4", 1), ("layer:2", 3)]:
        explain = jax.jit(lambda model, x, layer=layer: xai.cam.grad_cam(model, x, layer=layer, target=0).values)
        ratio = explain.lower(model, x).compile().cost_analysis()["flops"] / forward
        # Behind the tap one of the two backward products is needed: the one for the activations, none for the weights.
        assert ratio == pytest.approx(1 + behind / 6, abs=0.03)
