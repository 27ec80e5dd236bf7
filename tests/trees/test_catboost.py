"""Forests of CatBoost: margins are those that the library gave when `record_catboost.py` wrote its models down."""

import json

import numpy as np
import pytest

import xaijax as xai
from tests.trees.record_catboost import CATEGORIES, DATA, X, dump, models
from tests.trees.rows import assert_outputs

NAMES = sorted(path.stem for path in DATA.glob("catboost_*.json") if path.stem != CATEGORIES)


def record(name):
    return json.loads((DATA / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_margins_are_those_of_the_library(name):
    recorded = record(name)
    forest, x = xai.trees.read(recorded["model"]), np.array(recorded["x"])
    assert_outputs(forest, lambda x: recorded["raw"], x)
    assert np.isnan(x).any()
    inner = forest.nodes.left >= 0
    assert (forest.nodes.cover[inner] >= forest.nodes.cover[forest.nodes.left[inner]]).all()


@pytest.mark.parametrize("name", ["catboost_lowest", "catboost_classes"])
def test_path_dependent_values_are_those_of_the_library(name):
    """Also where no training row reaches a split of a symmetric tree."""
    recorded = record(name)
    forest = xai.trees.read(recorded["model"])
    assert (forest.nodes.cover[forest.nodes.left >= 0] == 0).any()
    result = xai.shap.trees(forest, np.array(recorded["x"]), target="all" if forest.num_outputs > 1 else 0)
    right = np.array(recorded["shap"])
    right = np.moveaxis(right, 1, 2) if forest.num_outputs > 1 else right
    np.testing.assert_allclose(result.values, right[:, :-1], atol=1e-6)
    np.testing.assert_allclose(result.base_value, right[:, -1], atol=1e-6)


def test_the_recorded_models_cover_each_form():
    assert len(NAMES) == 4
    assert {"oblivious_trees" in record(name)["model"] for name in NAMES} == {True, False}
    assert xai.trees.read(record("catboost_classes")["model"]).output_names == ("0", "1", "2")
    assert xai.trees.read(record("catboost_leaves")["model"]).output_names == ("True",)


def test_models_that_are_not_read_are_named():
    with pytest.raises(
        TypeError, match="`model` must have splits of numbers, got a forest of CatBoost with splits of the"
    ):
        xai.trees.read(record(CATEGORIES)["model"])
    content = record("catboost_lowest")["model"]
    content["oblivious_trees"][0]["leaf_values"].pop()
    with pytest.raises(ValueError, match="`model` must be an undamaged dump of CatBoost, got one that cannot be read"):
        xai.trees.read(content)


def test_objects_are_read_as_their_dumps():
    catboost = pytest.importorskip("catboost")
    for _, model in models():
        forest = xai.trees.read(model)
        assert forest.static == xai.trees.read(dump(model)).static
        own = model.predict(X, prediction_type="RawFormulaVal")
        np.testing.assert_allclose(forest(X), own, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="`model` must be fitted, got a CatBoostRegressor that is not"):
        xai.trees.read(catboost.CatBoostRegressor())
