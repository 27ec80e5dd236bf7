"""The violin: densities between the extremes, quartiles, and the colors of the inputs nearby."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import gaussian_kde

import xaijax as xai
from tests.plot._attributions import attribution, labels
from xaijax.plot._violin import bandwidth, kernel


def rows(count=200, players=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, players)) * np.arange(1, players + 1)


def corners(ax):
    return [violin.get_paths()[0].vertices for violin in ax.collections]


def test_violins_reach_from_the_least_to_the_largest_value_as_wide_as_their_line():
    values = rows()
    ax = xai.plot.violin(attribution(values), names=["a", "b", "c"])
    assert labels(ax) == ["c", "b", "a"]
    for place, (player, polygon) in enumerate(zip([2, 1, 0], corners(ax), strict=True)):
        np.testing.assert_allclose(
            (polygon[:, 0].min(), polygon[:, 0].max()), (values[:, player].min(), values[:, player].max()), rtol=1e-5
        )
        assert np.abs(polygon[:, 1] - place).max() == pytest.approx(0.4)
    assert ax.get_title() == "test: 200 rows"


def test_the_outline_is_the_density():
    values = rows(players=1)
    (polygon,) = corners(xai.plot.violin(attribution(values)))
    across, halves = polygon[:200, 0], -polygon[:200, 1]
    expected = gaussian_kde(values[:, 0], bandwidth(values[:, 0], 0.0) / values[:, 0].std(ddof=1))(across)
    np.testing.assert_allclose(halves, 0.4 * expected / expected.max(), atol=2e-3)
    assert kernel(0.0, np.array([1.0]), 1.0) == pytest.approx(np.exp(-0.5))


def test_silvermans_bandwidth():
    values = np.random.default_rng(1).normal(size=1000)
    spread = min(values.std(), np.subtract(*np.percentile(values, [75, 25])) / 1.34)
    assert bandwidth(values, 0.0) == pytest.approx(0.9 * spread * 1000**-0.2)
    mostly_zero = np.array([0.0] * 9 + [1.0])
    assert bandwidth(mostly_zero, 0.0) == pytest.approx(0.9 * mostly_zero.std() * 10**-0.2)
    assert bandwidth(np.zeros(5), 0.3) == 0.3


def test_quartiles_and_the_median_are_marked():
    values = rows(players=1)
    _, quartiles, median = xai.plot.violin(attribution(values)).lines  # the first is at zero
    np.testing.assert_allclose(quartiles.get_xdata(), np.percentile(values, [25, 75]), rtol=1e-5)
    np.testing.assert_allclose(median.get_xdata(), np.median(values), rtol=1e-4, atol=1e-5)


def test_colors_are_those_of_the_inputs_nearby():
    values = rows(players=2)
    inputs = values * [1, -1]
    ax = xai.plot.violin(attribution(values), inputs=inputs)
    falling, rising = (np.asarray(picture.get_array())[0] for picture in ax.images)  # player 1 is the larger one
    assert falling[0] > 0.9 > 0.1 > falling[-1]
    assert rising[0] < 0.1 < 0.9 < rising[-1]
    assert (np.diff(rising) >= -1e-9).all()
    low, high = np.percentile(inputs[:, 0], [5, 95])
    middle = (np.median(values[:, 0]) - low) / (high - low)
    across = np.linspace(values[:, 0].min(), values[:, 0].max(), 200)
    assert np.interp(np.median(values[:, 0]), across, rising) == pytest.approx(middle, abs=0.05)
    assert "5th to 95th percentile" in ax.figure.axes[1].get_ylabel()


def test_inputs_that_are_words_leave_their_violin_gray():
    inputs = np.array([["red", 1.0], ["blue", 2.0], ["red", 3.0]], object)
    ax = xai.plot.violin(attribution(rows(3, 2)), inputs=inputs)
    assert len(ax.collections) == 2
    assert len(ax.images) == 1


def test_the_others_are_summed_in_each_row_and_gray():
    values = rows(players=5)
    ax = xai.plot.violin(attribution(values), inputs=values, top=2)
    assert labels(ax)[-1] == "3 others"
    weak = values[:, :3].sum(axis=1)
    np.testing.assert_allclose(corners(ax)[-1][:, 0].max(), weak.max(), rtol=1e-5)
    assert len(ax.images) == 2
    assert labels(xai.plot.violin(attribution(values), top=4))[-1] == "1 other"


def test_rows_keep_the_order_colors_and_limits_of_all():
    values = rows()
    whole = xai.plot.violin(attribution(values), inputs=values)
    part = xai.plot.violin(attribution(values), inputs=values, rows=values[:, 2] > 0)
    assert labels(part) == labels(whole)
    assert part.get_xlim() == whole.get_xlim()
    assert corners(part)[0][:, 0].min() > 0
    assert part.get_title() == f"test: {(values[:, 2] > 0).sum()} rows"


@pytest.mark.parametrize("values", [rows(1, 1), np.zeros((5, 3)), rows(7, 200), np.ones((3, 1))])
def test_one_row_one_player_nothing_and_two_hundred_players(values):
    names = ["a very long name indeed " * 4] * values.shape[1]
    ax = xai.plot.violin(attribution(values), names=names, inputs=values)
    ax.figure.canvas.draw()
    assert len(labels(ax)) == min(values.shape[1], 11)
    assert len(ax.collections) == (0 if np.ptp(values, axis=0).max() == 0 else len(labels(ax)))
    assert len(ax.lines) == 1 + 2 * len(labels(ax))
    left, right = ax.get_xlim()
    assert left < values.min() <= values.max() < right


def test_given_axes_are_used():
    _, ax = plt.subplots()
    assert xai.plot.violin(attribution(rows(9)), ax=ax, title="mine") is ax
    assert ax.get_title() == "mine"
