"""Shapley values: the average marginal contribution of a player over all orders.

- `values` chooses an estimator and says why. The estimators of any game: `exact`, `gaussian_process`, `kernel`,
  `permutation`; `interactions` for pairs.
- `trees` computes the values of forests from `xai.trees.read` exactly, and `linear` those of linear models. `tree_tables`
  makes what several calls of `trees` share.
- Differentiable models of thousands of features: `expected_gradients`, `deep_shap`.
- Other values of the same games: `owen` for groups of players, `banzhaf`, `rise` (the mean output with a player), `sobol`
  (its share of the output's variance).
"""

from xaijax.gradient import deep_shap, expected_gradients
from xaijax.shap._exact import banzhaf, exact
from xaijax.shap._gaussian_process import gaussian_process
from xaijax.shap._interactions import interactions
from xaijax.shap._kernel import kernel
from xaijax.shap._linear import linear
from xaijax.shap._owen import owen
from xaijax.shap._permutation import permutation
from xaijax.shap._trees import tree_tables, trees
from xaijax.shap._uniform import rise, sobol
from xaijax.shap._values import values

__all__ = [
    "banzhaf",
    "deep_shap",
    "exact",
    "expected_gradients",
    "gaussian_process",
    "interactions",
    "kernel",
    "linear",
    "owen",
    "permutation",
    "rise",
    "sobol",
    "tree_tables",
    "trees",
    "values",
]


def __dir__() -> list[str]:
    return __all__
