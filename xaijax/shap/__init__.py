"""Shapley values: the average marginal contribution of a player over all orders."""

from xaijax.shap._exact import exact
from xaijax.shap._permutation import permutation
from xaijax.shap._values import values

__all__ = ["exact", "permutation", "values"]
