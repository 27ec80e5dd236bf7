"""The localization table: mosaics, measures, intervals, and a small run."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from flax import nnx

from experiments import pointing
from experiments._activation_maps import CLASSLESS, GRADIENT
from experiments._networks import DigitNet
from experiments._pointing_game import HALVES, Interval, make_mosaics, mass_within, mean_interval, points_into, wilson
from experiments.pointing import COLORS, draw_intervals, draw_mosaic


def test_every_cell_of_a_mosaic_shows_its_member():
    images = np.arange(20.0)[:, None, None, None] * np.ones((20, 3, 3, 2))
    labels = np.arange(20) % 5
    mosaics = make_mosaics(images, labels, 5, np.random.default_rng(0))
    assert mosaics.images.shape == (5, 6, 6, 2)
    assert sorted(mosaics.members.ravel()) == list(range(20)), "every image is used exactly once"
    for mosaic, members, of_cells in zip(mosaics.images, mosaics.members, mosaics.labels, strict=True):
        assert len(set(of_cells)) == 4
        np.testing.assert_array_equal(of_cells, labels[members])
        for cell, member in zip(mosaics.cells(), members, strict=True):
            assert (mosaic[cell] == member).all()
    np.testing.assert_array_equal(np.argwhere(mosaics.cells()[1])[0], [0, 3])  # reading order: upper right


def test_halves_show_sure_images_side_by_side():
    images = np.arange(6.0)[:, None, None, None] * np.ones((6, 4, 2, 1))
    labels = np.array([0, 1, 0, 1, 0, 1])
    probabilities = np.where(np.arange(6) < 4, 0.9, 0.2)[:, None] * np.ones((6, 2))
    options = {"shape": HALVES, "probabilities": probabilities, "least": 0.5}
    mosaics = make_mosaics(images, labels, 2, np.random.default_rng(0), **options)
    assert sorted(mosaics.members.ravel()) == [0, 1, 2, 3], "the others are not sure"
    assert sorted(np.unique(mosaics.images)) == [0, 1, 2, 3]
    for mosaic, (left, right) in zip(mosaics.images, mosaics.members, strict=True):
        assert (mosaic[:, :2] == left).all()
        assert (mosaic[:, 2:] == right).all()
    np.testing.assert_array_equal(mosaics.cells(), [[[True, True, False, False]] * 4, [[False, False, True, True]] * 4])
    with pytest.raises(ValueError, match="3 mosaics of 2 classes, got 4 images, which suffice for 2"):
        make_mosaics(images, labels, 3, np.random.default_rng(0), **options)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="2 mosaics of 4 classes, got 5 images, which suffice for 1"):
        make_mosaics(np.zeros((5, 2, 2, 1)), np.arange(5), 2, np.random.default_rng(0))


def test_a_map_points_into_a_region_if_all_its_strongest_pixels_are_there():
    left = np.zeros((4, 2, 2), bool)
    left[:, :, 0] = True
    heat = np.array([[[3, 1], [0, 2]], [[1, 3], [0, 2]], [[3, 3], [0, 0]], [[0, 0], [0, 0]]], float)
    assert points_into(heat, left).tolist() == [True, False, False, False]


def test_mass_is_the_share_of_the_positive_part():
    region = np.array([[[True, False], [True, False]]] * 2)
    heat = np.array([[[3, 1], [-5, -7]], [[0, 0], [-1, 0]]], float)
    assert mass_within(heat, region).tolist() == [0.75, 0.0]


def test_intervals_are_those_of_the_textbook():
    assert wilson(9, 10) == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-4)  # statsmodels, proportion_confint
    assert wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)
    assert mean_interval(np.array([0.0, 1.0])) == pytest.approx((0.5, 0.5 - 0.98, 0.5 + 0.98))


@pytest.mark.slow
def test_a_map_without_the_class_points_into_one_cell_of_four(tmp_path, monkeypatch):
    net = DigitNet(nnx.Rngs(0))
    net.eval()
    monkeypatch.setattr(pointing, "train_digit_net", lambda *_, **__: net)
    monkeypatch.setattr(pointing, "LEAST_PROBABILITY", 0.0)
    pointing.main(["--out", str(tmp_path), "--images", "12", "--maps", "FEM", "Ablation-CAM"])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["FEM, last layer"]["grid pointing game"]["value"] == 0.25
    assert numbers["FEM, last layer"]["mass in its cell"]["value"] == pytest.approx(0.25)
    assert numbers["Ablation-CAM, blocks/2"]["maps"] == 12
    for name in ("pointing.png", "pointing_maps.png"):
        assert (tmp_path / name).stat().st_size > 20_000


def score(title, source, layer, share, example):
    interval = Interval(share, share - 0.1, share + 0.05)
    return pointing.Score(title, source, layer, 4, interval, interval, interval, 0.0, np.asarray(example, float))


def test_rows_are_maps_from_the_best_down_with_the_earlier_layer_below():
    scores = [
        score("worse", CLASSLESS, None, 0.3, np.eye(4)),
        score("better", GRADIENT, None, 0.9, np.eye(4)),
        score("better", GRADIENT, "blocks/2", 0.6, np.eye(4)),
    ]
    figure = draw_intervals(scores, 0.16, 0.25)
    assert figure.axes[0].get_title() == "strongest pixel in the digit's box"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["better", "worse"]
    for ax, chance in zip(figure.axes, (0.16, 0.25, 0.25), strict=True):
        ends = np.array([collection.get_segments()[0] for collection in ax.collections])
        np.testing.assert_allclose(ends[:, :, 0], [[0.8, 0.95], [0.5, 0.65], [0.2, 0.35]])
        assert ends[0, 0, 1] < ends[1, 0, 1] < ends[2, 0, 1] == 1
        assert {tuple(line.get_xdata()) for line in ax.lines} >= {(0.9,), (0.6,), (0.3,), (chance, chance)}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        GRADIENT,
        CLASSLESS,
        "last layer",
        "one layer earlier",
        "chance",
    ]
    plt.close(figure)


def test_the_mosaic_shows_every_map_as_a_share_of_its_largest_value():
    images = np.random.default_rng(0).random((4, 2, 2, 1))
    mosaics = make_mosaics(images, np.arange(4), 1, np.random.default_rng(0))
    scores = [score("a", GRADIENT, None, 0.5, 8 * np.eye(4)), score("b", CLASSLESS, None, 0.5, np.zeros((4, 4)))]
    figure = draw_mosaic(scores, mosaics, 1)
    image, a, b = figure.axes[:3]
    assert [ax.get_title() for ax in (image, a, b)] == [f"evidence for the {mosaics.labels[0, 1]}", "a", "b"]
    np.testing.assert_allclose(a.images[1].get_array(), np.eye(4))
    np.testing.assert_allclose(b.images[1].get_array(), np.zeros((4, 4)))
    assert a.images[1].get_clim() == b.images[1].get_clim() == (0, 1)
    assert (a.title.get_color(), b.title.get_color()) == (COLORS[GRADIENT], COLORS[CLASSLESS])
    for ax in (image, a, b):
        np.testing.assert_allclose(ax.images[0].get_array(), mosaics.images[0, ..., 0], rtol=1e-6)
        (frame,) = ax.patches
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((1.5, -0.5), 2, 2)  # the upper right cell
    assert [ax.get_label() for ax in figure.axes].count("<colorbar>") == 1
    assert "share of its largest value" in figure.get_suptitle()
    plt.close(figure)
