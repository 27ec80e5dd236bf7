"""Shapley values of linear models in closed form (Štrumbelj & Kononenko 2014; Lundberg & Lee 2017, corollary 1).

Features cut loose from each other: phi_j = w_j (x_j - E[x_j]). Features that are jointly normal and keep what they tell of
each other: v(S) = E[f(X) | X_S = x_S], so that phi = A (x - mean) for a matrix A of the weights and covariances alone.
Along one order of the features, with L the Cholesky factor of their covariances in this order and z = L^-1 Cov w, the
feature in place k adds z_k (L^-T)_k · (x - mean); A is the mean over the orders.
"""

from __future__ import annotations

import itertools
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.target import Target, TargetLike, as_target, output_shapes
from xaijax._core.typing import Array, Float
from xaijax._model import Model, as_model

FEATURES = ["independent", "correlated"]
_ALL_ORDERS = 7  # players whose 5,040 orders are all walked
_MOST_CURVATURE = 1e-3  # of what the answer changes: rounding of float32 makes some
_HIGHEST = jax.lax.Precision.HIGHEST


def linear(
    model: Any,
    x: Any,
    rows: Any,
    *,
    target: TargetLike = None,
    features: str = "independent",
    num_permutations: int = 500,
    seed: int = 0,
) -> Attribution:
    """Shapley values of a linear model, without sampling coalitions.

    Why: exact at once for any number of features, and the closed form that estimators are checked against.

    Args:
      model: a model that is linear in x: f(x) = w·x + b for the target. The weights are its gradient.
      x: [N, D] inputs.
      rows: [B, D] training rows: their means, and for correlated features their covariances; B more than D then.
      target: an int, ints [N], a linear callable, or None for the top class of each input.
      features: "independent": what a feature does, cut loose from the others; "correlated": what it tells, for features
        that are jointly normal. Default "independent".
      num_permutations: for more than 7 correlated features, how many orders, each with its reverse, the mean is over.
        Default 500.
      seed: of these orders.

    Returns:
      values [N, D] that sum to output minus base_value, the output at the mean; std_errors for sampled orders.

    Raises:
      TypeError, ValueError: if the model is not linear, an argument is of the wrong shape, or there are too few rows.

    References:
      Štrumbelj & Kononenko (2014), Explaining prediction models and individual predictions with feature contributions.
      Aas, Jullum & Løland (2021), Explaining individual predictions when features are dependent, arXiv:1903.10464.
    """
    model = as_model(model)
    x, rows = (check.numeric_array(name, one) for name, one in (("x", x), ("rows", rows)))
    if x.ndim != 2 or rows.ndim != 2 or x.shape[1] != rows.shape[1] or len(rows) == 0:
        raise ValueError(
            f"x and rows must have shapes [N, D] and [B, D] with the same features, but they have {list(x.shape)} and "
            f"{list(rows.shape)}."
        )
    x, rows = (one.astype(jnp.promote_types(one.dtype, jnp.float32)) for one in (x, rows))
    for name, one in (("x", x), ("rows", rows)):
        check.no_nan(name, one)
    check.one_of("features", features, FEATURES)
    num_examples, num_features = x.shape
    if features == "correlated" and len(rows) <= num_features:
        raise ValueError(
            f"rows must be more than the {num_features} features, to say how these go together, but there are {len(rows)}."
        )
    bound = as_target(target, output_shapes(model, x, num_examples), num_examples, all_allowed=False)
    orders = None
    if features == "correlated":
        orders = _orders(num_features, check.positive_int("num_permutations", num_permutations), seed)
    found, curvature = _linear(model, x, rows, bound, orders)
    if not check.is_concrete(curvature):
        return check.nan_where(curvature > _MOST_CURVATURE, found)
    if curvature.max() > _MOST_CURVATURE:
        place = int(np.argmax(curvature))
        raise ValueError(
            f"the model is not linear: between x[{place}] and the mean of the rows its answer differs from a straight "
            f"line's by {float(curvature[place]):.2g} of what it changes: use xai.shap.values."
        )
    return found


def _orders(num_features: int, count: int, seed: int) -> np.ndarray:
    """All orders of few features; else random ones, each followed by its reverse."""
    if num_features <= _ALL_ORDERS and factorial(num_features) <= max(2 * count, factorial(_ALL_ORDERS)):
        return np.array(list(itertools.permutations(range(num_features))))
    rng = np.random.default_rng(seed)
    forward = np.stack([rng.permutation(num_features) for _ in range(count)])
    return np.stack([forward, forward[:, ::-1]], axis=1).reshape(-1, num_features)


@compiled
def _linear(
    model: Model, x: Float[Array, "N D"], rows: Float[Array, "B D"], target: Target, orders: Any
) -> tuple[Attribution, Float[Array, " N"]]:
    outputs = model(x)
    target = target.resolve(outputs)
    mean = rows.mean(axis=0)
    steps = x - mean

    def score(inputs: Float[Array, "N D"]) -> Float[Array, " N"]:
        return target.select(model(inputs))

    weights = jax.grad(lambda inputs: score(inputs).sum())(x)  # of each example's own target
    output, base = score(x), score(jnp.broadcast_to(mean, x.shape))
    halfway = score((x + mean) / 2)
    change = jnp.maximum(jnp.abs(output - base), jnp.abs(weights * steps).max(axis=1))
    gaps = jnp.maximum(jnp.abs(halfway - (output + base) / 2), jnp.abs((weights * steps).sum(axis=1) - (output - base)))
    curvature = gaps / jnp.maximum(change, 1e-30)
    if orders is None:
        values, errors = weights * steps, None
        estimator = "linear model, features independent"
    else:
        values, errors = _correlated(rows, weights, steps, jnp.asarray(orders))
        estimator = "linear model, features correlated"
    found = Attribution(
        values=values,
        output=output,
        base_value=base,
        std_errors=jnp.zeros_like(values) if errors is None else errors,
        target=target.index,
        inputs=x,
        choice=jnp.zeros(len(x), jnp.int32),
        axes="N M",
        method="SHAP",
        efficient=True,
        choices=((estimator, ""),),
    )
    bad = check.rows_with_nan(x) | jnp.isnan(output)
    return check.nan_where(bad, found), jnp.where(bad, 0, curvature)


def _correlated(
    rows: Float[Array, "B D"], weights: Float[Array, "N D"], steps: Float[Array, "N D"], orders: Any
) -> tuple[Float[Array, "N D"], Float[Array, "N D"] | None]:
    centered = rows - rows.mean(axis=0)
    deviation = jnp.sqrt(jnp.mean(centered**2, axis=0))
    varies = (rows != rows[0]).any(axis=0)  # a constant's deviation need not be 0: its mean is rounded
    deviation = jnp.where(varies, deviation, 1)
    scaled = jnp.where(varies, centered / deviation, 0)
    own = jnp.sqrt(jnp.finfo(rows.dtype).eps)
    correlation = jnp.matmul(scaled.T, scaled, precision=_HIGHEST) / len(rows)
    correlation = (correlation + own * jnp.eye(len(deviation))) / (1 + own) + jnp.diag(jnp.where(varies, 0, 1.0))
    weights, steps = weights * deviation, steps / deviation
    pull = jnp.matmul(weights, correlation, precision=_HIGHEST)  # [N, D]
    all_orders = orders.shape[0] == factorial(orders.shape[1])

    def along(order: Array) -> Float[Array, "N D"]:
        """What each feature adds in one order."""
        root = jnp.linalg.cholesky(correlation[order][:, order])
        solve = lambda right: jax.scipy.linalg.solve_triangular(root, right, lower=True)  # noqa: E731
        told, seen = solve(pull[:, order].T), solve(steps[:, order].T)
        return jnp.zeros_like(steps).at[:, order].set((told * seen).T)

    if all_orders:
        return jax.lax.map(along, orders, batch_size=256).mean(axis=0), None
    pairs = jax.lax.map(lambda pair: jax.vmap(along)(pair).mean(axis=0), orders.reshape(-1, 2, orders.shape[1]))
    mean = pairs.mean(axis=0)
    return mean, pairs.std(axis=0, ddof=1) / len(pairs) ** 0.5
