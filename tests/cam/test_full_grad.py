"""FullGrad: nothing of a piecewise linear network's output is left out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.selection import usual


def sum_of_terms(found):
    terms = [*jax.tree.leaves(found.inputs), *found.biases.values()]
    return sum(np.asarray(term, np.float64).reshape(len(term), -1).sum(axis=1) for term in terms)


class Dense(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.leaky_relu(nn.Dense(9)(x.reshape(len(x), -1)))
        return nn.Dense(3)(jnp.clip(x, -0.4, 0.3))


def random_variables(module, x):
    variables = module.init(jax.random.key(1), x)
    return jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), variables)


def through_a_maximum(parameters, x):
    hidden = jnp.maximum(x @ parameters["kernel"], parameters["floor"])
    joined = jnp.concatenate([hidden, jnp.broadcast_to(parameters["token"], (*x.shape[:-1], 2))], axis=-1)
    return jnp.where(x[..., :1] > 0, joined, parameters["other"]).max(axis=(1, 2))


PIECEWISE = {
    "convolution, batch norm, ReLU, pooling, ReLU6, dense": models.relu_net,
    "dense, leaky ReLU, clip": lambda: xai.linen(Dense(), random_variables(Dense(), models.images())),
    "maximum, concatenation, where": lambda: xai.function(
        through_a_maximum,
        {
            "kernel": jnp.ones((2, 2)).at[0, 1].set(-2.0),
            "floor": jnp.array([0.3, -0.1]),
            "token": jnp.array([0.5, -2.0]),
            "other": jnp.array([0.1, 0.2, 0.3, 0.4]),
        },
    ),
}


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("target", usual([0, None], None))
def test_inputs_and_biases_sum_to_the_output(name, target):
    """Completeness (Srinivas and Fleuret 2019, proposition 1)."""
    model, x = PIECEWISE[name](), models.images()
    found = xai.cam.full_gradients(model, x, target=target)
    np.testing.assert_allclose(sum_of_terms(found), found.output, rtol=1e-5)
    logits = model(x)
    np.testing.assert_allclose(found.output, logits.max(axis=1) if target is None else logits[:, target], rtol=1e-5)


def test_the_biases_are_those_of_every_layer():
    found = xai.cam.full_gradients(models.relu_net(), models.images(), target=1)
    shapes = {path: term.shape[1:] for path, term in found.biases.items()}
    assert shapes == {
        "conv": (8, 8, 4),  # its bias
        "norm": (8, 8, 4),  # its offset minus the scaled running mean
        "later": (4, 4, 5),
        "hidden": (4, 4, 5),  # the 6 of the ReLU6 before it
        "hidden#1": (6,),
        "head": (3,),
    }


def test_smooth_networks_have_a_gap():
    found = xai.cam.full_gradients(models.linen_net(), models.images(), target=1)
    assert np.abs(sum_of_terms(found) - found.output).max() > 0.05


def test_the_map_is_the_papers_sum_of_rescaled_terms():
    net, x = models.relu_net(), models.images()
    found = xai.cam.full_gradients(net, x, target=1)
    spatial = [found.inputs, *(term for term in found.biases.values() if term.ndim == 4)]
    for rescale, axes in [("channel", (1, 2)), ("layer", (1, 2, 3))]:
        expected = np.zeros((4, 8, 8))
        for term in spatial:
            size = np.abs(np.asarray(term, np.float64))
            least, most = size.min(axis=axes, keepdims=True), size.max(axis=axes, keepdims=True)
            unit = np.where(most > least, (size - least) / np.where(most > least, most - least, 1), 0).sum(axis=-1)
            expected += np.asarray(jax.image.resize(unit, (4, 8, 8), "linear"))
        values = xai.cam.full_grad(net, x, target=1, rescale=rescale).values
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_without_rescaling_the_map_sums_to_the_sizes_of_all_terms():
    net, x = models.relu_net(), models.images()
    found = xai.cam.full_gradients(net, x, target=1)
    sizes = sum(np.abs(term).reshape(4, -1).sum(axis=1) for term in [found.inputs, *found.biases.values()])
    values = xai.cam.full_grad(net, x, target=1, rescale="none").values
    np.testing.assert_allclose(values.sum(axis=(1, 2)), sizes, rtol=1e-4)


def test_rows_have_full_gradients_but_no_map():
    found = xai.cam.full_gradients(models.table_net(), models.rows(3), target=0)
    assert found.inputs.shape == (3, 12)
    with pytest.raises(ValueError, match="`x` must be inputs with spatial axes .*full_gradients"):
        xai.cam.full_grad(models.table_net(), models.rows(3))
    with pytest.raises(ValueError, match="rescale.? must be one of"):
        xai.cam.full_grad(models.relu_net(), models.images(), rescale="pixel")


def test_infinite_constants_that_the_output_does_not_depend_on_count_nothing():
    """The softmax of attention compares its scores with -inf."""
    for rescale in ("channel", "none"):
        values = xai.cam.full_grad(models.vision_transformer(), models.images(), target=1, rescale=rescale).values
        assert values.shape == (4, 8, 8)
        assert jnp.isfinite(values).all()
