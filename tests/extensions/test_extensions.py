"""A new map, estimator, masker, metric or adapter is one short file: the five examples of CONTRIBUTING.md."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.extensions import haiku_adapter
from tests.extensions.leave_one_out import leave_one_out
from tests.extensions.maximum_map import maximum_map
from tests.extensions.mirrored_masker import Mirrored
from tests.extensions.sparseness import gini
from xaijax import _model

FOLDER = Path(__file__).parent
CONTRIBUTING = FOLDER.parent.parent / "CONTRIBUTING.md"


def test_a_map_has_all_options_of_its_siblings():
    activations = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    weights = jnp.arange(5.0) - 2
    model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)) @ weights[:, None])
    attribution = maximum_map(model, activations, target="all", relu=False, normalize=False)
    np.testing.assert_allclose(attribution.values[..., 0], activations @ weights, rtol=1e-5)
    assert (attribution.axes, attribution.method) == ("N h w K", "Max-CAM")
    alone = xai.cam.several(model, activations, [maximum_map, xai.cam.grad_cam], target=0)["maximum_map"]
    np.testing.assert_allclose(alone.values, jax.nn.relu(activations @ weights), rtol=1e-5)


def test_an_estimator_explains_games_and_models():
    game = xai.Game(lambda z: 3.0 * z[:, 0] * z[:, 1] + z[:, 2], num_players=3, names=["a", "b", "c"])
    attribution = leave_one_out(game)
    np.testing.assert_allclose(attribution.values, [3, 3, 1], atol=1e-6)
    assert attribution.player_names() == ["a", "b", "c"]
    x = models.rows(4)
    games = xai.game(models.table_net(), x, xai.mask.baseline(jnp.zeros(x.shape[1])), target="all")
    every = leave_one_out(games)
    assert every.axes == "N M K"
    np.testing.assert_allclose(leave_one_out(games, batch_size=3).values, every.values, atol=1e-6)


def test_a_masker_serves_every_estimator():
    x = jnp.array([[1.0, 2.0, 5.0]])
    weights = jnp.array([1.0, 10.0, 100.0])
    attribution = xai.shap.values(lambda x: x @ weights, x, Mirrored())
    np.testing.assert_allclose(attribution.values, weights * (x - x[:, ::-1]), atol=1e-4)
    np.testing.assert_array_equal(attribution.inputs, x)


def test_a_metric_reads_any_attribution():
    values = jnp.array([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0]])
    np.testing.assert_allclose(gini(xai.Attribution(values, jnp.zeros(2))), [0, 0.75], atol=1e-6)


def test_an_adapter_is_recognized(monkeypatch):
    monkeypatch.setitem(sys.modules, "xaijax._model._haiku", haiku_adapter)
    monkeypatch.setattr(_model, "_ADAPTERS", [*_model._ADAPTERS, ("tests.extensions.haiku_adapter", "_haiku")])
    transformed = haiku_adapter.Transformed(None, lambda parameters, x: x @ parameters["w"])
    parameters = {"w": jnp.array([[1.0], [2.0]])}
    attribution = xai.shap.values((transformed, parameters), jnp.ones((1, 2)), xai.mask.baseline(jnp.zeros(2)))
    np.testing.assert_allclose(attribution.values, [[1, 2]], atol=1e-6)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("[!_t]*.py")), ids=lambda path: path.stem)
def test_contributing_states_the_real_number_of_lines(path):
    (stated,) = re.findall(rf"{re.escape(path.name)}\D*\| (\d+) \|", CONTRIBUTING.read_text())
    assert int(stated) == len(path.read_text().splitlines())
