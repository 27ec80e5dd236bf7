"""Attribution of layers and of units inside the network, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]], np.float32)
ROW = np.array([0.5, 1.0, 2.0], np.float32)
X0, X1, X2 = X.T
HIDDEN = np.stack([X0 * X1, X0**2, X1 + X2], axis=1)
OF_ROW = np.array([0.5, 0.25, 3.0])


def net(x):
    """Outputs h_0 h_1 + x_2 h_2, past the layer, and h_0."""
    hidden = xai.tag(jnp.stack([x[:, 0] * x[:, 1], x[:, 0] ** 2, x[:, 1] + x[:, 2]], axis=1), "hidden")
    return jnp.stack([hidden[:, 0] * hidden[:, 1] + x[:, 2] * hidden[:, 2], 3 * hidden[:, 0]], axis=1)


OUTPUTS = np.stack([HIDDEN[:, 0] * HIDDEN[:, 1] + X2 * HIDDEN[:, 2], 3 * HIDDEN[:, 0]], axis=1)
SLOPES = np.stack([HIDDEN[:, 1], HIDDEN[:, 0], X2], axis=1)
THREE = np.array([[3.0, 0, 0]] * 2)


def test_one_gradient_of_a_layer_is_that_of_the_tail_with_what_passes_the_layer_held():
    every = xai.gradient.saliency(net, X, layer="hidden", target="all")
    assert every.axes == "N M K"
    np.testing.assert_allclose(every.values, np.stack([SLOPES, THREE], axis=-1), rtol=1e-6)
    np.testing.assert_allclose(every.output, OUTPUTS, rtol=1e-6)
    np.testing.assert_allclose(every.inputs, HIDDEN, rtol=1e-6)
    times = xai.gradient.input_x_gradient(net, X, layer="hidden", target=0)
    np.testing.assert_allclose(times.values, HIDDEN * SLOPES, rtol=1e-6)


def test_integrated_gradients_of_a_layer_start_at_activations_or_at_those_of_inputs():
    explain = xai.gradient.integrated_gradients
    products = (HIDDEN[:, 0] * HIDDEN[:, 1] / 2)[:, None]
    zero = explain(net, X, layer="hidden", target=0, num_steps=1)
    np.testing.assert_allclose(zero.values, np.hstack([products, products, (X2 * HIDDEN[:, 2])[:, None]]), rtol=1e-5)
    np.testing.assert_allclose(zero.base_value, [0, 0], atol=1e-6)
    # [3] is an input, and its activations are those of the layer; the rest of the model still sees x.
    row = explain(net, X, ROW, layer="hidden", target=0, num_steps=1)
    mean, step = (HIDDEN + OF_ROW) / 2, HIDDEN - OF_ROW
    by_hand = np.stack([step[:, 0] * mean[:, 1], step[:, 1] * mean[:, 0], step[:, 2] * X2], axis=1)
    np.testing.assert_allclose(row.values, by_hand, rtol=1e-5)
    np.testing.assert_allclose(row.base_value, 0.125 + 3 * X2, rtol=1e-5)
    np.testing.assert_allclose(row.completeness_gap, 0, atol=1e-5)
    sampled = xai.gradient.expected_gradients(
        net, X, ROW[None], layer="hidden", target=1, key=jax.random.key(0), num_samples=32
    )
    np.testing.assert_allclose(sampled.values, THREE * step, rtol=1e-5)
    np.testing.assert_allclose(sampled.base_value, [1.5, 1.5], rtol=1e-6)


def test_conductance_is_the_flow_through_the_units_and_influence_the_mean_slope():
    """h_0 and h_1 are products of degree 2 in t, from 0 to their values at x: ∫ h_1 dh_0 = h_0 h_1 / 2; mean 1/3."""
    flow = xai.gradient.conductance(net, X, "hidden", target=0, num_steps=3)
    half = HIDDEN[:, 0] * HIDDEN[:, 1] / 2
    np.testing.assert_allclose(flow.values, np.stack([half, half, X2 * HIDDEN[:, 2] / 2], axis=1), rtol=1e-5)
    # Half of x_2 h_2 flows through x_2, which passes the layer by.
    np.testing.assert_allclose(flow.completeness_gap, -X2 * HIDDEN[:, 2] / 2, rtol=1e-5)
    mean = xai.gradient.internal_influence(net, X, "hidden", target=0, num_steps=2)
    np.testing.assert_allclose(mean.values, np.stack([HIDDEN[:, 1] / 3, HIDDEN[:, 0] / 3, X2 / 2], axis=1), rtol=1e-5)
    # From ROW, and of h_0 alone: 3 (h_0(x) - h_0(row)).
    every = xai.gradient.conductance(net, X, "hidden", [ROW, ROW], target="all", num_steps=1, weights=[1, 2])
    np.testing.assert_allclose(every.values[..., 1], THREE * (HIDDEN - OF_ROW), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(every.base_value, np.tile(net(ROW[None]), (2, 1)), rtol=1e-6)


def test_parts_of_a_layer_are_replaced_by_activations_or_by_those_of_inputs():
    expected = np.stack([HIDDEN[:, 0] * HIDDEN[:, 1]] * 2 + [X2 * HIDDEN[:, 2]], axis=1)
    ablated = xai.gradient.feature_ablation(net, X, layer="hidden", target=0)
    np.testing.assert_allclose(ablated.values, expected, rtol=1e-5)
    np.testing.assert_allclose(ablated.output, OUTPUTS[:, 0], rtol=1e-6)
    row = xai.gradient.occlusion(net, X, 3, layer="hidden", baseline=ROW, target=1)
    np.testing.assert_allclose(row.values, np.repeat(3 * (HIDDEN[:, :1] - 0.5), 3, axis=1), rtol=1e-5)


def test_a_unit_is_a_target_of_every_explainer():
    unit = xai.target.unit("hidden", 0)
    slopes = xai.gradient.saliency(net, X, target=unit)
    np.testing.assert_allclose(slopes.values, np.stack([X1, X0, 0 * X0], axis=1), rtol=1e-6)
    np.testing.assert_allclose(slopes.output, HIDDEN[:, 0], rtol=1e-6)
    path = xai.gradient.integrated_gradients(net, X, target=unit, num_steps=1)
    np.testing.assert_allclose(path.values, np.stack([X0 * X1 / 2] * 2 + [0 * X0], axis=1), rtol=1e-5)
    game = xai.game(net, X, xai.mask.baseline(np.zeros(3, np.float32)), target=xai.target.unit("hidden", -1))
    np.testing.assert_allclose(xai.shap.exact(game).values, np.stack([0 * X1, X1, X2], axis=1), atol=1e-6)


def test_a_unit_of_a_map_is_one_position_or_a_channel_at_all_positions():
    net, images = models.nnx_net(), models.images(2)
    maps = lambda x: jax.nn.softplus(net.blocks[0].norm(net.blocks[0].conv(net.stem(x))))  # noqa: E731
    for index, unit in ((2, lambda x: maps(x)[..., 2].sum()), ((1, 3, 0), lambda x: maps(x)[:, 1, 3, 0].sum())):
        values = xai.gradient.saliency(net, images, target=xai.target.unit("blocks/0", index)).values
        np.testing.assert_allclose(values, jax.grad(unit)(images), atol=1e-6)
    # A unit as a function of an earlier layer.
    stem = lambda a: net.blocks[0].norm(net.blocks[0].conv(a))[..., 1].sum()  # noqa: E731
    values = xai.gradient.saliency(net, images, layer="stem", target=xai.target.unit("blocks/0/norm", 1)).values
    np.testing.assert_allclose(values, jax.grad(stem)(net.stem(images)), atol=1e-6)


def test_rules_of_relus_apply_behind_the_layer():
    first, second, head = (np.random.default_rng(0).normal(size=shape) for shape in ((3, 4), (4, 5), (5, 2)))

    def two_layers(x):
        hidden = xai.tag(jax.nn.relu(x @ first), "hidden")
        return jax.nn.relu(hidden @ second) @ head

    outer = np.maximum(X @ first, 0) @ second
    expected = np.where(outer > 0, np.maximum(head[:, 1], 0), 0) @ second.T
    values = xai.gradient.guided_backpropagation(two_layers, X, layer="hidden", target=1).values
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


TABLE = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
WEIGHTS = np.array([1.0, -2.0, 0.5, 1.5], np.float32)
TOKENS = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])


def of_tokens(batch):
    """(sum over the tokens that are no padding of e·w)²: the mask passes the layer."""
    ids = batch["ids"] if isinstance(batch, dict) else batch
    embedded = xai.tag(jnp.asarray(TABLE)[ids], "embed")
    return ((embedded @ WEIGHTS) * (ids != 0)).sum(axis=1) ** 2


def test_models_of_integers_are_explained_at_their_embedding_with_one_value_per_token():
    terms = np.where(TOKENS > 0, TABLE[TOKENS] @ WEIGHTS, 0)
    total = terms.sum(axis=1, keepdims=True)
    explain, options = xai.gradient.integrated_gradients, {"layer": "embed", "channels": "sum", "num_steps": 1}
    zero = explain(of_tokens, TOKENS, **options)
    assert zero.axes == "N M"
    np.testing.assert_allclose(zero.values, terms * total, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(zero.inputs, TOKENS)
    # A baseline of ids stands for their embeddings.
    other = np.where(TOKENS > 0, TABLE[3] @ WEIGHTS, 0)
    mean = (total + other.sum(axis=1, keepdims=True)) / 2
    ids = explain(of_tokens, TOKENS, np.full(4, 3), **options)
    np.testing.assert_allclose(ids.values, (terms - other) * 2 * mean, rtol=1e-5, atol=1e-5)
    tree = xai.gradient.input_x_gradient(of_tokens, {"ids": TOKENS}, layer="embed", channels="sum")
    np.testing.assert_allclose(tree.values, 2 * terms * total, rtol=1e-5, atol=1e-5)
    assert tree.axes == "N M"
    assert tree.inputs is None


def integral(x):
    return xai.tag(x, "floats") + xai.tag(jnp.round(x).astype(jnp.int32), "counts")


SALIENCY = xai.gradient.saliency
MISTAKES = {
    "integers": (lambda: SALIENCY(of_tokens, TOKENS), "`x` must be floating .* layer='embed' with channels='sum'"),
    "an unknown layer": (lambda: SALIENCY(net, X, layer="hiden"), r"`layer` must be one of .*did you mean 'hidden'"),
    "no layer of a flow": (lambda: xai.gradient.conductance(net, X, None), "`layer` must be the path of a layer"),
    "a layer by number": (lambda: SALIENCY(net, X, layer=0), "`layer` must be the path of a layer .* got 0"),
    "a layer of integers": (lambda: SALIENCY(integral, X, target=0, layer="counts"), "`layer` must have floating"),
    "a unit too many": (
        lambda: SALIENCY(net, X, target=xai.target.unit("hidden", 3)),
        r"`index` must name a unit of the layer 'hidden', .* \[2, 3\]: .* got \[3\]",
    ),
    "a unit of two axes": (lambda: SALIENCY(net, X, target=xai.target.unit("hidden", (0, 1))), "`index` must name"),
    "no index": (lambda: xai.target.unit("hidden", True), "`index` must be an int or a sequence of ints, got True"),
    "no layer": (lambda: xai.target.unit(3, 0), "`layer` must be the path of a layer"),
    "a baseline that fits neither": (
        lambda: xai.gradient.integrated_gradients(net, X, np.zeros(4, np.float32), layer="hidden", target=0),
        r"`baseline` must be a number, one activation of shape \[3\] or rows of such activations, or inputs",
    ),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
