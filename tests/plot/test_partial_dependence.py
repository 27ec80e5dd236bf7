"""Partial dependence: the mean as a thick line, rows as thin ones, and the values of an attribution over them."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai

X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
NAMES = ["a", "b", "c"]


def model(x):
    return jnp.stack([x[:, 0] ** 2 + x[:, 1] * x[:, 2], 3 * x[:, 1] + x[:, 2]], axis=1)


def dependence(feature=1, target=0, **options):
    return xai.metrics.partial_dependence(model, X, feature, target=target, **options)


def test_the_thick_line_is_the_mean_and_the_thin_ones_its_terms():
    computed = dependence(num_points=5)
    ax = xai.plot.partial_dependence(computed, lines=30)
    np.testing.assert_allclose(ax.lines[0].get_xydata().T, [computed.grids[0], computed.mean], rtol=1e-5)
    drawn = np.array(ax.collections[0].get_segments())[..., 1]
    np.testing.assert_allclose(drawn, computed.outputs[np.argsort(computed.output, kind="stable")], rtol=1e-6)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["each row (30 rows)", "mean of all rows"]
    np.testing.assert_allclose(ax.lines[1].get_xdata(), X[:, 1], rtol=1e-6)  # the marks at the bottom


def test_some_rows_are_drawn_from_the_smallest_to_the_largest_output():
    computed = dependence()
    ax = xai.plot.partial_dependence(computed, lines=3)
    order = np.argsort(computed.output, kind="stable")
    drawn = np.array(ax.collections[0].get_segments())[:, 0, 1]
    np.testing.assert_allclose(drawn, computed.outputs[order[jnp.array([0, 14, 29])], 0], rtol=1e-6)
    assert ax.get_legend().get_texts()[0].get_text() == "each row (3 of 30 rows)"
    assert not xai.plot.partial_dependence(computed, lines=0).collections


def test_shapley_values_of_an_additive_output_lie_on_the_mean(key):
    shap = xai.shap.values(model, X, xai.mask.background(X), key=key, target="all")
    second = xai.metrics.partial_dependence(model, X, "b", target=1, names=NAMES)
    ax = xai.plot.partial_dependence(second, attribution=shap, output="second", output_names=["first", "second"])
    dots = np.asarray(ax.collections[1].get_offsets())
    np.testing.assert_allclose(dots[:, 0], X[:, 1], rtol=1e-6)
    np.testing.assert_allclose(dots[:, 1], np.interp(dots[:, 0], *ax.lines[0].get_xydata().T), rtol=1e-3, atol=1e-3)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("b", "output: second")
    assert ax.get_legend().get_texts()[2].get_text() == "base value + the feature's value"
    with pytest.raises(ValueError, match="`attribution` must explain the output that is drawn"):
        xai.plot.partial_dependence(second, attribution=shap, output=0)
    with pytest.raises(ValueError, match=r"a value for each feature of each row, \[30, D\].* \[29, 3\]"):
        xai.plot.partial_dependence(second, attribution=shap[:29], output=1)


def test_rows_that_explain_different_classes_are_stated():
    computed = dependence(feature=0, target=None)
    given = xai.Attribution(jnp.ones((30, 3)), computed.output, target=computed.target, method="by hand")
    with pytest.warns(UserWarning, match="different classes"):
        ax = xai.plot.partial_dependence(computed, attribution=given)
    assert ax.get_xlabel().startswith("feature 0\nrows explain different classes: ")
    assert ax.get_legend().get_texts()[2].get_text() == "mean output + the feature's value"
    offsets = np.asarray(ax.collections[1].get_offsets())[:, 1]
    np.testing.assert_allclose(offsets, np.asarray(computed.output).mean() + 1, rtol=1e-4)
    assert ax.get_title() == "partial dependence on feature 0: 30 rows\nwith by hand"


def test_given_axes_are_used_and_a_constant_feature_is_a_dot():
    _, ax = plt.subplots()
    assert xai.plot.partial_dependence(dependence(num_points=3), ax=ax, title="mine") is ax
    assert ax.get_title() == "mine"
    constant = xai.metrics.partial_dependence(lambda x: x[:, 0], np.array([[0.0, 5.0], [2.0, 5.0]]), 1)
    np.testing.assert_allclose(xai.plot.partial_dependence(constant).lines[0].get_xydata(), [[5, 1]])


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.partial_dependence(model), "`dependence` must come from xai.metrics.partial_dependence"),
        (lambda: xai.plot.partial_dependence(dependence((0, 1), num_points=2)), "`dependence` must be of one feature"),
        (lambda: xai.plot.partial_dependence(dependence(), lines=-1), "`lines` must be at least 0"),
        (
            lambda: xai.plot.partial_dependence(xai.metrics.partial_dependence(lambda x: x[:, 0] / 0, X, 0)),
            "`dependence` must hold finite outputs",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw()
