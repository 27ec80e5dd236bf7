"""The localisation table: mosaics, what counts as pointing, intervals, and one small run."""

import json

import numpy as np
import pytest
from flax import nnx

from experiments import pointing
from experiments._mosaics import make_mosaics, mass_within, mean_interval, points_into, wilson
from experiments._networks import DigitNet


def test_every_cell_of_a_mosaic_shows_its_member():
    images = np.arange(20.0)[:, None, None, None] * np.ones((20, 3, 3, 2))
    labels = np.arange(20) % 5
    mosaics = make_mosaics(images, labels, 5, np.random.default_rng(0))
    assert mosaics.images.shape == (5, 6, 6, 2)
    assert sorted(mosaics.members.ravel()) == list(range(20)), "each image once: none is left over"
    for mosaic, members, of_cells in zip(mosaics.images, mosaics.members, mosaics.labels, strict=True):
        assert len(set(of_cells)) == 4
        np.testing.assert_array_equal(of_cells, labels[members])
        for cell, member in zip(mosaics.cells(), members, strict=True):
            assert (mosaic[cell] == member).all()
    np.testing.assert_array_equal(np.argwhere(mosaics.cells()[1])[0], [0, 3])  # reading order: upper right


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="5 images give 1 mosaics of 4 classes, not 2"):
        make_mosaics(np.zeros((5, 2, 2, 1)), np.arange(5), 2, np.random.default_rng(0))


def test_a_map_points_where_all_its_strongest_places_are():
    left = np.zeros((4, 2, 2), bool)
    left[:, :, 0] = True
    heat = np.array([[[3, 1], [0, 2]], [[1, 3], [0, 2]], [[3, 3], [0, 0]], [[0, 0], [0, 0]]], float)
    assert points_into(heat, left).tolist() == [True, False, False, False]


def test_mass_is_the_share_of_what_is_positive():
    region = np.array([[[True, False], [True, False]]] * 2)
    heat = np.array([[[3, 1], [-5, -7]], [[0, 0], [-1, 0]]], float)
    assert mass_within(heat, region).tolist() == [0.75, 0.0]


def test_intervals_are_those_of_the_textbook():
    assert wilson(9, 10) == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-4)  # statsmodels, proportion_confint
    assert wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)
    assert mean_interval(np.array([0.0, 1.0])) == pytest.approx((0.5, 0.5 - 0.98, 0.5 + 0.98))


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
