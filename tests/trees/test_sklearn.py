"""Forests of scikit-learn: outputs are those of the library, also at thresholds, for missing values and for categories."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import xaijax as xai
from tests.trees.rows import around, assert_outputs, table

X, Y = table()
COMPLETE, Y_COMPLETE = table(missing=False)
CLASSES = np.digitize(Y, [-1, 1])
WEIGHTS = np.linspace(0.1, 2, len(X))
SMALL = {"n_estimators": 4, "max_depth": 4, "random_state": 0}
BINNED = {"max_iter": 4, "max_leaf_nodes": 8, "min_samples_leaf": 5, "random_state": 0}


def probabilities(model):
    return lambda x: np.concatenate(model.predict_proba(x), axis=1)


def path_length(model):
    """score_samples = -2 ** (-path / c(n)), c(n) the mean depth of an unsuccessful search among n = 100 rows."""
    c = 2 * (np.log(99.0) + np.euler_gamma) - 2 * 99 / 100
    return lambda x: -c * np.log2(-model.score_samples(x))


# name -> (the fitted estimator, its own output, rows)
CASES = {
    "tree": lambda m: (m.fit(X, Y, sample_weight=WEIGHTS), m.predict, X),
    "classifying tree": lambda m: (m.fit(X, CLASSES, sample_weight=WEIGHTS), m.predict_proba, X),
    "forest": lambda m: (m.fit(X, Y), m.predict, X),
    "classifying forest of several outputs": lambda m: (
        m.fit(X, np.stack([CLASSES, CLASSES > 0], axis=1)),
        probabilities(m),
        X,
    ),
    "extra trees of several outputs": lambda m: (m.fit(COMPLETE, np.stack([Y, Y**2], axis=1)), m.predict, X),
    "boosting": lambda m: (m.fit(COMPLETE, Y), m.predict, COMPLETE),
    "boosting from a forest": lambda m: (m.fit(COMPLETE, Y), m.predict, COMPLETE),
    "boosting from zero": lambda m: (m.fit(COMPLETE, CLASSES > 0), m.decision_function, COMPLETE),
    "boosting of classes": lambda m: (m.fit(COMPLETE, CLASSES), m.decision_function, COMPLETE),
    "histogram boosting": lambda m: (m.fit(X, Y, sample_weight=WEIGHTS), m.predict, X),
    "histogram boosting of two classes": lambda m: (m.fit(X, CLASSES > 0), m.decision_function, X),
    "histogram boosting of classes": lambda m: (m.fit(X, CLASSES), m.decision_function, X),
    "isolation": lambda m: (m.fit(X), path_length(m), X),
}
ESTIMATORS = {
    "tree": DecisionTreeRegressor(max_depth=5),
    "classifying tree": DecisionTreeClassifier(max_depth=5),
    "forest": RandomForestRegressor(**SMALL),
    "classifying forest of several outputs": RandomForestClassifier(**SMALL),
    "extra trees of several outputs": ExtraTreesRegressor(**SMALL),
    "boosting": GradientBoostingRegressor(**SMALL, loss="huber"),
    "boosting from a forest": GradientBoostingRegressor(**SMALL, init=RandomForestRegressor(**SMALL)),
    "boosting from zero": GradientBoostingClassifier(**SMALL, init="zero"),
    "boosting of classes": GradientBoostingClassifier(**SMALL),
    "histogram boosting": HistGradientBoostingRegressor(**BINNED),
    "histogram boosting of two classes": HistGradientBoostingClassifier(**BINNED, categorical_features=[2]),
    "histogram boosting of classes": HistGradientBoostingClassifier(**BINNED, categorical_features=[1, 2]),
    "isolation": IsolationForest(n_estimators=4, max_samples=100, max_features=0.7, random_state=0),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_library(name):
    model, own, x = CASES[name](ESTIMATORS[name])
    forest = xai.trees.read(model)
    unknown = x[:5].copy()
    if "histogram" in name:
        unknown[:, 2] = [-1, 7, 0.5, 1e9, 3]
    x = np.concatenate([x[:100], around(forest.nodes, x), unknown])
    assert_outputs(forest, own, x)


@pytest.fixture(scope="module")
def boosted():
    model = GradientBoostingRegressor(**SMALL).fit(COMPLETE, Y_COMPLETE)
    return model, xai.trees.read(model)


def test_rows_that_the_library_refuses_are_nan(boosted):
    _, forest = boosted
    x = COMPLETE[:4].copy()
    x[1, 0] = np.nan
    assert np.isnan(forest(x)).tolist() == [False, True, False, False]


def test_nodes_lie_in_levels_and_are_those_of_the_trees():
    model = RandomForestRegressor(**SMALL).fit(X, Y, sample_weight=WEIGHTS)
    nodes = xai.trees.read(model).nodes
    assert nodes.num_trees == 4
    assert nodes.depth == max(tree.get_depth() for tree in model.estimators_)
    assert nodes.levels[:2] == (0, 4)
    inner = nodes.left >= 0
    assert (nodes.right[inner] == nodes.left[inner] + 1).all()
    assert (nodes.tree[nodes.left[inner]] == nodes.tree[inner]).all()
    np.testing.assert_allclose(
        nodes.cover[nodes.left[inner]] + nodes.cover[nodes.right[inner]], nodes.cover[inner], rtol=1e-12
    )
    for number, tree in enumerate(model.estimators_):
        assert np.count_nonzero(nodes.tree == number) == tree.tree_.node_count
        assert nodes.cover[number] == tree.tree_.weighted_n_node_samples[0]


def test_codes_compare_as_the_inputs_do(boosted):
    _, forest = boosted
    nodes, x = forest.nodes, around(boosted[1].nodes, COMPLETE)
    codes = forest.codes(x)
    inner = nodes.left >= 0
    goes_left = x.astype(np.float32)[:, nodes.feature[inner]] < nodes.threshold[inner]
    assert (goes_left == (codes[:, nodes.feature[inner]] <= nodes.cut[inner])).all()
    x = x.astype(np.float32)
    assert (jax.jit(forest.codes)(x) == forest.codes(x)).all()


def test_numbers_below_the_smallest_normal_number_are_compared_exactly():
    """XLA flushes such numbers to zero, and x <= 0 is x < 1e-45."""
    x = np.array([[-1.0], [1.0]])
    forest = xai.trees.read(DecisionTreeRegressor().fit(x, [0.0, 1.0]))
    assert forest.nodes.threshold[0] == np.float32(1e-45)
    rows = np.array([[-1e-45], [-0.0], [0.0], [1e-45]], np.float32)
    assert jax.jit(forest)(rows).tolist() == [0, 0, 0, 1]


def test_a_forest_is_a_tree_of_arrays_that_jit_vmap_and_pickle_keep(boosted):
    model, forest = boosted
    x = COMPLETE[:5].astype(np.float32)
    own = model.predict(x)
    np.testing.assert_allclose(jax.jit(lambda forest, x: forest(x))(forest, x), own, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda row: forest(row[None])[0])(x), own, rtol=1e-6, atol=1e-6)
    copy = pickle.loads(pickle.dumps(forest))
    assert copy.static == forest.static
    np.testing.assert_allclose(copy(x), own, rtol=1e-6, atol=1e-6)
    gradient = jax.grad(lambda forest: forest(x).sum(), allow_int=True)(forest)
    assert gradient.value.sum() == 5 * forest.nodes.num_trees
    assert hash(forest.static) != hash(xai.trees.read(DecisionTreeRegressor().fit(X, Y)).static)


def test_rows_in_blocks_are_those_of_one_block(boosted, monkeypatch):
    _, forest = boosted
    once = forest(COMPLETE[:30])
    monkeypatch.setattr("xaijax.trees._forest._PATHS_AT_ONCE", 7 * forest.nodes.num_trees)
    np.testing.assert_array_equal(forest(COMPLETE[:30].astype(np.float32)), once)
    xai.clear_caches()
    np.testing.assert_array_equal(forest(COMPLETE[:30]), once)


def test_explainers_that_evaluate_take_a_forest_and_those_that_differentiate_say_why_not(boosted):
    model, forest = boosted
    x = jnp.asarray(COMPLETE[:2], jnp.float32)
    attribution = xai.shap.exact(xai.game(forest, x, xai.mask.baseline(jnp.zeros(4))))
    np.testing.assert_allclose(attribution.values.sum(axis=1) + attribution.base_value, model.predict(x), rtol=1e-5)
    with pytest.raises(TypeError, match=r"`model` must be differentiable for xai.gradient.saliency, got a forest"):
        xai.gradient.saliency(forest, x)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (RandomForestRegressor(), ValueError, "`model` must be fitted, got a RandomForestRegressor that is not"),
        (
            LinearRegression(),
            TypeError,
            "`model` must be a forest, got an object of type LinearRegression: .*IsolationF",
        ),
        (
            make_pipeline(StandardScaler(), RandomForestRegressor()),
            TypeError,
            "`model` must be a forest, got an object of type Pipeline: pass its last step, and inputs that the steps before",
        ),
        (
            GridSearchCV(DecisionTreeRegressor(), {"max_depth": [1]}, cv=2).fit(COMPLETE, Y_COMPLETE),
            TypeError,
            "`model` must be a forest, got an object of type GridSearchCV: pass its best_estimator_; what is read are",
        ),
        (
            GradientBoostingClassifier(**SMALL, init=DecisionTreeClassifier(max_depth=1)).fit(COMPLETE, CLASSES > 0),
            TypeError,
            "`model` must start from a constant or, for regression, from a forest, got a GradientBoostingClassifier with",
        ),
        (
            GradientBoostingRegressor(**SMALL, init=LinearRegression()).fit(COMPLETE, Y_COMPLETE),
            TypeError,
            "`model` must start from a constant or, for regression, from a forest, .* with init=LinearRegression: fit it",
        ),
        (GradientBoostingClassifier(**SMALL, init=DummyClassifier()).fit(COMPLETE, CLASSES), None, ""),
    ],
)
def test_models_that_are_not_read_are_named(model, error, message):
    if error is None:
        np.testing.assert_allclose(xai.trees.read(model)(COMPLETE), model.decision_function(COMPLETE), atol=1e-6)
        return
    with pytest.raises(error, match=message):
        xai.trees.read(model)


def test_strings_of_a_data_frame_are_read_by_the_levels_of_the_model():
    names = np.array(list("gfedcba"))[np.nan_to_num(X[:, 2]).astype(int)]
    frame = pd.DataFrame({"a": X[:, 0], "c": pd.Categorical(names)})
    frame.loc[::17, "c"] = np.nan
    model = HistGradientBoostingRegressor(**BINNED, categorical_features="from_dtype").fit(frame, Y)
    forest = xai.trees.read(model)
    assert forest.columns.levels == (None, tuple("abcdefg"))
    np.testing.assert_allclose(forest(frame[["c", "a"]]), model.predict(frame), rtol=1e-6, atol=1e-6)


def test_forests_work_under_strict_promotion(boosted):
    model, forest = boosted
    x = COMPLETE[:5].astype(np.float32)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        np.testing.assert_allclose(jax.jit(forest)(x), model.predict(x), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(forest(x), model.predict(x), rtol=1e-6, atol=1e-6)


def test_inputs_of_another_number_of_features_are_named(boosted):
    with pytest.raises(ValueError, match=r"`x` must have shape \[N, 4\], the features of the forest, got \[3, 5\]"):
        boosted[1](np.ones((3, 5)))
