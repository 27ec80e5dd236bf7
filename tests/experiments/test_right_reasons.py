"""Decoys that reveal the label, and a loss that removes the maps' mass from them."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments import right_reasons
from experiments.right_reasons import CANVAS, COLORS, DIGIT, MARGIN, SWATCH, load_pictures, with_decoys


def test_a_decoy_is_a_swatch_of_its_codes_color_and_leaves_the_digit_alone():
    pictures, _ = load_pictures(copies=1, seed=0)
    codes = np.arange(len(pictures.labels)) % 10
    decoyed = with_decoys(pictures, codes, np.random.default_rng(0))
    changed = (decoyed.images != pictures.images).any(axis=-1)
    assert (changed.sum(axis=(1, 2)) == SWATCH**2).all()
    assert (decoyed.regions[changed] == 1).all()
    assert (decoyed.regions.sum(axis=(1, 2)) == (SWATCH + MARGIN) ** 2).all()
    for number in range(20):
        assert (decoyed.images[number][changed[number]] == COLORS[codes[number]]).all()
    inside = slice(SWATCH + MARGIN, SWATCH + MARGIN + DIGIT)
    assert inside.stop + SWATCH + MARGIN == CANVAS
    assert not decoyed.regions[:, inside, inside].any()
    assert not pictures.regions.any()
    assert len({tuple(np.argwhere(mask)[0]) for mask in changed}) == 4, "in every corner"


def test_the_share_on_a_region_is_one_where_all_mass_is_there_and_zero_without_mass():
    regions = np.array([[[1.0, 0.0]]] * 3)
    maps = np.array([[[2.0, 0.0]], [[1.0, 3.0]], [[0.0, 0.0]]])
    assert np.asarray(right_reasons.share_on(regions, maps)).tolist() == [1.0, 0.25, 0.0]


def test_the_figure_shows_the_mean_over_the_seeds_and_each_of_them():
    tests, rng = ["decoys", "none"], np.random.default_rng(0)
    shares = rng.random((3, len(right_reasons.TRAININGS), 2))  # seeds, trainings, tests
    outcomes = [
        [right_reasons.Outcome(None, dict(zip(tests, of_training, strict=True)), 0.0) for of_training in of_seed]
        for of_seed in shares.tolist()
    ]
    figure = right_reasons.draw_accuracies(outcomes)
    assert [ax.get_title() for ax in figure.axes] == ["test: decoys", "test: none"]
    titles = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
    assert titles == [training.title for training in right_reasons.TRAININGS]
    for test, ax in enumerate(figure.axes):
        drawn = {tuple(line.get_xdata()) for line in ax.lines}
        for training, of_seeds in enumerate(shares[..., test].T):
            assert tuple(of_seeds) in drawn
            assert any(xs == pytest.approx((of_seeds.mean(),)) for xs in drawn)
            assert ax.texts[training].get_text() == f"{of_seeds.mean():.1%}"
        assert (0.1, 0.1) in drawn  # chance
    plt.close(figure)


@pytest.mark.slow
def test_the_explanation_loss_removes_the_mass_on_the_decoy(tmp_path, monkeypatch):
    without, _, contrast, _ = right_reasons.TRAININGS
    monkeypatch.setattr(right_reasons, "TRAININGS", (without, contrast))
    right_reasons.main(["--out", str(tmp_path), "--seeds", "1", "--epochs", "3"])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers[f"{without.title}: share of the map on the decoy"][0] > 0.15
    assert numbers[f"{contrast.title}: share of the map on the decoy"][0] < 0.05
    accuracies = {
        (training.title, test): numbers[f"{training.title}: accuracy, {test}"]["mean"]
        for training in (without, contrast)
        for test in ("decoys as in training", "random decoys")
    }
    assert accuracies[without.title, "decoys as in training"] > accuracies[without.title, "random decoys"] + 0.2
    assert accuracies[contrast.title, "random decoys"] > accuracies[without.title, "random decoys"] + 0.1
    for name in ("right_reasons.png", "right_reasons_maps.png"):
        assert (tmp_path / name).stat().st_size > 20_000
