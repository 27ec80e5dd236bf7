"""The tour, once: in CI with small models in place of the large ones, before a release as it is."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from experiments import photographs, tour
from experiments._digits import Scenes, load_scenes
from experiments._efficientnet import BLOCKS, EfficientNetLite0
from experiments._networks import DigitNet

METHODS = ("CAM", "Grad-CAM", "LIME", "SHAP")
HALVES = ("cat", "espresso")
FIGURES = [
    "breast_cancer_bars.png",
    "breast_cancer_waterfall.png",
    "diabetes.png",
    "digits.png",
    "docstrings.png",
    "founding_game.png",
    "photographs.png",
]


def untrained(network):
    network.eval()
    return network


@pytest.fixture
def small(monkeypatch):
    """Puts small models in place of the large ones: two blocks with random weights, and an untrained digit network.

    Texts and patients, which the tests of the studies of newsgroups and housing explain in the same way, are left out.
    """

    def few_scenes(**options):
        training, test = load_scenes(**options | {"train_copies": 1})
        return training, Scenes(test.images[:40], test.labels[:40], test.corners[:40])

    network = untrained(EfficientNetLite0(nnx.Rngs(0), BLOCKS[:2]))
    monkeypatch.setattr(photographs, "load_efficientnet", lambda: network)
    monkeypatch.setattr(photographs, "SIDE", 48)
    monkeypatch.setattr(photographs, "SHOWN", ("cat",))
    monkeypatch.setattr(tour, "DIGITS", (3,))
    for part in ("explain_sentences", "explain_patients"):
        monkeypatch.setattr(tour, part, lambda *_: None)
    monkeypatch.setattr(tour, "load_scenes", few_scenes)
    monkeypatch.setattr(tour, "train_digit_net", lambda *_, **__: untrained(DigitNet(nnx.Rngs(0))))
    monkeypatch.setattr(tour, "LEAST_ACCURACY", 0.0)
    # The tour keeps compiled programs; these tests must not.
    monkeypatch.setattr(xai.scale, "compilation_cache", lambda folder: folder)


@pytest.mark.usefixtures("small")
def test_the_tour_explains_photographs_tumors_and_digits(tmp_path, capsys):
    out = tmp_path / "tour"
    tour.main(["--out", str(out)])
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["breast cancer: test accuracy"] >= 0.93
    assert numbers["breast cancer: SHAP, largest gap to efficiency"] < 1e-4
    assert numbers["founding game: Shapley values"] == pytest.approx([52 / 6, 73 / 6, 85 / 6], rel=1e-6)
    for method in METHODS:
        for half in HALVES:
            assert 0 <= numbers[f"photographs: {method}, mass of the {half} in its half"] <= 1
    figures = [name for name in FIGURES if name not in ("diabetes.png", "docstrings.png")]
    every_figure_is_announced_written_and_listed(out, figures, capsys.readouterr().out)
    the_attributions_behind_the_figures_load(out, count=12, pictures=3, side=48)


@pytest.mark.slow
def test_the_whole_tour(tmp_path):
    """Runs the tour in a process of its own, with the code that users run: that of tests runs these networks in minutes."""
    out = tmp_path / "tour"
    settings = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS")}
    command = [sys.executable, "-m", "experiments.tour", "--out", str(out)]
    finished = subprocess.run(command, capture_output=True, text=True, env=settings)
    assert finished.returncode == 0, finished.stderr
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["photographs: classes"][1:] == ["espresso", "moped", "palace", "daisy", "tiger cat", "espresso"]
    for method in METHODS:
        for half in HALVES:
            assert numbers[f"photographs: {method}, mass of the {half} in its half"] >= 0.8
    assert numbers["digits: test accuracy"] >= 0.95
    the_tables_and_texts_are_learned(numbers)
    the_maps_point_at_the_digits(numbers)
    the_values_sum_to_the_output(numbers)
    every_figure_is_announced_written_and_listed(out, FIGURES, finished.stdout)
    the_attributions_behind_the_figures_load(out, count=14, pictures=7, side=192)


def the_tables_and_texts_are_learned(numbers):
    assert numbers["breast cancer: test accuracy"] >= 0.93
    assert numbers["diabetes: test R²"] >= 0.25
    assert numbers["docstrings: test accuracy"] >= 0.75


def the_maps_point_at_the_digits(numbers):
    chance = numbers["digits: share of the box, chance of pointing into it"]
    assert chance == pytest.approx(256 / 1600)
    for name in ("CAM", "Grad-CAM", "Grad-CAM, an earlier layer"):
        assert numbers[f"digits: {name}, pointing game"] > 0.9
        assert numbers[f"digits: {name}, mass in the box"] > 3 * chance


def the_values_sum_to_the_output(numbers):
    assert numbers["breast cancer: SHAP, largest gap to efficiency"] < 1e-4
    assert numbers["diabetes: SHAP, largest gap to efficiency"] < 1e-2  # of outputs around 150
    assert numbers["founding game: Shapley values"] == pytest.approx([52 / 6, 73 / 6, 85 / 6], rel=1e-6)


def every_figure_is_announced_written_and_listed(out, figures, printed):
    assert sorted(path.name for path in out.glob("*.png")) == figures
    for name in figures:
        assert f"wrote {out / name}" in printed
        assert f"  {name}" in printed.partition("Look in")[2]


def the_attributions_behind_the_figures_load(out, count, pictures, side):
    files = sorted(out.glob("*.npz"))
    assert len(files) == count
    assert all(isinstance(xai.load(path), xai.Attribution) for path in files)
    assert xai.load(out / "digits_lime.npz").on_input().shape[1:] == (40, 40)
    photographs_shap = xai.load(out / "photographs_shap.npz")
    assert photographs_shap.on_input().shape == (pictures, side, side)
    gap = photographs_shap.values.sum(axis=1) - (photographs_shap.output - photographs_shap.base_value)
    np.testing.assert_allclose(gap, 0, atol=1e-3 * float(np.abs(photographs_shap.output).max()))
