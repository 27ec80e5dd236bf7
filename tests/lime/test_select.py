"""Omega(g): which players the surrogate keeps, against searches written out in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import lasso_path

from xaijax.lime._surrogate import Ridge, regression, select


def problem(seed, columns=8, samples=60):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(samples, columns)) @ (np.eye(columns) + 0.6 * rng.normal(size=(columns, columns)))
    values = points @ rng.normal(size=columns) + rng.normal(size=samples)
    weights = rng.random(samples)
    return points, values, weights


def chosen(seed, method, number, weights_of=None):
    points, values, weights = (jnp.asarray(part, jnp.float32) for part in problem(seed))
    found = regression(points, values[:, None], weights, Ridge(1e-6))
    weights_of = jnp.zeros(points.shape[1]) if weights_of is None else weights_of
    return set(np.flatnonzero(select(found, found.goal[:, 0], number, method, weights_of)))


def centered(seed):
    """Columns and goal in float64, of weighted mean 0 and variance 1, times the roots of the weights."""
    points, values, weights = problem(seed)
    share = weights / weights.sum()
    points, values = points - share @ points, values - share @ values
    root = np.sqrt(share)[:, None]
    return root * points / np.sqrt(share @ points**2), root[:, 0] * values


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["forward_selection", "auto"])
def test_forward_selection_adds_the_player_that_lowers_the_error_most(method, seed):
    rows, goal = centered(seed)
    kept = []
    for _ in range(4):
        errors = {}
        for column in set(range(rows.shape[1])) - set(kept):
            part = rows[:, [*kept, column]]
            errors[column] = np.linalg.lstsq(part, goal, rcond=None)[1][0]
        kept.append(min(errors, key=errors.get))
    assert chosen(seed, method, 4) == set(kept)


@pytest.mark.parametrize("method", ["highest_weights", "auto"])
def test_highest_weights_keeps_the_largest(method):
    assert chosen(0, method, 7, jnp.array([1.0, -9, 3, 0.5, -4, 8, 2, 7])) == {0, 1, 2, 4, 5, 6, 7}


@pytest.mark.parametrize("seed", range(4))
def test_the_lasso_path_is_that_of_scikit_learn(seed):
    rows, goal = centered(seed)
    penalties = np.max(np.abs(rows.T @ goal)) * np.logspace(0, -3, 100)
    _, path, _ = lasso_path(rows, goal, alphas=penalties / len(rows), tol=1e-10, max_iter=100_000)
    for number in (2, 4):
        few = [column for column in path.T if (column != 0).sum() <= number]
        assert chosen(seed, "lasso_path", number) == set(np.flatnonzero(few[-1]))


@pytest.mark.parametrize("method", [pytest.param("forward_selection", marks=pytest.mark.slow), "lasso_path"])
def test_constant_and_duplicate_players_are_not_chosen_beside_what_they_repeat(method):
    points, values, weights = problem(5, columns=3)
    points = np.concatenate([points, np.full((len(points), 1), 2.0), points[:, :1]], axis=1)
    points, values, weights = (jnp.asarray(part, jnp.float32) for part in (points, values, weights))
    found = regression(points, values[:, None], weights, Ridge(1e-6))
    kept = np.asarray(select(found, found.goal[:, 0], 5, method, jnp.zeros(5)))
    assert not kept[3]
    assert kept[1]
    assert kept[2]
    assert kept[[0, 4]].any()
    if method == "forward_selection":
        assert kept[[0, 4]].sum() == 1
