"""docs/guides/own: a new map, estimator, masker, metric, rule or adapter is one short file that runs on its own.

Each file is run as a reader would, and its results are compared with numbers that are calculated by hand.
"""

import functools
import re
import runpy
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from xaijax import _model

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "guides" / "own"
FILES = sorted(FOLDER.glob("*.py"))


@functools.cache
def run(name):
    """Runs a file, and returns its names as attributes."""
    return types.SimpleNamespace(**runpy.run_path(str(FOLDER / f"{name}.py")))


def test_a_map_has_all_options_of_its_siblings():
    own = run("map")
    np.testing.assert_allclose(own.attribution.values[0], [[1, 3], [5, 7]], rtol=1e-6)  # channel 1 times 1, the maximum
    np.testing.assert_allclose(own.compared["max_cam"].values, own.attribution.values)
    np.testing.assert_allclose(own.compared["grad_cam"].values, own.attribution.values / 4, rtol=1e-6)  # the mean
    activations = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    weights = jnp.arange(5.0) - 2
    model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)) @ weights[:, None])
    every = own.max_cam(model, activations, target="all", relu=False, normalize=False)
    np.testing.assert_allclose(every.values[..., 0], np.asarray(activations) @ np.asarray(weights), rtol=1e-5)
    assert (every.axes, every.method) == ("N h w K", "Max-CAM")


def test_an_estimator_explains_games_and_models():
    own = run("estimator")
    np.testing.assert_allclose(own.by_hand.values, [3, 3, 1], atol=1e-6)
    assert own.by_hand.player_names() == ["a", "b", "c"]
    np.testing.assert_allclose(own.of_model.values[0], [[6, 0], [6, 0], [0, 4]], atol=1e-6)
    x = models.rows(4)
    games = xai.game(models.table_net(), x, xai.mask.baseline(jnp.zeros(x.shape[1])), target="all")
    every = own.leave_one_out(games)
    assert every.axes == "N M K"
    np.testing.assert_allclose(own.leave_one_out(games, batch_size=3).values, every.values, atol=1e-6)


def test_a_masker_serves_every_estimator():
    own = run("masker")
    np.testing.assert_allclose(own.attribution.values, [[-4, 0, 400]], atol=1e-4)
    np.testing.assert_array_equal(own.attribution.inputs, own.x)
    sampled = xai.shap.permutation(
        xai.game(own.model, own.x, own.Mirrored()), num_permutations=2, key=jax.random.key(0)
    )
    np.testing.assert_allclose(sampled.values, [[-4, 0, 400]], atol=1e-4)  # of a linear model all orders agree
    with pytest.raises(ValueError, match=r"`x` must be rows \[N, D\], got shape \[1, 3, 1\]"):
        xai.game(lambda x: x[:, 0, 0], own.x[..., None], own.Mirrored())


def test_a_metric_is_compared_for_each_explainer():
    """Of 3 x + 2 y + z the gradient names x always, which is 0 in the second row; x = (0, 1, 2) has 2 + 2 of 4."""
    own = run("metric")
    means = {record["explainer"]: record["mean"] for record in own.comparison.table()}
    assert means == pytest.approx({"saliency": (3 / 6 + 0 / 4) / 2, "input_x_gradient": (3 / 6 + 2 / 4) / 2})
    assert {record["metric"] for record in own.comparison.table()} == {"top_drop"}


def test_a_rule_shares_by_sizes():
    own = run("rule")
    np.testing.assert_allclose(own.attribution.values, [[4, 2]], rtol=1e-5)
    np.testing.assert_allclose(own.attribution.completeness_gap, 0, atol=1e-5)


def test_an_adapter_has_parameters_and_layers():
    """Of tanh(0.5, 1.5) @ (1, 3), by NumPy."""
    own = run("adapter")
    hidden = np.tanh([0.5, 1.5])
    slopes = (1 - hidden**2) * [1, 3]
    np.testing.assert_allclose(own.gradient.values, [[slopes[0] - slopes[1], 2 * slopes[1]]], rtol=1e-5)
    np.testing.assert_allclose(own.hidden.values, [hidden * [1, 3]], rtol=1e-5)
    assert [layer.path for layer in own.names] == ["hidden 0"]
    assert own.model.parameter_names() == ("0/0", "0/1", "1/0", "1/1")


def test_an_adapter_of_the_library_recognizes_its_objects(monkeypatch):
    layers = run("adapter").Layers

    def adapt(model, arguments, options):
        return layers(model) if isinstance(model, list) else None

    monkeypatch.setitem(sys.modules, "xaijax._model._lists", types.SimpleNamespace(adapt=adapt))
    monkeypatch.setattr(_model, "_ADAPTERS", [*_model._ADAPTERS, ("jax", "_lists")])
    parameters = [(jnp.array([[1.0], [2.0]]), jnp.zeros(1))]
    attribution = xai.shap.values(parameters, jnp.ones((1, 2)), xai.mask.baseline(jnp.zeros(2)))
    np.testing.assert_allclose(attribution.values, [[1, 2]], atol=1e-6)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_is_short_states_its_contract_and_is_on_the_page(path):
    text = path.read_text()
    assert len(text.splitlines()) < 60
    assert "\nThe contract: " in text
    assert f"```{{literalinclude}} own/{path.name}\n" in (FOLDER.parent / "own.md").read_text()
    (stated,) = re.findall(rf"`{path.name}` \| (\d+) \|", (ROOT / "CONTRIBUTING.md").read_text())
    assert int(stated) == len(text.splitlines())
