"""Layers within branches, loops with an unknown number of steps, and functions with derivatives of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from xaijax._core.tap import tap, tap_several
from xaijax._model import as_model

X = models.rows(2, 3)
WEIGHTS = jnp.arange(1.0, 5.0) / 4


def branching(x):
    """Three branches: two values in a row, a loop of two steps, nothing."""

    def pair(x):
        first = xai.tag(jnp.sin(x), "first")
        return xai.tag(first * first + x, "second") * 3.0

    def loop(x):
        return jax.lax.scan(lambda carry, w: (xai.tag(jnp.cos(carry * w), "step"), None), x, WEIGHTS[:2])[0]

    index = jnp.where(jnp.abs(x).max() > 100, 1, jnp.where(x[0, 0] > 50, 2, 0))
    return jax.lax.switch(index, [pair, loop, lambda x: -x], xai.tag(x * 1.0, "before")).sum(axis=1)


def test_values_of_a_branch_are_layers_and_those_of_others_are_nan():
    assert [layer.path for layer in xai.layers(branching, X)] == ["before", "first", "second", "step[0]", "step[1]"]
    model, x = as_model(branching), np.asarray(X, np.float64)
    own = {"before": x, "first": np.sin(x), "second": np.sin(x) ** 2 + x}
    after = {"before": lambda a: 3 * (np.sin(a) ** 2 + a), "first": lambda a: 3 * (a**2 + x), "second": lambda a: 3 * a}
    for layer, expected in own.items():
        activations, head, *_ = tap(model, X, layer)
        np.testing.assert_allclose(activations, expected, atol=1e-6)
        np.testing.assert_allclose(head(activations + 0.5), after[layer](expected + 0.5).sum(axis=1), atol=1e-5)
        slopes = jax.grad(lambda a, head=head: head(a).sum())(activations)
        difference = after[layer](expected + 1e-4) - after[layer](expected - 1e-4)
        np.testing.assert_allclose(slopes, difference / 2e-4, atol=1e-3)
    activations, head, *_ = tap(model, X, "step[1]")
    assert jnp.isnan(activations).all()
    np.testing.assert_allclose(head(activations), model(X), atol=1e-5)
    taken, head, *_ = tap(model, 200 * X, "step[1]")  # the loop
    np.testing.assert_allclose(taken, np.cos(np.cos(200 * x * 0.25) * 0.5), atol=1e-5)
    np.testing.assert_allclose(head(2 * taken), 2 * model(200 * X), atol=1e-5)


def test_bumps_of_several_values_of_a_branch_add_up():
    several = tap_several(as_model(branching), X, ["first", "second"])
    outputs, _ = several.run([jnp.full(X.shape, 0.5), jnp.full(X.shape, 0.25)])
    x = np.asarray(X)
    np.testing.assert_allclose(outputs, 3 * ((np.sin(x) + 0.5) ** 2 + x + 0.25).sum(axis=1), atol=1e-5)


def test_branches_stay_closed_for_other_layers():
    activations, head, *_ = tap(as_model(branching), X, "before")
    assert str(jax.make_jaxpr(head)(activations)).count("cond[") == 1


def looping(x):
    """Steps until the largest number is below 1; how many depends on x."""

    def body(carry):
        step, value = carry
        half = xai.tag(value / 2, "half")
        return step + 1, xai.tag(half + 0.1 * jnp.sin(half), "block")

    _, value = jax.lax.while_loop(lambda carry: jnp.abs(carry[1]).max() > 1, body, (0, xai.tag(x * 8, "before")))
    return xai.tag(jnp.tanh(value), "after").sum(axis=1)


def iterates(x, change=None):
    """By hand: the values of each step; `change` = (name, step, amount)."""
    value, steps = 8 * x, []
    while np.abs(value).max() > 1:
        half = value / 2 + (change[2] if change and change[:2] == ("half", len(steps)) else 0)
        value = half + 0.1 * np.sin(half) + (change[2] if change and change[:2] == ("block", len(steps)) else 0)
        steps.append((half, value))
    return steps, np.tanh(value).sum(axis=1)


def test_each_step_of_a_while_loop_can_be_read_and_changed():
    assert [layer.path for layer in xai.layers(looping, X)] == ["before", "half[0]", "block[0]", "after"]
    model = as_model(looping)
    steps, outputs = iterates(np.asarray(X))
    assert len(steps) >= 3
    np.testing.assert_allclose(model(X), outputs, atol=1e-5)
    for layer, place, step in [("half", 0, 0), ("half", 0, 2), ("block", 1, 1)]:
        activations, head, *_ = tap(model, X, f"{layer}[{step}]")
        np.testing.assert_allclose(activations, steps[step][place], atol=1e-5)
        np.testing.assert_allclose(head(activations + 2), iterates(np.asarray(X), (layer, step, 2))[1], atol=1e-5)
    unreached, head, *_ = tap(model, X, "block[40]")
    assert jnp.isnan(unreached).all()
    np.testing.assert_allclose(head(unreached), outputs, atol=1e-5)


def test_gradients_through_a_while_loop_are_refused_in_a_sentence():
    model = as_model(looping)
    for layer in ("before", "block[1]"):
        activations, head, *_ = tap(model, X, layer)
        with pytest.raises(ValueError, match="`layer` must lie behind the `while` loops .*score_cam"):
            jax.grad(lambda a, head=head: head(a).sum())(activations)
    activations, head, *_ = tap(model, X, "after")
    np.testing.assert_allclose(jax.grad(lambda a: head(a).sum())(activations), jnp.ones(X.shape), atol=1e-6)
    several = tap_several(model, X, ["after"])  # evaluates the loop next to a gradient
    slopes = jax.grad(lambda bump: several.run([bump])[0].sum())(jnp.zeros(X.shape))
    np.testing.assert_allclose(slopes, jnp.ones(X.shape), atol=1e-6)


@jax.custom_vjp
def doubled_gradient(x):
    return xai.tag(jnp.sin(x), "inside") * 2.0


doubled_gradient.defvjp(lambda x: (doubled_gradient(x), x), lambda x, g: (4.0 * jnp.cos(x) * g,))


@jax.custom_jvp
def tripled_gradient(x):
    return xai.tag(jnp.exp(x), "later")


tripled_gradient.defjvp(lambda primals, tangents: (tripled_gradient(*primals), 3 * jnp.exp(primals[0]) * tangents[0]))


def test_functions_with_derivatives_of_their_own_are_entered_for_a_layer_within_alone():
    def network(x):
        return tripled_gradient(doubled_gradient(jax.checkpoint(lambda x: xai.tag(x + 1, "saved"))(x))).sum(axis=1)

    model = as_model(network)
    assert [layer.path for layer in xai.layers(network, X)] == ["saved", "inside", "later"]
    slope = {}
    for layer in ("saved", "inside", "later"):
        activations, head, *_ = tap(model, X, layer)
        np.testing.assert_allclose(head(activations), network(X), rtol=1e-5)
        slope[layer] = jax.grad(lambda a, head=head: head(a).sum())(activations)
    x = np.asarray(X) + 1
    outer = np.exp(2 * np.sin(x))
    np.testing.assert_allclose(
        slope["saved"], 3 * outer * 4 * np.cos(x), rtol=1e-4
    )  # both derivatives as the user gave them
    np.testing.assert_allclose(slope["inside"], 3 * outer * 2, rtol=1e-4)  # the body of the one, the rule of the other
    np.testing.assert_allclose(slope["later"], np.ones_like(x), rtol=1e-5)


class Scanned(nnx.Module):
    """Blocks with stacked parameters, in `nnx.scan`, as a map of an image."""

    def __init__(self, rngs):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def make(rngs):
            return nnx.Linear(2, 2, rngs=rngs)

        self.blocks = make(rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def run(x, block):
            return jnp.tanh(block(x))

        return run(x, self.blocks).mean(axis=(1, 2))


def test_the_steps_of_a_scan_of_nnx_are_layers():
    net, x = Scanned(nnx.Rngs(0)), models.images(2)
    assert [layer.path for layer in xai.layers(net, x)] == [f"blocks[{step}]" for step in range(3)]
    kernel, bias = net.blocks.kernel[...], net.blocks.bias[...]

    def plain(x):
        for step in range(3):
            x = jnp.tanh(xai.tag(x @ kernel[step] + bias[step], f"blocks[{step}]"))
        return x.mean(axis=(1, 2))

    maps = [xai.cam.grad_cam(part, x, layer="blocks[1]", target=1, relu=False).values for part in (net, plain)]
    np.testing.assert_allclose(*maps, atol=1e-5)


def test_the_default_layer_is_searched_for_in_loops_where_none_is_outside():
    """The values after the last block's tanh, whose mean is the output: the map of HiResCAM sums to it."""
    net, x = Scanned(nnx.Rngs(0)), models.images(2)
    result = xai.cam.hires_cam(net, x, target=1, relu=False)
    np.testing.assert_allclose(result.values.sum(axis=(1, 2)), net(x)[:, 1], rtol=1e-5)


def test_a_scan_of_no_steps_has_its_empty_outputs():
    def model(x):
        carry, steps = jax.lax.scan(lambda c, w: (xai.tag(c * w, "blocks"), c.sum(axis=1)), x, jnp.zeros((0,)))
        return xai.tag(carry, "after") + steps.sum()

    assert [layer.path for layer in xai.layers(model, jnp.ones((2, 3)))] == ["after"]
