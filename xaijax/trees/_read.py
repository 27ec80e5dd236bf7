"""Reads forests of any library."""

from __future__ import annotations

from typing import Any

from xaijax._core import check
from xaijax.trees import _catboost, _lightgbm, _sklearn, _xgboost
from xaijax.trees._dumps import is_dump, read_dump
from xaijax.trees._forest import Forest

_FORMS = (
    f"estimators of scikit-learn ({', '.join(_sklearn.NAMES)}), models of XGBoost, LightGBM and CatBoost, and their dumps as "
    "a path, text, bytes or a dict"
)


def read(model: Any) -> Forest:
    """Reads a forest of another library as a model of JAX.

    Why: `xai.shap.trees` explains it exactly, and every other explainer evaluates it within compiled programs.

    | library | what is read | `forest(x)` |
    |---|---|---|
    | scikit-learn | decision trees, random forests, extra trees | `predict`, or `predict_proba` of all outputs side by side |
    | | gradient boosting, histogram gradient boosting | `decision_function`, or `predict` |
    | | isolation forests | the mean path; score_samples = -2 ** (-path / c(max_samples)) |
    | XGBoost | `Booster`, estimators, JSON and UBJSON of `save_model` and `save_raw` | `predict(output_margin=True)` |
    | LightGBM | `Booster`, estimators, the text of `save_model`, the dict of `dump_model` | `predict(raw_score=True)`, for random forests its mean over the trees |
    | CatBoost | models, JSON of `save_model(path, format="json")` | `predict(prediction_type="RawFormulaVal")` |

    Inputs are compared by each library's rule: as float32 or float64, with missing values, zeros and categories where it
    sends them. Probabilities of models that boost are no sums over trees, so that the forest gives their margins. The
    training weights of nodes, `forest.nodes.cover`, are sums of sample weights for scikit-learn (numbers of rows for
    histogram boosting) and CatBoost, sums of hessians for XGBoost, and numbers of rows for LightGBM.

    Args:
      model: a fitted object of these libraries; or a dump: a path, text, bytes, or the dict of JSON, for which the library
        need not be installed. Estimators that stopped early have the iterations that their `predict` uses; a `Booster` of
        XGBoost and a dump have all.

    Returns:
      A forest: a model with outputs [N, K], or [N] where K is 1. Rows with NaN are NaN where the library refuses them.

    Raises:
      TypeError: if `model` is no forest, or one that is not read: linear models and linear leaves, categorical features of
        CatBoost, boosting of scikit-learn that starts from a model that is no forest.
      ValueError: if it is not fitted, or damaged.
      FileNotFoundError: if a path names no file.

    >>> import numpy as np, xaijax as xai
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> tree = DecisionTreeRegressor().fit(np.array([[0.0], [1.0]]), np.array([2.0, 3.0]))
    >>> forest = xai.trees.read(tree)
    >>> forest(np.array([[0.4], [0.6]]))
    Array([2., 3.], dtype=float32)
    """
    if is_dump(model):
        return _of_content(read_dump(model))
    name = _sklearn.estimator_name(model)
    if name is not None:
        return _sklearn.read_sklearn(model, name)
    reader = {"xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost}.get(_library(model) or "")
    if reader is not None:
        return reader.read_object(model)
    raise TypeError(f"`model` must be a forest, got {check.shown(model)}: {_inside(model)}what is read are {_FORMS}.")


def _inside(model: Any) -> str:
    """Returns where the forest within an object of scikit-learn is, if it may hold one."""
    if hasattr(model, "best_estimator_"):
        return "pass its best_estimator_; "
    if hasattr(model, "named_steps"):
        return "pass its last step, and inputs that the steps before have transformed; "
    return ""


def _library(model: Any) -> str | None:
    """Returns the library of a model's class, or of the class that it derives from."""
    names = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    return next((name for name in ("xgboost", "lightgbm", "catboost") if name in names), None)


def _of_content(content: Any) -> Forest:
    if isinstance(content, str):
        return _lightgbm.read_text(content)
    if "learner" in content:
        return _xgboost.read_content(content)
    if "tree_info" in content:
        return _lightgbm.read_content(content)
    if "features_info" in content:
        return _catboost.read_content(content)
    raise ValueError(
        f"`model` must be a dump of XGBoost, LightGBM or CatBoost, got JSON with the members {check.shown(list(content)[:5])}."
    )
