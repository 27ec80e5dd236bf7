"""Expected gradients against integrated gradients by quadrature in float64, and against closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

FEATURES = 5


def rows(count, seed):
    return models.rows(count, FEATURES, seed=seed)


@functools.cache
def in_float64():
    """The network, the rows to explain and the background, of the same numbers as in float32."""
    with jax.enable_x64(True):
        given = models.table_net(FEATURES), rows(3, 6), rows(4, 1)
        return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), given)


@functools.cache
def by_quadrature(target):
    """[N, D] integrated gradients by 40 Gauss-Legendre nodes, averaged over the background, in float64."""
    with jax.enable_x64(True):
        net, x, background = in_float64()
        slope = jax.grad(lambda one: net(one[None])[0, target])
        nodes, weights = np.polynomial.legendre.leggauss(40)
        positions, steps = (nodes + 1) / 2, x[:, None] - background
        at = background + positions[:, None, None, None] * steps
        slopes = jax.vmap(jax.vmap(jax.vmap(slope)))(at)
        return np.asarray(jnp.einsum("q,qnbd,nbd->nd", weights / 2, slopes, steps) / len(background))


def explain(**options):
    arguments = {"model": models.table_net(FEATURES), "x": rows(3, 6), "background": rows(4, 1), "target": 1}
    return xai.shap.expected_gradients(**(arguments | {"key": jax.random.key(0)} | options))


def test_it_is_offered_next_to_the_shapley_values_too():
    assert xai.shap.expected_gradients is xai.gradient.expected_gradients


def test_intervals_of_many_keys_hold_the_integrated_gradients_averaged_over_the_background():
    keys = jax.random.split(jax.random.key(1), 200)
    result = jax.jit(jax.vmap(lambda key: explain(key=key)))(keys)
    expected = by_quadrature(1)
    gaps = np.asarray(result.values, float) - expected
    # The mean over all keys is right: four of its own errors, for 15 numbers.
    errors = gaps.std(axis=0, ddof=1) / len(keys) ** 0.5
    assert (np.abs(gaps.mean(axis=0)) < 4 * errors).all()
    assert (errors < 0.02 * np.abs(expected).max()).all()
    # Student's interval of 16 replicates, of 3,000 numbers: 0.95 with a standard error of about 0.01.
    assert 0.93 < (np.abs(gaps) < 2.131 * np.asarray(result.std_errors)).mean() < 0.97
    np.testing.assert_allclose((np.asarray(result.std_errors) ** 2).mean(axis=0), gaps.var(axis=0), rtol=0.35)


def test_the_sum_is_the_output_minus_the_mean_over_the_background_but_for_sampling(float64):
    """In float64: an output of 0.004 is a difference of larger numbers, whose rounding errors in float32 exceed 1e-5 of it."""
    net, x, background = in_float64()
    result = explain(num_samples=4096, model=net, x=x, background=background)
    np.testing.assert_allclose(result.output, net(x)[:, 1], rtol=1e-12)
    np.testing.assert_allclose(result.base_value, np.full(3, net(background)[:, 1].mean()), rtol=1e-12)
    missing = result.output - result.base_value - result.values.sum(axis=1)
    assert (np.abs(missing) < 4 * np.sqrt((result.std_errors**2).sum(axis=1))).all()
    np.testing.assert_allclose(by_quadrature(1).sum(axis=1), result.output - result.base_value, atol=1e-10)
    assert result.num_evaluations.tolist() == [4096] * 3


def test_more_samples_have_smaller_errors():
    few, many = explain(), explain(num_samples=4096)
    ratio = np.sqrt((few.std_errors**2).mean() / (many.std_errors**2).mean())
    assert 3 < ratio < 7  # sqrt(16) or a little more, as finer strata know more


def test_a_linear_model_and_one_baseline_are_exact_without_errors():
    weights = jnp.array([1.0, -2, 3, 0, 0.5])
    background = rows(1, 1)
    result = explain(model=lambda x: x @ weights + 1, background=background, target=None, num_samples=32)
    np.testing.assert_allclose(result.values, weights * (rows(3, 6) - background), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.std_errors, 0, atol=1e-6)


def test_a_linear_model_has_the_mean_of_the_background_within_its_errors():
    weights = jnp.array([1.0, -2, 3, 0, 0.5])
    result = explain(model=lambda x: x @ weights + 1, target=None, num_samples=2048)
    exact = xai.shap.linear(lambda x: x @ weights + 1, rows(3, 6), rows(4, 1))
    gaps = np.abs(result.values - exact.values)
    assert (gaps <= 4 * result.std_errors).all()
    assert (gaps[:, 3] == 0).all()
    np.testing.assert_allclose(result.base_value, exact.base_value, rtol=1e-5)


def test_an_examples_answer_depends_on_its_key_and_id_alone():
    x = rows(3, 6)
    result = explain(ids=[7, 8, 9])
    np.testing.assert_allclose(explain(x=x[1:2], ids=[8]).values, result.values[1:2], rtol=1e-5)
    np.testing.assert_allclose(explain(ids=[7, 8, 9], batch_size=40).values, result.values, rtol=1e-4, atol=1e-6)
    assert np.abs(explain(ids=[8, 7, 9]).values[0] - result.values[0]).max() > 1e-3
    assert np.abs(explain(key=jax.random.key(1), ids=[7, 8, 9]).values - result.values).max() > 1e-3
    np.testing.assert_array_equal(explain().values, explain(ids=[0, 1, 2]).values)


def test_images_are_explained_for_the_class_of_each_one():
    net, images = models.function_net(), models.images()
    options = {"key": jax.random.key(0), "num_samples": 512}
    black = jnp.zeros((1, *models.IMAGE))
    result = xai.shap.expected_gradients(net, images, black, target=[0, 1, 2, 0], **options)
    outputs = net(images)[jnp.arange(4), jnp.array([0, 1, 2, 0])]
    np.testing.assert_allclose(result.output, outputs, rtol=1e-5)
    sums, errors = result.values.sum(axis=(1, 2, 3)), np.sqrt((result.std_errors**2).sum(axis=(1, 2, 3)))
    assert result.values.shape == images.shape
    # Strata of one path leave little to chance.
    assert (np.abs(sums - (outputs - net(black)[0, jnp.array([0, 1, 2, 0])])) < 0.01 + errors).all()
    top = xai.shap.expected_gradients(net, images, black, **options)
    assert top.target.tolist() == net(images).argmax(axis=1).tolist()


def test_slopes_are_those_of_finite_differences(float64, key):
    rng = np.random.default_rng(1)
    net = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), models.table_net(FEATURES))
    point = net, jnp.asarray(rng.normal(size=(2, FEATURES))), jnp.asarray(rng.normal(size=(3, FEATURES)))
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), point)

    @jax.jit
    def loss(point):
        net, x, background = point
        return (xai.shap.expected_gradients(net, x, background, key=key, target=1, num_samples=32).values ** 2).sum()

    ahead, behind = (
        loss(jax.tree.map(lambda leaf, along, s=s: leaf + s * along, point, direction)) for s in (1e-5, -1e-5)
    )
    products = jax.tree.map(lambda slope, along: (slope * along).sum(), jax.grad(loss)(point), direction)
    np.testing.assert_allclose(sum(jax.tree.leaves(products), 0.0), (ahead - behind) / 2e-5, rtol=1e-6)


def test_what_is_nan_under_a_transformation_is_nan_in_the_answer():
    x = rows(3, 6).at[1, 2].set(jnp.nan)
    result = jax.jit(lambda x: explain(x=x, num_samples=32))(x)
    for part in (result.values, result.std_errors, result.output, result.base_value):
        np.testing.assert_array_equal(np.isnan(part).reshape(3, -1).all(axis=1), [False, True, False])
        np.testing.assert_array_equal(np.isnan(part).reshape(3, -1).any(axis=1), [False, True, False])


MISTAKES = {
    "whole numbers": (lambda: explain(x=np.zeros((3, FEATURES), int)), "`x` must be floating numbers.* int32"),
    "no background rows": (
        lambda: explain(background=jnp.zeros((0, FEATURES))),
        "`background` must be .* at least one row",
    ),
    "other features": (lambda: explain(background=jnp.zeros((2, 4))), r"rows of the shape of x's, \[5\], .* \[2, 4\]"),
    "one row": (lambda: explain(background=jnp.zeros(5)), r"`background` must have rows of the shape of x's, \[5\]"),
    "NaN in x": (lambda: explain(x=rows(3, 6).at[2].set(jnp.nan)), r"x.? (holds NaN|must hold no NaN).*\[2\]"),
    "NaN in the background": (
        lambda: explain(background=jnp.full((2, 5), jnp.nan)),
        "background.? (holds NaN|must hold no NaN)",
    ),
    "a class too many": (lambda: explain(target=3), "`target` must be from 0 to 2"),
    "channels of a table": (lambda: explain(channels="sum"), r"`channels` must be None for inputs \[N, D\]"),
    "too few samples": (lambda: explain(num_samples=31), "num_samples.? must be at least 32, (but it is|got) 31"),
    "a seed for a key": (lambda: explain(key=0), "key.? must be one JAX random key"),
    "too few ids": (lambda: explain(ids=[1]), r"ids.? must be integers \[3\]"),
    "a batch of none": (lambda: explain(batch_size=0), "batch_size.? must be at least 1"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
