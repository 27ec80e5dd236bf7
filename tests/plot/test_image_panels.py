"""Several maps on one scale: methods and classes side by side, and batches."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import xaijax as xai
from tests.plot._images import PICTURES, bars, maps, tick_labels

VALUES = np.linspace(0, 1, 3 * 6 * 8).reshape(3, 6, 8)
NAMES = ["cat", "dog", "cow", "hen"]


def test_methods_share_one_symmetric_scale_and_one_bar():
    axes = xai.plot.compare({"first": maps(VALUES), "second": maps(-3 * VALUES)}, PICTURES, examples=[0, 2])
    assert axes.shape == (2, 3)
    most = 3.0  # of the second, in the last example
    assert {ax.images[1].get_clim() for ax in axes[:, 1:].ravel()} == {(-most, most)}
    (bar,) = bars(axes[0, 0].figure)
    assert tick_labels(bar) == ["-3", "-1.5", "0", "1.5", "3"]
    assert bar.get_ylabel() == "one scale for all panels"
    assert [ax.get_title() for ax in axes[0]] == ["", "first", "second"]
    np.testing.assert_allclose(axes[1, 2].images[1].get_array(), -3 * VALUES[2], rtol=1e-6)
    assert len(axes[0, 0].images) == 1


def test_scales_of_their_own_have_bars_of_their_own():
    axes = xai.plot.compare([maps(VALUES, method="a"), maps(-3 * VALUES, method="b")], PICTURES, shared=False)
    assert axes[0, 1].images[1].get_clim() == (0, pytest.approx(VALUES[0].max()))
    assert axes[0, 2].images[1].get_clim()[1] == pytest.approx(3 * VALUES[0].max())
    assert len(bars(axes[0, 0].figure)) == 2
    assert [ax.get_title() for ax in axes[0]] == ["", "a", "b"]


def test_a_shared_percentile_is_over_all_panels_and_printed():
    axes = xai.plot.compare([maps(VALUES), maps(5 * VALUES)], PICTURES, percentile=90)
    limit = np.percentile([VALUES[0], 5 * VALUES[0]], 90)
    assert axes[0, 1].images[1].get_clim() == (0, pytest.approx(limit))
    assert f"90th percentile of |value|, {limit:.3g}" in bars(axes[0, 0].figure)[0].get_ylabel()


def test_of_all_outputs_the_three_highest_are_columns():
    every = maps(np.stack([k * VALUES for k in range(4)], axis=-1))  # its outputs are 0, 0.5, 1, 1.5
    axes = xai.plot.compare(every, PICTURES, output_names=NAMES, labels=["x", "y", "z"])
    assert [ax.get_title() for ax in axes[0]] == ["x", "hen, output 1.5", "cow, output 1", "dog, output 0.5"]
    np.testing.assert_allclose(axes[0, 1].images[1].get_array(), 3 * VALUES[0], rtol=1e-6)
    axes = xai.plot.compare(every, PICTURES, outputs=["dog", 0], output_names=NAMES, labels=[0, 1, 2])
    assert [ax.get_title() for ax in axes[0]] == ["cat", "dog, output 0.5", "cat, output 0"]
    axes = xai.plot.compare([every, maps(VALUES)], PICTURES, outputs=[2])
    np.testing.assert_allclose(axes[0, 1].images[1].get_array(), 2 * VALUES[0], rtol=1e-6)


def test_a_batch_with_labels_and_probabilities():
    probabilities = np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1], [0.1, 0.2, 0.5, 0.2]])
    axes = xai.plot.image_grid(
        maps(VALUES - 0.5, [0, 1, 2]), PICTURES, output_names=NAMES, labels=[0, 1, 3], probabilities=probabilities,
        columns=2,
    )  # fmt: skip
    assert [ax.get_title() for ax in axes] == ["cat 70 %", "dog 60 %", "cow 50 %"]
    assert [ax.get_xlabel() for ax in axes] == ["label: cat", "label: dog", "label: hen"]
    red = [to_rgb(ax.xaxis.label.get_color())[0] > 0.5 for ax in axes]
    assert red == [False, False, True]
    assert {ax.images[1].get_clim() for ax in axes} == {(-0.5, 0.5)}
    (bar,) = bars(axes[0].figure)
    assert bar.get_ylabel() == "Grad-CAM: one scale for all images"
    assert len(axes[0].figure.axes) == 4  # the fourth place is empty


def test_a_batch_without_probabilities_states_the_outputs():
    axes = xai.plot.image_grid(maps(VALUES), PICTURES, examples=[2, 0])
    assert [ax.get_title() for ax in axes] == ["output 0.5", "output 0"]
    every = maps(np.stack([k * VALUES for k in range(4)], axis=-1))
    axes = xai.plot.image_grid(every, PICTURES, output="cow", output_names=NAMES, probabilities=np.full((3, 4), 0.25))
    assert [ax.get_title() for ax in axes] == ["cow 25 %"] * 3


def test_maps_alone_share_one_stated_scale_below_or_beside_them():
    axes = xai.plot.image_grid(maps(VALUES, method="$f_k$"), titles=["first", "$f_2$", ""], columns=3, bar="bottom")
    for ax, value in zip(axes, VALUES, strict=True):
        (heat,) = ax.images
        np.testing.assert_allclose(heat.get_array(), value, rtol=1e-6)
        assert heat.get_alpha() is None
        assert heat.get_clim() == (0, 1)
    assert [ax.get_title() for ax in axes] == ["first", "$f_2$", ""]
    assert axes[1].title.get_parse_math()
    (bar,) = bars(axes[0].figure)
    assert bar.get_xlabel() == "$f_k$: one scale for all maps"
    assert [label.get_text() for label in bar.get_xticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]


def test_a_scale_goes_both_ways_where_it_is_asked_to():
    drawn = (
        xai.plot.image(maps(VALUES), example=2, signed=True),
        xai.plot.image_grid(maps(VALUES), PICTURES, signed=True)[2],
        xai.plot.compare(maps(VALUES), PICTURES, examples=[2], signed=True)[0, 1],
        xai.plot.compare(maps(VALUES), PICTURES, examples=[2], signed=True, shared=False)[0, 1],
    )
    for ax in drawn:
        assert ax.images[-1].get_clim() == (-1, 1)
        assert ax.images[-1].get_cmap().name == "RdBu_r"


def test_given_axes_of_any_shape_are_used():
    _, given = plt.subplots(3, 1)
    assert list(xai.plot.image_grid(maps(VALUES), PICTURES, axes=given)) == list(given)
    _, given = plt.subplots(1, 2)
    assert list(xai.plot.compare(maps(VALUES), PICTURES, axes=given)[0]) == list(given)


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.compare({}, PICTURES), "`attributions` must hold at least one attribution"),
        (
            lambda: xai.plot.compare(3, PICTURES),
            "`attributions` must be an attribution, a sequence of them or a mapping from titles to",
        ),
        (
            lambda: xai.plot.compare([maps(VALUES), maps(VALUES[:2])], PICTURES),
            "`attributions` must be of the same images",
        ),
        (lambda: xai.plot.compare(maps(VALUES), PICTURES, examples=[]), "`examples` must hold at least one example"),
        (
            lambda: xai.plot.compare(maps(VALUES), PICTURES, axes=plt.subplots(1, 3)[1]),
            "`axes` must be 1 x 2 matplotlib axes",
        ),
        (lambda: xai.plot.compare(maps(VALUES), PICTURES, labels=["a"]), "`labels` must be 3, one for each image"),
        (lambda: xai.plot.image_grid(maps(VALUES), PICTURES, examples=[3]), "`examples` must be between -3 and 2"),
        (
            lambda: xai.plot.image_grid(maps(VALUES), PICTURES, probabilities=[2.0, 0, 0]),
            "`probabilities` must be between 0 and 1",
        ),
        (
            lambda: xai.plot.image_grid(maps(VALUES), PICTURES, probabilities=np.ones((3, 2))),
            r"`probabilities` must be \[3\], one for each image, or \[3, K\] of all classes where the",
        ),
        (lambda: xai.plot.image_grid(maps(VALUES), titles=["a"]), "`titles` must be 3, one for each image drawn"),
        (lambda: xai.plot.image_grid(maps(VALUES), bar="left"), "bar.? must be one of"),
        (
            lambda: xai.plot.image(maps(VALUES - 0.5), signed=False),
            "`signed` must not be False where values are negative",
        ),
        (lambda: xai.plot.image(maps(VALUES), signed="yes"), "`signed` must be True, False or None"),
        (
            lambda: xai.plot.image_grid(maps(VALUES, [0, 1, 4]), PICTURES, output_names=NAMES),
            "`output_names` must name every output",
        ),
        (
            lambda: xai.plot.image_grid(maps(VALUES), PICTURES, labels=[0, 1, 9], output_names=NAMES),
            "`labels` must be between 0 and 3, as output_names are",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw()
