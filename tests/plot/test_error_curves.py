"""Errors of estimators against their evaluations."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

import xaijax as xai

ERRORS = {"ours": {10: [1.0, 3.0], 100: [0.1, 0.3, 0.2], 50: [0.5]}, "theirs": {10: [4.0, 4.0], 20: [2.0, 1.0]}}


def test_lines_are_means_in_the_order_of_evaluations_on_logarithmic_axes():
    ax = xai.plot.error_curves(ERRORS, colors=["#112233", "#445566"])
    ours, theirs = ax.lines
    np.testing.assert_allclose(ours.get_xydata(), [[10, 2], [50, 0.5], [100, 0.2]])
    np.testing.assert_allclose(theirs.get_xydata(), [[10, 4], [20, 1.5]])
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xticks().tolist() == [10, 20, 50, 100]
    assert [to_hex(line.get_color()) for line in ax.lines] == ["#112233", "#445566"]
    assert ours.get_marker() != theirs.get_marker()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", "theirs"]


def test_intervals_are_those_of_the_logarithm_of_the_mean():
    ax = xai.plot.error_curves(ERRORS, legend=False)
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    of_ten = np.exp(1.96 * np.std([1, 3], ddof=1) / np.sqrt(2) / 2)
    of_hundred = np.exp(1.96 * 0.1 / np.sqrt(3) / 0.2)
    np.testing.assert_allclose(ends, [[2 / of_ten, 2 * of_ten], [0.5, 0.5], [0.2 / of_hundred, 0.2 * of_hundred]])
    assert ax.get_legend() is None


def test_the_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    draws = rng.gamma(2.0, 1.0, (2000, 50))
    held = []
    for start in range(0, 2000, 200):
        found = {"one": {number + 1: errors for number, errors in enumerate(draws[start : start + 200])}}
        segments = xai.plot.error_curves(found, legend=False).collections[0].get_segments()
        held += [low <= 2.0 <= high for (_, low), (_, high) in segments]
    assert 0.93 < np.mean(held) < 0.97


def test_many_numbers_of_evaluations_do_not_each_have_a_tick():
    ax = xai.plot.error_curves({"one": {count: [1.0 / count] for count in range(10, 60, 3)}})
    ax.figure.canvas.draw()
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert "20" in shown
    assert "13" not in shown


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "`errors` must be a mapping from names to errors, of at least one estimator"),
        ({"a": [1.0]}, "`errors` of 'a' must be a mapping from numbers of evaluations to errors, at least one"),
        ({"a": {0: [1.0]}}, "`errors` of 'a' must have finite keys above 0"),
        ({"a": {"many": [1.0]}}, "`errors` of 'a' must have numbers as keys"),
        ({"a": {5: [-1.0]}}, "at 5 evaluations.? must be finite and zero or more"),
        ({"a": {5: [np.nan]}}, "at 5 evaluations.? must be finite"),
        (
            {"a": {5: [0.0, 0.0]}},
            "`errors` of 'a' at 5 evaluations must not be all 0, which has no logarithm: leave these",
        ),
        ({"a": {5: []}}, r"`errors` of 'a' at 5 evaluations must be \[R\], at least one"),
        ({"a": {5: "x"}}, "at 5 evaluations must be numbers"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(given, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.error_curves(given)


def test_colors_must_be_as_many_as_estimators():
    with pytest.raises(ValueError, match="`colors` must be 2 colors, one for each estimator"):
        xai.plot.error_curves(ERRORS, colors=["red"])
