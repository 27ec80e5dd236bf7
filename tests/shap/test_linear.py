"""Linear models in closed form against the definition over all coalitions, and against their games."""

import itertools
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

FEATURES = 5


def data(features=FEATURES, count=60):
    """Rows that depend on each other, inputs, and weights of three outputs."""
    rng = np.random.default_rng(features)
    mixed = rng.normal(size=(count, features)) @ (np.eye(features) + 0.7 * rng.normal(size=(features, features)))
    return mixed + 2, rng.normal(size=(4, features)), rng.normal(size=(features, 3))


def model_of(weights):
    return lambda x: x @ jnp.asarray(weights, x.dtype) + 1


def conditional_mean(mean, covariance, x, present):
    """E[X | X_S = x_S] of jointly normal features."""
    present = np.asarray(present)
    expected = mean.copy()
    if present.any():
        slopes = covariance[:, present] @ np.linalg.inv(covariance[np.ix_(present, present)])
        expected = mean + slopes @ (x - mean)[present]
    return expected


def by_definition(rows, x, weights, own=0.0):
    """[N, D, K] Shapley values of v(S) = f(E[X | X_S = x_S]), by enumeration in float64.

    own: what each feature has of its own, in addition to 1 that it may share, so that float32 can factor the correlations.
    """
    mean, covariance, features = rows.mean(axis=0), np.atleast_2d(np.cov(rows.T, bias=True)), rows.shape[1]
    covariance = (covariance + own * np.diag(np.diag(covariance))) / (1 + own)
    values = np.zeros((len(x), features, weights.shape[1]))
    for number, own in enumerate(x):
        worth = {
            coalition: conditional_mean(mean, covariance, own, np.array(coalition, bool)) @ weights
            for coalition in itertools.product([0, 1], repeat=features)
        }
        for coalition, value in worth.items():
            size = sum(coalition)
            for player in range(features):
                if not coalition[player]:
                    joined = (*coalition[:player], 1, *coalition[player + 1 :])
                    chance = factorial(size) * factorial(features - size - 1) / factorial(features)
                    values[number, player] += chance * (worth[joined] - value)
    return values


@pytest.mark.parametrize("target", [0, 2])
def test_independent_features_have_their_weight_times_their_distance_from_the_mean(target):
    rows, x, weights = data()
    result = xai.shap.linear(model_of(weights), x, rows, target=target)
    np.testing.assert_allclose(result.values, weights[:, target] * (x - rows.mean(axis=0)), atol=5e-6)
    np.testing.assert_allclose(result.output, x @ weights[:, target] + 1, atol=5e-6)
    np.testing.assert_allclose(result.base_value, np.full(4, rows.mean(axis=0) @ weights[:, target] + 1), atol=5e-6)
    game = xai.game(model_of(weights), jnp.asarray(x), xai.mask.background(rows), target=target)
    np.testing.assert_allclose(result.values, xai.shap.exact(game).values, atol=1e-5)


def test_each_input_may_have_a_class_of_its_own_or_its_top_class():
    rows, x, weights = data()
    for target, classes in (([2, 0, 1, 1], [2, 0, 1, 1]), (None, (x @ weights).argmax(axis=1))):
        result = xai.shap.linear(model_of(weights), x, rows, target=target)
        np.testing.assert_array_equal(result.target, classes)
        np.testing.assert_allclose(result.values, weights[:, classes].T * (x - rows.mean(axis=0)), atol=5e-6)


@pytest.mark.parametrize("features", [1, 3, FEATURES])
def test_correlated_features_have_the_values_of_the_conditional_game(features, float64):
    rows, x, weights = data(features)
    expected = by_definition(rows, x, weights)
    for target in range(3):
        result = xai.shap.linear(model_of(weights), x, rows, target=target, features="correlated")
        # A diagonal of 1.5e-8 keeps the correlations invertible.
        np.testing.assert_allclose(result.values, expected[:, :, target], atol=1e-5)
        np.testing.assert_array_equal(result.std_errors, 0)
    np.testing.assert_allclose(result.values.sum(axis=1), result.output - result.base_value, rtol=1e-9)


def test_correlated_features_are_the_game_of_the_gaussian_masker():
    rows, x, weights = data()
    result = xai.shap.linear(model_of(weights), x, rows, target=1, features="correlated")
    game = xai.game(model_of(weights), jnp.asarray(x, jnp.float32), xai.mask.gaussian(rows), target=1)
    np.testing.assert_allclose(result.values, xai.shap.exact(game).values, atol=1e-4)
    own = np.finfo(np.float32).eps ** 0.5
    np.testing.assert_allclose(result.values, by_definition(rows, x, weights, own)[:, :, 1], atol=1e-4)


def test_a_feature_without_weight_gets_a_share_of_what_it_tells():
    rng = np.random.default_rng(0)
    first = rng.normal(size=400)
    rows = np.stack([first, first + 0.01 * rng.normal(size=400)], axis=1)
    x, weights = np.array([[1.0, 1.0]]), np.array([3.0, 0.0])
    result = xai.shap.linear(model_of(weights), x, rows, features="correlated")
    np.testing.assert_allclose(result.values[0, 0], result.values[0, 1], rtol=0.02)
    np.testing.assert_allclose(xai.shap.linear(model_of(weights), x, rows).values[0, 1], 0)


def test_features_that_are_copies_or_never_vary_leave_the_values_finite_and_summing():
    rows, x, weights = data()
    rows[:, 3], x[:, 3] = rows[:, 0], x[:, 0]  # a copy
    rows[:, 4] = 1.5  # a constant
    result = xai.shap.linear(model_of(weights), x, rows, target=0, features="correlated")
    np.testing.assert_allclose(result.values.sum(axis=1), result.output - result.base_value, atol=1e-4)
    np.testing.assert_allclose(result.values[:, 0], result.values[:, 3], atol=5e-3)
    np.testing.assert_allclose(result.values[:, 4], weights[4, 0] * (x[:, 4] - 1.5), atol=1e-4)


def test_sampled_orders_lie_near_the_mean_of_all_and_know_how_near(float64):
    rows, x, weights = data(8)
    expected = by_definition(rows, x, weights)[:, :, 0]
    gaps, errors = [], []
    for seed in range(12):
        result = xai.shap.linear(
            model_of(weights), x, rows, target=0, features="correlated", num_permutations=40, key=jax.random.key(seed)
        )
        gaps.append(result.values - expected)
        errors.append(result.std_errors)
        np.testing.assert_allclose(result.values.sum(axis=1), result.output - result.base_value, rtol=1e-9)
    gaps, errors = np.array(gaps), np.array(errors)
    assert (np.abs(gaps.mean(axis=0)) < 5 * np.sqrt((errors**2).mean(axis=0) / 12)).all()
    assert 0.7 < (gaps**2 / errors**2).mean() < 1.4


def test_whole_numbers_are_numbers():
    rows, x, weights = np.arange(24).reshape(8, 3) ** 2 % 7, np.array([[1, 2, 3]]), np.array([0.5, -1, 2])
    model = lambda x: (x * jnp.asarray(weights)).sum(axis=1)  # noqa: E731
    result = xai.shap.linear(model, x, rows)
    np.testing.assert_allclose(result.values, weights * (x - rows.mean(axis=0)), rtol=1e-5)
    correlated = xai.shap.linear(model, x, rows, features="correlated")
    np.testing.assert_allclose(correlated.values.sum(axis=1), result.values.sum(axis=1), rtol=1e-5)


def test_under_a_transformation_what_is_nan_or_not_linear_gives_nan():
    rows, x, weights = data()
    explain = jax.jit(lambda model, x: xai.shap.linear(model, x, rows, target=0), static_argnums=0)
    straight = explain(model_of(weights), jnp.asarray(x).at[2, 1].set(jnp.nan))
    np.testing.assert_array_equal(np.isnan(straight.values).any(axis=1), [False, False, True, False])
    curved = explain(lambda x: jnp.tanh(x @ weights), jnp.asarray(x))
    assert np.isnan(curved.values).all()


def test_orders_of_many_correlated_features_ask_for_a_key():
    rows, x, weights = data(8)
    with pytest.raises(ValueError, match="`key` must be a JAX random key.*more than 7 correlated features"):
        xai.shap.linear(model_of(weights), x, rows, target=0, features="correlated")


MISTAKES = {
    "a bent model": (
        lambda: explain(model=lambda x: (x**2).sum(axis=1), target=None),
        "`model` must be linear in x.*between x",
    ),
    "a bent class": (lambda: explain(target=lambda y: jnp.tanh(y[:, 0])), "`model` must be linear in x"),
    "images": (lambda: explain(x=np.zeros((2, 3, 3, 1))), r"must have shapes \[N, D\] and \[B, D\]"),
    "other features": (lambda: explain(rows=np.zeros((9, 4))), r"got \[4, 5\] and \[9, 4\]"),
    "no rows": (lambda: explain(rows=np.zeros((0, 5))), r"got \[4, 5\] and \[0, 5\]"),
    "NaN": (lambda: explain(rows=np.full((9, 5), np.nan)), "rows.? (holds NaN|must hold no NaN)"),
    "few rows": (lambda: explain(rows=np.ones((5, 5)), features="correlated"), "more than the 5 features, .* got 5"),
    "an unknown way": (lambda: explain(features="corelated"), "features.? must be one of.*did you mean 'correlated'"),
    "all outputs": (lambda: explain(target="all"), "target"),
    "no orders": (lambda: explain(features="correlated", num_permutations=0), "num_permutations.? must be at least 1"),
}


def explain(**options):
    rows, x, weights = data()
    arguments = {"model": model_of(weights), "x": x, "rows": rows, "target": 0} | options
    return xai.shap.linear(**arguments)


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("features", ["independent", "correlated"])
def test_a_row_at_the_mean_of_the_rows_has_values_of_0(target, features):
    """Nothing changes between it and the mean, so that rounding errors alone are left of the model's curvature."""
    rows, _, weights = data()
    x = np.stack([rows[0], rows.astype(np.float32).mean(axis=0), rows[0]]).astype(np.float32)
    attribution = xai.shap.linear(model_of(1e3 * weights), x, rows, target=target, features=features)
    largest = np.abs(np.asarray(attribution.values)).max()
    np.testing.assert_allclose(attribution.values[1], 0, atol=1e-5 * largest)
    np.testing.assert_allclose(attribution.values[0], attribution.values[2])
    exact = xai.shap.linear(model_of(weights), np.array([[1.0] * 5]), np.array([[0.0] * 5, [2.0] * 5]), target=target)
    assert exact.values.tolist() == [[0.0] * 5]


def test_a_model_that_is_not_linear_is_refused_near_the_mean_too():
    with pytest.raises(ValueError, match="`model` must be linear in x"):
        xai.shap.linear(lambda x: (x**2).sum(axis=1), np.array([[1.0, 1.0]]), np.array([[0.0, 0.0], [2.0, 2.01]]))


@pytest.mark.parametrize("explain", [
    lambda x, rows: xai.shap.linear(lambda x: x @ jnp.array([1.0, 2.0, 3.0]), x, rows),
    lambda x, rows: xai.shap.expected_gradients(
        lambda x: x @ jnp.array([1.0, 2.0, 3.0]), x, rows, key=jax.random.key(0), num_samples=32
    ),
], ids=["linear", "expected_gradients"])  # fmt: skip
def test_columns_of_data_frames_are_matched_by_name_and_name_the_features(explain):
    pandas = pytest.importorskip("pandas")
    numbers = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    rows = pandas.DataFrame(numbers, columns=["age", "income", "size"])
    x = rows.iloc[:2]
    reordered = explain(x[["size", "age", "income"]], rows)
    assert reordered.names == ("age", "income", "size")
    np.testing.assert_array_equal(reordered.values, explain(numbers[:2], numbers).values)
    np.testing.assert_array_equal(reordered.inputs, numbers[:2])
    counts = rows.assign(age=pandas.array([1, 2] * 10, dtype="Int64"))
    np.testing.assert_array_equal(explain(counts.iloc[:2], counts).inputs[:, 0], [1, 2])
    with pytest.raises(ValueError, match=r"`x` must have the columns .* lacks 'size'"):
        explain(x[["age", "income"]], rows)
    with pytest.raises(ValueError, match="must have no missing values, got 1 in 'income'"):
        explain(x, rows.assign(income=[None, *numbers[1:, 1]]))
    with pytest.raises(TypeError, match="numeric columns, got strings or categories in 'age'"):
        xai.shap.expected_gradients(lambda x: x.sum(1), rows, rows.assign(age="old"), key=jax.random.key(0))
