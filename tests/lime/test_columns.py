"""Products of rows in pairs of opposites, from half of them, against NumPy in float64 on all rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xaijax.lime._neighborhood import Layout, Pairs
from xaijax.lime._surrogate import Ridge, regression_of_pairs, solve

PLAYERS = 3
LAYOUT = Layout(number=5, length=4, rest=3)


@pytest.fixture(scope="module")
def drawn():
    """Pairs, the points of all rows with the input's first, values, and weights."""
    rng = np.random.default_rng(0)
    middle, scales = np.array([0.5, -2.0, 0.0]), np.array([1.0, 3.0, 0.0])  # the last column is constant
    first, rest = rng.normal(size=(5, 2, PLAYERS)) * scales, rng.normal(size=(3, PLAYERS)) * scales
    blocks = np.stack([first, -first], axis=1).reshape(-1, PLAYERS)
    points = np.concatenate([np.full((1, PLAYERS), 9.0), middle + blocks, middle + rest])
    values = np.stack([np.sin(points.sum(axis=1)), points[:, 0] * points[:, 1]], axis=1)
    halves = np.concatenate([first.reshape(-1, PLAYERS), rest]).T
    weights = np.append(0, np.ones(LAYOUT.drawn))
    pairs = Pairs(jnp.asarray(middle, jnp.float32), jnp.asarray(halves, jnp.float32))
    return pairs, points, values, weights


def test_products_of_pairs_are_those_of_all_rows(drawn):
    pairs, points, values, weights = drawn
    factor, coefficients = np.random.default_rng(1).normal(size=(2, PLAYERS, PLAYERS))
    coefficients = coefficients[:, :2]

    @jax.jit
    def compute(pairs, values, weights, factor, coefficients):
        problem = regression_of_pairs(pairs, values, weights, LAYOUT, Ridge(1e-6))
        columns = problem.columns
        line, leverage = columns.line_and_leverage(coefficients, factor)
        support = jnp.array([False, True, True])
        return {
            "center": problem.center, "scale": problem.scale, "varies": problem.varies, "goal": problem.goal,
            "gram": columns.gram(), "gram of a factor": columns.gram(factor), "products": columns.products(values),
            "line": columns.line(coefficients), "the same line": line, "leverage": leverage,
            "block sums": columns.block_sums(values, LAYOUT),
            "some": columns.restricted(support).line(coefficients),
        }  # fmt: skip

    arguments = (jnp.asarray(part, jnp.float32) for part in (values, weights, factor, coefficients))
    got = compute(pairs, *arguments)
    share = weights / weights.sum()
    center = share @ points
    scale = np.sqrt(share @ (points - center) ** 2)
    scale[2] = 1
    roots = np.sqrt(share)[:, None]
    rows = roots * (points - center) / scale
    contributions = (rows[:, :, None] * values[:, None])[1:]
    blocks = [*contributions[:20].reshape(5, 4, PLAYERS, 2).sum(axis=1), *contributions[20:]]
    expected = {
        "center": center, "scale": scale, "varies": [True, True, False],
        "goal": roots * (values - share @ values), "gram": rows.T @ rows,
        "gram of a factor": factor.T @ rows.T @ rows @ factor, "products": rows.T @ values,
        "line": rows @ coefficients, "the same line": rows @ coefficients, "leverage": ((rows @ factor) ** 2).sum(axis=1),
        "block sums": blocks, "some": rows[:, 1:] @ coefficients[1:],
    }  # fmt: skip
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5, err_msg=name)


def test_the_line_of_pairs_is_that_of_all_rows_in_float64(drawn):
    pairs, points, values, weights = drawn
    ridge = 0.5

    @jax.jit
    def fit(pairs, values, weights):
        problem = regression_of_pairs(pairs, values, weights, LAYOUT, Ridge(ridge))
        return solve(problem, problem.goal).scaled / problem.scale[:, None]

    got = fit(pairs, *(jnp.asarray(part, jnp.float32) for part in (values, weights)))
    points, share = points[:, :2], weights / weights.sum()
    centered = points - share @ points
    gram = centered.T @ (share[:, None] * centered)
    expected = np.linalg.solve(gram + ridge * np.diag(np.diagonal(gram)), centered.T @ (share[:, None] * values))
    np.testing.assert_allclose(got[:2], expected, atol=1e-5)
    assert not got[2].any()
