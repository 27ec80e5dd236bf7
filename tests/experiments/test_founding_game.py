"""The founding example, as it is printed."""

import re

import numpy as np

from experiments import founding_game


def test_the_six_orders_and_their_mean(capsys, tmp_path):
    assert founding_game.contributions() == {
        "ABC": [4, 6, 25],
        "ACB": [4, 19, 12],
        "BAC": [3, 7, 25],
        "BCA": [15, 7, 13],
        "CAB": [11, 19, 5],
        "CBA": [15, 15, 5],
    }
    founding_game.main(["--out", str(tmp_path)])
    printed = capsys.readouterr().out
    (row,) = re.findall(r"Shapley +(\S+) +(\S+) +(\S+)", printed)
    np.testing.assert_allclose([float(value) for value in row], [52 / 6, 73 / 6, 85 / 6], atol=5e-4)
    assert (tmp_path / "founding_game.png").stat().st_size > 5000
