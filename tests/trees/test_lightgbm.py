"""Forests of LightGBM, from objects, text and JSON: margins are those of the library."""

import jax
import numpy as np
import pandas as pd
import pytest

import xaijax as xai
from tests.trees.rows import around, assert_outputs, table

lgb = pytest.importorskip("lightgbm")

X, Y = table()
CLASSES = np.digitize(Y, [-1, 1])
SMALL = {
    "num_leaves": 8, "verbose": -1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1, "cat_l2": 1, "num_threads": 1,
    "seed": 0,
}  # fmt: skip
# name -> (options, targets)
CASES = {
    "NaN is missing": ({}, Y),
    "zero is missing": ({"zero_as_missing": True}, Y + 9 * np.isnan(X[:, 0])),
    "NaN is zero": ({"use_missing": False}, Y),
    "classes": ({"objective": "multiclass", "num_class": 3}, CLASSES),
    "dart": ({"boosting": "dart", "drop_rate": 0.5, "objective": "binary"}, Y > 0),
    "random forest": ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, Y),
    "a single leaf": ({"min_data_in_leaf": 1000}, Y),
}
ZEROS = [0, -0.0, 1e-36, -1e-36, 1e-35, 1.1e-35]


def train(options, y):
    return lgb.train(SMALL | options, lgb.Dataset(X, y, categorical_feature=[2]), 4)


@pytest.mark.parametrize("name", CASES)
def test_margins_are_those_of_the_library(name):
    booster = train(*CASES[name])
    forest = xai.trees.read(booster)
    x = X.copy()
    x[:6, 2] = [-1, 7, 1.5, 1e9, -0.5, 0.5]
    x[10:100, 0] = x[100:190, 1] = np.resize(ZEROS, 90)
    x[190:200, 1] = np.nan
    if forest.nodes.depth:
        assert len(forest.nodes.category_words)
        x = np.concatenate([x, around(forest.nodes, x)])
    raw = name != "random forest"  # raw scores of random forests are sums, and predictions are means
    assert_outputs(forest, lambda x: booster.predict(x, raw_score=raw), x)


def test_float64_inputs_that_float32_would_round_across_a_threshold():
    """Thresholds are between float32 numbers. A row of float64 is compared on the host."""
    x = np.array([[1.0], [1.0 + 1e-12]]).repeat(10, axis=0)
    booster = lgb.train(SMALL | {"min_data_in_bin": 1}, lgb.Dataset(x, x[:, 0] > 1), 1)
    forest = xai.trees.read(booster)
    own = booster.predict(x, raw_score=True)
    assert own[0] != own[-1]
    np.testing.assert_allclose(forest(x), own, rtol=1e-6)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(forest)(x), own, rtol=1e-6)


def test_dumps_are_read_as_the_object(tmp_path):
    booster = train({"zero_as_missing": True}, Y)
    forest = xai.trees.read(booster)
    booster.save_model(tmp_path / "model.txt")
    text = booster.model_to_string()
    for dump in [text, text.encode(), tmp_path / "model.txt", str(tmp_path / "model.txt"), booster.dump_model()]:
        read = xai.trees.read(dump)
        assert read.static == forest.static
        np.testing.assert_array_equal(read.value, forest.value)


@pytest.mark.filterwarnings("ignore:The argument 'eval_set'")
def test_estimators_have_the_iterations_and_names_of_their_predict():
    frame = pd.DataFrame({"a": X[:, 0], "c": pd.Categorical.from_codes(X[:, 1].astype(int) + 2, list("vwxyz"))})
    model = lgb.LGBMClassifier(n_estimators=30, **SMALL)
    frame.loc[250:, "c"] = np.nan
    later = frame[200:], np.array(list("np"))[(Y[200:] > 0).astype(int)]
    model.fit(
        frame[:200],
        np.array(list("np"))[(Y[:200] > 0).astype(int)],
        eval_set=[later],
        callbacks=[lgb.early_stopping(2, verbose=False)],
    )
    forest = xai.trees.read(model)
    assert forest.nodes.num_trees == model.best_iteration_ < 30
    assert forest.output_names == ("p",)
    assert forest.columns.levels == (None, tuple("vwxyz"))
    np.testing.assert_allclose(forest(frame[["c", "a"]]), model.predict(frame, raw_score=True), rtol=1e-6, atol=1e-6)


def test_dumps_that_are_not_read_are_named():
    text = train({}, Y).model_to_string()
    linear = lgb.train(SMALL | {"linear_tree": True}, lgb.Dataset(np.nan_to_num(X), Y), 1)
    for model in (linear, linear.dump_model()):
        with pytest.raises(
            TypeError, match="`model` must have constant leaves, got a forest of LightGBM with linear_tree"
        ):
            xai.trees.read(model)
    for damage, message in [
        (text[: len(text) // 3], r"undamaged text of LightGBM, .*\(it ends before the last tree does\)"),
        (
            text.replace("threshold=", "threshold=1 ", 1),
            r"undamaged text of LightGBM, .*\(\d+ numbers threshold for \d+ nodes\)",
        ),
        (
            text.replace("max_feature_idx=3", "max_feature_idx=1"),
            "undamaged text of LightGBM, .*a split of feature 3 of 2",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            xai.trees.read(damage)
    with pytest.raises(ValueError, match="`model` must be fitted, got a LGBMRegressor that is not"):
        xai.trees.read(lgb.LGBMRegressor())
