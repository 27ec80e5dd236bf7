"""The ranking of explainers: controls that look at no parameter are exposed, and the figures are written."""

import json

import pytest

from experiments import ranking

FEW = ["--explainers", "gradient", "size of", "--samples", "8", "--epochs", "2"]


def run(tmp_path, *arguments):
    ranking.main(["--out", str(tmp_path), *arguments])
    return json.loads((tmp_path / "numbers.json").read_text())


def test_a_control_of_the_table_is_exposed_by_random_parameters(tmp_path, capsys):
    numbers = run(tmp_path, *FEW, "--only", "table", "--rows", "6", "--metrics", "Gini", "random")
    exposed = numbers["table: ignore the parameters"]
    assert "size of the input (control)" in exposed
    assert "gradient" not in exposed
    assert numbers["table: random parameters: size of the input (control)"]["mean"] == pytest.approx(1)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        f"ranking_table_{figure}.png" for figure in ("explainers", "scores")
    ]  # two explainers have no rank correlation between metrics
    assert "that random parameters do not change: size of the input (control)" in capsys.readouterr().out


@pytest.mark.slow
def test_edges_and_random_numbers_are_exposed_on_pictures(tmp_path):
    numbers = run(tmp_path, "--quick", "--images", "4", "--samples", "32", "--only", "photographs")
    exposed = numbers["digits: ignore the parameters"]
    assert set(ranking.CONTROLS) <= set(exposed)
    assert "Grad-CAM" not in exposed
