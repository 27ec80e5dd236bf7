"""LIME: exact where the model is linear, honest where it is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from xaijax.lime._neighborhood import DISTANCES, kernel


def test_a_linear_model_with_badly_scaled_inputs_is_recovered(key):
    scales = jnp.logspace(-3, 4, 8)
    weights = jax.random.normal(jax.random.key(1), (8, 2)) / scales[:, None]
    training = (models.rows(100, 8) + 2) * scales
    statistics = xai.lime.statistics(training)
    x = training[:5]
    surrogate = xai.lime.tabular(lambda x: x @ weights - 0.7, x, statistics, key=key, target="all")
    np.testing.assert_allclose(surrogate.slopes, jnp.broadcast_to(weights, (5, 8, 2)), rtol=1e-4)
    np.testing.assert_allclose(surrogate.values, surrogate.slopes * statistics.deviation[:, None], rtol=1e-5)
    np.testing.assert_allclose(surrogate.prediction, x @ weights - 0.7, atol=1e-4)
    np.testing.assert_allclose(
        surrogate.intercept, jnp.broadcast_to(statistics.mean @ weights - 0.7, (5, 2)), atol=1e-4
    )
    np.testing.assert_allclose(surrogate.r_squared, 1, atol=1e-6)


def test_a_model_linear_in_the_regions_is_recovered(key):
    masker = xai.mask.grid(4, fill=0.0)
    shares = jax.random.normal(jax.random.key(2), models.IMAGE)
    x = models.images()
    surrogate = xai.lime.image(lambda x: (x * shares).sum(axis=(1, 2, 3)), x, key=key, fill=0.0, masker=_grid_labels())
    expected = (x * shares).reshape(4, 4, 2, 4, 2, 2).sum(axis=(2, 4, 5)).reshape(4, 16)
    np.testing.assert_allclose(surrogate.values, expected, atol=2e-4)
    np.testing.assert_allclose(surrogate.intercept, 0, atol=2e-4)
    same = xai.lime.fit(xai.game(lambda x: (x * shares).sum(axis=(1, 2, 3)), x, masker), key=key)
    np.testing.assert_allclose(same.values, surrogate.values, atol=1e-6)


def _grid_labels():
    return np.arange(16).reshape(4, 4).repeat(2, axis=0).repeat(2, axis=1)


def test_words_of_an_additive_model_get_their_weights_and_padding_none(key):
    weights = jnp.arange(20.0).at[:2].set(0)
    x = models.sentences()
    surrogate = xai.lime.text(lambda ids: weights[ids].sum(axis=1), x, key=key, mask_id=1, pad_id=0)
    np.testing.assert_allclose(surrogate.values, weights[x], atol=2e-4)
    assert (surrogate.values[1, 4:] == 0).all()
    assert (surrogate.std_errors[1, 4:] == 0).all()


def test_a_hand_written_game_is_fitted_alone(key):
    game = xai.Game(lambda z: z @ jnp.array([1.0, -2.0, 0.5]) + 3, 3)
    surrogate = xai.lime.fit(game, key=key, num_samples=100)
    np.testing.assert_allclose(surrogate.values, [1, -2, 0.5], atol=2e-5)
    np.testing.assert_allclose(surrogate.intercept, 3, atol=2e-5)
    np.testing.assert_allclose(surrogate.output, 2.5, atol=1e-6)


def test_local_fidelity_is_low_where_no_line_fits(key):
    statistics = xai.lime.statistics(models.rows(100, 2))
    surrogate = xai.lime.tabular(lambda x: jnp.cos(4 * x).sum(axis=1), jnp.zeros((1, 2)), statistics, key=key)
    assert surrogate.r_squared[0] < 0.1
    assert abs(surrogate.prediction[0] - surrogate.output[0]) > 0.5


@pytest.mark.slow
def test_narrow_kernels_find_the_gradient(key):
    net = models.table_net(3)
    x = models.rows(2, 3)
    statistics = xai.lime.statistics(models.rows(50, 3, seed=1))
    surrogate = xai.lime.tabular(net, x, statistics, key=key, target=1, num_samples=20_000, kernel_width=0.15)
    gradient = jax.grad(lambda x: net(x)[:, 1].sum())(x)
    np.testing.assert_allclose(surrogate.slopes, gradient, atol=0.03)


def test_a_feature_without_deviation_gets_zero(key):
    rows = models.rows(50, 3).at[:, 1].set(2.0)
    surrogate = xai.lime.tabular(lambda x: x.sum(axis=1), rows[:2], xai.lime.statistics(rows), key=key)
    assert (surrogate.values[:, 1] == 0).all()
    np.testing.assert_allclose(surrogate.slopes[:, [0, 2]], 1, rtol=1e-4)
    np.testing.assert_allclose(surrogate.prediction, rows[:2].sum(axis=1), rtol=1e-4)


def test_the_kernel_and_distances_are_the_equations():
    np.testing.assert_allclose(kernel(jnp.array([0.0, 0.5, 1.0]), 0.5), np.exp([0, -1, -4]), rtol=1e-6)
    z = np.array([1, 0, 0, 1, 1])
    cosine = 1 - z.sum() / (np.linalg.norm(z) * np.sqrt(5))
    expected = {"cosine": cosine, "euclidean": np.linalg.norm(z - 1) / np.sqrt(5), "hamming": 0.4}
    for name, value in expected.items():
        np.testing.assert_allclose(DISTANCES[name](jnp.mean(jnp.asarray(z))), value, rtol=1e-5)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "hamming"])
def test_the_fit_is_the_weighted_least_squares_of_its_neighborhood(distance, float64):
    """Against numpy on the same coalitions, recorded while they are evaluated."""
    coupling = np.random.default_rng(0).normal(size=(6, 6))
    seen = []

    def worth(z):
        jax.debug.callback(lambda z: seen.append(np.asarray(z)), z)
        return jnp.einsum("si,ij,sj->s", z.astype(float), coupling, z.astype(float))

    surrogate = xai.lime.fit(
        xai.Game(worth, 6), key=jax.random.key(5), num_samples=50, sampling="coins", distance=distance, kernel_width=0.4
    )
    jax.effects_barrier()
    z = seen[-1].astype(float)
    assert z.shape == (50, 6)
    assert z[0].all()
    share = z.mean(axis=1)
    distances = {"cosine": 1 - np.sqrt(share), "euclidean": np.sqrt(1 - share), "hamming": 1 - share}[distance]
    root = np.exp(-((distances / 0.4) ** 2) / 2)
    design = np.concatenate([z, np.ones((50, 1))], axis=1)
    values = np.einsum("si,ij,sj->s", z, coupling, z)
    solution = np.linalg.lstsq(root[:, None] * design, root * values, rcond=None)[0]
    np.testing.assert_allclose(surrogate.values, solution[:-1], atol=1e-4)
    np.testing.assert_allclose(surrogate.intercept, solution[-1], atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"sampling": "coins"}, marks=pytest.mark.slow), {"surrogate": "gaussian_process"}]
)
@pytest.mark.parametrize("x", [[0.0, 0.5, -1.0], [0.0, 0.3, 0.7]], ids=["everywhere", "in one feature"])
def test_input_gradients_are_right_where_the_input_equals_its_background(x, options, float64):
    """A value is 0 there, its derivative is not: against finite differences of the same samples.

    The estimate of a coefficient that is 0 has an error, which the value 0 replaces. Derivatives are those of the
    estimate, the limit of the derivatives nearby, so the differences are taken nearby, where no feature equals its
    background. At the input itself they differ, by the error of the coefficient that is 0, in the other features alone.
    """
    background, x = jnp.array([[0.0, 0.5, -1.0]]), jnp.array([x])
    model = lambda x: jnp.tanh(x @ jnp.array([0.8, -1.2, 0.5], x.dtype)) + x[:, 0] * x[:, 2]  # noqa: E731

    @jax.jit
    def values(x):
        game = xai.game(model, x, xai.mask.background(background))
        return xai.lime.fit(game, key=jax.random.key(0), num_samples=60, **options).values[0]

    total = lambda x: values(x) @ jnp.array([1.0, -2.0, 0.5])  # noqa: E731
    assert (values(x)[x[0] == background[0]] == 0).all()
    step = 1e-5
    gradient = jax.grad(total)(x)[0]
    equal = np.asarray(x[0] == background[0])
    for near, compared in ((0, equal), (np.where(equal, 1.234e-8, 0), slice(None))):
        here = x + near
        differences = [(total(here + step * unit) - total(here - step * unit)) / (2 * step) for unit in np.eye(3)]
        np.testing.assert_allclose(gradient[compared], np.array(differences)[compared], rtol=1e-5)
    assert (jnp.abs(gradient) > 0.01).all()
