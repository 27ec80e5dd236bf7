"""The heatmap: values as colors, rows in order, outputs above and mean sizes beside."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import attribution, labels


def rows(count=40, players=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, players)) * np.arange(players, 0, -1)


def drawn(ax):
    (picture,) = ax.images
    return np.asarray(picture.get_array())


def test_rows_lie_in_the_order_of_their_outputs():
    values = rows()
    ax = xai.plot.heatmap(attribution(values), names=["a", "b", "c", "d"])
    order = np.argsort(values.sum(axis=1))
    np.testing.assert_allclose(drawn(ax), values[order].T, rtol=1e-5)
    assert labels(ax) == ["a", "b", "c", "d"]
    above, beside = ax.child_axes
    np.testing.assert_allclose(above.lines[0].get_ydata(), 0.5 + values.sum(axis=1)[order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(above.lines[1].get_ydata(), 0.5)  # the base value
    np.testing.assert_allclose([bar.get_width() for bar in beside.patches], np.abs(values).mean(axis=0), rtol=1e-5)
    assert ax.get_xlabel() == "rows, by output"


def test_each_column_lies_under_its_output_and_each_bar_beside_its_line():
    ax = xai.plot.heatmap(attribution(rows()))
    ax.figure.canvas.draw()
    above, beside = ax.child_axes
    for row in (0, 17, 39):
        under, over = (axes.transData.transform((row, 1))[0] for axes in (ax, above))
        assert under == pytest.approx(over, abs=0.1)
    for line in (0, 3):
        left, right = (axes.transData.transform((0, line))[1] for axes in (ax, beside))
        assert left == pytest.approx(right, abs=0.1)
    top = ax.transData.transform((0, -0.5))[1]
    assert above.get_window_extent().y0 >= top
    assert beside.get_window_extent().x0 >= ax.transData.transform((39.5, 0))[0]


def test_colors_are_symmetric_and_their_percentile_is_told():
    values = rows()
    values[3, 2] = -500.0
    ax = xai.plot.heatmap(attribution(values))
    end = np.percentile(np.abs(values.astype(np.float32)), 99)
    np.testing.assert_allclose(ax.images[0].get_clim(), (-end, end), rtol=1e-5)
    told = ax.figure.axes[1].get_ylabel()
    assert told == f"colors end at ±{end:.3g}, the 99th percentile\nof |value|; the largest is 500"


def test_without_extremes_colors_reach_to_the_largest_value():
    ax = xai.plot.heatmap(attribution([[1.0, -2.0]] * 3))
    assert ax.images[0].get_clim() == (-2, 2)
    assert ax.figure.axes[1].get_ylabel() == "value, up to ±2"


def test_similar_rows_lie_beside_each_other():
    kinds = np.array([0, 1, 2] * 10)
    values = np.eye(3)[kinds] * 5 + rows(30, 3) * 0.05
    order = drawn(xai.plot.heatmap(attribution(values), sort="similarity")).argmax(axis=0)
    assert (np.diff(order) != 0).sum() == 2  # three blocks
    np.testing.assert_allclose(
        drawn(xai.plot.heatmap(attribution(values), sort="given", order=[0, 1, 2])), values.T, rtol=1e-5
    )


def test_the_others_are_summed_in_each_row():
    values = rows(players=6)
    ax = xai.plot.heatmap(attribution(values), top=2, sort="given")
    assert labels(ax) == ["player 0", "player 1", "4 others"]
    np.testing.assert_allclose(drawn(ax)[-1], values[:, 2:].sum(axis=1), rtol=1e-4, atol=1e-5)


def test_rows_keep_the_order_and_colors_of_all():
    values = rows()
    whole = xai.plot.heatmap(attribution(values), sort="given")
    part = xai.plot.heatmap(attribution(values), sort="given", rows=[5, 2])
    np.testing.assert_allclose(drawn(part), values[[5, 2]].T, rtol=1e-5)
    assert labels(part) == labels(whole)
    assert part.images[0].get_clim() == whole.images[0].get_clim()
    assert part.child_axes[0].get_ylim() == whole.child_axes[0].get_ylim()


@pytest.mark.parametrize("values", [rows(1, 1), np.zeros((5, 3)), rows(7, 200), rows(300, 1)])
def test_one_row_one_player_nothing_and_two_hundred_players(values):
    ax = xai.plot.heatmap(attribution(values), names=["a very long name indeed " * 4] * values.shape[1])
    figure = ax.figure
    figure.canvas.draw()
    assert drawn(ax).shape == (min(values.shape[1], 11), len(values))
    np.testing.assert_allclose(drawn(ax).sum(axis=0), np.sort(values.sum(axis=1)), rtol=1e-4, atol=1e-4)
    assert all(0 <= tick < len(values) for tick in ax.get_xticks())
    box = ax.get_tightbbox()
    assert box.x0 >= -1
    assert box.y1 <= figure.bbox.y1 + 1  # the title, too
    if not values.any():
        assert figure.axes[1].get_ylabel() == "all values are 0"


def test_given_axes_are_used_and_orders_that_are_none_refused():
    _, ax = plt.subplots()
    assert xai.plot.heatmap(attribution(rows()), ax=ax, title="mine") is ax
    assert ax.get_title() == "mine"
    with pytest.raises(ValueError, match="sort.? must be one of .* (but it is|got) 'outputs'"):
        xai.plot.heatmap(attribution(rows()), sort="outputs")
    with pytest.raises(
        ValueError, match="`sort` must not be 'similarity' for more than 10000 rows, of which it compares all pairs"
    ):
        xai.plot.heatmap(attribution(np.zeros((10_001, 1))), sort="similarity")
