"""The beeswarm: a dot for every value, lines in order of their mean size, colors of the inputs."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._attributions import attribution, labels
from xaijax.plot._parts.colors import GRAY, LOW_TO_HIGH, NEGATIVE, POSITIVE


def dots(ax):
    return [np.asarray(line.get_offsets()) for line in ax.collections]


def rows(count=60, players=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, players)) * np.arange(1, players + 1)


def test_lines_are_in_the_order_of_the_mean_size_and_hold_every_value():
    values = rows() * [1, -9, 1, 1]
    ax = xai.plot.beeswarm(attribution(values), names=["a", "b", "c", "d"])
    order = np.argsort(-np.abs(values).mean(axis=0))
    assert labels(ax) == [["a", "b", "c", "d"][player] for player in order]
    for line, (player, offsets) in enumerate(zip(order, dots(ax), strict=True)):
        np.testing.assert_allclose(offsets[:, 0], values[:, player], rtol=1e-5)
        assert np.abs(offsets[:, 1] - line).max() < 0.5
    assert ax.get_ylim() == (3.5, -0.5)
    left, right = ax.get_xlim()
    assert left < values.min() < values.max() < right
    assert ax.get_title() == "test: 60 rows"


def test_the_others_are_summed_in_each_row_and_gray():
    values = rows(players=5)
    ax = xai.plot.beeswarm(attribution(values), inputs=values, top=2)
    weak = np.argsort(-np.abs(values).mean(axis=0))[2:]
    assert labels(ax)[-1] == "3 others"
    np.testing.assert_allclose(dots(ax)[-1][:, 0], values[:, weak].sum(axis=1), rtol=1e-4, atol=1e-5)
    red, green, blue, _ = ax.collections[-1].get_facecolor()[0]
    assert red == green == blue


def test_dots_that_would_hide_each_other_are_stacked_about_the_line_and_the_same_each_time():
    values = np.concatenate([np.zeros(30), [5.0]])[:, None]
    first, second = (dots(xai.plot.beeswarm(attribution(values)))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    heights = first[:30, 1]
    assert len(np.unique(heights.round(9))) == 30
    assert np.abs(heights).max() <= 0.45
    assert abs(np.median(heights)) < 0.02
    assert first[30, 1] == 0  # alone


def test_colors_reach_from_the_5th_to_the_95th_percentile_of_each_input():
    values, inputs = rows(101, 2), np.stack([np.arange(101.0), 1e6 * np.ones(101)], axis=1)
    ax = xai.plot.beeswarm(attribution(values), inputs=inputs, names=["flat", "rising"][::-1])
    of_rising = ax.collections[labels(ax).index("rising")]
    ax.figure.canvas.draw()
    assert (of_rising.norm.vmin, of_rising.norm.vmax) == (5, 95)
    colors = of_rising.get_facecolor()
    np.testing.assert_allclose(colors[[0, 5]], [to_rgba(NEGATIVE)] * 2, atol=1e-6)
    np.testing.assert_allclose(colors[[95, 100]], [to_rgba(POSITIVE)] * 2, atol=1e-6)
    of_flat = ax.collections[labels(ax).index("flat")].get_facecolor()
    np.testing.assert_allclose(of_flat[0], LOW_TO_HIGH(0.5), atol=0.01)
    assert "5th to 95th percentile" in ax.figure.axes[1].get_ylabel()


def test_without_inputs_dots_are_gray_and_there_is_no_color_bar():
    ax = xai.plot.beeswarm(attribution(rows()))
    assert ax.figure.axes == [ax]
    assert all(np.ptp(line.get_facecolor()[:, :3]) == 0 for line in ax.collections)


def test_inputs_that_are_words_leave_their_dots_gray():
    inputs = np.array([["red", 1.0], ["blue", 2.0], ["red", 3.0]], object)
    ax = xai.plot.beeswarm(attribution(rows(3, 2)), inputs=inputs, order=[1, 0])
    assert [line.get_array() is None for line in ax.collections] == [False, True]
    only_words = xai.plot.beeswarm(attribution(rows(3, 1)), inputs=inputs[:, :1])
    assert only_words.figure.axes == [only_words]  # no color bar


@pytest.mark.parametrize("inputs", [[1.0, np.nan, 3.0], [1, None, 3], np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])])
def test_missing_inputs_are_gray_and_do_not_shift_the_colors_of_the_others(inputs):
    inputs = np.ma.asarray(inputs)[:, None] if isinstance(inputs, np.ma.MaskedArray) else np.array(inputs)[:, None]
    for draw in (xai.plot.beeswarm, xai.plot.violin):
        ax = draw(attribution([[1.0], [2.0], [3.0]]), inputs=inputs)
        ax.figure.canvas.draw()
        assert ax.figure.axes[1].get_ylabel().endswith("gray: missing")
    ax = xai.plot.beeswarm(attribution([[1.0], [2.0], [3.0]]), inputs=inputs)
    ax.figure.canvas.draw()
    low, missing, high = ax.collections[0].get_facecolor()
    np.testing.assert_allclose(missing, to_rgba(GRAY), atol=1e-6)
    np.testing.assert_allclose((low, high), [to_rgba(NEGATIVE), to_rgba(POSITIVE)], atol=1e-6)


def test_rows_keep_the_order_colors_and_limits_of_all():
    values = rows()
    whole, part = (xai.plot.beeswarm(attribution(values), inputs=values, rows=chosen) for chosen in (None, [3, 8]))
    assert labels(part) == labels(whole)
    assert part.get_xlim() == whole.get_xlim()
    np.testing.assert_allclose(dots(part)[0][:, 0], dots(whole)[0][[3, 8], 0])
    assert part.collections[0].norm.vmin == whole.collections[0].norm.vmin


def test_an_example_alone_is_one_dot_for_each_player():
    ax = xai.plot.beeswarm(xai.Attribution(jnp.array([1.0, -2.0]), jnp.array(3.0)), inputs=[1.0, 2.0], order=[0, 1])
    np.testing.assert_array_equal([line[0] for line in dots(ax)], [[1, 0], [-2, 1]])


@pytest.mark.parametrize("values", [rows(1, 1), np.zeros((5, 3)), rows(7, 200), rows(300, 1)])
def test_one_row_one_player_nothing_and_two_hundred_players(values):
    names = ["a very long name indeed " * 4] * values.shape[1]
    ax = xai.plot.beeswarm(attribution(values), names=names, inputs=values)
    ax.figure.canvas.draw()
    assert len(ax.collections) == min(values.shape[1], 11)
    assert sum(len(offsets) for offsets in dots(ax)) == len(ax.collections) * len(values)
    assert all(len(label) <= 30 for label in labels(ax))
    left, right = ax.get_xlim()
    assert left < 0 < right
    whole = ax.figure.bbox
    for axes in ax.figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= whole.x0 - 1
        assert box.x1 <= whole.x1 + 1


def test_given_axes_are_used_and_the_color_bar_is_beside_them():
    figure, axes = plt.subplots(1, 2)
    assert xai.plot.beeswarm(attribution(rows()), inputs=rows(), ax=axes[0], title="mine") is axes[0]
    assert len(figure.axes) == 3
    assert axes[0].get_title() == "mine"


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.beeswarm(attribution([[1.0], [np.nan]])), "must have finite values"),
        (lambda: xai.plot.beeswarm(attribution(rows()), names=["a"]), "`names` must have one entry for each of the 4"),
        (
            lambda: xai.plot.beeswarm(attribution(rows()), inputs=rows(3)),
            r"`inputs` must hold one number or word for each value, \[60, 4\]",
        ),
        (
            lambda: xai.plot.beeswarm(attribution(rows()), inputs="ab"),
            r"`inputs` must hold one number or word for each value, \[60, 4\]",
        ),
        (lambda: xai.plot.beeswarm(attribution(rows()), top=0), "top.? must be at least 1"),
        (lambda: xai.plot.beeswarm(attribution(rows()), ax=3), "`ax` must be matplotlib axes, got int"),
        (
            lambda: xai.plot.beeswarm(xai.Attribution(jnp.ones((2, 3, 3)), jnp.ones(2))),
            "`attribution` must have one value for each player, axes 'N M'",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        draw()
