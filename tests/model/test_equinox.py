"""Equinox modules are models of one example: the numbers of plain JAX functions of the same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

eqx = pytest.importorskip("equinox")

import xaijax as xai  # noqa: E402
from tests import models  # noqa: E402
from tests.explainers import KEY  # noqa: E402
from tests.model._composition import assert_composes  # noqa: E402
from xaijax._model import as_model  # noqa: E402

TRACES = []


class Net(eqx.Module):
    """Convolutions, channels first, a list of blocks, dropout, and a head."""

    stem: eqx.nn.Conv2d
    blocks: list
    drop: eqx.nn.Dropout
    head: eqx.nn.Linear

    def __init__(self, key):
        first, second, third = jax.random.split(key, 3)
        self.stem = eqx.nn.Conv2d(2, 4, 3, padding=1, key=first)
        self.blocks = [eqx.nn.Conv2d(4, 5, 3, padding=1, key=second), eqx.nn.Lambda(jax.nn.softplus)]
        self.drop = eqx.nn.Dropout(0.5, inference=True)
        self.head = eqx.nn.Linear(5, 3, key=third)

    def __call__(self, x, *, key=None):
        TRACES.append(1)
        x = jnp.tanh(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x.mean(axis=(1, 2)), key=key))


NET = Net(KEY)
IMAGES = jax.random.normal(KEY, (2, 2, 6, 8))  # [N, C, H, W]


def plain(net, x):
    """The same in JAX, with its activations tagged."""
    conv = lambda layer, x: jax.lax.conv(x, layer.weight, (1, 1), "SAME") + layer.bias[None]  # noqa: E731
    x = jax.nn.softplus(conv(net.blocks[0], jnp.tanh(conv(net.stem, x))))
    return xai.tag(x, "features").mean(axis=(2, 3)) @ net.head.weight.T + net.head.bias


PLAIN = xai.function(plain, NET)


def test_layers_are_named_by_their_paths_with_the_examples_first():
    shapes = {layer.path: layer.shape for layer in xai.layers(NET, IMAGES)}
    assert shapes == {
        "stem": (2, 4, 6, 8), "blocks/0": (2, 5, 6, 8), "blocks/1": (2, 5, 6, 8), "drop": (2, 5), "head": (2, 3)
    }  # fmt: skip
    np.testing.assert_allclose(as_model(NET)(IMAGES), jax.vmap(NET)(IMAGES), atol=1e-6)
    np.testing.assert_allclose(as_model(NET).tagged(IMAGES), jax.vmap(NET)(IMAGES), atol=1e-6)


def cam(model, layer, **options):
    return xai.cam.grad_cam(model, IMAGES, layer=layer, target=1, relu=False, **options)


def test_maps_know_that_channels_come_first():
    expected = cam(PLAIN, "features", channel_axis=1).values
    assert expected.shape == (2, 6, 8)
    np.testing.assert_allclose(cam(NET, "blocks/1").values, expected, atol=1e-5)
    np.testing.assert_allclose(cam(NET, None).values, expected, atol=1e-5)
    np.testing.assert_allclose(cam(xai.equinox(NET), "blocks/1", channel_axis=1).values, expected, atol=1e-5)
    upsampled = xai.cam.layer_cam(NET, IMAGES, layer="stem", target=1, upsample=True).values
    assert upsampled.shape == (2, 6, 8)


def test_lime_and_shap_give_the_numbers_of_the_plain_function():
    options = {"key": KEY, "target": 1, "num_samples": 32}
    quarters = jnp.arange(6)[:, None] // 3 * 2 + jnp.arange(8) // 4
    given = [(NET, None), (PLAIN, 1)]
    lime = [xai.lime.image(model, IMAGES, quarters, channel_axis=axis, **options).values for model, axis in given]
    np.testing.assert_allclose(*lime, atol=1e-5)
    masker = xai.mask.grid((2, 2), channel_axis=1)
    shap = [xai.shap.exact(xai.game(model, IMAGES, masker, target=1)).values for model in (NET, PLAIN)]
    assert jnp.abs(shap[1]).max() > 1e-3
    np.testing.assert_allclose(*shap, atol=1e-5)


def test_new_parameters_compile_nothing_and_have_gradients():
    cam(NET, "blocks/0")
    before = len(TRACES)
    changed = jax.tree.map(lambda leaf: 0.9 * leaf if eqx.is_inexact_array(leaf) else leaf, NET)
    values = cam(changed, "blocks/0").values
    assert len(TRACES) == before
    assert jnp.abs(values - cam(NET, "blocks/0").values).max() > 1e-4
    gradient = jax.grad(lambda model: (cam(model, "blocks/0").values ** 2).sum())(as_model(NET))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert jnp.abs(gradient.content[0].head.weight).max() > 0


def test_a_model_in_training_mode_is_explained_in_inference_mode_with_a_warning():
    training = eqx.nn.inference_mode(NET, False)
    with pytest.warns(UserWarning, match=r"in training mode at \['drop'\].*inference mode"):
        values = cam(training, "blocks/1").values
    np.testing.assert_allclose(values, cam(NET, "blocks/1").values, atol=1e-6)
    assert training.drop.inference is False


class Stateful(eqx.Module):
    """Batch normalization with a state, a call that requires a key, and a module inside `jax.vmap`."""

    layer: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    scale: float

    def __init__(self, key):
        self.layer = eqx.nn.Linear(4, 3, key=key)
        self.norm = eqx.nn.BatchNorm(3, "batch", mode="ema", inference=True)
        self.scale = 2.0

    def __call__(self, x, state, key, *, factor=1.0):
        jax.random.split(key)
        rows = jax.vmap(self.layer)(x.reshape(3, 4))
        out, state = self.norm(rows.sum(axis=0), state)
        return self.scale * factor * out, state


def test_states_keys_and_options():
    module, state = eqx.nn.make_with_state(Stateful)(KEY)
    x = models.rows(5)
    key = jax.random.key(1)
    expected = 3 * jax.vmap(lambda row: module(row, state, key)[0])(x)
    model = xai.equinox(module, state=state, factor=3.0)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)
    assert {layer.path: layer.shape for layer in xai.layers(model, x)} == {"layer": (5, 3, 3), "norm[0]": (5, 3)}


def test_modules_of_batches_stay_modules_of_batches():
    mlp = eqx.nn.MLP(12, 3, 5, 1, key=KEY)
    x = models.rows(4)
    expected = jax.vmap(mlp)(x)
    for model in (mlp, eqx.filter_vmap(mlp), jax.vmap(mlp), eqx.filter_jit(mlp)):
        np.testing.assert_allclose(as_model(model)(x), expected, atol=1e-6)

    class Batched(eqx.Module):
        inner: eqx.nn.MLP

        def __call__(self, x, power=1):
            return jax.vmap(self.inner)(x) ** power

    np.testing.assert_allclose(xai.equinox(Batched(mlp), batched=True, power=2)(x), expected**2, atol=1e-6)
    bound = functools.partial(NET, key=KEY)
    np.testing.assert_allclose(as_model(bound)(IMAGES), jax.vmap(NET)(IMAGES), atol=1e-6)


def test_a_function_of_a_module_has_its_layers():
    """For modules that are called with more than their input; here a key for each example."""

    def of_batch(net, scale, x):
        keys = jax.random.split(KEY, len(x))
        return scale * jax.vmap(lambda row, key: net(row, key=key))(x, keys)

    model = xai.function(of_batch, NET, 2.0)
    assert xai.layers(model, IMAGES) == xai.layers(NET, IMAGES)
    values = cam(model, "blocks/1", channel_axis=1).values
    np.testing.assert_allclose(values, 2 * cam(NET, "blocks/1").values, atol=1e-5)
    training = functools.partial(of_batch, eqx.nn.inference_mode(NET, False), 2.0)
    with pytest.warns(UserWarning, match=r"in training mode at \['drop'\].*inference mode"):
        outputs = as_model(training)(IMAGES)
    np.testing.assert_allclose(outputs, model(IMAGES), atol=1e-6)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="`module` must be a callable equinox.Module, got the function"):
        xai.equinox(jnp.tanh)
    with pytest.raises(TypeError, match="`batched` must be True or False"):
        xai.equinox(NET, batched=3)
    with pytest.raises(TypeError, match="`state` must be an equinox.nn.State or None, got 3"):
        xai.equinox(NET, state=3)


class Product(eqx.Module):
    """W x with the examples' axis last: `jax.vmap` keeps it wherever the operation puts it."""

    weights: jax.Array

    def __call__(self, x, *, key=None):
        return jax.lax.dot_general(self.weights, x, (((1,), (0,)), ((), ())))


def test_examples_come_first_in_every_layer():
    net = eqx.nn.Sequential([Product(jnp.ones((3, 12))), eqx.nn.Lambda(jnp.tanh)])
    shapes = {layer.path: layer.shape for layer in xai.layers(net, models.rows(5))}
    assert shapes == {"layers/0": (5, 3), "layers/1": (5, 3)}


def test_explanations_compose_with_transformations():
    assert_composes(NET, IMAGES, channel_axis=1)
