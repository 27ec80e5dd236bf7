"""Shapley values of linear models in closed form (Štrumbelj & Kononenko 2014; Lundberg & Lee 2017, corollary 1).

Independent features: phi_j = w_j (x_j - E[x_j]). Jointly normal features: v(S) = E[f(X) | X_S = x_S], so that
phi = A (x - mean) for a matrix A that depends on the weights and covariances alone. Along one order of the features, with L
the Cholesky factor of their covariances in this order and z = L^-1 Cov w, the k-th feature of the order contributes
z_k (L^-T)_k · (x - mean). A is the mean over the orders.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.numerics import dot, power_of_two
from xaijax._core.running import add
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, Key, KeyLike, ModelLike, TargetLike
from xaijax._model import Model, as_model

FEATURES = ["independent", "correlated"]
_ALL_ORDERS = 7  # features whose 5,040 orders are all taken
_MOST_CURVATURE = 1e-3  # relative to the change of the output: float32 rounds
_ROUNDING = 16  # units in the last place of the largest terms
_MOST_RANKS = 2**26  # in all orders


def linear(
    model: ModelLike,
    x: ArrayOrSequence,
    rows: ArrayOrSequence,
    *,
    target: TargetLike = None,
    features: str = "independent",
    num_permutations: int = 500,
    key: KeyLike | None = None,
) -> Attribution:
    """Computes Shapley values of a linear model, without evaluating coalitions.

    Why: exact for any number of independent features, and the closed form that estimators are checked against.

    Args:
      model: a model that is linear in x: f(x) = w·x + b for the target. The weights are its gradient.
      x: [N, D] inputs, an array or a data frame like that of the rows.
      rows: [B, D] training rows, an array or a data frame, whose columns name the features: their means, and for
        correlated features their covariances; B more than D then.
      target: an int, ints [N], a linear callable, or None for the top class of each input.
      features: "independent": a feature is set while the others keep their distribution; "correlated": a feature also
        informs about the others, for features that are jointly normal. Default "independent".
      num_permutations: the number of orders, each with its reverse, that the mean is over, for more than 7 correlated
        features. Default 500.
      key: a JAX random key, needed for these orders alone.

    Returns:
      values [N, D] that sum to output minus base_value, the output at the mean; std_errors, 0 where no orders are sampled.

    Raises:
      TypeError, ValueError: if the model is not linear, an argument is of the wrong shape, there are too few rows, or orders
        are sampled without a key.

    References:
      Štrumbelj & Kononenko (2014), Explaining prediction models and individual predictions with feature contributions.
      Aas, Jullum & Løland (2021), Explaining individual predictions when features are dependent, arXiv:1903.10464.
    """
    model = as_model(model)
    x, rows, names = frames.read_pair(("x", "rows"), x, rows)
    x, rows = (check.numeric_array(name, array) for name, array in (("x", x), ("rows", rows)))
    if x.ndim != 2 or rows.ndim != 2 or x.shape[1] != rows.shape[1] or 0 in rows.shape:
        raise ValueError(
            f"`x` and `rows` must have shapes [N, D] and [B, D] with the same features, at least one, got {list(x.shape)} and "
            f"{list(rows.shape)}."
        )
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, rows.dtype), jnp.float32)
    x, rows = x.astype(dtype), rows.astype(dtype)
    check.no_nan("x", x)
    check.no_nan("rows", rows)
    check.one_of("features", features, FEATURES)
    num_examples, num_features = check.examples(x), x.shape[1]
    if features == "correlated" and len(rows) <= num_features:
        raise ValueError(
            f"`rows` must be more than the {num_features} features, to estimate their correlations, got {len(rows)}: use "
            "more rows, or features='independent'."
        )
    model, bound = bind_target(model, x, target, num_examples, all_allowed=False)
    num_permutations = check.positive_int("num_permutations", num_permutations)
    key = None if key is None else check.random_key(key)
    orders = _orders(num_features, num_permutations, key) if features == "correlated" else None
    attribution, curvature = _linear(model, x, rows, bound, orders)
    attribution = attribution.with_names(names)
    if not check.is_concrete(curvature):
        return check.nan_where(curvature > _MOST_CURVATURE, attribution)
    if curvature.max() > _MOST_CURVATURE:
        row = int(np.argmax(curvature))
        raise ValueError(
            f"`model` must be linear in x, got an output that differs from a straight line's by {float(curvature[row]):.2g} "
            f"of its change between x[{row}] and the mean of the rows: use xai.shap.values."
        )
    return attribution


def _orders(num_features: int, count: int, key: Any) -> Int[Array, "P D"]:
    """Returns all orders of few features; else random ones, each followed by its reverse."""
    if num_features <= _ALL_ORDERS:
        return jnp.asarray(list(itertools.permutations(range(num_features))), jnp.int32)
    if key is None:
        raise ValueError(
            f"`key` must be a JAX random key, such as jax.random.key(0), got None: orders of more than {_ALL_ORDERS} "
            f"correlated features are drawn at random, and there are {num_features}."
        )
    if count * num_features > _MOST_RANKS:
        raise ValueError(
            f"`num_permutations` must be at most {_MOST_RANKS // num_features:,} for {num_features} features, got {count:,}."
        )
    return _random_orders(key, num_features, count)


@compiled(static_argnames=("num_features", "count"), title="shap.linear")
def _random_orders(key: Key[Array, ""], num_features: int, count: int) -> Int[Array, "P D"]:
    draw = lambda key: jax.random.permutation(key, num_features)  # noqa: E731
    forward = jax.vmap(draw)(jax.random.split(key, count))
    return jnp.stack([forward, forward[:, ::-1]], axis=1).reshape(-1, num_features).astype(jnp.int32)


@compiled(title="shap.linear")
def _linear(
    model: Model,
    x: Float[Array, "N D"],
    rows: Float[Array, "B D"],
    target: Target,
    orders: Int[Array, "P D"] | None,
) -> tuple[Attribution, Float[Array, " N"]]:
    """Returns the attribution, and how far the model is from linear between each input and the mean."""
    target = target.resolve(model(x))
    mean = rows.mean(axis=0, keepdims=True)
    steps = x - mean

    def score(inputs: Float[Array, "N D"]) -> Float[Array, " N"]:
        return target.select(model(inputs))

    weights = jax.grad(lambda inputs: score(inputs).sum())(x)  # of each example's own target
    output, base = score(x), score(jnp.broadcast_to(mean, x.shape))
    halfway = score((x + mean) / 2)
    change = jnp.maximum(jnp.abs(output - base), jnp.abs(weights * steps).max(axis=1))
    gaps = jnp.maximum(jnp.abs(halfway - (output + base) / 2), jnp.abs((weights * steps).sum(axis=1) - (output - base)))
    # Near the mean hardly anything changes, and the gaps are rounding errors in the size of the terms w_j x_j.
    terms = (jnp.abs(weights) * jnp.maximum(jnp.abs(x), jnp.abs(mean))).sum(axis=1) + jnp.abs(output)
    rounding = _ROUNDING * jnp.finfo(x.dtype).eps * terms
    curvature = gaps / jnp.maximum(jnp.maximum(change, rounding / _MOST_CURVATURE), 1e-30)
    if orders is None:
        values = weights * steps
        errors = jnp.zeros_like(values)
    else:
        values, errors = _correlated(rows, weights, steps, orders)
    attribution = Attribution(
        values=values,
        output=output,
        base_value=base,
        std_errors=errors,
        target=target.index,
        inputs=x,
        choice=jnp.zeros(len(x), jnp.int32),
        axes="N M",
        method="SHAP",
        efficient=True,
        choices=((f"linear model, features {'independent' if orders is None else 'correlated'}", ""),),
    )
    bad = check.rows_with_nan(x) | jnp.isnan(output)
    return check.nan_where(bad, attribution), jnp.where(bad, 0, curvature)


def _correlated(
    rows: Float[Array, "B D"], weights: Float[Array, "N D"], steps: Float[Array, "N D"], orders: Int[Array, "P D"]
) -> tuple[Float[Array, "N D"], Float[Array, "N D"]]:
    """Returns values and standard errors for jointly normal features."""
    num_features = rows.shape[1]
    centered = rows - rows.mean(axis=0, keepdims=True)
    unit = power_of_two(centered)
    deviation = unit * jnp.sqrt(jnp.mean((centered / unit[None]) ** 2, axis=0))
    varies = (rows != rows[:1]).any(axis=0)  # the deviation of a constant need not be 0: its mean is rounded
    deviation = jnp.where(varies, deviation, 1)[None]
    scaled = jnp.where(varies[None], centered / deviation, 0)
    own = np.sqrt(np.finfo(rows.dtype).eps).astype(rows.dtype)
    correlation = dot(scaled.T, scaled) / len(rows)
    correlation = (correlation + own * jnp.eye(num_features, dtype=rows.dtype)) / (1 + own)
    correlation = correlation + jnp.diag(jnp.where(varies, 0, 1).astype(rows.dtype))
    weights, steps = weights * deviation, steps / deviation
    pull = dot(weights, correlation)  # [N, D]

    def along(order: Int[Array, " D"]) -> Float[Array, "N D"]:
        """Returns the contribution of each feature in one order."""
        root = jnp.linalg.cholesky(correlation[order][:, order])
        solve = lambda right: jax.scipy.linalg.solve_triangular(root, right, lower=True)  # noqa: E731
        of_weights, of_steps = solve(pull[:, order].T), solve(steps[:, order].T)
        return jnp.zeros_like(steps).at[:, order].set((of_weights * of_steps).T)

    if num_features <= _ALL_ORDERS:
        values = jax.lax.map(along, orders, batch_size=256).mean(axis=0)
        return values, jnp.zeros_like(values)
    pairs = jax.lax.map(lambda pair: jax.vmap(along)(pair).mean(axis=0), orders.reshape(-1, 2, num_features))
    running = add(None, lambda numbers: pairs[numbers], 0, len(pairs), len(pairs))
    return running.means(), running.std_errors()
