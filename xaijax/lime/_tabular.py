"""LIME for tables (Ribeiro, Singh & Guestrin 2016): a line fitted to the model around one row."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.attribution import Surrogate
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.names import Names, read_names, read_output_names
from xaijax._core.numerics import at_least_float32, einsum, ratio
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Array, Float, Ids, Inputs, Int, Key, KeyLike, ModelLike, NamesLike, Shaped, TargetLike
from xaijax._model import Model, as_model
from xaijax.lime._explain import DEFINITIONS, SURROGATES, Recipe, check_weights, explain, read_recipe
from xaijax.lime._neighborhood import Layout, Samples
from xaijax.lime._programs import draw_each, in_programs, solve_each, unsolved_fields
from xaijax.lime._row_process import adjust
from xaijax.lime._rows import SAMPLINGS, active_features, difference, draw_rows, row_layout, weighted_deviation
from xaijax.lime._statistics import Statistics


def tabular(
    model: ModelLike,
    x: Inputs,
    training_statistics: Statistics,
    *,
    key: KeyLike,
    target: TargetLike = None,
    num_samples: int | None = None,
    sampling: str | None = None,
    around: str | None = None,
    kernel_width: float | None = None,
    ridge: float | None = None,
    num_features: int | None = None,
    feature_selection: str = "auto",
    surrogate: str = "linear",
    until: float | None = None,
    max_samples: int | None = None,
    top: int = 5,
    definitions: str = "xaijax",
    names: NamesLike = None,
    output_names: Sequence[str] | None = None,
    keep_inputs: bool = True,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Surrogate:
    """Fits a linear surrogate of the model around each row of a table.

    Numbers vary around the row, z = x + deviation · normal. Conditions (bins and categories, see `lime.statistics`)
    hold or fail by their frequency in the training data. Distances are in standard deviations and failed conditions:
    D² = ||(z - x) / deviation||² + the number of failed conditions.

    Why: the slopes of the model near one input in comparable units, or the effects of its conditions, with their errors
    and the local fidelity.

    Args:
      model: any model of rows [N, D].
      x: [N, D] rows, an array or a data frame like that of the training rows. Integers reach the model as integers.
      training_statistics: from `xai.lime.statistics(training_rows)`.
      key: a JAX random key. Each example's neighborhood depends only on the key and the example's id.
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      num_samples: S perturbed rows, the row itself first. Default 1000 ("lime": 5000).
      sampling: "weighted" draws evenly spread rows of weight one from the distribution with the kernel: with many
        samples the same line as the paper's sampling, at far smaller error. "independent" is the paper's: rows are drawn
        one by one and weighted by the kernel. Default "weighted" ("lime": "independent").
      around: "row", or "data" for numbers drawn around the mean of the training data. Default "row" ("lime": "data").
      kernel_width: sigma in pi = exp(-D²/sigma²). Default 0.75·sqrt(D).
      ridge, num_features, feature_selection, until, max_samples, top: as for `xai.lime.fit`.
      surrogate: "linear", least squares, or "gaussian_process": the same line, estimated with a model of how the model
        bends, mostly along its own slope (see `_row_process.py`). Several times more exact at equal samples where the
        model is smooth. For tables of numbers only, "weighted" sampling and up to 4096 samples, which it draws in pairs;
        it costs 12 factors and inverses of [S/2, S/2] for each output.
      definitions: "lime" for those of the package lime 0.2: pi = sqrt(exp(-D²/width²)), so that its neighborhood is 1.4
        times wider; the defaults above; ridge 1, added to the weighted sums of squares; 10 features; and features
        ranked by coefficient times value.
      names: D names of the features. Default: those of the training statistics.
      output_names: names of the model's outputs. Default: none.
      keep_inputs: whether the attribution keeps the explained rows. Default True.
      ids: [N] integers that name the examples for their randomness. Default: their positions in the batch.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, D] (all outputs: [N, D, K]): the change of the output for one standard deviation of each number, or for
      a condition that holds, with std_errors; slopes, the same for one unit, where all features are numbers; intercept,
      the surrogate at the mean of the training data where no condition holds; prediction, the surrogate at x, to compare
      with the model's output; r_squared and the other fields as for `xai.lime.fit`.
      Features without deviation have the value 0. A bin or category that no training row has (`unseen`) is sampled with
      probability 0.05, with the row's own value; where samples fail it, their values come from the training data.
      With the Gaussian process std_errors are the larger of its posterior deviations and of an estimate of what another
      draw would change; the former are too small where the model does not resemble such a process.

    Raises:
      TypeError, ValueError: if x does not fit the model or the statistics or is not finite, the kernel is so narrow that
        all weights vanish, or an option is out of range. Where this cannot be known, within a transformation, such an
        example is NaN.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, equation 1 and section 3.4.
    """
    model = as_model(model)
    if not isinstance(training_statistics, Statistics):
        raise TypeError(
            f"`training_statistics` must be xai.lime.statistics(training_rows), got {check.shown(training_statistics)}."
        )
    frames.check_order("x", training_statistics.columns, model.innermost.columns)
    x = training_statistics.read(x)
    num_examples, features = x.shape
    as_lime = check.one_of("definitions", definitions, DEFINITIONS) == "lime"
    num_samples = (5000 if as_lime else 1000) if num_samples is None else num_samples
    num_samples = check.positive_int("num_samples", num_samples, least=2)
    sampling = ("independent" if as_lime else "weighted") if sampling is None else sampling
    check.one_of("sampling", sampling, SAMPLINGS)
    around = check.one_of("around", ("data" if as_lime else "row") if around is None else around, ["row", "data"])
    width = 0.75 * features**0.5 if kernel_width is None else check.positive_float("kernel_width", kernel_width)
    width = width * math.sqrt(2) if as_lime else width
    _check_width(width, training_statistics)
    is_process = check.one_of("surrogate", surrogate, SURROGATES) == "gaussian_process"
    recipe = read_recipe(
        row_layout(sampling, num_samples - 1, paired=is_process),
        num_players=features,
        sampling=sampling,
        as_lime=as_lime,
        surrogate=surrogate,
        ridge=ridge,
        num_features=min(10, features) if as_lime and num_features is None else num_features,
        feature_selection=feature_selection,
        until=until,
        max_samples=max_samples,
        top=top,
    )
    if recipe.is_process:
        _check_numbers(training_statistics)
    batch_size = check.batch_size(batch_size)
    model, target = bind_target(model, x, target, num_examples, all_allowed=True)
    key, ids = check.random_key(key), check.example_ids(ids, num_examples)
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = at_least_float32(x)
    run = _tabular
    if in_programs((model, x, training_statistics, target, key, ids), num_examples, features, recipe):
        run = _tabular_in_programs
    surrogate_of_rows = run(
        model, x, training_statistics, target, key, ids, width,
        recipe=recipe, sampling=sampling, around=around, as_lime=as_lime, batch_size=batch_size,
        names=training_statistics.names if names is None else read_names(names, features, num_examples),
        output_names=None if output_names is None else read_output_names(output_names, None),
        keep_inputs=check.flag("keep_inputs", keep_inputs),
    )  # fmt: skip
    if sampling != "weighted":
        check_weights(surrogate_of_rows, lambda row: _too_narrow(width, row, x, training_statistics, key, around))
    return surrogate_of_rows


@compiled(
    static_argnames=(
        "recipe", "sampling", "around", "as_lime", "batch_size", "names", "output_names", "keep_inputs",
    )
)  # fmt: skip
def _tabular(
    model: Model,
    x: Shaped[Array, "N D"],
    training_statistics: Statistics,
    target: Target,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    width: Any,
    recipe: Recipe,
    sampling: str,
    around: str,
    as_lime: bool,
    batch_size: int | None,
    names: Names | None,
    output_names: tuple[str, ...] | None,
    keep_inputs: bool,
) -> Surrogate:
    rows, dtype, x = model_rows(model, x, batch_size), x.dtype, _as_numbers(x)

    def explain_one(example: Example, target: Target) -> Fields:
        return _surrogate(
            lambda key: draw_rows(sampling, key, example.x, training_statistics, width, around, recipe.layout),
            lambda inputs: in_blocks(lambda block: target.select(model(block.astype(dtype))), inputs, rows),
            example.key, example.x, training_statistics, width, recipe, as_lime,
        )  # fmt: skip

    infinite = jnp.isinf(x).any(axis=1) if jnp.issubdtype(x.dtype, jnp.floating) else None
    fields, target = explain_examples(
        explain_one, model, x, target,
        key=key, ids=ids, rows=rows, rows_per_example=recipe.samples(1), examples_at_once=recipe.most_examples(),
        output=False, invalid=infinite,
    )  # fmt: skip
    fields["unseen"] = training_statistics.unseen(x)
    return _described(fields, target, x.astype(dtype) if keep_inputs else None, recipe, names, output_names, len(x))


def _as_numbers(x: Shaped[Array, "N D"]) -> Shaped[Array, "N D"]:
    return x.astype(jnp.int32) if jnp.issubdtype(x.dtype, jnp.bool_) else x


def _surrogate(
    draw: Callable[[Array], tuple[Samples, Any]],
    evaluate: Callable[[Any], Array],
    key: Key[Array, ""],
    row: Shaped[Array, " D"],
    statistics: Statistics,
    width: Any,
    recipe: Recipe,
    as_lime: bool,
) -> Fields:
    """Returns the fields of one row's surrogate."""
    per_unit = ratio(jnp.ones_like(statistics.deviation), statistics.deviation)
    # The row in the surrogate's units: 1 for conditions, which hold, and standard deviations from the mean.
    at = -difference(statistics.mean, row, per_unit.dtype) * per_unit
    at = jnp.where(statistics.conditional, 1.0, at)

    def improve(samples: Samples, residuals: Array, coefficients: Array, layout: Layout) -> tuple[Array, Array, Array]:
        return adjust(samples, residuals, coefficients, layout, weighted_deviation(width))

    fields = explain(
        draw,
        evaluate,
        key,
        recipe,
        active=active_features(row, statistics),
        improve=improve,
        at=at if as_lime else None,
    )
    fields["intercept"] = fields["prediction"] - einsum("d,d...->...", at, fields["values"])
    if not statistics.conditional.any():
        fields["slopes"] = einsum("d,d...->d...", per_unit, fields["values"])
    return fields


def _described(
    fields: Fields,
    target: Target,
    inputs: Shaped[Array, "N D"] | None,
    recipe: Recipe,
    names: Names | None,
    output_names: tuple[str, ...] | None,
    num_examples: int,
) -> Surrogate:
    return Surrogate(
        **fields,
        target=target.index,
        inputs=inputs,
        choice=jnp.zeros(num_examples, jnp.int32),
        axes="N M K" if target.every else "N M",
        method="LIME",
        names=names,
        output_names=output_names,
        choices=(("Gaussian process" if recipe.is_process else "least squares", ""),),
    )


def _tabular_in_programs(
    model: Model,
    x: Shaped[Array, "N D"],
    training_statistics: Statistics,
    target: Target,
    key: Any,
    ids: Any,
    width: Any,
    *,
    recipe: Recipe,
    sampling: str,
    around: str,
    as_lime: bool,
    batch_size: int | None,
    names: Names | None,
    output_names: tuple[str, ...] | None,
    keep_inputs: bool,
) -> Surrogate:
    """Does the same by several programs: those without the model are compiled once for all models."""
    # Names make no other program.
    statistics = dataclasses.replace(training_statistics, names=None, category_names=(), columns=None)
    samples, inputs = _draw(key, ids, x, statistics, width, recipe=recipe, sampling=sampling, around=around)
    unsolved, values = _evaluate(
        model, x, target, inputs, recipe=recipe, batch_size=batch_size, names=names, output_names=output_names,
        keep_inputs=keep_inputs,
    )  # fmt: skip
    fields = _solve(key, ids, samples, values, x, statistics, width, recipe=recipe, as_lime=as_lime)
    return dataclasses.replace(unsolved, **fields)


@compiled(static_argnames=("recipe", "sampling", "around"), title="lime.tabular", quick_to_compile=True)
def _draw(
    key: Key[Array, ""],
    ids: Any,
    x: Shaped[Array, "N D"],
    statistics: Statistics,
    width: Any,
    recipe: Recipe,
    sampling: str,
    around: str,
) -> tuple[Samples, Shaped[Array, "N S D"]]:
    """Draws the samples of every row, as points and as model inputs."""

    def draw(key: Array, row: Shaped[Array, " D"]) -> tuple[Samples, Array]:
        return draw_rows(sampling, key, row, statistics, width, around, recipe.layout)

    return draw_each(draw, recipe, key, ids, _as_numbers(x))


@compiled(static_argnames=("recipe", "batch_size", "names", "output_names", "keep_inputs"), title="lime.tabular")
def _evaluate(
    model: Model,
    x: Shaped[Array, "N D"],
    target: Target,
    inputs: Shaped[Array, "N S D"],
    recipe: Recipe,
    batch_size: int | None,
    names: Names | None,
    output_names: tuple[str, ...] | None,
    keep_inputs: bool,
) -> tuple[Surrogate, Float[Array, "N S ..."]]:
    """Evaluates every row's samples, and returns them with a surrogate whose fields are still unknown."""
    rows = model_rows(model, x, batch_size)

    def evaluate_one(example: Example, target: Target) -> Fields:
        evaluate = lambda block: target.select(model(block.astype(x.dtype)))  # noqa: E731
        return unsolved_fields(in_blocks(evaluate, example.prepared, rows))

    fields, target = explain_examples(
        evaluate_one, model, x, target,
        key=None, ids=None, rows=rows, rows_per_example=recipe.samples(1), examples_at_once=recipe.most_examples(),
        prepared=inputs, output=False,
    )  # fmt: skip
    values = fields.pop("evaluated")
    return _described(fields, target, x if keep_inputs else None, recipe, names, output_names, len(x)), values


@compiled(static_argnames=("recipe", "as_lime"), title="lime.tabular", quick_to_compile=True)
def _solve(
    key: Key[Array, ""],
    ids: Any,
    samples: Samples,
    values: Float[Array, "N S ..."],
    x: Shaped[Array, "N D"],
    statistics: Statistics,
    width: Any,
    recipe: Recipe,
    as_lime: bool,
) -> Fields:
    """Fits the surrogate of every row to the values of its samples."""
    x = _as_numbers(x)

    def solve(key: Array, own: Any) -> Fields:
        samples, values, row = own
        return _surrogate(lambda _: (samples, None), lambda _: values, key, row, statistics, width, recipe, as_lime)

    return solve_each(solve, recipe, key, ids, (samples, values, x)) | {"unseen": statistics.unseen(x)}


def _check_numbers(statistics: Statistics) -> None:
    conditions = np.flatnonzero(statistics.conditional)
    if len(conditions):
        column = int(conditions[0])
        raise ValueError(
            "`surrogate` must be 'linear' for tables with conditions, got 'gaussian_process', while "
            f"{statistics.name(column)} is a condition ({statistics.types[column]})."
        )


def _check_width(width: float, statistics: Statistics) -> None:
    """Raises an error where the kernel leaves no weight in float32 to a failed condition."""
    if statistics.conditional.any() and math.exp(-1 / width**2) < np.finfo(np.float32).tiny:
        raise ValueError(
            f"`kernel_width` must leave weight to a failed condition, at distance 1, got {width:g}, at which its weight "
            f"exp(-1/{width:g}²) is 0: {_usual_width(statistics)}."
        )


def _too_narrow(width: float, row: int, x: Array, statistics: Statistics, key: Any, around: str) -> str:
    layout = row_layout("independent", 999)
    samples, _ = draw_rows("independent", key, x[row], statistics, width, around, layout)
    median = float(jnp.median(jnp.linalg.norm(samples.points[1:], axis=1)))
    return (
        f"`kernel_width` must leave weight to some samples, got {width:g}, at which all samples of x[{row}] have weight 0: "
        f"their median distance from it is {median:.3g}. {_usual_width(statistics)}, or sampling='weighted', which draws "
        "by the weights."
    )


def _usual_width(statistics: Statistics) -> str:
    usual = 0.75 * math.sqrt(len(statistics.mean))
    return f"Choose a width of the order of 0.75·sqrt(D) = {usual:.3g}"
