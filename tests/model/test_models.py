"""Linen, NNX, functions and callable PyTrees are all models; what is no model is refused in a sentence."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from xaijax._model import as_model


@pytest.mark.parametrize("name", models.IMAGE_MODELS)
def test_a_model_gives_the_outputs_of_what_it_was_made_of(name):
    model, x = models.IMAGE_MODELS[name](), models.images()
    np.testing.assert_allclose(as_model(model)(x), model(x), rtol=1e-6)
    np.testing.assert_allclose(as_model(model).tagged(x), model(x), rtol=1e-6)


def test_linen_parameters_are_leaves_and_options_are_not():
    model = models.linen_net()
    assert len(jax.tree.leaves(model)) == 8
    doubled = jax.tree.map(lambda leaf: 2 * leaf, model)
    assert jax.tree.structure(doubled) == jax.tree.structure(model)
    gradient = jax.grad(lambda model: model(models.images()).sum())(model)
    np.testing.assert_allclose(gradient.content["params"]["head"]["bias"], [4, 4, 4], rtol=1e-6)


def test_a_linen_module_in_training_mode_is_refused():
    class Dropped(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dropout(0.5, deterministic=False)(nn.Dense(2)(x))

    variables = Dropped().init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, models.rows(2))
    for module, given, x, options in [
        (models.LinenNet(), models.linen_net().content, models.images(), {"train": True}),
        (Dropped(), variables, models.rows(2), {}),
    ]:
        with pytest.raises(ValueError, match="`model` must be a Linen module in inference mode"):
            xai.linen(module, given, **options)(x)


def test_an_nnx_module_in_training_mode_is_explained_in_inference_mode_with_a_warning():
    net = models.NnxNet(nnx.Rngs(3))
    net.head.bias[...] = models.nnx_net().head.bias[...]
    x = models.images() + 1e-3  # shapes and structure of its own, so that it is traced here
    with pytest.warns(UserWarning, match="in training mode at .*'blocks/0/drop'.*inference mode"):
        explained = xai.cam.grad_cam(net, x, target=0).values
    np.testing.assert_allclose(explained, xai.cam.grad_cam(models.nnx_net(), x, target=0).values, atol=1e-7)
    assert net.blocks[0].drop.deterministic is False  # the user's own module is as it was


def test_methods_and_options_of_nnx_modules():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(12, 3, rngs=rngs)

        def __call__(self, x, scale):
            return scale * self.layer(x)

        def doubled(self, x):
            return self(x, 2.0)

    net, x = Net(nnx.Rngs(0)), models.rows(3)
    expected = 2 * net.layer(x)
    for model in (net.doubled, functools.partial(net, scale=2.0)):
        np.testing.assert_allclose(as_model(model)(x), expected, rtol=1e-6)
        assert len(jax.tree.leaves(as_model(model))) >= 2
        assert xai.layers(model, x)[0].path == "layer"


def test_callable_pytrees_with_functions_among_their_leaves():
    """As Equinox modules are: arrays and activation functions side by side."""

    @jax.tree_util.register_dataclass
    @functools.partial(__import__("dataclasses").dataclass, frozen=True)
    class Dense:
        weight: jax.Array
        activation: object

        def __call__(self, x):
            return self.activation(x @ self.weight)

    model = Dense(jnp.ones((12, 2)), jnp.tanh)
    attribution = xai.shap.exact(xai.game(model, models.rows(2), xai.mask.baseline(jnp.zeros(12)), target="all"))
    np.testing.assert_allclose(attribution.output, jnp.tanh(models.rows(2) @ jnp.ones((12, 2))), rtol=1e-5)


def test_partial_is_a_model_with_leaves():
    model = jax.tree_util.Partial(lambda w, x: x @ w, jnp.ones((12, 2)))
    np.testing.assert_allclose(as_model(model)(models.rows(2)), models.rows(2) @ jnp.ones((12, 2)), rtol=1e-6)
    assert len(jax.tree.leaves(as_model(model))) == 1


def test_settings_that_are_neither_arrays_nor_hashable_are_named():
    with pytest.raises(
        TypeError, match="`model` must hold arrays and hashable settings, got an object of type Settings"
    ):
        xai.function(lambda options, x: x, object.__new__(type("Settings", (), {"__hash__": None})))


def test_a_linen_module_without_variables_is_told_what_to_do():
    with pytest.raises(TypeError, match=r"`model` must come with its variables.*pass xai\.linen"):
        xai.layers(models.LinenNet(), models.images())
    with pytest.raises(TypeError, match="collection 'params'"):
        xai.linen(nn.Dense(2), {"kernel": jnp.ones((2, 2))})
    bound = nn.Dense(2).bind({"params": {"kernel": jnp.ones((12, 2)), "bias": jnp.zeros(2)}})
    np.testing.assert_allclose(as_model(bound)(models.rows(1)), bound(models.rows(1)))
