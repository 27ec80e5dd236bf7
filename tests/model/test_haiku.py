"""Functions transformed by Haiku are models: the numbers of plain JAX functions of the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

hk = pytest.importorskip("haiku")

import xaijax as xai  # noqa: E402
from tests import models  # noqa: E402
from tests.explainers import KEY  # noqa: E402
from tests.model._composition import assert_composes  # noqa: E402

TRACES = []


def network(x, is_training=False):
    TRACES.append(1)
    x = jnp.tanh(hk.Conv2D(4, 3, name="conv")(x))
    x = hk.BatchNorm(True, True, 0.9, name="norm")(x, is_training)
    if is_training:
        x = hk.dropout(hk.next_rng_key(), 0.5, x)
    return hk.Linear(3, name="head")(x.mean(axis=(1, 2)))


NET = hk.transform_with_state(network)
X = models.images(2)
PARAMETERS, STATE = NET.init(KEY, X, is_training=True)
MODEL = xai.haiku(NET, PARAMETERS, STATE)


def plain(parameters, x):
    x = jnp.tanh(jax.lax.conv_general_dilated(
        x, parameters["conv"]["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ) + parameters["conv"]["b"][None])  # fmt: skip
    x = xai.tag(x / jnp.sqrt(1 + 1e-5), "norm")  # the statistics of the initial state: mean 0 and variance 1
    return x.mean(axis=(1, 2)) @ parameters["head"]["w"] + parameters["head"]["b"][None]


def test_numbers_and_layers_are_those_of_the_plain_function():
    state = jax.tree.map(jnp.zeros_like, STATE)
    state["norm/~/var_ema"]["average"] += 1
    model, plain_model = xai.haiku(NET, PARAMETERS, state), xai.function(plain, PARAMETERS)
    np.testing.assert_allclose(model(X), plain_model(X), atol=1e-5)
    assert [layer.path for layer in xai.layers(model, X)] == ["conv", "norm", "head"]
    maps = [xai.cam.grad_cam(part, X, layer="norm", target=1, relu=False).values for part in (model, plain_model)]
    np.testing.assert_allclose(*maps, atol=1e-5)
    games = [xai.game(part, X, xai.mask.grid((2, 2)), target=1) for part in (model, plain_model)]
    np.testing.assert_allclose(*(xai.shap.exact(game).values for game in games), atol=1e-5)
    np.testing.assert_allclose(*(xai.lime.fit(game, key=KEY, num_samples=32).values for game in games), atol=1e-5)


def test_new_parameters_compile_nothing():
    explain = lambda model: xai.cam.grad_cam(model, X, layer="conv", target=0, relu=False).values  # noqa: E731
    before = explain(MODEL), len(TRACES)
    changed = xai.haiku(NET, jax.tree.map(lambda leaf: 0.9 * leaf + 0.01, PARAMETERS), STATE)
    assert jnp.abs(explain(changed) - before[0]).max() > 1e-5
    assert len(TRACES) == before[1]


def test_functions_with_and_without_keys():
    for transformed in (
        hk.transform(lambda x: hk.Linear(2)(x)),
        hk.without_apply_rng(hk.transform(lambda x: hk.Linear(2)(x))),
    ):
        parameters = transformed.init(KEY, models.rows(2))
        expected = models.rows(2) @ parameters["linear"]["w"]
        np.testing.assert_allclose(xai.haiku(transformed, parameters)(models.rows(2)), expected, atol=1e-5)


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"`model` must come with its parameters.*pass xai\.haiku"):
        xai.layers(NET, X)
    with pytest.raises(TypeError, match="`transformed` must come from hk.transform"):
        xai.haiku(network, PARAMETERS)
    with pytest.raises(TypeError, match="`state` must be given for hk.transform_with_state, got None"):
        xai.haiku(NET, PARAMETERS)
    with pytest.raises(Exception, match=r"(?i)rng"):
        xai.haiku(NET, PARAMETERS, STATE, is_training=True)(X)


def test_explanations_compose_with_transformations():
    assert_composes(MODEL, X)
