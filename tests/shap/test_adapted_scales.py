"""The scales that two steps adapt: against their definition over all coalitions, and what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions, shapley
from tests.games import coverage, over_keys, perceptron, relative_error, table
from tests.shap.test_gaussian_process import prior
from xaijax.shap import _process
from xaijax.shap._adapted_scales import adapted
from xaijax.shap._chosen_pairs import chosen_pairs

PLAYERS, PAIRS = 6, 14


def linear_part(rho, boost):
    """The covariances of the linear part, and of the rest, whose boost is 1: the prior adds (boost - 1) of the former."""
    between, shapley_sum = prior(rho, 1)
    spins = 2.0 * all_coalitions(len(rho)) - 1
    single = (rho * spins[:, None, :] * spins[None, :, :]).sum(axis=2)
    return between, boost * single, shapley_sum


def covariances(rho, boost):
    """Of all coalitions: boosted lines and the odd part with its own lines."""
    rest, lines, _ = linear_part(rho, boost)
    return rest + lines


def slopes(rho, boost, step=1e-6):
    """dK / d log rho_i, without the change of the lines' common factor."""
    ends = [[covariances(rho * np.exp(sign * step * row), boost) for row in np.eye(len(rho))] for sign in (1, -1)]
    return (np.array(ends[0]) - np.array(ends[1])) / (2 * step)


def by_definition(rho, boost, noise, rows, odd, active):
    """Two steps, and then the posterior's values, variances and leave-one-out residuals."""
    start = rho.copy()

    def observed(rho):
        between = covariances(rho, boost)
        unit = between[-1, -1]
        return between / unit, between[np.ix_(rows, rows)] / unit + noise * np.eye(len(rows)), unit

    for _ in range(2):
        _, own, unit = observed(rho)
        inverse = np.linalg.inv(own)
        weights = inverse @ odd
        amplitude = odd @ weights / len(odd)
        parts = slopes(rho, boost)[:, rows][:, :, rows] / unit
        # cosh alone: the factor prod sqrt(1 - rho²) of the covariances without their lines stays as it is
        fixed = linear_part(rho, 0)[0][np.ix_(rows, rows)] / unit
        parts = parts + (rho**2 / (1 - rho**2))[:, None, None] * fixed[None]
        explained = np.einsum("s,ist,t->i", weights, parts, weights) / amplitude
        expected = np.einsum("st,ist->i", inverse, parts)
        rho = np.where(active, rho * (explained + 1) / (expected + 1), start)
    between, own, _ = observed(rho)
    _, _, shapley_sum = linear_part(rho, boost)
    inverse, with_values = np.linalg.inv(own), shapley_sum @ between[:, rows]
    amplitude = odd @ inverse @ odd / len(odd)
    variances = amplitude * np.diag(shapley_sum @ between @ shapley_sum.T - with_values @ inverse @ with_values.T)
    residuals = []
    for row in range(len(rows)):
        others = np.delete(np.arange(len(rows)), row)
        solved = np.linalg.solve(own[np.ix_(others, others)], np.stack([odd[others], own[others, row]], axis=1))
        mean, explained = own[row, others] @ solved.T[0], own[row, others] @ solved.T[1]
        residuals.append((odd[row] - mean) ** 2 / (amplitude * (own[row, row] - explained)))
    return with_values @ inverse @ odd, variances, np.array(residuals)


def test_two_steps_and_the_posterior_are_those_of_the_definition():
    pairs = chosen_pairs(PLAYERS, PAIRS)
    rows = np.append(pairs.coalitions @ (1 << np.arange(PLAYERS)), 2**PLAYERS - 1)
    worth = perceptron(PLAYERS, seed=1, relevant=4) + 0.3 * np.random.default_rng(0).normal(size=2**PLAYERS)
    odd = (worth[rows] - worth[2**PLAYERS - 1 - rows]) / 2
    active = np.arange(PLAYERS) != 5
    spins = 2.0 * np.concatenate([pairs.coalitions, np.ones((1, PLAYERS), bool)]) - 1
    models = _process.process(pairs, PAIRS, fixed=True)
    grid = np.array([[0.15, 4.0, 0.02]])
    models = models._replace(parameters=jnp.asarray(np.log(grid), jnp.float32))
    values, variances, residuals = by_definition(np.full(PLAYERS, 0.15), 4.0, 0.02, rows, odd, active)
    part = jnp.asarray(1e3 * odd[:, None], jnp.float32)
    isotropic = np.asarray(_process.mixture(models, part).errors)[:, 0]

    result = jax.jit(adapted)(models, jnp.asarray(spins, jnp.float32), part, jnp.asarray(active))
    np.testing.assert_allclose(result.values[:, 0], 1e3 * values, atol=2e-4 * 1e3 * np.abs(values).max())
    np.testing.assert_allclose(result.residual[0], residuals[-1], rtol=1e-3)
    assert residuals.mean() > 1.05  # so that the errors grow
    expected = np.sqrt((1e6 * variances + isotropic**2) / 2 * residuals.mean())
    np.testing.assert_allclose(result.errors[:, 0], expected, rtol=1e-3)


def test_players_that_matter_are_told_from_those_that_do_not_and_intervals_hold():
    """A network of 3 of 10 players: a fraction of the isotropic error, at 10 evaluations for each."""
    worths = np.stack([perceptron(10, seed=seed, relevant=3) for seed in range(3)])
    exact = np.stack([shapley(worth) for worth in worths])

    def explain(scales):
        return lambda game, key: xai.shap.gaussian_process(game, key=key, num_evaluations=100, scales=scales)

    result = {scales: over_keys(explain(scales), worths, 8) for scales in ("isotropic", "adapted")}
    error = {scales: relative_error(values, exact) for scales, (values, _) in result.items()}
    assert error["adapted"] < error["isotropic"] / 2
    values, std_errors = result["adapted"]
    assert coverage(values, std_errors, exact) > 0.9


def test_gradients_are_finite_where_nothing_varies():
    """A game of zeros, and one without interactions: roots of zero have no slope."""

    @jax.jit
    @jax.value_and_grad
    def slope(worth):
        result = xai.shap.gaussian_process(table(worth), key=jax.random.key(0), num_evaluations=40, scales="adapted")
        assert result.std_errors is not None
        return result.values.sum() + result.std_errors.sum()

    for worth in (jnp.zeros(64), jnp.asarray(all_coalitions(6) @ np.ones(6), jnp.float32)):
        total, slopes_ = slope(worth)
        assert jnp.isfinite(slopes_).all()
        assert jnp.abs(total - worth[-1]) < 0.05


@pytest.mark.slow
def test_many_outputs_have_the_values_that_each_has_alone():
    """More than are fitted at once."""
    worth = np.stack([perceptron(6, seed=seed) for seed in range(18)], axis=1).astype(np.float32)

    def explain(worth):
        return xai.shap.gaussian_process(table(worth), key=jax.random.key(0), num_evaluations=30, scales="adapted")

    together = explain(worth)
    assert together.std_errors is not None
    for number in (0, 16, 17):
        alone = explain(worth[:, number])
        assert alone.std_errors is not None
        largest = np.abs(alone.values).max()
        np.testing.assert_allclose(together.values[:, number], alone.values, atol=1e-5 * largest)
        np.testing.assert_allclose(together.std_errors[:, number], alone.std_errors, rtol=1e-3)
