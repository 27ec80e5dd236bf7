"""Methods beside each other: marks, their intervals, the points they were made from, and what is held against them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

import xaijax as xai
from tests.plot._attributions import labels, texts

NAMES = ["a", "b", "c"]
VALUES = np.array([[0.9, 0.5], [0.6, np.nan], [0.2, 0.3]])
LOW, HIGH = VALUES - 0.05, VALUES + 0.1
GROUPS = ["last", "earlier"]


def marks(ax):
    """The marks that were measured, not those of the legend: places, color of the edge and of the face."""
    drawn = [
        line for line in ax.lines if line.get_marker() != "None" and len(line.get_xdata()) and line.get_zorder() == 3
    ]
    return [(line.get_xdata()[0], line.get_ydata()[0], line) for line in drawn]


def spans(ax):
    segments = [collection.get_segments()[0] for collection in ax.collections]
    return [(*segment[:, 0].tolist(), segment[0, 1]) for segment in segments]


def named(ax):
    handles, said = ax.get_legend_handles_labels()
    return dict(zip(said, handles, strict=True))


def test_rows_are_names_from_the_top_down_with_marks_on_their_intervals():
    ax = xai.plot.intervals(VALUES[:, 0], LOW[:, 0], HIGH[:, 0], names=NAMES)
    assert labels(ax) == NAMES
    assert ax.get_ylim() == (2.5, -0.5)
    assert [(x, y) for x, y, _ in marks(ax)] == [(0.9, 0), (0.6, 1), (0.2, 2)]
    np.testing.assert_allclose(spans(ax), [(0.85, 1.0, 0), (0.55, 0.7, 1), (0.15, 0.3, 2)])
    assert ax.get_legend() is None


def test_groups_have_colors_and_shapes_and_what_is_missing_is_not_drawn():
    ax = xai.plot.intervals(VALUES, LOW, HIGH, names=NAMES, groups=GROUPS)
    found = marks(ax)
    assert [x for x, _, _ in found] == [0.9, 0.5, 0.6, 0.2, 0.3]
    heights = [y for _, y, _ in found]
    assert heights[0] < 0 < heights[1]  # the first group above
    assert heights[2] == 1  # alone, in the middle of its row
    assert [y for *_, y in spans(ax)] == heights
    assert {line.get_marker() for *_, line in found} == {"o", "s"}
    assert [name.get_text() for name in ax.get_legend().get_texts()] == GROUPS
    for number, group in enumerate(GROUPS):
        drawn = found[number][2]
        assert named(ax)[group].get_markerfacecolor() == drawn.get_markerfacecolor()
        assert named(ax)[group].get_marker() == drawn.get_marker()
        assert to_rgba(drawn.get_markerfacecolor()) == tuple(ax.collections[number].get_colors()[0])


def test_kinds_have_the_colors_and_later_groups_are_hollow():
    ax = xai.plot.intervals(
        VALUES, names=NAMES, groups=GROUPS, categories=["x", "y", "x"], colors=["#112233", "#445566"]
    )
    faces = [to_hex(line.get_markerfacecolor()) for *_, line in marks(ax)]
    edges = [to_hex(line.get_markeredgecolor()) for *_, line in marks(ax)]
    assert edges == ["#112233", "#112233", "#445566", "#112233", "#112233"]
    assert faces == ["#112233", "#ffffff", "#445566", "#112233", "#ffffff"]
    assert list(named(ax)) == ["x", "y", *GROUPS]
    assert to_hex(named(ax)["y"].get_markerfacecolor()) == "#445566"
    assert not ax.collections  # no intervals were given


def test_the_points_are_below_their_mark_and_do_not_hide_each_other():
    points = np.array([[0.5, 0.5, 0.5, np.nan], [0.1, 0.2, 0.3, 0.4]])
    ax = xai.plot.intervals([0.5, 0.25], names=["a", "b"], points=points)
    dots = [line for line in ax.lines if line.get_zorder() == 1]
    assert dots[0].get_xdata().tolist() == [0.5] * 3
    assert len(set(dots[0].get_ydata())) == 3
    np.testing.assert_allclose(dots[1].get_xdata(), points[1])
    assert 1 < dots[1].get_ydata()[0] < 1.5
    assert np.ptp(dots[1].get_ydata()) == 0


def test_notes_are_beside_the_marks_and_the_reference_is_named():
    notes = [["90 %", "50 %"], ["60 %", ""], ["20 %", "30 %"]]
    ax = xai.plot.intervals(
        VALUES, names=NAMES, groups=GROUPS, notes=notes, reference=0.25, reference_name="chance", percent=True
    )
    assert texts(ax) == ["90 %", "50 %", "60 %", "20 %", "30 %"]
    assert [text.get_position()[1] for text in ax.texts] == [y for _, y, _ in marks(ax)]
    (line,) = [line for line in ax.lines if line.get_zorder() == 0]
    assert list(line.get_xdata()) == [0.25, 0.25]
    assert list(named(ax)) == [*GROUPS, "chance"]
    ax.figure.canvas.draw()
    assert "20%" in [label.get_text() for label in ax.get_xticklabels()]


def test_on_a_logarithmic_axis_an_interval_that_reaches_to_zero_goes_to_the_edge():
    ax = xai.plot.intervals([0.1, 10.0], [-1.0, 5.0], [1.0, 20.0], names=["a", "b"], log=True)
    assert ax.get_xscale() == "log"
    left = ax.get_xlim()[0]
    assert 0.01 < left < 0.1
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[::-1]
    edge = int(ax.get_window_extent().x0) + 2
    blue = np.array(to_rgba(ax.collections[0].get_colors()[0])) * 255
    for row, goes_on in ((0, True), (1, False)):
        across = pixels[int(ax.transData.transform((1, row))[1]), edge]
        assert np.allclose(across, blue, atol=2) == goes_on


def test_long_names_are_written_on_two_lines_or_shortened():
    ax = xai.plot.intervals([1.0, 2.0], names=["loss on the map of the contrast", "x" * 60])
    first, second = labels(ax)
    assert first == "loss on the map of the\ncontrast"
    assert len(second) == 28
    assert "…" in second


def test_axes_beside_each_other_share_their_rows():
    _, (here, there) = plt.subplots(1, 2, sharey=True)
    for ax in (here, there):
        assert xai.plot.intervals([1.0, 2.0], names=["a", "b"], legend=False, reference=1.5, ax=ax) is ax
    assert labels(here) == ["a", "b"]
    assert not labels(there)
    assert [x for x, _, _ in marks(there)] == [1.0, 2.0]
    assert here.get_legend() is None
    assert list(named(here)) == ["reference"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"names": "ab"}, "`names` must be a sequence of strings"),
        ({"values": [1.0]}, r"`values` must have shape \[2\], one for each name"),
        ({"groups": ["g"]}, r"`values` must have shape \[2, 1\], one for each name and group"),
        ({"values": ["x", "y"]}, "values.? must be an array of numbers"),
        ({"values": [1.0, np.inf]}, "`values` must be finite, or NaN where missing"),
        ({"low": [0.5, 0.5]}, "`low` and `high` must be given together"),
        (
            {"low": [0.1, 0.1], "high": [0.2, 0.2]},
            "`low` and `high` must be the ends of the intervals, not their lengths",
        ),
        ({"low": [0.5, np.nan], "high": [2.0, 3.0]}, "`low` and `high` must be NaN for the same values"),
        ({"points": [1.0, 2.0]}, r"`points` must have shape \[2, n\], one for each name"),
        ({"notes": ["a"]}, r"`notes` must be texts of the shape of values, \[2\]"),
        ({"categories": ["x"]}, "`categories` must be 2, one for each name"),
        ({"colors": ["red", "blue"]}, "`colors` must be 1 color, one for each group"),
        ({"values": [0.0, 1.0], "log": True}, "`values` must be above 0 on a logarithmic axis"),
        ({"reference": 0.0, "log": True}, "`reference` must be above 0 on a logarithmic axis"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(arguments, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.intervals(**({"values": [1.0, 2.0], "names": ["a", "b"]} | arguments))
