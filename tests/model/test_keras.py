"""Keras models on the JAX backend are models: the numbers of plain JAX functions of the same weights."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

import xaijax as xai  # noqa: E402
from tests import models  # noqa: E402
from tests.explainers import KEY  # noqa: E402
from tests.model._composition import assert_composes  # noqa: E402
from xaijax._model import as_model  # noqa: E402

L = keras.layers
X = models.images(2)
TRACES = []


class Counted(L.Layer):
    def call(self, x):
        TRACES.append(1)
        return keras.ops.tanh(x)


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [keras.Input(X.shape[1:]), L.Conv2D(4, 3, padding="same", name="conv"), Counted(name="act")], name="backbone"
    )
    image = keras.Input(X.shape[1:])
    hidden = L.Dropout(0.5, name="drop")(L.BatchNormalization(name="norm")(backbone(image)))
    return keras.Model(image, L.Dense(3, name="head")(L.GlobalAveragePooling2D(name="pool")(hidden)))


def plain(parameters, x):
    kernel, bias, gamma, beta, weights, shift, mean, variance = parameters
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x = (jnp.tanh(x + bias) - mean) / jnp.sqrt(variance + 1e-3) * gamma + beta
    return xai.tag(x, "norm").mean(axis=(1, 2)) @ weights + shift


def test_numbers_and_layers_are_those_of_the_plain_function(net):
    names = [layer.path for layer in xai.layers(net, X)]
    assert names == ["backbone/conv", "backbone/act", "backbone", "norm", "drop", "pool", "head"]
    trained = xai.function(
        plain, [variable.value for variable in (*net.trainable_variables, *net.layers[2].non_trainable_variables)]
    )
    assert "call" not in vars(net.layers[2])  # the user's model is as it was
    np.testing.assert_allclose(as_model(net)(X), trained(X), atol=1e-5)
    np.testing.assert_allclose(as_model(net)(X), net(X), atol=1e-5)
    maps = [xai.cam.grad_cam(part, X, layer="norm", target=1, relu=False).values for part in (net, trained)]
    np.testing.assert_allclose(*maps, atol=1e-5)
    games = [xai.game(part, X, xai.mask.grid((2, 2)), target=1) for part in (net, trained)]
    np.testing.assert_allclose(*(xai.shap.exact(game).values for game in games), atol=1e-5)
    np.testing.assert_allclose(*(xai.lime.fit(game, key=KEY, num_samples=32).values for game in games), atol=1e-5)


def test_new_values_of_the_variables_compile_nothing(net):
    explain = lambda: xai.cam.grad_cam(net, X, layer="backbone/act", target=0, relu=False).values  # noqa: E731
    first, before = explain(), len(TRACES)
    net.layers[-1].kernel.assign(-net.layers[-1].kernel)
    np.testing.assert_allclose(explain(), -first, atol=1e-6)
    assert len(TRACES) == before


def test_models_of_several_inputs():
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    model = keras.Model({"left": left, "right": right}, L.Dense(2, name="out")(L.Concatenate()([left, right])))
    x = {"left": models.rows(2, 3), "right": models.rows(2, 2)}
    masker = xai.mask.joint({name: xai.mask.baseline(jnp.zeros(size)) for name, size in (("left", 3), ("right", 2))})
    values = xai.shap.exact(xai.game(model, x, masker, target=1)).values
    expected = jnp.concatenate([x["left"], x["right"]], axis=1) * model.layers[-1].kernel[:, 1]
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_mistakes_are_named(net, monkeypatch):
    with pytest.raises(TypeError, match="`model` must be a keras.Model, got the function"):
        xai.keras(jnp.tanh)
    with pytest.raises(ValueError, match="`model` must be a Keras model that is built, got 'fresh'"):
        xai.layers(keras.Sequential([L.Dense(2)], name="fresh"), X)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="on the JAX backend, got one on torch: set .*KERAS_BACKEND=jax.*xai.callback"):
        xai.layers(net, X)


def test_explanations_compose_with_transformations(net):
    assert_composes(net, X)


def test_gradients_flow_to_the_variables(net):
    """The sum of HiResCAM's map is the part of the output that the head's kernel makes: its gradient is the pooled map."""
    total = lambda model: xai.cam.hires_cam(model, X, layer="norm", target=1, relu=False).values.sum()  # noqa: E731
    gradient = jax.grad(total, allow_int=True)(as_model(net))
    kernel = next(leaf for leaf in jax.tree.leaves(gradient) if leaf.shape == net.layers[-1].kernel.shape)
    expected = np.zeros(kernel.shape)
    expected[:, 1] = np.asarray(keras.Model(net.input, net.get_layer("pool").output)(X)).sum(axis=0)
    np.testing.assert_allclose(kernel, expected, atol=1e-4)
