"""Reads forests of any library."""

from __future__ import annotations

from typing import Any

from xaijax._core import check
from xaijax.trees._forest import Forest
from xaijax.trees._sklearn import NAMES, estimator_name, read_sklearn


def read(model: Any) -> Forest:
    """Reads a forest of another library as a model of JAX.

    Why: `xai.shap.trees` explains it exactly, and every other explainer evaluates it within compiled programs.

    Args:
      model: a fitted estimator of scikit-learn: decision trees, random forests, extra trees, gradient boosting, histogram
        gradient boosting, isolation forests.

    Returns:
      A forest: `forest(x)` is the library's raw output. Of classifiers that boost it is the margin (`decision_function`);
      of decision trees and of forests that average it is the prediction or the probabilities (`predict`,
      `predict_proba`), all outputs side by side; of an isolation forest the mean path length, from which
      score_samples = -2 ** (-path / c(max_samples)).

    Raises:
      TypeError: if `model` is no forest, or one of a form that is not read.
      ValueError: if it is not fitted, or damaged.

    >>> import numpy as np, xaijax as xai
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> tree = DecisionTreeRegressor().fit(np.array([[0.0], [1.0]]), np.array([2.0, 3.0]))
    >>> forest = xai.trees.read(tree)
    >>> forest(np.array([[0.4], [0.6]]))
    Array([2., 3.], dtype=float32)
    """
    name = estimator_name(model)
    if name is not None:
        return read_sklearn(model, name)
    raise TypeError(f"`model` must be a forest, got {check.shown(model)}: what is read are {', '.join(NAMES)}.")
