"""The tour, once, in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

import xaijax as xai


def test_the_tour(tmp_path):
    """Runs the tour in one test, so that it runs once with any number of test processes.

    Half of the training is enough for the asserted accuracy. Optimization level 1 compiles faster than the level of users,
    and trains faster than level 0, which the other tests use.
    """
    out = tmp_path / "tour"
    settings = {name: value for name, value in os.environ.items() if name != "NPROC"}
    settings["XLA_FLAGS"] = "--xla_backend_optimization_level=1"
    command = [sys.executable, "-m", "experiments.tour", "--out", str(out), "--epochs", "3"]
    finished = subprocess.run(command, capture_output=True, text=True, env=settings)
    assert finished.returncode == 0, finished.stderr
    numbers = json.loads((out / "numbers.json").read_text())
    the_models_are_good(numbers)
    the_maps_point_at_the_digits(numbers)
    the_values_sum_to_the_output(numbers)
    every_figure_is_announced_written_and_listed(out, finished.stdout)
    the_attributions_behind_the_figures_load(out)


def the_models_are_good(numbers):
    assert numbers["digits: test accuracy"] >= 0.95
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


def every_figure_is_announced_written_and_listed(out, printed):
    figures = sorted(path.name for path in out.glob("*.png"))
    assert figures == [
        "breast_cancer_bars.png",
        "breast_cancer_waterfall.png",
        "diabetes.png",
        "digits.png",
        "docstrings.png",
        "founding_game.png",
    ]
    for name in figures:
        assert f"wrote {out / name}" in printed
        assert f"  {name}" in printed.partition("Look in")[2]


def the_attributions_behind_the_figures_load(out):
    files = sorted(out.glob("*.npz"))
    assert len(files) == 10
    assert all(isinstance(xai.load(path), xai.Attribution) for path in files)
    assert xai.load(out / "digits_lime.npz").on_input().shape == (5, 40, 40)
