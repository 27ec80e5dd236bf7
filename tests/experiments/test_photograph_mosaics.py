"""Mosaics of photographs: crops, and a small run with a small network of random weights."""

import json

import numpy as np
import pytest
from flax import nnx

from experiments import photograph_mosaics
from experiments._digits import load_scenes
from experiments._efficientnet import BLOCKS, PHOTOGRAPHS, EfficientNetLite0, prepare, read_pictures
from experiments._networks import DigitNet


class Draws:
    """Draws the crop at the lower right of a picture that is a quarter larger, and mirrors every other one."""

    def __init__(self):
        self.number = 0

    def uniform(self, low, high):
        return high

    def integers(self, low, high):
        return high - 1

    def random(self):
        self.number += 1
        return self.number % 2


def test_crops_are_parts_of_their_photographs():
    crops, labels = photograph_mosaics.draw_crops(2, 32, 16, Draws())
    assert labels.tolist() == [label for label in PHOTOGRAPHS.values() for _ in range(2)]
    for (plain, mirrored), picture in zip(crops.reshape(-1, 2, 32, 16, 3), read_pictures().values(), strict=True):
        larger = prepare(picture, 40, 20)
        np.testing.assert_array_equal(plain, larger[8:, 4:])
        np.testing.assert_array_equal(mirrored, larger[8:, :3:-1])


@pytest.mark.slow
def test_a_map_without_the_class_points_into_one_cell_and_every_method_has_curves(tmp_path, monkeypatch):
    network, digit_net = EfficientNetLite0(nnx.Rngs(0), BLOCKS[:2]), DigitNet(nnx.Rngs(0))
    network.eval()
    digit_net.eval()
    scenes = load_scenes(train_copies=1, seed=0)[1]
    monkeypatch.setattr(photograph_mosaics, "SIDE", 48)
    monkeypatch.setattr(photograph_mosaics, "SIDES", {"halves": 48, "quadrants": 48})
    monkeypatch.setattr(photograph_mosaics, "LEAST_PROBABILITY", 0.0)
    monkeypatch.setattr(photograph_mosaics, "load_efficientnet", lambda: network)
    monkeypatch.setattr(photograph_mosaics, "trained_digit_net", lambda *_, **__: (digit_net, scenes, 0.1))
    methods = ["the image (control)", "SHAP"]
    photograph_mosaics.main(["--out", str(tmp_path), "--maps", "8", "--samples", "20", "--methods", *methods])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    for shape, cells in {"halves": 2, "quadrants": 4}.items():
        control = numbers[f"{shape}: the image (control)"]
        assert control["maps"] == 8
        assert control["grid pointing game"]["value"] <= 1 / cells  # less where two pixels are strongest
        assert control["mass in its cell"]["value"] == pytest.approx(1 / cells)
        assert 0 <= numbers[f"{shape}: SHAP"]["mass in its cell"]["value"] <= 1
        for name in (f"photograph_{shape}.png", f"photograph_{shape}_maps.png"):
            assert (tmp_path / name).stat().st_size > 15_000
    for subject in ("photographs", "digits"):
        for name in ("CAM", "Grad-CAM", "LIME", "SHAP", "random order"):
            deletion, insertion = (
                numbers[f"{subject}: {order}, area of {name}"] for order in ("deletion", "insertion")
            )
            assert 0 <= deletion["value"] <= 1
            assert 0 <= insertion["value"] <= 1
    assert (tmp_path / "photograph_curves.png").stat().st_size > 15_000
