"""The comparison of superpixels reports the measures of both packages. (Few small images suffice.)"""

import json

import numpy as np
import pytest

from experiments import superpixels
from experiments.superpixels import MEASURES, reference, squares


@pytest.mark.slow
def test_the_table_has_the_measures_of_both(tmp_path, capsys):
    superpixels.main(["--out", str(tmp_path), "--counts", "20", "--views", "1", "--side", "64"])
    numbers, printed = json.loads((tmp_path / "numbers.json").read_text()), capsys.readouterr().out
    images = squares(1, 64)
    truths = [reference(image) for image in images]
    for name, slic in (("xaijax", superpixels.ours), ("scikit-image", superpixels.theirs)):
        labels = slic(images, 20)
        for measure, of in MEASURES.items():
            expected = np.mean([of(*pair) for pair in zip(labels, truths, strict=True)])
            assert numbers["20 segments"][name][measure] == pytest.approx(expected, rel=1e-6)
            assert f"{expected:.3f}" in printed
        assert numbers["20 segments"][name]["segments"] == np.mean([len(np.unique(each)) for each in labels])
        assert 0 < numbers["seconds"][name]["later"] <= 1.5 * numbers["seconds"][name]["first call"]
    ratio = numbers["20 segments"]["xaijax"]["compactness"] / numbers["20 segments"]["scikit-image"]["compactness"]
    assert f"{ratio:.3f}" in printed
    assert (tmp_path / "superpixels.png").stat().st_size > 50_000
