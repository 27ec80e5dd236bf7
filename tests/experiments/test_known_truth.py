"""The study of known truth: its measures on a linear model, and a small run."""

import json

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from experiments import known_truth, pointing
from experiments._networks import DigitNet
from experiments._pointing_game import make_mosaics
from experiments.known_truth import GRADIENTS, PATHS, Method, correlations, measure, sums_of_cells


def test_a_method_that_is_exact_for_linear_models_agrees_and_conserves():
    rng = np.random.default_rng(0)
    images, weights = rng.normal(size=(12, 6, 6, 1)).astype(np.float32), rng.normal(size=(6, 6, 4)).astype(np.float32)

    def model(x):
        sides = x.shape[1] // 6, x.shape[2] // 6
        return (x[..., None] * np.tile(weights, (*sides, 1))[None, :, :, None]).sum(axis=(1, 2, 3))

    mosaics = make_mosaics(images, np.arange(12) % 4, 2, rng)
    cells = [images[:, r : r + 2, c : c + 2, 0].sum(axis=(1, 2)) for r in (0, 2, 4) for c in (0, 2, 4)]
    np.testing.assert_allclose(sums_of_cells(images[..., 0]), np.stack(cells, axis=1), rtol=1e-4, atol=1e-5)
    top = np.asarray(model(images)).argmax(axis=1)
    shapley = sums_of_cells(images[..., 0] * np.moveaxis(weights, -1, 0)[top])
    exact = measure(Method("path", PATHS, xai.gradient.integrated_gradients), model, images, shapley, mosaics)
    assert exact.gap is not None
    assert exact.gap.value < 1e-5
    assert exact.agreement.value == pytest.approx(1, abs=1e-5)
    other = measure(Method("slope", GRADIENTS, xai.gradient.saliency), model, images, shapley, mosaics)
    assert other.gap is None
    assert other.agreement.value < 0.9
    figure = known_truth.draw([other, exact])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["path", "slope"]
    assert known_truth.tabulate([other, exact]).row_count == 2
    plt.close(figure)
    assert correlations(np.eye(3), np.ones((3, 3))).tolist() == [0, 0, 0]


@pytest.mark.slow
def test_a_small_run_has_a_row_for_each_method(tmp_path, monkeypatch):
    net = DigitNet(nnx.Rngs(0))
    net.eval()
    monkeypatch.setattr(known_truth, "train_digit_net", lambda *_, **__: net)
    monkeypatch.setattr(pointing, "LEAST_PROBABILITY", 0.0)
    titles = ["saliency", "integrated gradients", "DeepLIFT, rescale", "Grad-CAM"]
    known_truth.main(["--out", str(tmp_path), "--images", "8", "--methods", *titles])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert list(numbers) == ["test accuracy", *titles]
    assert set(titles) < {method.title for method in known_truth.methods(jax.random.key(0))}
    for title in ("integrated gradients", "DeepLIFT, rescale"):
        assert numbers[title]["gap"]["value"] < 0.01
    assert (tmp_path / "known_truth.png").stat().st_size > 20_000
