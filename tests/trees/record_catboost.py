"""Records small models of CatBoost with the library's own margins and Shapley values, so that the tests need no CatBoost.

python -m tests.trees.record_catboost
"""

import json
import tempfile
from pathlib import Path

import numpy as np

import xaijax as xai
from tests.trees.rows import around, table

DATA = Path(__file__).parent / "data"
X, Y = table()
CLASSES = np.digitize(Y, [-1, 1])
SMALL = {"iterations": 3, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False, "random_seed": 0}
CATEGORIES = "catboost_categories"


def models():
    """Yields the name of each recorded model, and the fitted model."""
    import catboost

    yield "catboost_lowest", catboost.CatBoostRegressor(**SMALL).fit(X, Y)
    yield "catboost_highest", catboost.CatBoostRegressor(nan_mode="Max", **SMALL).fit(X, Y, sample_weight=np.abs(Y))
    yield "catboost_classes", catboost.CatBoostClassifier(**SMALL).fit(X, CLASSES)
    yield (
        "catboost_leaves",
        catboost.CatBoostClassifier(grow_policy="Lossguide", nan_mode="Max", **SMALL).fit(X, CLASSES > 0),
    )


def dump(model, pool=None):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json", pool=pool)
        content = json.loads(path.read_text())
    info = content["model_info"]
    loss = {"loss_function": info["params"]["loss_function"]}
    content["model_info"] = (
        {"class_params": info["class_params"], "params": loss} if "class_params" in info else {"params": loss}
    )
    return content


def main():
    import catboost

    for name, model in models():
        content = dump(model)
        x = np.concatenate([X[:30], around(xai.trees.read(content).nodes, X, most=60)])
        raw = model.predict(x, prediction_type="RawFormulaVal")
        own = model.get_feature_importance(catboost.Pool(x), type="ShapValues")
        record = {"model": content, "x": x.tolist(), "raw": raw.tolist(), "shap": own.round(8).tolist()}
        (DATA / f"{name}.json").write_text(json.dumps(record) + "\n")
    pool = catboost.Pool(np.nan_to_num(X[:, 2:3]).astype(int), Y, cat_features=[0])
    model = catboost.CatBoostRegressor(**SMALL | {"iterations": 1, "depth": 1}).fit(pool)
    (DATA / f"{CATEGORIES}.json").write_text(json.dumps({"model": dump(model, pool)}) + "\n")


if __name__ == "__main__":
    main()
