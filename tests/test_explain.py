"""xai.explain chooses by the structure of the model and the shapes of the input, and says what and why."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import xaijax as xai
from tests import models

KEY = jax.random.key(0)
PIXELS = jax.random.normal(jax.random.key(1), (2, 2, 2, 3))
ROWS = np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32)
WEIGHTS = jax.random.normal(jax.random.key(2), (3, 4))
product = lambda x: x[:, 0] * x[:, 1] + x[:, 2]  # noqa: E731


def features(x):
    return xai.tag(jax.nn.softplus(x @ WEIGHTS), "features")


def of_cells(x):
    return jnp.tanh(x.reshape(len(x), -1)[:, :3])


def same(attribution, other):
    assert type(attribution) is type(other)
    assert attribution.method == other.method
    np.testing.assert_array_equal(attribution.values, other.values)
    assert attribution.reason.endswith(other.reason)


def test_networks_that_end_in_pooling_get_cam_eager_and_compiled_alike():
    net, x = models.linen_net(), models.images()
    attribution = xai.explain(net, x, target=1, output_names=["a", "b", "c"])
    np.testing.assert_array_equal(attribution.values, xai.cam.cam(net, x, target=1).values)
    logits = attribution.values.mean(axis=(1, 2)) + attribution.base_value
    np.testing.assert_allclose(logits, net(x)[:, 1], rtol=1e-4)
    assert attribution.method == "CAM"
    assert attribution.output_names == ("a", "b", "c")
    assert "pooling and a linear layer, for which CAM is exact" in repr(attribution)
    compiled = jax.jit(lambda net, x: xai.explain(net, x, target=1))(net, x)
    assert (compiled.method, compiled.reason) == (attribution.method, attribution.reason)
    np.testing.assert_allclose(compiled.values, attribution.values, atol=1e-5)


HEAD, FLAT = jax.random.normal(jax.random.key(3), (4, 2)), jax.random.normal(jax.random.key(4), (16, 2))
NETWORKS = {
    "pooling": (lambda x: features(x).mean(axis=(1, 2)) @ HEAD, "CAM", "CAM is exact"),
    "pooling, weighted": (lambda x: features(x).sum(axis=1).sum(axis=1) @ HEAD * 3 + 1, "CAM", "CAM is exact"),
    "hidden ReLU": (
        lambda x: jax.nn.relu(features(x).mean(axis=(1, 2)) @ HEAD) @ HEAD.T,
        "Grad-CAM",
        "does not end in",
    ),
    "softmax": (lambda x: jax.nn.softmax(features(x).mean(axis=(1, 2)) @ HEAD), "Grad-CAM", "does not end in"),
    "flattened": (lambda x: features(x).reshape(len(x), -1) @ FLAT, "Grad-CAM", "does not end in"),
    "maximum": (lambda x: features(x).max(axis=(1, 2)) @ HEAD, "Grad-CAM", "does not end in"),
    "unread": (lambda x: (features(x), of_cells(x))[1], "SHAP", "does not reach the outputs, as where a class token"),
    "no layers": (of_cells, "SHAP", "the model shows no layers over the image"),
    "on the host": (xai.callback(lambda x: np.tanh(x.reshape(len(x), -1)[:, :3])), "SHAP", "runs on the host"),
}


LONGER = ("pooling, weighted", "maximum", "flattened")  # siblings of others


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONGER else ()) for name in NETWORKS]
)
def test_the_end_of_a_network_chooses_the_method_of_images(name):
    net, method, reason = NETWORKS[name]
    attribution = xai.explain(net, PIXELS, target=1)
    assert attribution.method == method
    assert reason in attribution.reason
    if method == "SHAP":
        expected = xai.shap.values(of_cells, PIXELS, xai.mask.grid(2), target=1)
        np.testing.assert_allclose(attribution.values, expected.values, atol=1e-6)


def test_parameters_that_are_closed_over_while_tracing_do_not_matter():
    def explained(head):
        return xai.explain(lambda x: features(x).mean(axis=(1, 2)) @ head, PIXELS, target=0)

    compiled = jax.jit(explained)(HEAD)
    assert compiled.method == "CAM"
    np.testing.assert_allclose(compiled.values, explained(HEAD).values, atol=1e-5)
    score = xai.explain(NETWORKS["pooling"][0], PIXELS, target=lambda y: y[:, 0] * y[:, 1])
    assert score.method == "Grad-CAM"
    assert "not for a function of them" in score.reason


def test_tables_tokens_and_maskers_get_shapley_values():
    few, frame = ROWS[:5], pd.DataFrame(ROWS[:30], columns=["a", "b", "c"])
    same(xai.explain(product, few, background=ROWS[5:9]), xai.shap.values(product, few, xai.mask.background(ROWS[5:9])))
    centers = xai.mask.k_means(ROWS, 25, key=KEY)
    same(xai.explain(product, few, background=ROWS), xai.shap.values(product, few, centers))
    alone = xai.explain(product, frame)
    same(alone, xai.shap.values(product, frame))
    assert "x is a table" in alone.reason
    assert "k-means centers of x" in alone.reason
    masker = xai.mask.baseline(np.zeros(3), groups=[0, 0, 1])
    same(xai.explain(product, few, background=masker), xai.shap.values(product, few, masker))
    ids, count = np.array([[2, 3, 4, 0], [3, 5, 0, 0]]), lambda ids: (ids == 3).sum(axis=1) * 2.0
    tokens = xai.explain(count, ids, mask_id=1, pad_id=0)
    np.testing.assert_allclose(tokens.values, [[0, 2, 0, 0], [2, 0, 0, 0]], atol=1e-6)
    cells = xai.explain(of_cells, PIXELS, target=0, background=PIXELS)
    same(cells, xai.shap.values(of_cells, PIXELS, xai.mask.grid(2, fill=PIXELS), target=0))


def test_strings_get_lime_of_words():
    predict = xai.callback(lambda texts: np.array([[text.count("good")] for text in texts], float))
    words = xai.explain(predict, ["good film", "bad"], key=KEY)
    assert words.method == "LIME"
    assert "LIME removes its words" in words.reason
    np.testing.assert_allclose(words.values[0], [1, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((product, ROWS), {}, r"`background` must be given for a table, got None: .*mask_id"),
        (
            (product, ROWS[0]),
            {},
            r"`x` must have an axis of examples .* got shape \[3\]: one example alone is x\[None\]",
        ),
        ((product, ROWS), {"tokenizer": str.split}, "`tokenizer` must be None where `x` is no text"),
        ((product, ROWS), {"background": ROWS, "mask_id": 1}, "`mask_id` must be None where `background` is given"),
        ((product, ["a"]), {"background": ROWS, "key": KEY}, "`background` must be None where `x` is text"),
        ((product, "a"), {"key": KEY}, "`texts` must be a sequence of strings"),
        ((product, {"a": ROWS}), {}, "`x` must be one array"),
        ((of_cells, PIXELS), {"pad_id": 0}, "`pad_id` must be None where `x` holds images"),
        (
            (of_cells, PIXELS),
            {"background": ROWS},
            r"`background` must be images of the shape of `x`, \[B, 2, 2, 3\], got \[150, 3\]",
        ),
        ((of_cells, PIXELS), {"target": 7}, "`target` must be from 0 to 2"),
        ((of_cells, jnp.zeros((1, 6, 6, 3))), {}, r"`key` must be a JAX random key.*values are sampled"),
        ((NETWORKS["pooling"][0], PIXELS.at[0].set(jnp.nan)), {}, "`x` must hold no NaN"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(arguments, options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.explain(*arguments, **options)


def test_many_traced_rows_are_refused():
    with pytest.raises(TypeError, match=r"`background` must be known .* more than 100 rows"):
        jax.jit(lambda rows: xai.explain(product, ROWS[:2], background=rows).values)(ROWS)
