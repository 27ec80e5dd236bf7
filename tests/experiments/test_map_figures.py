"""The figures of how maps are computed: their steps give the library's numbers. (Untrained networks suffice.)"""

import json

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from experiments import cam_figure, grad_cam_figure
from experiments._digits import load_scenes


@pytest.fixture
def untrained(monkeypatch):
    def of(network, **_):
        model = network(nnx.Rngs(0))
        model.eval()
        return model, load_scenes(train_copies=1, seed=0)[1], 0.1

    for module in (cam_figure, grad_cam_figure):
        monkeypatch.setattr(module, "trained_digit_net", of)


@pytest.mark.slow
@pytest.mark.usefixtures("untrained")
def test_the_mean_of_the_cam_and_the_bias_are_the_logit(tmp_path, capsys):
    cam_figure.main(["--out", str(tmp_path)])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["mean of the map"] + numbers["bias"] == pytest.approx(numbers["logit"], abs=1e-5)
    assert numbers["largest gap between the map by hand and xai.cam.cam"] < 1e-5
    assert f"{numbers['logit']:.4f}" in capsys.readouterr().out
    assert (tmp_path / "cam.png").stat().st_size > 50_000


@pytest.mark.slow
@pytest.mark.usefixtures("untrained")
def test_grad_cam_step_by_step_is_that_of_the_library_where_cam_does_not_apply(tmp_path):
    grad_cam_figure.main(["--out", str(tmp_path)])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["xai.cam.cam refuses this network"]
    assert numbers["largest value of the map"] > 0
    assert numbers["largest gap between the map by hand and xai.cam.grad_cam"] < 1e-6
    assert (tmp_path / "grad_cam.png").stat().st_size > 50_000


def maps_in(axes):
    return [np.asarray(ax.images[0].get_array()) for ax in axes if ax.images]


def test_the_channels_of_cam_share_a_scale_and_add_up_to_the_map():
    rng = np.random.default_rng(0)
    channels, weights, image = rng.random((4, 4, 8)), rng.normal(size=8), rng.random((8, 8, 1))
    class_map = np.tensordot(channels, weights, 1)
    output = jnp.array([class_map.mean() + 0.5])
    attribution = xai.Attribution(jnp.asarray(class_map)[None], output, target=jnp.array([3]))
    figure = cam_figure.draw(attribution, image, channels, weights, 0.5)
    above, below = figure.subfigs
    panels = above.axes[:13]
    order = np.argsort(-np.abs(weights * channels.mean(axis=(0, 1))))
    *shown, others, total = maps_in(panels)
    np.testing.assert_allclose(shown, np.moveaxis(channels[..., order[:5]], -1, 0), rtol=1e-6)
    np.testing.assert_allclose(np.tensordot(weights[order[:5]], shown, 1) + others, total, atol=1e-5)
    np.testing.assert_allclose(total, class_map, atol=1e-6)
    assert len({ax.images[0].get_clim() for ax in panels[:10:2]}) == 1
    most = max(np.abs(others).max(), np.abs(total).max())
    assert panels[10].images[0].get_clim() == panels[12].images[0].get_clim() == pytest.approx((-most, most))
    assert [ax.texts[0].get_text() for ax in panels[1::2]] == [*"+++++="]
    bars = [ax.get_xlabel() for ax in above.axes[13:]]
    assert bars == ["$f_k$: one scale for all maps", "evidence: one scale for all maps"]
    assert len(below.axes) == 4  # the image, the overlay with its bar, the waterfall
    plt.close(figure)


def test_each_row_of_grad_cam_has_one_scale_which_is_signed_for_gradients():
    rng = np.random.default_rng(0)
    steps = grad_cam_figure.Steps(rng.random((4, 4, 8)), rng.random((4, 4, 8)))  # gradients above 0
    heat = jnp.asarray(np.maximum(steps.total, 0))[None]
    figure = grad_cam_figure.draw(xai.Attribution(heat, jnp.ones(1)), rng.random((8, 8, 1)), steps, 5)
    above, below = figure.subfigs
    shown = np.argsort(-np.abs(steps.weighted).sum(axis=(0, 1)))[:5]
    for row, values in enumerate((steps.activations, steps.gradients, steps.weighted)):
        panels = above.axes[5 * row : 5 * row + 5]
        np.testing.assert_allclose(maps_in(panels), np.moveaxis(values[..., shown], -1, 0), rtol=1e-6)
        most = values[..., shown].max()
        expected = (0 if row == 0 else -most, most)
        assert all(ax.images[0].get_clim() == pytest.approx(expected) for ax in panels)
    assert [panel.get_xlabel() for panel in above.axes[5:10]] == [
        f"mean = $\\alpha_{{{channel}}}$ = {steps.weights[channel]:+.4f}" for channel in shown
    ]
    total, positive = (ax for ax in below.axes if ax.get_title().startswith(("sum", "ReLU")))
    np.testing.assert_allclose(total.images[0].get_array(), steps.total, rtol=1e-6)
    assert total.images[0].get_clim()[0] == -total.images[0].get_clim()[1]
    np.testing.assert_allclose(positive.images[0].get_array(), np.maximum(steps.total, 0), rtol=1e-6)
    plt.close(figure)
