"""The weighted ridge regression against an independent solution in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.lime.regressions import fit_line
from xaijax.lime._surrogate import Ridge, inverse_of_triangle, regression


def reference(points, values, weights, ridge):
    """Normal equations with an intercept column, in float64; the ridge relative to the weighted variances."""
    points, values, weights = (np.asarray(a, np.float64) for a in (points, values, weights / weights.sum()))
    center = weights @ points
    variance = weights @ (points - center) ** 2
    design = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    gram = design.T @ (weights[:, None] * design) + ridge * np.diag([*variance, 0])
    solution = np.linalg.solve(gram, design.T @ (weights * values))
    residuals = values - design @ solution
    total = weights @ (values - weights @ values) ** 2
    return solution[:-1], solution[-1], 1 - weights @ residuals**2 / total


def problem(samples, columns, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.logspace(-3, 4, columns)
    mixing = np.eye(columns) + 0.5 * rng.normal(size=(columns, columns)) / np.sqrt(columns)
    points = rng.normal(size=(samples, columns)) @ mixing * scales + 3 * scales
    values = np.sin(points / scales).sum(axis=1) + rng.normal(size=samples)
    return points.astype(np.float32), values.astype(np.float32), rng.random(samples).astype(np.float32)


@pytest.mark.parametrize(("samples", "columns"), [(50, 1), (200, 8), pytest.param(1000, 60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_agrees_with_float64_on_badly_scaled_correlated_columns(samples, columns, ridge):
    points, values, weights = problem(samples, columns)
    coefficients, intercept, r_squared = reference(points, values, weights, ridge)
    found, found_intercept, _, found_r_squared = fit_line(*map(jnp.asarray, (points, values, weights)), ridge)
    scale = points.std(axis=0)
    np.testing.assert_allclose(found * scale, coefficients * scale, atol=1e-4)
    np.testing.assert_allclose(found_intercept, intercept, atol=1e-3)
    np.testing.assert_allclose(found_r_squared, r_squared, atol=1e-5)


def test_constant_and_duplicate_columns_and_fewer_samples_than_columns_stay_finite():
    points, values, weights = problem(30, 4)
    points = np.concatenate([points, points[:, :1], np.full((30, 1), 7.0, np.float32)], axis=1)
    coefficients, *_ = fit_line(*map(jnp.asarray, (points, values, weights)), 1e-6)
    assert coefficients[-1] == 0
    np.testing.assert_allclose(coefficients[0], coefficients[4], rtol=0.05)
    wide, _, errors, r_squared = fit_line(
        jax.random.normal(jax.random.key(0), (6, 20)), jnp.arange(6.0), jnp.ones(6), 1e-4
    )
    assert jnp.isfinite(wide).all()
    assert jnp.isinf(errors).all()
    np.testing.assert_allclose(r_squared, 1, atol=1e-2)


@pytest.mark.parametrize("spread", [pytest.param(1e-2, marks=pytest.mark.slow), 1e-3])
def test_nearly_equal_columns_keep_their_digits(spread):
    """Where the Gram matrix loses the difference of two columns in float32, coefficients and errors must not."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(500, 4)).astype(np.float32)
    points[:, 1] = points[:, 0] + spread * points[:, 1]
    values = (points @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.1 * rng.normal(size=500)).astype(np.float32)
    weights = rng.random(500).astype(np.float32)
    found, _, errors, _ = fit_line(*map(jnp.asarray, (points, values, weights)), 1e-6)
    coefficients, _, _ = reference(points, values, weights, 1e-6)
    # The centered columns carry float32 rounding, 6e-8, of which the difference of the two is a share of `spread`.
    np.testing.assert_allclose(found, coefficients, atol=5e-7 / spread * np.abs(coefficients).max())
    with jax.enable_x64(True):
        precise = fit_line(*(jnp.asarray(part, jnp.float64) for part in (points, values, weights)), 1e-6)
    np.testing.assert_allclose(errors, precise[2], rtol=1e-3)


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.94, 0.96, 0.999])
def test_both_ways_to_the_factor_give_the_inverse_gram_matrix(correlation):
    """On either side of the variance inflation factor 1 / (1 - r²) = 10, that is r = 0.949, and which way was taken."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(4000, 6))
    points[:, 5] = correlation * points[:, 4] + np.sqrt(1 - correlation**2) * points[:, 5]
    fit = regression(jnp.asarray(points, jnp.float32), jnp.zeros((4000, 1)), jnp.ones(4000), Ridge(1e-6))
    rows = np.asarray(fit.columns.rows, np.float64)
    inverse = np.linalg.inv(rows.T @ rows + np.diag(np.asarray(fit.penalty, np.float64)))
    assert bool(fit.factor.apart) == (correlation < 0.949)
    np.testing.assert_allclose(fit.factor.inverse @ fit.factor.inverse.T, inverse, atol=2e-5 * np.abs(inverse).max())


def test_several_outputs_are_several_fits():
    points, values, weights = map(jnp.asarray, problem(100, 5))
    both, _, both_errors, _ = fit_line(points, jnp.stack([values, -2 * values], axis=1), weights, 1e-6)
    one, _, one_errors, _ = fit_line(points, values, weights, 1e-6)
    np.testing.assert_allclose(both[:, 0], one, rtol=1e-4)
    np.testing.assert_allclose(both[:, 1], -2 * one, rtol=1e-4)
    np.testing.assert_allclose(both_errors[:, 1], 2 * one_errors, rtol=1e-3)


@pytest.mark.slow
def test_standard_errors_cover_the_large_sample_value_over_many_draws():
    def draw(key, samples):
        points = jax.random.normal(key, (samples, 4))
        values = jnp.tanh(points.sum(axis=1)) + points[:, 0] * points[:, 1]
        return fit_line(points, values, jnp.exp(-((points**2).sum(axis=1)) / 9), 1e-6)

    truth = draw(jax.random.key(9), 400_000)[0]
    found, _, errors, _ = jax.vmap(lambda key: draw(key, 300))(jax.random.split(jax.random.key(1), 800))
    covered = jnp.abs(found - truth) < 1.96 * errors
    assert 0.92 < covered.mean() < 0.98


@pytest.mark.parametrize("players", [1, 5, 32, 50, 65])
def test_the_inverse_of_a_triangle_is_that_of_float64(players):
    """Within one loop, at its largest size, and joined from two and from four blocks."""
    rows = np.random.default_rng(players).normal(size=(players + 5, players))
    lower = np.linalg.cholesky(rows.T @ rows + np.eye(players)).astype(np.float32)
    inverse = jax.jit(inverse_of_triangle)(lower)
    np.testing.assert_allclose(inverse, np.linalg.inv(lower.astype(np.float64)), atol=1e-6)
