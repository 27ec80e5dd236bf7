"""Averages over noisy inputs against closed forms, within their standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

KEY = jax.random.key(3)
X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]], np.float32)
SCALE = np.array([0.5, 0.2, 0.1], np.float32)


def squares(x):
    """With gradient 2 x: the noise of the gradient is that of x, doubled."""
    return (x**2).sum(axis=1)


def smooth(variant, num_samples=400, explainer=xai.gradient.saliency, scale=SCALE, **options):
    arguments = {"model": squares, "x": X, "key": KEY} | options
    return xai.gradient.smooth(explainer, num_samples=num_samples, scale=scale, variant=variant)(**arguments)


@pytest.mark.parametrize(
    ("variant", "expected", "errors"),
    [
        ("mean", 2 * X, np.tile(2 * SCALE, (2, 1))),
        ("squared", 4 * X**2 + 4 * SCALE**2, np.sqrt(4 * (2 * X) ** 2 * (2 * SCALE) ** 2 + 2 * (2 * SCALE) ** 4)),
        ("variance", np.tile(4 * SCALE**2, (2, 1)), np.tile(np.sqrt(2 * 5 / 4) * 4 * SCALE**2, (2, 1))),
    ],
)
def test_values_and_standard_errors_are_those_of_normal_noise(variant, expected, errors):
    """errors: the standard deviations of one sample; a variance of groups of five has 4 of 5 degrees of freedom."""
    result = smooth(variant)
    assert (np.abs(result.values - expected) < 4 * result.std_errors).all()
    np.testing.assert_allclose(result.std_errors, errors / 20, rtol=0.4)
    np.testing.assert_allclose(result.output, squares(X), rtol=1e-6)  # at x itself
    assert result.num_evaluations.tolist() == [400, 400]
    assert result.base_value is None


def test_a_number_is_in_units_of_the_range_of_each_example():
    result = smooth("variance", scale=0.1)
    ranges = X.max(axis=1, keepdims=True) - X.min(axis=1, keepdims=True)
    expected = np.tile((2 * 0.1 * ranges) ** 2, (1, 3))
    assert (np.abs(result.values - expected) < 4 * result.std_errors).all()
    np.testing.assert_array_equal(smooth("mean", 2, scale=0.0).values, xai.gradient.saliency(squares, X).values)


def test_an_examples_noise_depends_on_its_key_and_id_alone():
    both = smooth("mean", 7, ids=[4, 9])
    np.testing.assert_array_equal(smooth("mean", 7, ids=[4, 9]).values, both.values)
    np.testing.assert_allclose(smooth("mean", 7, x=X[1:], ids=[9]).values, both.values[1:], rtol=1e-6)
    np.testing.assert_allclose(smooth("mean", 7, ids=[4, 9], batch_size=3).values, both.values, rtol=1e-6)
    assert (smooth("mean", 7, ids=[9, 4]).values != both.values).all()
    assert (smooth("mean", 7, ids=[4, 9], key=jax.random.key(4)).values != both.values).all()


def test_the_top_class_is_that_of_the_input_without_noise():
    def close(x):
        return jnp.stack([x[:, 0], 0.999 * x[:, 0] + 0.001 * x[:, 1]], axis=1)

    x = jnp.ones((1, 2)) * jnp.array([1.0, 0.99])
    result = xai.gradient.smooth(xai.gradient.saliency, scale=np.ones(2))(close, x, key=KEY)
    assert result.target.tolist() == [0]
    np.testing.assert_allclose(result.values, [[1, 0]], atol=1e-6)


def test_explainers_of_other_folders_and_functions_are_smoothed_with_their_options():
    net, images = models.linen_net(), models.images(2)
    options = {"layer": "conv", "target": [1, 2]}
    maps = xai.gradient.smooth(xai.cam.grad_cam, num_samples=2, scale=0.0)(net, images, key=KEY, relu=False, **options)
    np.testing.assert_allclose(maps.values, xai.cam.grad_cam(net, images, relu=False, **options).values, atol=1e-6)
    assert maps.axes == "N h w"
    every = xai.gradient.smooth(xai.gradient.integrated_gradients, num_samples=2, scale=0.0)(
        models.table_net(), models.rows(2), target="all", key=KEY, baseline=[0.5] * 12, num_steps=3
    )
    expected = xai.gradient.integrated_gradients(
        models.table_net(), models.rows(2), [0.5] * 12, target="all", num_steps=3
    )
    np.testing.assert_allclose(every.values, expected.values, atol=1e-6)

    def doubled(model, x, target):
        return xai.gradient.saliency(lambda x: 2 * model(x), x, target=target)

    np.testing.assert_allclose(smooth("mean", 2, doubled, 0.0).values, 4 * X, rtol=1e-6)


def regions(model, x, target):
    return xai.shap.exact(xai.game(model, x, xai.mask.baseline(X[0], groups=[0, 0, 1]), target=target))


MISTAKES = {
    "no explainer": (lambda: xai.gradient.smooth(len), "`explainer` must be a function .* got the function len"),
    "no attribution": (
        lambda: smooth("mean", 2, lambda model, x, target: x),
        "`explainer` must return an attribution, got a traced array",
    ),
    "regions": (lambda: smooth("mean", 2, regions), "`explainer` must explain features or positions, got regions"),
    "an unknown option": (
        lambda: smooth("mean", 2, absolut=True),
        r"`explainer` must know the option 'absolut' \(did you mean 'absolute'\?\)",
    ),
    "one sample": (lambda: smooth("mean", 1), "`num_samples` must be at least 2, got 1"),
    "few samples of a variance": (lambda: smooth("variance", 9), "`num_samples` must be at least 10, got 9"),
    "an unknown variant": (lambda: smooth("median"), "`variant` must be one of .*got 'median'"),
    "negative noise": (lambda: smooth("mean", scale=-0.1), "`scale` must be finite and at least 0, got -0.1"),
    "noise of another shape": (
        lambda: smooth("mean", scale=np.ones(4)),
        r"`scale` must be a number or fit one input of shape \[3\], got shape \[4\]",
    ),
    "a seed": (lambda: smooth("mean", key=0), "`key` must be one JAX random key"),
    "ids": (
        lambda: smooth("mean", x=np.ones((2, 3), int), layer="embed"),
        r"`x` must be floating numbers, .* got .*: convert .* smooth the function of its embeddings",
    ),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
