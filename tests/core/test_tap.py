"""The tap: every layer of every kind of model, and nothing behind or before it evaluated twice."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from tests.selection import usual
from xaijax._core.tap import tap
from xaijax._model import as_model


@pytest.mark.parametrize("name", usual(models.IMAGE_MODELS, "nnx"))
def test_the_head_of_every_layer_gives_the_outputs(name):
    model, x = as_model(models.IMAGE_MODELS[name]()), models.images()
    layers = xai.layers(model, x)
    assert layers
    for layer in [None, *(layer.path for layer in layers)]:
        activations, head, *_ = tap(model, x, layer)
        np.testing.assert_allclose(head(activations), model(x), atol=1e-6)
        if not layer or "head" not in layer:
            assert jnp.abs(head(activations + 1) - model(x)).max() > 1e-4


def test_layers_of_an_nnx_model_in_lists_and_called_twice():
    shapes = {layer.path: layer.shape for layer in xai.layers(models.nnx_net(), models.images())}
    assert list(shapes)[:5] == ["stem", "blocks/0/conv", "blocks/0/norm", "blocks/0/drop", "blocks/0"]
    assert {"blocks/1:0", "blocks/1:1", "blocks/1/conv:1"} <= set(shapes)
    assert shapes["stem"] == (4, 4, 4, 4)
    assert shapes["head"] == (4, 3)


def test_layers_of_nested_linen_modules_lists_methods_and_repeated_calls():
    class Inner(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(5, name="dense")(x)

    class Outer(nn.Module):
        def setup(self):
            self.parts = [Inner() for _ in range(2)]
            self.shared = nn.Dense(5)

        def encode(self, x):
            return self.parts[0](x)

        def __call__(self, x):
            return self.shared(jnp.tanh(self.shared(self.parts[1](self.encode(x)))))

    x = models.rows(3)
    model = xai.linen(Outer(), Outer().init(jax.random.key(0), x))
    paths = [layer.path for layer in xai.layers(model, x)]
    assert paths == ["parts_0/dense", "parts_0", "parts_1/dense", "parts_1", "shared:0", "shared:1"]
    first, *_ = tap(model, x, "shared:0")
    second, *_ = tap(model, x, "shared:1")
    kernel = model.content["params"]["shared"]["kernel"]
    np.testing.assert_allclose(second, jnp.tanh(first) @ kernel, atol=1e-6)


def test_taps_reach_into_rematerialized_and_jitted_parts():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.remat(nn.Dense)(4, name="saved")(x)
            return jax.jit(lambda x: xai.tag(jnp.tanh(x), "inside"))(x).sum(axis=1)

    x = models.rows(2)
    model = xai.linen(Net(), Net().init(jax.random.key(0), x))
    assert [layer.path for layer in xai.layers(model, x)] == ["saved", "inside"]
    activations, head, *_ = tap(model, x, "saved")
    np.testing.assert_allclose(head(2 * activations), jnp.tanh(2 * activations).sum(axis=1), atol=1e-6)


def test_the_features_are_not_evaluated_again_by_the_head():
    calls = []

    def features(x):
        jax.debug.callback(lambda: calls.append("features"))
        return jnp.tanh(x)

    model = as_model(xai.compose(features, lambda hidden: hidden.sum(axis=(1, 2))))
    activations, head, *_ = tap(model, models.images(), "features")
    for _ in range(3):
        head(activations)
    jax.effects_barrier()
    assert calls == ["features"]


def test_gradients_reach_the_parameters_on_both_sides_of_the_tap():
    model, x = models.linen_net(), models.images()

    def through_tap(model):
        activations, head, *_ = tap(model, x, "conv")
        return head(activations)[:, 0].sum()

    left, right = jax.grad(through_tap)(model), jax.grad(lambda model: model(x)[:, 0].sum())(model)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_structured_outputs_are_tapped_by_their_place():
    class Two(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(12, 4, rngs=rngs)

        def __call__(self, x):
            return {"mean": self.layer(x), "scale": jnp.ones(4)}

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.two = Two(rngs)

        def __call__(self, x):
            both = self.two(x)
            return both["mean"] * both["scale"]

    assert [layer.path for layer in xai.layers(Net(nnx.Rngs(0)), models.rows(2))] == [
        "two/layer",
        "two['mean']",
        "two['scale']",
    ]


def test_the_default_is_what_is_pooled():
    """The last value of the shape of the last spatial layer: softplus of the normalization, which is no module."""
    model, x = models.linen_net(), models.images()
    activations, head, *_ = tap(model, x, None)
    kernel = model.content["params"]["head"]
    np.testing.assert_allclose(
        head(activations), activations.mean(axis=(1, 2)) @ kernel["kernel"] + kernel["bias"], atol=1e-6
    )
    norm, *_ = tap(model, x, "norm")
    np.testing.assert_allclose(activations, jax.nn.softplus(norm), atol=1e-6)


def test_unknown_layers_are_answered_with_the_closest():
    net, x = models.nnx_net(), models.images()
    with pytest.raises(ValueError, match="`layer` must be one of .* got 'stam' .did you mean 'stem'"):
        xai.cam.grad_cam(net, x, layer="stam")
    with pytest.raises(
        ValueError, match=r"`layer` must name one of 2 calls, got 'blocks/1': .*'blocks/1:0', 'blocks/1:1'"
    ):
        xai.cam.grad_cam(net, x, layer="blocks/1")
    with pytest.raises(ValueError, match="`layer` must have spatial axes .*, got layer 'head' of shape"):
        xai.cam.grad_cam(net, x, layer="head")
    with pytest.raises(ValueError, match=r"`layer` must have spatial axes .* calls no Flax module"):
        xai.cam.grad_cam(lambda x: x.sum(axis=(1, 2)), x)
    with pytest.raises(ValueError, match="the model calls no Flax module and tags no value"):
        xai.cam.grad_cam(lambda x: x.sum(axis=(1, 2)), x, layer="conv")


def test_the_listing_prints_as_a_table():
    lines = repr(xai.layers(models.linen_net(), models.images())).splitlines()
    assert lines == repr(xai.layers(models.linen_net(), jax.ShapeDtypeStruct((4, 8, 8, 2), jnp.float32))).splitlines()
    assert lines == ["conv  float32[4, 8, 8, 4]", "norm  float32[4, 8, 8, 4]", "head  float32[4, 3]"]


class Scanned(nn.Module):
    """Blocks of one set of code, with stacked parameters: a scan over four steps."""

    @nn.compact
    def __call__(self, x):
        class Block(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                hidden = nn.Dense(5, name="dense")(x)
                return jnp.tanh(x + nn.remat(nn.Dense)(5, name="out")(jnp.tanh(hidden))), hidden.sum(axis=-1)

        scan = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=4)
        x, sums = scan(name="blocks")(x, None)
        return nn.Dense(3, name="head")(x.mean(axis=(1, 2)) + sums.mean())


def test_the_steps_of_a_scan_are_layers():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    model = xai.linen(Scanned(), Scanned().init(jax.random.key(1), x))
    paths = [layer.path for layer in xai.layers(model, x)]
    names = ("blocks/dense", "blocks/out")
    assert [path for path in paths if path.startswith(names)] == [f"{name}[{i}]" for i in range(4) for name in names]
    inner, head_parameters = model.content["params"]["blocks"], model.content["params"]["head"]
    dense = lambda name, i, x: x @ inner[name]["kernel"][i] + inner[name]["bias"][i]  # noqa: E731
    value, sums = x, 0.0
    for step in range(4):
        hidden = dense("dense", step, value)
        activations, head, *_ = tap(model, x, f"blocks/dense[{step}]")
        np.testing.assert_allclose(activations, hidden, atol=1e-5)
        np.testing.assert_allclose(head(activations), model(x), atol=1e-5)
        change = 1.0 if step == 3 else 0.0  # of the last step, which reaches the outputs by both results of the loop
        value = jnp.tanh(value + dense("out", step, jnp.tanh(hidden + change)))
        sums += (hidden + change).sum(axis=-1).mean() / 4
    expected = (value.mean(axis=(1, 2)) + sums) @ head_parameters["kernel"] + head_parameters["bias"]
    np.testing.assert_allclose(head(activations + 1), expected, atol=1e-5)
    with pytest.raises(
        ValueError, match=r"`layer` must name one of 4 calls, got 'blocks/dense': .*'blocks/dense\[0\]'"
    ):
        xai.cam.grad_cam(model, x, layer="blocks/dense")
    assert xai.cam.grad_cam(model, x, layer="blocks/out[2]", target=0).values.shape == (2, 3, 4)


def test_steps_of_nested_and_reversed_scans_keep_their_numbers():
    weights = jnp.arange(6.0).reshape(2, 3) / 10

    def model(x):
        def outer(carry, row):
            def inner(carry, weight):
                return xai.tag(carry * jnp.cos(weight) + weight, "inner"), weight

            carry, _ = jax.lax.scan(inner, carry, row)
            return carry, carry[:, 0]

        x, firsts = jax.lax.scan(outer, x, weights, reverse=True)
        return x.sum(axis=1) + firsts.T @ jnp.array([1.0, 2.0])

    x = models.rows(2, 4)
    paths = [layer.path for layer in xai.layers(model, x)]
    assert paths == [f"inner[{i}][{j}]" for i in (1, 0) for j in range(3)]
    for path in paths:
        activations, head, *_ = tap(as_model(model), x, path)
        np.testing.assert_allclose(head(activations), model(x), atol=1e-5)
    np.testing.assert_allclose(head(activations + 1) - model(x), [5, 5], atol=1e-5)  # four numbers, and the first again


def test_loops_are_not_unrolled_for_other_layers():
    def model(x):
        x = xai.tag(jnp.tanh(x), "before")
        x, _ = jax.lax.scan(lambda carry, _: (xai.tag(jnp.sin(carry), "in"), None), x, None, length=500)
        return x.sum(axis=1)

    x = models.rows(2, 4)
    text = str(jax.make_jaxpr(lambda x: (lambda cut: cut.head(cut.activations))(tap(as_model(model), x, "before")))(x))
    assert text.count("= sin ") == 1
