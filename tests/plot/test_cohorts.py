"""Cohorts: a picture for each group on one scale, and bars of all groups side by side."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._attributions import attribution, labels
from xaijax.plot._cohorts import groups_of
from xaijax.plot._parts.colors import SERIES

VALUES = np.random.default_rng(0).normal(size=(30, 3)) * [1, 2, 3]
LABELS = np.array(["well", "ill", "well"] * 10)
GIVEN = attribution(VALUES)
INPUTS = VALUES + 1


@pytest.mark.parametrize(
    "draw",
    [xai.plot.beeswarm, xai.plot.violin, xai.plot.heatmap, xai.plot.decision, xai.plot.bars],
    ids=lambda draw: draw.__name__,
)
def test_each_group_is_drawn_on_the_same_scale(draw):
    axes = xai.plot.cohorts(functools.partial(draw, names=["a", "b", "c"]), GIVEN, LABELS)
    assert [ax.get_title() for ax in axes] == ["ill: 10 rows", "well: 20 rows"]
    assert all(labels(ax) == ["c", "b", "a"] for ax in axes)
    if draw is xai.plot.heatmap:
        assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim()
        beside = [ax.child_axes[1] for ax in axes]
        assert beside[0].get_xlim() == beside[1].get_xlim()
    else:
        assert axes[0].get_xlim() == axes[1].get_xlim()


def test_each_group_has_its_own_rows():
    axes = xai.plot.cohorts(functools.partial(xai.plot.beeswarm, inputs=INPUTS, order=[0, 1, 2]), GIVEN, LABELS)
    for ax, label in zip(axes, ["ill", "well"], strict=True):
        rows = label == LABELS
        for player, dots in enumerate(ax.collections):
            np.testing.assert_allclose(dots.get_offsets()[:, 0], VALUES[rows, player], rtol=1e-5)
            np.testing.assert_allclose(dots.get_array(), INPUTS[rows, player])
    assert axes[0].collections[0].norm.vmin == axes[1].collections[0].norm.vmin
    bars = xai.plot.cohorts(functools.partial(xai.plot.bars, order=[0, 1, 2]), GIVEN, LABELS)
    widths = [[bar.get_width() for bar in ax.patches] for ax in bars]
    np.testing.assert_allclose(widths[0], np.abs(VALUES[LABELS == "ill"]).mean(axis=0), rtol=1e-5)


def test_dependence_is_drawn_for_each_group():
    draw = functools.partial(xai.plot.dependence, player="b", inputs=INPUTS, names=["a", "b", "c"])
    axes = xai.plot.cohorts(draw, GIVEN, LABELS)
    np.testing.assert_allclose(axes[0].collections[0].get_offsets()[:, 0], INPUTS[LABELS == "ill", 1])
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_given_axes_are_used_and_new_ones_become_current():
    mine, given = plt.subplots(1, 2)
    assert list(xai.plot.cohorts(xai.plot.bars, GIVEN, LABELS, axes=given)) == list(given)
    axes = xai.plot.cohorts(xai.plot.bars, GIVEN, [0, 1, 2, 3, 4] * 6)
    assert len({ax.figure for ax in axes}) == 1
    assert axes[0].figure.axes == list(axes)
    assert plt.gcf() is axes[0].figure is not mine
    assert axes[4].get_title() == "4: 6 rows"


def test_groups_are_in_ascending_order():
    found = groups_of([10, 9, 10], attribution(np.ones((3, 1))), None, most=2)
    assert [(label, rows.tolist()) for label, rows in found] == [("9", [1]), ("10", [0, 2])]
    assert [
        label for label, _ in groups_of(np.array([None, "a", True], object), attribution(np.ones((3, 1))), None, most=3)
    ] == ["None", "True", "a"]
    assert [label for label, _ in groups_of([0.5, 0.25, 0.5], attribution(np.ones((3, 1))), None, most=3)] == [
        "0.25",
        "0.5",
    ]


def test_bars_of_groups_lie_side_by_side():
    ax = xai.plot.cohort_bars(GIVEN, LABELS, names=["a", "b", "c"], order=["a", "b", "c"], title="mine")
    ill, well = [part for part in ax.containers if hasattr(part, "patches")]
    for bars, label in ((ill, "ill"), (well, "well")):
        sizes = np.abs(VALUES[label == LABELS])
        np.testing.assert_allclose([bar.get_width() for bar in bars], sizes.mean(axis=0), rtol=1e-5)
        color = {bar.get_facecolor() for bar in bars}
        assert color == {to_rgba(SERIES[label == "well"])}
    whisker = ax.collections[0].get_segments()[0]
    sizes = np.abs(VALUES[LABELS == "ill", 0])
    assert whisker[1][0] - whisker[0][0] == pytest.approx(2 * 1.96 * sizes.std(ddof=1) / 10**0.5, rel=1e-5)
    assert ill.patches[0].get_y() + ill.patches[0].get_height() <= well.patches[0].get_y() + 1e-9
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ill (10 rows)", "well (20 rows)"]
    assert labels(ax) == ["a", "b", "c"]
    assert ax.get_title() == "mine"


@pytest.mark.parametrize("players", [1, 200])
def test_one_and_two_hundred_players_and_nothing_at_all(players):
    values = np.random.default_rng(1).normal(size=(20, players))
    ax = xai.plot.cohort_bars(attribution(values), [0, 1] * 10)
    assert len(labels(ax)) == min(players, 9)
    total = sum(bar.get_width() for bar in ax.containers[0].patches)
    assert total == pytest.approx(np.abs(values[::2]).mean(axis=0).sum(), rel=1e-5)
    assert len(ax.texts) == (2 if players == 200 else 0)  # the sums of the others, cut
    assert xai.plot.cohort_bars(attribution(0 * values), [0, 1] * 10).get_xlim() == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        (
            (xai.plot.waterfall, GIVEN, LABELS),
            {},
            TypeError,
            r"`draw` must be a plot of many rows that takes rows=, such as xai\.plot\.beeswarm, violin,",
        ),
        (
            (3, GIVEN, LABELS),
            {},
            TypeError,
            r"`draw` must be a plot of many rows that takes rows=, such as xai\.plot\.beeswarm, violin,",
        ),
        ((xai.plot.bars, GIVEN, LABELS[:4]), {}, ValueError, "`labels` must be 30, one for each row"),
        ((xai.plot.bars, GIVEN, range(30)), {}, ValueError, "`labels` must be at most 12 different ones"),
        (
            (functools.partial(xai.plot.bars, title="x"), GIVEN, LABELS),
            {},
            TypeError,
            "`draw` must leave title to cohorts",
        ),
        (
            (xai.plot.bars, GIVEN, LABELS),
            {"axes": []},
            ValueError,
            "`axes` must be 1 x 2 matplotlib axes",
        ),
        ((xai.plot.bars, np.ones(3), LABELS), {}, TypeError, "`attribution` must be the result of an explainer"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        xai.plot.cohorts(*arguments, **options)
