"""Partial dependence: the outputs of rows with one feature, or two, set to the values of a grid."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


def model(x):
    return jnp.stack([x[:, 0] ** 2 + x[:, 1] * x[:, 2], 3 * x[:, 1] + x[:, 2]], axis=1)


def expected(grid, column, output):
    """[N, G]"""
    rows = np.repeat(X[None], len(grid), axis=0)
    rows[:, :, column] = np.asarray(grid)[:, None]
    return np.asarray(model(rows.reshape(-1, 3)))[:, output].reshape(len(grid), -1).T


@pytest.mark.parametrize("batch_size", [None, 7])
def test_outputs_are_those_of_rows_with_the_feature_set_to_the_grid(batch_size):
    found = xai.metrics.partial_dependence(model, X, 1, target=0, num_points=5, batch_size=batch_size)
    grid = np.linspace(X[:, 1].min(), X[:, 1].max(), 5)
    np.testing.assert_allclose(found.grids[0], grid, rtol=1e-6)
    np.testing.assert_allclose(found.outputs, expected(grid, 1, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean, expected(grid, 1, 0).mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.output, np.asarray(model(X))[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(found.inputs[:, 0], X[:, 1])
    assert found.features == (1,)


def test_two_features_span_a_surface():
    found = xai.metrics.partial_dependence(model, X[:4], ("c", "a"), names=["a", "b", "c"], target=0, num_points=3)
    assert (found.features, found.names, found.outputs.shape) == ((2, 0), ("c", "a"), (4, 3, 3))
    given = xai.metrics.partial_dependence(model, X[:1], (0, 2), target=1, grids=([0.0, 1.0], [2.0, 3.0, 4.0]))
    np.testing.assert_allclose(given.outputs[0], 3 * X[0, 1] + np.array([[2.0, 3.0, 4.0]] * 2), rtol=1e-5)


def test_the_target_is_the_top_class_of_each_row_as_it_is_or_a_score():
    top = np.asarray(model(X)).argmax(axis=1)
    found = xai.metrics.partial_dependence(model, X, 0, num_points=4)
    np.testing.assert_array_equal(found.target, top)
    both = np.stack([expected(found.grids[0], 0, output) for output in (0, 1)], axis=-1)
    chosen = np.take_along_axis(both, top[:, None, None], axis=2)[..., 0]
    np.testing.assert_allclose(found.outputs, chosen, rtol=1e-4, atol=1e-5)
    score = xai.metrics.partial_dependence(model, X, 0, num_points=3, target=lambda y: y[:, 0] - y[:, 1])
    difference = expected(score.grids[0], 0, 0) - expected(score.grids[0], 0, 1)
    np.testing.assert_allclose(score.outputs, difference, rtol=1e-4, atol=1e-5)


def test_few_values_are_taken_as_they_are_and_integers_stay_integers():
    x = np.array([[0, 5], [1, 5], [3, 5]], np.int32)

    def table(x):
        return jnp.array([1.0, 2.0, 4.0, 8.0])[x[:, 0]]

    found = xai.metrics.partial_dependence(table, x, 0)
    assert (found.grids[0].tolist(), found.mean.tolist()) == ([0, 1, 3], [1, 2, 8])
    assert xai.metrics.partial_dependence(table, x, 0, num_points=2).grids[0].tolist() == [0, 3]
    constant = xai.metrics.partial_dependence(table, x, 1)
    np.testing.assert_allclose((constant.grids[0], constant.mean), [[5], [(1 + 2 + 8) / 3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"feature": 3}, "`feature` must be between 0 and 2, got 3"),
        ({"feature": "b"}, "`feature` must be an index where `names` are not given, got 'b'"),
        ({"feature": (0, 0)}, "`feature` must be one feature or two different ones"),
        ({"feature": 0, "names": ["a"]}, "`names` must be 3 names"),
        ({"x": X[0]}, r"`x` must be rows \[N, D\], got shape \[3\]"),
        ({"x": X * np.nan}, "must hold no NaN"),
        ({"num_points": 1}, "`num_points` must be at least 2"),
        ({"grids": [[0.0], [1.0]]}, "`grids` must be 1 arrays"),
        ({"grids": [[np.inf]]}, "`grids` must hold finite numbers"),
        ({"target": 2}, "target"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.metrics.partial_dependence(**{"model": model, "x": X, "feature": 0} | options)


def test_the_columns_of_a_data_frame_name_the_features():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1.0, 2.0, 4.0], "color": ["red", "blue", "red"]})
    age = xai.metrics.partial_dependence(lambda x: x[:, 0] + 10 * x[:, 1], frame, "age")
    assert age.names == ("age",)
    np.testing.assert_allclose(age.mean, np.array([1, 2, 4]) + 20 / 3, rtol=1e-6)  # blue is 0, red is 1
    with pytest.raises(ValueError, match="`feature` must be one of"):
        xai.metrics.partial_dependence(lambda x: x[:, 0], frame, "weight")
