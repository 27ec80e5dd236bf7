"""Photographs: in a picture of two objects, the explanation of each class lies in its own half."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import xaijax as xai
from experiments._efficientnet import load_efficientnet, read_pictures
from experiments._pointing_game import mass_within
from experiments.photographs import PAIR, SIDE, halves, mosaic

METHODS = ("CAM", "Grad-CAM", "LIME", "SHAP")


def test_the_pair_is_two_pictures_side_by_side_and_its_halves_are_disjoint():
    picture = mosaic(read_pictures())
    assert picture.shape == (SIDE, SIDE, 3)
    assert halves().sum(axis=0).tolist() == np.ones((SIDE, SIDE)).tolist()
    assert halves()[0, 0].tolist() == [column < SIDE // 2 for column in range(SIDE)]


def test_cam_of_each_class_lies_in_its_own_half():
    x = np.stack([mosaic(read_pictures())] * len(PAIR))
    cam = xai.cam.cam(load_efficientnet(), x, target=np.array(list(PAIR.values())), head="head", upsample=True)
    assert (mass_within(np.asarray(cam.values), halves()) > 0.8).all()


@pytest.mark.slow
def test_the_maps_of_all_methods_lie_in_the_right_half(tmp_path):
    """Runs the study in a process of its own: programs that compile as fast as those of the tests run it in minutes."""
    settings = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS")}
    command = [sys.executable, "-m", "experiments.photographs", "--out", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, env=settings)
    assert finished.returncode == 0, finished.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    for method in METHODS:
        for half in PAIR:
            assert numbers[f"photographs: {method}, mass of the {half} in its half"] >= 0.8
    assert numbers["photographs: classes"][1:] == ["espresso", "moped", "palace", "daisy", "tiger cat", "espresso"]
    assert (tmp_path / "photographs.png").stat().st_size > 100_000
    assert len(list(tmp_path.glob("*.npz"))) == len(METHODS)
