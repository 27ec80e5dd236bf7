"""Forests of XGBoost, from objects and dumps: margins are those of the library."""

import json

import numpy as np
import pandas as pd
import pytest

import xaijax as xai
from tests.trees.rows import around, assert_outputs, table

xgb = pytest.importorskip("xgboost")

X, Y = table()
CLASSES = np.digitize(Y, [-1, 1])
SMALL = {"max_depth": 3, "max_cat_to_onehot": 3, "nthread": 1, "seed": 0}
TYPES = ["q", "q", "c", "q"]
# name -> (options, targets)
CASES = {
    "squared error": ({}, Y),
    "several trees for an iteration": ({"num_parallel_tree": 2, "subsample": 0.5, "objective": "reg:absoluteerror"}, Y),
    "two classes": ({"objective": "binary:logistic"}, Y > 0),
    "classes": ({"objective": "multi:softprob", "num_class": 3}, CLASSES),
    "counts": ({"objective": "count:poisson", "base_score": 0.3}, np.abs(Y)),
    "dart": ({"booster": "dart", "rate_drop": 0.5}, Y),
    "leaves that are vectors": ({"multi_strategy": "multi_output_tree"}, np.stack([Y, Y**2], axis=1)),
}


def train(options, y, categories, rounds=4):
    data = xgb.DMatrix(X, y, feature_types=TYPES if categories else None, enable_categorical=True, nthread=1)
    return xgb.train(SMALL | options, data, rounds)


@pytest.mark.parametrize("name", CASES)
def test_margins_are_those_of_the_library(name):
    options, y = CASES[name]
    categories = "vectors" not in name  # the library has no categories there
    booster = train(options, y, categories)
    forest = xai.trees.read(booster)
    assert bool(len(forest.nodes.category_words)) == categories
    x = np.concatenate([X[:100], around(forest.nodes, X), X[:6]])
    x[-6:, 2] = [-1, 7, 1.5, 1e9, -0.5, 0.5]

    def own(x):
        data = xgb.DMatrix(x, feature_types=TYPES if categories else None, enable_categorical=True, nthread=1)
        return booster.predict(data, output_margin=True)

    assert_outputs(forest, own, x)


@pytest.fixture(scope="module")
def booster():
    return train({}, Y, True)


def test_dumps_are_read_as_the_object(booster, tmp_path):
    forest = xai.trees.read(booster)
    text = bytes(booster.save_raw("json"))
    booster.save_model(tmp_path / "model.json")
    booster.save_model(tmp_path / "model.ubj")
    dumps = [text, text.decode(), json.loads(text), bytes(booster.save_raw("ubj"))]
    for dump in [*dumps, tmp_path / "model.json", str(tmp_path / "model.ubj")]:
        read = xai.trees.read(dump)
        assert read.static == forest.static
        np.testing.assert_array_equal(read.value, forest.value)


def test_the_weights_of_trees_are_read_where_each_version_writes_them():
    """Of the booster "dart", and since XGBoost 3.4 of its model; the margins above test the version that is installed."""
    options, y = CASES["dart"]
    booster = train(options, y, True)
    content = json.loads(bytes(booster.save_raw("json")))
    own = content["learner"]["gradient_booster"]
    model = dict(own["gbtree"]["model"] if own["name"] == "dart" else own["model"])
    weights = model.pop("weight_drop", own.get("weight_drop"))
    assert min(weights) < 1
    older = {"name": "dart", "gbtree": {"name": "gbtree", "model": model}, "weight_drop": weights}
    newer = {"name": "gbtree", "model": model | {"weight_drop": weights}}
    for written in (older, newer):
        read = xai.trees.read(content | {"learner": content["learner"] | {"gradient_booster": written}})
        np.testing.assert_allclose(
            read.value, xai.trees.read(booster).value, rtol=1e-7
        )  # the text has float32's digits


def test_estimators_have_the_iterations_and_missing_values_of_their_predict():
    x = np.nan_to_num(X)
    stopped = xgb.XGBClassifier(n_estimators=30, early_stopping_rounds=2, **SMALL)
    stopped.fit(x[:200], Y[:200] > 0, eval_set=[(x[200:], Y[200:] > 0)], verbose=False)
    forest = xai.trees.read(stopped)
    assert forest.nodes.num_trees == stopped.best_iteration + 1 < stopped.get_booster().num_boosted_rounds()
    assert forest.output_names == ("1",)
    np.testing.assert_allclose(forest(x), stopped.predict(x, output_margin=True), rtol=1e-6, atol=1e-6)
    zeros = xgb.XGBRegressor(n_estimators=3, missing=0, **SMALL).fit(x, Y)
    forest = xai.trees.read(zeros)
    assert_outputs(forest, zeros.predict, x)


def test_data_frames_are_read_by_name_and_level():
    names = np.array(list("gfedcba"))[np.nan_to_num(X[:, 2]).astype(int)]
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(int), "c": pd.Categorical(names)})
    frame.loc[4, "c"] = np.nan
    model = xgb.XGBRegressor(n_estimators=3, enable_categorical=True, **SMALL).fit(frame, Y)
    forest, own = xai.trees.read(model), model.predict(frame)
    assert forest.feature_names == ("a", "b", "c")
    np.testing.assert_allclose(forest(frame[["c", "a", "b"]]), own, rtol=1e-6, atol=1e-6)
    few = frame.dropna()[:40].copy()
    few["c"] = few["c"].astype(str)  # other levels than those of the model, in their own order
    np.testing.assert_allclose(forest(few), model.predict(frame.dropna()[:40]), rtol=1e-6, atol=1e-6)
    complete = frame.dropna()
    rows = complete[3:6].astype({"c": frame["c"].dtype})
    attribution = xai.explain(forest, complete[["b", "c", "a"]][:3], background=rows)
    assert attribution.names == ("a", "b", "c")
    np.testing.assert_allclose(attribution.output, forest(complete[:3]), rtol=1e-6)
    np.testing.assert_allclose(attribution.inputs, forest.read(complete[:3]), rtol=1e-6)
    with pytest.raises(
        ValueError, match="`masker` must have its columns in the model's order, 'a', 'b', 'c', got 'b', 'a', 'c'"
    ):
        xai.explain(forest, complete[:3], background=rows[["b", "a", "c"]])
    with pytest.raises(
        ValueError, match="`masker` must have in column 'c' what the model was fitted to, the levels 'a', 'b'"
    ):
        xai.explain(forest, complete[:3], background=few.query("c > 'c'"))
    with pytest.raises(
        ValueError, match="`x` must have its columns in the model's order, 'a', 'b', 'c', got 'b', 'a', 'c'"
    ):
        xai.game(forest, complete[:3], xai.mask.background(rows[["b", "a", "c"]]))
    with pytest.raises(ValueError, match="`x` must have the columns 'a', 'b', 'c', but it lacks 'c'"):
        forest(frame[["a", "b"]])


def test_players_and_outputs_have_the_names_of_the_model():
    frame = pd.DataFrame({"a": X[:, 1], "b": X[:, 3]})
    model = xgb.XGBClassifier(n_estimators=2, **SMALL).fit(frame, CLASSES)
    games = xai.game(
        xai.trees.read(model),
        X[:2, [1, 3]].astype(np.float32),
        xai.mask.baseline(np.zeros(2, np.float32)),
        target="all",
    )
    assert games.names == ("a", "b")
    assert games.output_names == ("0", "1", "2")


def test_reading_takes_little_time(booster):
    """300 small trees: what is done for each node in Python would take longer."""
    import time

    model = json.loads(bytes(booster.save_raw("json")))
    trees = model["learner"]["gradient_booster"]["model"]
    trees["trees"], trees["tree_info"] = trees["trees"] * 75, [0] * 300
    start = time.process_time()
    assert xai.trees.read(model).nodes.num_trees == 300
    assert time.process_time() - start < 0.3


def linear(content):
    content["learner"]["gradient_booster"] = {"name": "gblinear", "model": {}}


def without_trees(content):
    content["learner"]["gradient_booster"]["model"]["trees"] = []


def two_parents(content):
    tree = content["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["left_children"][1] = 0


def far_child(content):
    tree = content["learner"]["gradient_booster"]["model"]["trees"][-1]
    tree["right_children"][0] = 1000


def far_feature(content):
    content["learner"]["learner_model_param"]["num_feature"] = "1"


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (linear, TypeError, "`model` must be a forest, got XGBoost's gblinear"),
        (two_parents, ValueError, "`model` must be an undamaged forest, got one with nodes with more than one parent"),
        (far_child, ValueError, "`model` must be an undamaged forest, got one with children that are no nodes"),
        (
            far_feature,
            ValueError,
            "`model` must be an undamaged forest, got one with splits of features that are not below 1",
        ),
        (
            lambda content: content["learner"].pop("objective"),
            ValueError,
            r"undamaged dump of XGBoost, .*\(no 'objective'\)",
        ),
    ],
)
def test_dumps_that_are_not_read_are_named(booster, damage, error, message):
    content = json.loads(bytes(booster.save_raw("json")))
    damage(content)
    with pytest.raises(error, match=message):
        xai.trees.read(content)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            "nowhere.json",
            FileNotFoundError,
            "`model` must be a forest or the path of its dump, but nowhere.json does not",
        ),
        (
            b"binf12",
            ValueError,
            "`model` must be a dump in JSON, in UBJSON or in LightGBM's text, got bytes that begins",
        ),
        ('{"learner": ', ValueError, r"`model` must be an undamaged dump \(text\), got one that cannot be read"),
        (b"{L\x00\x00\x00\x00\x00\x00\x00\x07lear", ValueError, r"undamaged dump \(bytes\), .*it ends after 14 bytes"),
        ({"a": 1}, ValueError, "`model` must be a dump of XGBoost, LightGBM or CatBoost, got JSON with the members"),
        (xgb.XGBRegressor(), ValueError, "`model` must be fitted, got a XGBRegressor that is not"),
        (
            xgb.XGBRegressor(n_estimators=1, missing=-1.0).fit(np.ones((2, 1)), [0, 1]),
            ValueError,
            "`model` must treat NaN or 0 as missing, got a XGBRegressor with missing=-1.0",
        ),
    ],
)
def test_other_objects_are_named(model, error, message):
    with pytest.raises(error, match=message):
        xai.trees.read(model)
