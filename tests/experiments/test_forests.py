"""The study of forests and a network: shares, agreement, and the errors of sampled values."""

import json

import numpy as np
import pytest

import xaijax as xai
from experiments import forests


def test_models_that_agree_have_correlation_one_and_shares_sum_to_one():
    values = np.array([[1.0, -2.0, 0.5], [0.5, 3.0, -0.1]], np.float32)
    own = xai.Attribution(values, values.sum(axis=1), names=("a", "b", "c"))
    other = xai.Attribution(-values[:, ::-1], values.sum(axis=1), names=("a", "b", "c"))
    result = forests.agreement({"one": own, "same": own, "other": other})
    assert result["share of mean |value|"]["one"] == pytest.approx({"a": 1.5 / 7.1, "b": 5 / 7.1, "c": 0.6 / 7.1})
    same, opposite = result["agreement"]["one and same"], result["agreement"]["one and other"]
    assert list(same.values()) == pytest.approx([1, 1, 1])
    assert opposite["rank correlation of the features"] == pytest.approx(0.5)
    assert opposite["same most important feature, share of rows"] == 1


@pytest.mark.slow
def test_the_study_runs_small_and_errors_fall_with_the_evaluations(tmp_path, capsys):
    few = [
        "--trees",
        "5",
        "--epochs",
        "2",
        "--rows",
        "6",
        "--background",
        "5",
        "--sampled",
        "3",
        "--budgets",
        "5",
        "40",
    ]
    forests.main(["--out", str(tmp_path), *few])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["estimators"]["random forest"] == numbers["estimators"]["booster"] == "tables of the trees"
    assert numbers["largest gap to efficiency"] < 1e-3  # of outputs around 150
    for by_budget in numbers["relative squared error, by evaluations per feature"].values():
        assert by_budget["40"] < by_budget["5"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["forests_errors.png", "forests_features.png"]
    assert "default: 5: " in capsys.readouterr().out
