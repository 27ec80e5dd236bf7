"""The two figures of how a map comes about: their steps are the library's numbers. (Untrained networks will do.)"""

import json

import pytest
from flax import nnx

from experiments import cam_figure, grad_cam_figure
from experiments._digits import load_scenes


@pytest.fixture
def untrained(monkeypatch):
    def of(network, **_):
        model = network(nnx.Rngs(0))
        model.eval()
        return model, load_scenes(train_copies=1, seed=0)[1], 0.1

    for module in (cam_figure, grad_cam_figure):
        monkeypatch.setattr(module, "trained", of)


@pytest.mark.usefixtures("untrained")
def test_the_mean_of_the_cam_and_the_bias_are_the_logit(tmp_path, capsys):
    cam_figure.main(["--out", str(tmp_path)])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["mean of the map"] + numbers["bias"] == pytest.approx(numbers["logit"], abs=1e-5)
    assert numbers["largest gap between the map by hand and xai.cam.cam"] < 1e-5
    assert f"{numbers['logit']:.4f}" in capsys.readouterr().out
    assert (tmp_path / "cam.png").stat().st_size > 50_000


@pytest.mark.usefixtures("untrained")
def test_grad_cam_by_hand_is_that_of_the_library_where_cam_does_not_apply(tmp_path):
    grad_cam_figure.main(["--out", str(tmp_path)])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["xai.cam.cam refuses this network"]
    assert numbers["largest value of the map"] > 0
    assert numbers["largest gap between the map by hand and xai.cam.grad_cam"] < 1e-6
    assert (tmp_path / "grad_cam.png").stat().st_size > 50_000
