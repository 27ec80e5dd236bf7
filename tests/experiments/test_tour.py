"""The tour, once, as a user runs it."""

import json
import os
import subprocess
import sys

import pytest

import xaijax as xai


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    out = tmp_path_factory.mktemp("tour")
    settings = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    finished = subprocess.run(
        [sys.executable, "-m", "experiments.tour", "--out", str(out)], capture_output=True, text=True, env=settings
    )
    assert finished.returncode == 0, finished.stderr
    return out, finished.stdout, json.loads((out / "numbers.json").read_text())


def test_the_models_are_good(tour):
    _, _, numbers = tour
    assert numbers["digits: test accuracy"] >= 0.95
    assert numbers["breast cancer: test accuracy"] >= 0.93
    assert numbers["diabetes: test R²"] >= 0.25
    assert numbers["docstrings: test accuracy"] >= 0.75


def test_the_maps_find_the_digits(tour):
    _, _, numbers = tour
    chance = numbers["digits: share of the box, chance of pointing into it"]
    assert chance == pytest.approx(256 / 1600)
    for name in ("CAM", "Grad-CAM", "Grad-CAM, an earlier layer"):
        assert numbers[f"digits: {name}, pointing game"] > 0.9
        assert numbers[f"digits: {name}, mass in the box"] > 3 * chance


def test_the_values_sum_to_what_they_explain(tour):
    _, _, numbers = tour
    assert numbers["breast cancer: SHAP, largest gap to efficiency"] < 1e-4
    assert numbers["diabetes: SHAP, largest gap to efficiency"] < 1e-2  # of outputs around 150
    assert numbers["founding game: Shapley values"] == pytest.approx([52 / 6, 73 / 6, 85 / 6], rel=1e-6)


def test_every_figure_is_announced_written_and_listed(tour):
    out, printed, _ = tour
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


def test_the_attributions_behind_the_figures_load(tour):
    out, _, _ = tour
    files = sorted(out.glob("*.npz"))
    assert len(files) == 10
    assert all(isinstance(xai.load(path), xai.Attribution) for path in files)
    assert xai.load(out / "digits_lime.npz").on_input().shape == (5, 40, 40)
