"""Values of forests are those of shap's TreeExplainer and of XGBoost's own contributions, where these are right."""

import numpy as np
import pytest

import xaijax as xai
from tests.trees.rows import around

GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=(120, 5)).astype(np.float32)
Y = X[:, 0] * X[:, 1] + np.where(X[:, 2] > 0, X[:, 3], 2 * X[:, 4])


@pytest.fixture(scope="module")
def shap():
    return pytest.importorskip("shap")


def forests():
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

    classes = np.digitize(Y, [-1, 1])
    return {
        "boosted": GradientBoostingRegressor(n_estimators=12, max_depth=3, random_state=0).fit(X, Y),
        "classes": RandomForestClassifier(6, max_depth=5, random_state=0).fit(X, classes),
    }


@pytest.mark.parametrize("rows", [None, X[:30]], ids=["path-dependent", "interventional"])
@pytest.mark.parametrize("name", ["boosted", "classes"])
def test_values_are_those_of_shaps_tree_explainer(shap, name, rows):
    model = forests()[name]
    options = {} if rows is None else {"data": rows, "feature_perturbation": "interventional"}
    theirs = shap.TreeExplainer(model, **options)
    values = theirs.shap_values(X[:20])
    forest, masker = xai.trees.read(model), None if rows is None else xai.mask.background(rows)
    ours = xai.shap.trees(forest, X[:20], masker, target="all")
    np.testing.assert_allclose(ours.values, values.reshape(ours.values.shape), atol=2e-6)
    np.testing.assert_allclose(ours.base_value[0], np.ravel(theirs.expected_value), atol=2e-6)


def test_shaps_interactions_are_half_of_sii_for_either_player(shap):
    model = forests()["boosted"]
    theirs = shap.TreeExplainer(model).shap_interaction_values(X[:10])
    ours = xai.shap.interactions(xai.trees.read(model), X[:10], index="SII")
    pairs = theirs * (1 - np.eye(5))
    np.testing.assert_allclose(ours.pairs, 2 * pairs, atol=2e-6)
    np.testing.assert_allclose(ours.values, theirs.sum(axis=2), atol=2e-6)


def test_thresholds_between_neighboring_numbers_of_float32_are_kept_where_shap_rounds_them(shap):
    """scikit-learn compares inputs in float32 with thresholds in float64; shap's interventional values round these too."""
    from sklearn.tree import DecisionTreeRegressor

    steps = GENERATOR.integers(0, 8, 120)
    x = np.stack([np.float32(17) + np.spacing(np.float32(17)) * steps, X[:, 0]], axis=1)
    model = DecisionTreeRegressor(max_depth=4, random_state=0).fit(x, steps / 20 + X[:, 0] / 100)
    theirs = shap.TreeExplainer(model, x[:40], feature_perturbation="interventional")
    values = theirs.shap_values(x, check_additivity=False)
    assert np.abs(values.sum(axis=1) + theirs.expected_value - model.predict(x)).max() > 0.02
    ours = xai.shap.trees(xai.trees.read(model), x, xai.mask.background(x[:40]))
    sums = np.asarray(ours.values, np.float64).sum(axis=1) + np.asarray(ours.base_value)
    np.testing.assert_allclose(sums, model.predict(x), atol=1e-6)


@pytest.mark.parametrize("objective", ["reg:squarederror", "multi:softprob"])
def test_path_dependent_values_are_the_contributions_of_xgboost(objective):
    """With missing values, which go where training sent them."""
    xgboost = pytest.importorskip("xgboost")
    x = np.where(GENERATOR.random(X.shape) < 0.1, np.nan, X)
    several = objective.startswith("multi")
    labels = np.digitize(Y, [-1, 1]) if several else Y
    options = {"objective": objective, "max_depth": 4, "nthread": 1} | ({"num_class": 3} if several else {})
    booster = xgboost.train(options, xgboost.DMatrix(x, labels), 5)
    theirs = booster.predict(xgboost.DMatrix(x[:20]), pred_contribs=True).reshape(20, -1, 6)
    ours = xai.shap.trees(xai.trees.read(booster), x[:20], target="all")
    np.testing.assert_allclose(np.moveaxis(ours.values, 2, 1), theirs[:, :, :5], atol=2e-6)
    np.testing.assert_allclose(ours.base_value, theirs[:, :, 5], atol=2e-6)


def _forest(x, y):
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(n_estimators=4, max_depth=4, random_state=0).fit(x, y)
    return model, model.predict


def _boosting(x, y):
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(n_estimators=8, max_depth=3, random_state=0).fit(np.nan_to_num(x), y)
    return model, model.predict


def _hist(x, y):
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(max_iter=8, categorical_features=[3, 4], min_samples_leaf=5).fit(x, y)
    return model, model.predict


def _lightgbm(x, y):
    lightgbm = pytest.importorskip("lightgbm")
    options = {"verbose": -1, "num_leaves": 12, "min_data_in_leaf": 5, "min_data_per_group": 5, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(x, y, categorical_feature=[3, 4]), 8)
    return booster, booster.predict


def _xgboost(x, y):
    xgboost = pytest.importorskip("xgboost")
    typed = lambda x, y=None: xgboost.DMatrix(x, y, feature_types=list("qqqcc"), enable_categorical=True)  # noqa: E731
    booster = xgboost.train({"max_depth": 4, "max_cat_to_onehot": 2, "nthread": 1}, typed(x, y), 8)
    return booster, lambda x: booster.predict(typed(x))


def _catboost(x, y):
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostRegressor(iterations=8, depth=4, verbose=0, allow_writing_files=False, thread_count=1)
    return model.fit(np.nan_to_num(x), y), model.predict


_FITS = [_forest, _boosting, _hist, _lightgbm, _xgboost, _catboost]


@pytest.mark.parametrize("fit", _FITS, ids=[fit.__name__[1:] for fit in _FITS])
def test_values_are_those_of_all_coalitions_by_the_librarys_own_prediction(fit):
    """With categories, missing values, weights, numbers of one decimal, of which many are thresholds, and numbers next to these."""
    generator = np.random.default_rng(1)
    x = np.concatenate([np.round(generator.normal(size=(200, 3)), 1), generator.integers(0, 6, (200, 2))], axis=1)
    x[generator.random(x.shape) < 0.08] = np.nan
    filled = np.nan_to_num(x)
    y = filled[:, 0] * filled[:, 1] + 2 * np.isin(x[:, 3], [1, 4]) + np.isin(x[:, 4], [0, 2, 5]) * filled[:, 2]
    x = filled if fit is _boosting else x  # refuses missing values
    model, predict = fit(x, y)
    forest = xai.trees.read(model)
    rows, inputs = x[:15], np.concatenate([x[20:23], around(forest.nodes, x)[[0, 1, 2, 3, 4, 15, 16]]])
    shares = np.linspace(0.2, 2, 15)
    masker = xai.mask.background(rows, weights=shares, allow_missing=fit is not _boosting)
    ours = xai.shap.trees(forest, inputs, masker)
    coalitions = (np.arange(32)[:, None] >> np.arange(5)) & 1 == 1
    for row, values in zip(inputs, np.asarray(ours.values), strict=True):
        mixed = np.where(coalitions[:, None], row, rows).reshape(-1, 5)
        worth = np.average(np.asarray(predict(mixed), np.float64).reshape(32, -1), axis=1, weights=shares)
        sizes = coalitions.sum(axis=1)
        for player in range(5):
            without = np.flatnonzero(~coalitions[:, player])
            weights = np.array([0.2, 0.05, 1 / 30, 0.05, 0.2])[sizes[without]]  # s! (4 - s)! / 5!
            expected = (weights * (worth[without | (1 << player)] - worth[without])).sum()
            np.testing.assert_allclose(values[player], expected, atol=1e-6)
