"""A network learns to be predicted by its gradients, and stays as accurate."""

import json

import numpy as np
import pytest

from experiments import lower_infidelity


def test_the_interval_is_the_mean_over_the_images_and_students():
    mean, low, high = lower_infidelity.interval(np.array([0.1, 0.2, 0.3], np.float32))
    np.testing.assert_allclose(
        [mean, low, high], [0.2, 0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5], rtol=1e-3
    )


@pytest.mark.slow
def test_the_loss_lowers_the_infidelity_of_held_out_images_and_keeps_the_accuracy(tmp_path):
    lower_infidelity.main(["--out", str(tmp_path), "--seeds", "1", "--epochs", "12"])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    before, after = (numbers[title] for title in lower_infidelity.TITLES)
    assert after["share missed"][2] < 0.5 * before["share missed"][1], "the intervals are far apart"
    assert numbers["difference of the shares"][2] < 0
    assert after["accuracy"] > before["accuracy"] - 0.02 > 0.9
    assert (tmp_path / "lower_infidelity.png").stat().st_size > 10_000
