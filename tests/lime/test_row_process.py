"""The Gaussian process surrogate of numbers: its kernel is that of the definition, its line nearer to that of all rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from xaijax.lime import _rows
from xaijax.lime._row_process import METRICS, without_lines

TRAINING = models.rows(100, 6, seed=1)
STATISTICS = xai.lime.statistics(TRAINING)
ROW = models.rows(1, 6, seed=2)
PROCESS = {"surrogate": "gaussian_process"}


def ridge(x):
    """Bends along one direction, and a little in others."""
    slope = jnp.array([1.0, -0.7, 0.5, 0.3, -0.2, 0.0])
    return jnp.tanh(x @ slope + 0.5) + 0.1 * jnp.sin(x[:, 0] + x[:, 5]) + 0.05 * x[:, 1] * x[:, 2]


def truth_of_ridge(around="row", width=0.75 * 6**0.5):
    """E[u_j f] / s = E[df/dz_j] deviation_j (Stein), in closed form and by quadrature along the one direction."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    deviation, row = np.asarray(STATISTICS.deviation, float), np.asarray(ROW[0], float)
    precision = 1 + 2 / width**2
    center = row + (np.asarray(STATISTICS.mean, float) - row) / precision if around == "data" else row
    variances = deviation**2 / precision
    slope = np.array([1.0, -0.7, 0.5, 0.3, -0.2, 0.0])
    bends = np.cosh(center @ slope + 0.5 + np.sqrt(variances @ slope**2) * nodes) ** -2.0
    found = slope * (weights @ bends) / weights.sum()
    found[[0, 5]] += 0.1 * np.cos(center[0] + center[5]) * np.exp(-(variances[0] + variances[5]) / 2)
    found[[1, 2]] += 0.05 * center[[2, 1]]
    return found * deviation


@pytest.mark.parametrize(("spread", "bend"), METRICS)
@pytest.mark.parametrize("features", [1, 2])
def test_the_kernel_is_that_of_the_process_without_its_lines(features, spread, bend, float64):
    """(I - L) k (I - L), with the projection L on lines under the normal law by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    grid = np.stack([part.ravel() for part in np.meshgrid(*[nodes] * features)], axis=1)
    shares = np.prod(np.stack([part.ravel() for part in np.meshgrid(*[weights] * features)], axis=1), axis=1)
    kept = shares > 1e-18
    grid, shares = grid[kept], shares[kept]
    direction = np.array([1.0, -2.0])[:features] / np.linalg.norm([1.0, -2.0][:features])
    metric = spread / features * np.eye(features) + bend * np.outer(direction, direction)

    def kernel(left, right):
        distance = lambda apart: np.einsum("...i,ij,...j->...", apart, metric, apart)  # noqa: E731
        return np.exp(-distance(left[:, None] - right) / 2) / 2 - np.exp(-distance(left[:, None] + right) / 2) / 2

    points = np.random.default_rng(0).normal(size=(7, features))
    lines = (grid * shares[:, None]).T @ kernel(grid, points)  # [D, 7]: E[u k(u, v)]
    both = (grid * shares[:, None]).T @ kernel(grid, grid) @ (grid * shares[:, None])
    expected = kernel(points, points) - points @ lines - (points @ lines).T + points @ both @ points.T
    found = without_lines(*map(jnp.asarray, (points @ points.T, points @ direction)), spread, bend, features)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("around", ["row", "data"])
@pytest.mark.parametrize("num_samples", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_a_linear_model_is_recovered_and_a_constant_one_is_nothing(around, num_samples, key):
    weights = jnp.array([2.0, -3.0, 0.5, 0.0, 1e-3, 100.0])
    options = {"key": key, "around": around, "num_samples": num_samples, **PROCESS}
    found = xai.lime.tabular(lambda x: x @ weights + 4, ROW, STATISTICS, **options)
    np.testing.assert_allclose(found.slopes[0], weights, atol=2e-4)
    np.testing.assert_allclose(found.prediction, found.output, rtol=1e-4)
    np.testing.assert_allclose(found.r_squared, 1, atol=1e-5)
    assert (np.asarray(found.std_errors) < 1e-3).all()
    constant = xai.lime.tabular(lambda x: jnp.full(len(x), 7.0), ROW, STATISTICS, **options)
    np.testing.assert_allclose(constant.values, 0, atol=1e-6)
    np.testing.assert_allclose(constant.prediction, 7, rtol=1e-6)


@pytest.mark.parametrize("around", ["row", "data"])
def test_the_line_is_far_nearer_to_that_of_all_rows_and_its_errors_hold(around):
    truth = truth_of_ridge(around)

    def errors(surrogate):
        def one(key):
            options = {"key": key, "num_samples": 300, "around": around, "surrogate": surrogate}
            found = xai.lime.tabular(ridge, ROW, STATISTICS, **options)
            return found.values[0] - truth, found.std_errors[0]

        return jax.lax.map(one, jax.random.split(jax.random.key(0), 40))

    linear, _ = errors("linear")
    process, claimed = errors("gaussian_process")
    assert (process**2).mean() < 0.1 * (linear**2).mean()
    assert (jnp.abs(process) < 1.96 * claimed).mean() > 0.92
    assert claimed.mean() < 3 * jnp.abs(process).mean()


def test_noise_is_told_from_bends():
    """A model of noise alone: the process must not take it for structure, and its line is that of least squares."""
    rough = lambda x: jnp.sin(1e4 * (x @ jnp.array([1.0, 0.3, 0.7, 0.2, 0.9, 0.4])))  # noqa: E731
    options = {"key": jax.random.key(2), "num_samples": 400}
    linear = xai.lime.tabular(rough, ROW, STATISTICS, **options)
    process = xai.lime.tabular(rough, ROW, STATISTICS, **options, **PROCESS)
    np.testing.assert_allclose(process.values, linear.values, atol=linear.std_errors.max())
    np.testing.assert_allclose(process.std_errors.mean(), linear.std_errors.mean(), rtol=0.35)


@pytest.mark.slow
def test_several_outputs_have_their_own_process(key):
    nets = [ridge, lambda x: 100 * jnp.tanh(x @ jnp.array([0.0, 0.0, 1.0, 1.0, 1.0, -1.0]))]
    options = {"key": key, "num_samples": 200, **PROCESS}
    both = xai.lime.tabular(
        lambda x: jnp.stack([net(x) for net in nets], axis=1), ROW, STATISTICS, target="all", **options
    )
    for place, net in enumerate(nets):
        alone = xai.lime.tabular(net, ROW, STATISTICS, **options)
        scale = float(np.abs(alone.values).max())
        np.testing.assert_allclose(both.values[0, :, place] / scale, alone.values[0] / scale, atol=1e-4)
        np.testing.assert_allclose(both.std_errors[0, :, place] / scale, alone.std_errors[0] / scale, atol=1e-4)


def test_an_example_does_not_depend_on_its_batch(key):
    x = models.rows(5, 6, seed=3)
    options = {"key": key, "num_samples": 100, **PROCESS}
    every = xai.lime.tabular(ridge, x, STATISTICS, **options)
    one = xai.lime.tabular(ridge, x[3:4], STATISTICS, ids=jnp.array([3]), **options)
    np.testing.assert_allclose(every.values[3], one.values[0], atol=1e-5)
    np.testing.assert_allclose(every.std_errors[3], one.std_errors[0], atol=1e-5)


def test_float32_has_the_digits_of_float64(key):
    """The same rows and values in both precisions."""
    explain = lambda x: xai.lime.tabular(ridge, x, STATISTICS, key=key, num_samples=800, **PROCESS)  # noqa: E731
    single = explain(ROW)
    with jax.enable_x64(True):
        rows = ROW.astype(jnp.float64)
        double = explain(rows)
    assert double.values.dtype == jnp.float64
    assert (np.abs(np.asarray(single.values) - np.asarray(double.values)) < 0.2 * np.asarray(double.std_errors)).all()
    np.testing.assert_allclose(single.std_errors, double.std_errors, rtol=0.1)


def test_gradients_are_those_of_finite_differences(key, float64):
    statistics = xai.lime.statistics(TRAINING.astype(jnp.float64))
    slope = jnp.array([1.0, -0.7, 0.5, 0.3, -0.2, 0.1], jnp.float64)

    @jax.jit
    def loss(scale):
        model = lambda x: jnp.tanh(scale * (x @ slope))  # noqa: E731
        found = xai.lime.tabular(model, ROW.astype(jnp.float64), statistics, key=key, num_samples=80, **PROCESS)
        return (found.values**2).sum() + found.std_errors.sum()

    step = 1e-5
    expected = (loss(0.8 + step) - loss(0.8 - step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(0.8), expected, rtol=1e-4)


@pytest.mark.slow
def test_gradients_of_linear_and_constant_models_are_finite(key):
    def total(weights):
        found = xai.lime.tabular(lambda x: x @ weights, ROW, STATISTICS, key=key, num_samples=80, **PROCESS)
        return found.values.sum() + found.prediction.sum()

    assert np.isfinite(jax.grad(total)(jnp.linspace(-1, 1, 6))).all()
    assert np.isfinite(jax.grad(total)(jnp.zeros(6))).all()


def test_features_without_deviation_have_the_value_0_and_too_few_pairs_say_nothing(key):
    rows = TRAINING.at[:, 2].set(1.5)
    statistics = xai.lime.statistics(rows)
    found = xai.lime.tabular(ridge, ROW.at[:, 2].set(1.5), statistics, key=key, num_samples=200, **PROCESS)
    assert found.values[0, 2] == found.std_errors[0, 2] == 0
    assert (np.asarray(found.std_errors)[0, [0, 1, 3, 4, 5]] > 0).all()
    few = xai.lime.tabular(ridge, ROW, STATISTICS, key=key, num_samples=12, **PROCESS)
    assert np.isinf(few.std_errors).all()
    assert np.isfinite(few.values).all()


def test_more_rounds_are_drawn_until_the_precision_is_reached(key):
    options = {"key": key, "num_samples": 100, "max_samples": 1000, **PROCESS}
    reached = xai.lime.tabular(ridge, ROW, STATISTICS, until=0.01, **options)
    assert reached.converged.all()
    assert 100 < reached.num_evaluations[0] < 1000
    assert reached.std_errors.max() <= 0.01 * jnp.abs(reached.values).max()
    np.testing.assert_allclose(reached.values[0], truth_of_ridge(), atol=4 * float(reached.std_errors.max()))


def test_all_rows_but_a_few_are_in_pairs():
    for drawn in (3, 4, 63, 159, 160, 999, 4095):
        together = _rows.row_layout("weighted", drawn, paired=True)
        assert together.drawn == drawn
        assert together.rest < max(together.length, 4)
    assert _rows.row_layout("weighted", 63).number == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "independent"}, "`sampling` must be 'weighted' with surrogate"),
        ({"definitions": "lime"}, "`sampling` must be 'weighted' with surrogate"),
        ({"num_features": 3}, "gives every player a coefficient"),
        ({"num_samples": 5000}, "at most 4096 in all rounds"),
        ({"until": 0.1}, "at most 4096 in all rounds"),
        ({"surrogate": "process"}, "`surrogate` must be"),
    ],
)
def test_what_the_process_cannot_do_is_said(options, message, key):
    with pytest.raises(ValueError, match=message):
        xai.lime.tabular(ridge, ROW, STATISTICS, key=key, **PROCESS | options)


def test_the_process_is_for_numbers_alone(key):
    statistics = xai.lime.statistics(TRAINING, bins={"b": [0.0]}, names=list("abcdef"))
    with pytest.raises(ValueError, match=r"must be 'linear' for tables with conditions, .*while b is a condition"):
        xai.lime.tabular(ridge, ROW, statistics, key=key, **PROCESS)
