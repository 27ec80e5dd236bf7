"""Partial dependence: the mean of the model over rows with one feature changed, its terms, and values laid over."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai

X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


def model(x):
    return jnp.stack([x[:, 0] ** 2 + x[:, 1] * x[:, 2], 3 * x[:, 1] + x[:, 2]], axis=1)


def expected(grid, column, output):
    rows = np.repeat(X[None], len(grid), axis=0)
    rows[:, :, column] = np.asarray(grid)[:, None]
    return np.asarray(model(rows.reshape(-1, 3)))[:, output].reshape(len(grid), -1)  # [G, N]


@pytest.mark.parametrize("batch_size", [None, 7])
def test_the_thick_line_is_the_mean_and_the_thin_ones_its_terms(batch_size):
    ax = xai.plot.partial_dependence(model, X, 1, target=0, num_points=5, lines=30, batch_size=batch_size)
    grid = np.linspace(X[:, 1].min(), X[:, 1].max(), 5)
    of_rows = expected(grid, 1, 0)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), grid, rtol=1e-6)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), of_rows.mean(axis=1), rtol=1e-4, atol=1e-5)
    drawn = np.array(ax.collections[0].get_segments())[..., 1]
    order = np.argsort(np.asarray(model(X))[:, 0], kind="stable")
    np.testing.assert_allclose(drawn, of_rows.T[order], rtol=1e-4, atol=1e-5)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["each row (30 rows)", "mean of all rows"]


def test_some_rows_are_drawn_from_the_least_to_the_largest_output():
    ax = xai.plot.partial_dependence(model, X, 1, target=0, lines=3)
    order = np.argsort(np.asarray(model(X))[:, 0], kind="stable")
    drawn = np.array(ax.collections[0].get_segments())[:, 0, 1]
    np.testing.assert_allclose(drawn, expected([X[:, 1].min()], 1, 0)[0][order[[0, 14, 29]]], rtol=1e-4, atol=1e-5)
    assert ax.get_legend().get_texts()[0].get_text() == "each row (3 of 30 rows)"
    assert not xai.plot.partial_dependence(model, X, 1, target=0, lines=0).collections


def test_shapley_values_of_an_additive_output_lie_on_the_mean(key):
    shap = xai.shap.values(model, X, xai.mask.background(X), key=key, target="all")
    ax = xai.plot.partial_dependence(
        model, X, "b", attribution=shap, output="second", output_names=["first", "second"], names=["a", "b", "c"]
    )
    dots = np.asarray(ax.collections[1].get_offsets())
    np.testing.assert_allclose(dots[:, 0], X[:, 1], rtol=1e-6)
    line = ax.lines[0].get_xydata()
    np.testing.assert_allclose(dots[:, 1], np.interp(dots[:, 0], *line.T), rtol=1e-3, atol=1e-3)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("b", "output: second")
    assert ax.get_legend().get_texts()[2].get_text() == "base value + the feature's value"
    with pytest.raises(ValueError, match="attribution must explain the output that is drawn, but of row"):
        xai.plot.partial_dependence(model, X, 1, attribution=shap, output=0, target=1)
    with pytest.raises(
        ValueError, match=r"a value for each feature of each row, \[29, 3\], but its values .* \[30, 3\]"
    ):
        xai.plot.partial_dependence(model, X[:29], 1, attribution=shap, output=0)


def test_the_target_is_that_of_the_attribution_or_the_top_class_of_each_row():
    outputs = np.asarray(model(X))
    top = outputs.argmax(axis=1)
    given = xai.Attribution(
        jnp.ones((30, 3)), jnp.asarray(outputs.max(axis=1)), target=jnp.asarray(top), method="by hand"
    )
    for options in ({}, {"attribution": given}):
        ax = xai.plot.partial_dependence(model, X, 0, num_points=4, **options)
        grid = ax.lines[0].get_xdata()
        both = np.stack([expected(grid, 0, output) for output in (0, 1)], axis=-1)
        chosen = np.take_along_axis(both, top[None, :, None], axis=2)[..., 0]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), chosen.mean(axis=1), rtol=1e-4, atol=1e-5)
    assert ax.get_legend().get_texts()[2].get_text() == "mean output + the feature's value"
    np.testing.assert_allclose(
        np.asarray(ax.collections[1].get_offsets())[:, 1], outputs.max(axis=1).mean() + 1, rtol=1e-4
    )
    assert ax.get_title() == "partial dependence on feature 0: 30 rows\nwith by hand"


def test_a_score_is_a_target():
    ax = xai.plot.partial_dependence(model, X, 0, num_points=3, target=lambda y: y[:, 0] - y[:, 1])
    grid = ax.lines[0].get_xdata()
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), (expected(grid, 0, 0) - expected(grid, 0, 1)).mean(axis=1), rtol=1e-4, atol=1e-5
    )


def test_few_values_are_taken_as_they_are_and_whole_numbers_stay_whole():
    x = np.array([[0, 5], [1, 5], [3, 5]], np.int32)

    def table(x):
        return jnp.array([1.0, 2.0, 4.0, 8.0])[x[:, 0]]

    ax = xai.plot.partial_dependence(table, x, 0)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0, 1], [1, 2], [3, 8]])
    np.testing.assert_allclose(xai.plot.partial_dependence(table, x, 0, num_points=2).lines[0].get_xdata(), [0, 3])
    constant = xai.plot.partial_dependence(table, x, 1)
    np.testing.assert_allclose(constant.lines[0].get_xydata(), [[5, (1 + 2 + 8) / 3]], rtol=1e-6)


def test_the_rows_are_marked_at_the_bottom_of_given_axes():
    _, ax = plt.subplots()
    assert xai.plot.partial_dependence(model, X, 2, target=1, num_points=3, ax=ax, title="mine") is ax
    np.testing.assert_allclose(ax.lines[1].get_xdata(), X[:, 2], rtol=1e-6)
    assert ax.get_title() == "mine"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"feature": 3}, "feature must lie between 0 and 2, but it is 3"),
        ({"feature": "b"}, "feature is 'b', but no names are given"),
        ({"x": X[0]}, r"x must be rows \[N, D\], but its shape is \[3\]"),
        ({"x": X * np.nan}, "x.? (holds NaN|must hold no NaN)"),
        ({"num_points": 1}, "num_points.? must be at least 2"),
        ({"lines": -1}, "lines.? must be at least 0"),
        ({"target": 2}, "target must lie between 0 and 1"),
        ({"model": lambda x: x[:, 0] / 0}, "numbers that are not finite"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(options, sentence):
    given = {"model": model, "x": X, "feature": 0, **options}
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.partial_dependence(**given)
