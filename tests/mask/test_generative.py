"""References drawn with a key: closed forms of the conditional normal distribution, and answers that depend on the key alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

KEY = jax.random.key(0)
MEAN = np.array([0.5, -1.0, 0.3])
ROOT = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [-0.5, 0.3, 0.7]])
COVARIANCE = ROOT @ ROOT.T
X = np.array([[1.0, 0.2, -0.7], [-0.4, 1.5, 0.9]])
COALITIONS = np.array(list(itertools.product([False, True], repeat=3)))


def conditional(mean, covariance, x, present):
    """The mean and the covariance of a normal distribution given the present features, in float64."""
    if not present.any():
        return mean, covariance
    slopes = covariance[:, present] @ np.linalg.inv(covariance[np.ix_(present, present)])
    return mean + slopes @ (x - mean)[present], covariance - slopes @ covariance[present]


def expected_given(x, present, mean, covariance):
    """The conditional expectation of all features in JAX, with absent ones taken for independent."""
    among = jnp.where(present[:, None] & present[None], covariance, jnp.eye(3))
    return mean + covariance @ (present * jnp.linalg.solve(among, present * (x - mean)))


def draw(key, x, present):
    """Matheron's rule: a draw keeps its own deviation from its conditional mean."""
    z = MEAN + ROOT @ jax.random.normal(key, (3,))
    return z + expected_given(x, present, MEAN, COVARIANCE) - expected_given(z, present, MEAN, COVARIANCE)


def quadratic(x):
    return x[:, 0] * x[:, 1] + x[:, 2] ** 2


def test_draws_of_the_conditional_normal_distribution_have_its_closed_form():
    """E[x0 x1 + x2²] = m0 m1 + C01 + m2² + C22, within five standard errors."""
    draws = 4000
    values = xai.game(quadratic, X, xai.mask.generative(draw, key=KEY, num_draws=draws))(COALITIONS)
    rng = np.random.default_rng(0)
    for row, own in zip(X, values, strict=True):
        for present, value in zip(COALITIONS, own, strict=True):
            mean, covariance = conditional(MEAN, COVARIANCE, row, present)
            exact = mean[0] * mean[1] + covariance[0, 1] + mean[2] ** 2 + covariance[2, 2]
            spread = quadratic(rng.multivariate_normal(mean, covariance, 2000, check_valid="ignore")).std()
            assert abs(value - exact) <= 5 * spread / np.sqrt(draws) + 1e-5, (present, value, exact)


def test_the_conditional_mean_as_fill_is_the_gaussian_masker_for_a_linear_model():
    rows = (MEAN + np.random.default_rng(1).normal(size=(40, 3)) @ ROOT.T).astype(np.float32)
    mean, covariance = rows.mean(axis=0), np.cov(rows.T, bias=True)
    model = lambda x: x @ jnp.array([1.0, -2.0, 0.5])  # noqa: E731
    fill = xai.function(lambda mean, cov, key, x, present: expected_given(x, present, mean, cov), mean, covariance)
    values = xai.shap.exact(xai.game(model, X, xai.mask.generative(fill, key=KEY, num_draws=1))).values
    np.testing.assert_allclose(
        values, xai.shap.exact(xai.game(model, X, xai.mask.gaussian(rows))).values, rtol=2e-3, atol=2e-3
    )


def noisy(key, x, present):
    return jax.random.normal(key, x.shape)


def test_the_answer_depends_on_the_key_alone():
    """The same eager and compiled, alone and in a batch, under vmap over keys, and in any block size."""

    def values(key, x, **options):
        masker = xai.mask.generative(noisy, key=key, num_draws=4)
        return xai.shap.exact(xai.game(quadratic, x, masker), **options).values

    eager = values(KEY, X)
    np.testing.assert_allclose(values(KEY, X[1:], batch_size=3), eager[1:], atol=1e-5)
    both = jax.jit(jax.vmap(lambda key: values(key, X)))(jnp.stack([KEY, jax.random.key(1)]))
    np.testing.assert_allclose(both[0], eager, atol=1e-5)
    assert jnp.abs(both[1] - eager).min() > 1e-4
    draws = np.stack([noisy(key, X[0], None) for key in jax.random.split(KEY, 4)])  # by hand: absent features are these
    mixed = np.where([True, False, False], X[0], draws)
    game = xai.game(quadratic, X, xai.mask.generative(noisy, key=KEY, num_draws=4))
    np.testing.assert_allclose(game(np.array([[True, False, False]]))[0, 0], quadratic(mixed).mean(), rtol=1e-5)


def test_regions_tokens_and_groups_are_filled_from_what_is_present():
    """Absent cells take the mean of the present pixels; absent tokens the largest id of the present ones."""
    image = np.random.default_rng(2).random((1, 4, 4, 1)).astype(np.float32)
    mean = lambda key, x, present: jnp.full_like(x, (x * present).sum() / jnp.maximum(present.sum(), 1))  # noqa: E731
    masker = xai.mask.generative(mean, key=KEY, num_draws=2, players=xai.mask.grid(2, fill=9.0))
    weights = np.arange(16.0).reshape(4, 4, 1)
    game = xai.game(lambda x: (x * weights).sum(axis=(1, 2, 3)), image, masker)
    present = np.kron([[1, 0], [1, 0]], np.ones((2, 2))).astype(bool)[..., None]
    by_hand = (np.where(present, image[0], image[0][present].mean()) * weights).sum()
    np.testing.assert_allclose(game(np.array([[True, False, True, False]]))[0, 0], by_hand, rtol=1e-5)
    ids = np.array([[3, 7, 5, 0]])
    largest = xai.mask.generative(
        lambda key, x, present: jnp.full_like(x, (x * present).max()), key=KEY, players=xai.mask.tokens(1, pad_id=0)
    )
    game = xai.game(lambda ids: (ids * jnp.array([1, 10, 100, 1000])).sum(axis=1) * 1.0, ids, largest)
    np.testing.assert_allclose(game(np.array([[False, False, True, False]]))[0, 0], 5 + 50 + 500)
    grouped = xai.mask.generative(lambda key, x, present: x * 0, key=KEY, groups=[0, 1, 1], names=["a", "b"])
    attribution = xai.shap.exact(xai.game(lambda x: x.sum(axis=1), X, grouped))
    np.testing.assert_allclose(attribution.values, np.stack([X[:, 0], X[:, 1] + X[:, 2]], axis=1), rtol=1e-5)
    assert attribution.names == ("a", "b")


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: xai.mask.generative(3, key=KEY), r"`fill` must be a function fill\(key, x, present\), got 3"),
        (lambda: xai.mask.generative(noisy, key=0), "`key` must be one JAX random key"),
        (lambda: xai.mask.generative(noisy, key=KEY, num_draws=0), "`num_draws` must be at least 1"),
        (lambda: xai.mask.generative(noisy, key=KEY, players=xai.mask.baseline(X[0])), "`players` must be a masker of"),
        (
            lambda: xai.mask.generative(noisy, key=KEY, players=xai.mask.grid(2), groups=[0]),
            "`groups` must be None where `players`",
        ),
        (
            lambda: explained(lambda key, x, present: x[:2]),
            r"`fill` must return one input of shape \[3\], got shape \[2\]",
        ),
        (lambda: explained(noisy, names=["a"]), r"`names` must hold 3 names, one per player, got 1"),
        (lambda: explained(noisy, groups=[0, 1]), r"`groups` must have the shape of one input, \[3\].*got \[2\]"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        mistake()


def explained(fill, **options):
    return xai.game(quadratic, X, xai.mask.generative(fill, key=KEY, **options))
