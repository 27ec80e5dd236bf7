"""LIME for tables (Ribeiro, Singh & Guestrin 2016): a line fitted to the model around one row."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from xaijax import _check
from xaijax._attribution import Surrogate
from xaijax._blocks import example_keys, in_blocks, rows_at_once
from xaijax._compile import compiled
from xaijax._model import Model, as_model
from xaijax._target import Target, TargetLike, as_target, output_shapes
from xaijax._typing import Array, Float, Int, Key
from xaijax.lime._fit import RIDGE
from xaijax.lime._kernel import kernel
from xaijax.lime._surrogate import fit_ridge


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Statistics:
    """What tabular LIME knows of the training data: mean [D] and standard deviation [D] of each feature."""

    mean: Float[Array, " D"]
    deviation: Float[Array, " D"]


def statistics(rows: Any) -> Statistics:
    """The statistics of training rows that `lime.tabular` perturbs by.

    Args:
      rows: [B, D] training data; at least 2 rows.

    Returns:
      Mean and standard deviation of each feature.

    Raises:
      ValueError: if the rows have another rank, are fewer than two, or hold NaN.
    """
    rows = _check.numeric_array("rows", rows)
    if rows.ndim != 2 or rows.shape[0] < 2:
        raise ValueError(f"rows must have shape [B, D] with at least 2 rows, but its shape is {list(rows.shape)}.")
    _check.no_nan("rows", rows)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
    return Statistics(rows.mean(axis=0), rows.std(axis=0))


def tabular(
    model: Any,
    x: Any,
    training_statistics: Statistics,
    *,
    key: Any,
    target: TargetLike = None,
    num_samples: int = 1000,
    kernel_width: float | None = None,
    ridge: float = RIDGE,
    ids: Any = None,
    batch_size: int | None = None,
) -> Surrogate:
    """LIME for tables: a linear surrogate of the model around each row.

    The neighbourhood is Gaussian around the row, z = x + deviation · normal, and everything is measured in standard
    deviations of the training data: D(x, z) = ||(z - x) / deviation||.

    Why: the slopes of the model near one input, in comparable units, with their errors and the local fidelity.

    Args:
      model: any model of rows [N, D].
      x: [N, D] rows.
      training_statistics: from `xai.lime.statistics(training_rows)`.
      key: a JAX random key. Each example's neighbourhood depends on the key and its id alone.
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      num_samples: S perturbed rows, the row itself first. Default 1000.
      kernel_width: sigma in pi = exp(-D²/sigma²), in standard deviations. Default 0.75·sqrt(D), as in lime, which
        takes the square root of pi, so that its neighbourhood is 1.4 times wider.
      ridge: the penalty on the squared coefficients, relative to the variance of the columns. Default 1e-6.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device (2 MB of inputs on a CPU).

    Returns:
      values [N, D] (all outputs: [N, D, K]) the change of the output for one standard deviation of each feature, with
      std_errors; slopes, the same for one unit; intercept, the surrogate at the mean of the training data; prediction,
      the surrogate at x, beside the model's output; r_squared. A feature without deviation has the value 0.

    Raises:
      TypeError, ValueError: if x does not fit the model or the statistics, holds NaN, or an option is out of range.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, equation 1 and section 3.4.
    """
    model, x = as_model(model), _check.numeric_array("x", x)
    if not isinstance(training_statistics, Statistics):
        raise TypeError(
            "training_statistics must be xai.lime.statistics(training_rows), "
            f"but it is {type(training_statistics).__name__}."
        )
    features = len(training_statistics.mean)
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(
            f"x must have shape [N, {features}], with the features of the training statistics, "
            f"but its shape is {list(x.shape)}."
        )
    num_examples = _check.examples(x)
    _check.no_nan("x", x)
    num_samples = _check.positive_int("num_samples", num_samples, least=2)
    width = 0.75 * features**0.5 if kernel_width is None else _check.positive_float("kernel_width", kernel_width)
    ridge = _check.positive_float("ridge", ridge)
    batch_size = _check.batch_size(batch_size)
    target = as_target(target, output_shapes(model, x, num_examples), num_examples, all_allowed=True)
    key, ids = _check.random_key(key), _check.example_ids(ids, num_examples)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return _tabular(
        model, x, training_statistics, target, key, ids, width, ridge, num_samples=num_samples, batch_size=batch_size
    )


@compiled(static_argnames=("num_samples", "batch_size"))
def _tabular(
    model: Model,
    x: Float[Array, "N D"],
    training_statistics: Statistics,
    target: Target,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    width: Any,
    ridge: Any,
    num_samples: int,
    batch_size: int | None,
) -> Surrogate:
    num_examples, num_features = x.shape
    rows = rows_at_once(batch_size, num_features)
    mean, deviation = training_statistics.mean, training_statistics.deviation
    target = target.resolve(in_blocks(model, x, rows)) if target.is_top else target

    def surrogate(example: tuple[Array, Array, Any]) -> dict[str, Array]:
        row, key, per_example = example
        steps = jax.random.normal(key, (num_samples, num_features), row.dtype).at[0].set(0)
        steps = jnp.where(deviation > 0, steps, 0)  # in standard deviations from the row
        one = target.of_example(per_example)
        outputs = in_blocks(lambda steps: one.select(model(row + deviation * steps)), steps, rows)
        weights = kernel(jnp.linalg.norm(steps, axis=1), width)
        line = fit_ridge(steps, outputs, weights, ridge)
        per_unit = jnp.where(deviation > 0, 1 / jnp.where(deviation > 0, deviation, 1), 0)
        from_mean = (row - mean) * per_unit
        return {
            "values": line.coefficients,
            "std_errors": line.std_errors,
            "slopes": jnp.einsum("d,d...->d...", per_unit, line.coefficients),
            "prediction": line.intercept,  # the steps start at the row
            "intercept": line.intercept
            - jnp.einsum("d,d...->...", from_mean, line.coefficients, precision=jax.lax.Precision.HIGHEST),
            "r_squared": line.r_squared,
            "output": outputs[0],
        }

    keys = example_keys(key, jnp.arange(num_examples) if ids is None else ids)
    examples_at_once = max(1, rows // num_samples)
    answers = in_blocks(jax.vmap(surrogate), (x, keys, target.per_example), examples_at_once)
    answers = _check.nan_where(_check.rows_with_nan(x), answers)
    return Surrogate(**answers, target=target.index, method=f"LIME, tabular ({num_samples} samples)")
