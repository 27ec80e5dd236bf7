"""LIME for tables (Ribeiro, Singh & Guestrin 2016): a line fitted to the model around one row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Names, Surrogate, read_names, read_output_names
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.target import Target, TargetLike, as_target, output_shapes
from xaijax._core.typing import Array, Float, Int, Key
from xaijax._model import Model, as_model
from xaijax.lime import _rows
from xaijax.lime._explain import Recipe, check_weights, explain, read_recipe
from xaijax.lime._fit import DEFINITIONS, SURROGATES, check_gaussian_process, read_ridge
from xaijax.lime._neighborhood import Blocks, Samples
from xaijax.lime._normal_process import adjust
from xaijax.lime._statistics import Statistics


def tabular(
    model: Any,
    x: Any,
    training_statistics: Statistics,
    *,
    key: Any,
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
    names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    keep_inputs: bool = True,
    ids: Any = None,
    batch_size: int | None = None,
) -> Surrogate:
    """LIME for tables: a linear surrogate of the model around each row.

    Numbers vary around the row, z = x + deviation · normal; conditions (bins and categories, see `lime.statistics`)
    hold or fail by their frequency in the training data. Everything is measured in standard deviations and failed
    conditions: D² = ||(z - x) / deviation||² + the number of failed conditions.

    Why: the slopes of the model near one input, in comparable units, or what its conditions count for, with their
    errors and the local fidelity.

    Args:
      model: any model of rows [N, D].
      x: [N, D] rows.
      training_statistics: from `xai.lime.statistics(training_rows)`.
      key: a JAX random key. Each example's neighborhood depends on the key and its id alone.
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      num_samples: S perturbed rows, the row itself first. Default 1000 ("lime": 5000).
      sampling: "weighted" draws rows from the law that the kernel makes, each with weight one, evenly spread:
        the same line as the paper's sampling with many samples, at far smaller error. "independent" is the paper's:
        drawn one by one, weighted by the kernel. Default "weighted" ("lime": "independent").
      around: "row", or "data" for numbers drawn around the mean of the training data. Default "row" ("lime": "data").
      kernel_width: sigma in pi = exp(-D²/sigma²). Default 0.75·sqrt(D).
      ridge, num_features, feature_selection, until, max_samples, top: as for `xai.lime.fit`.
      surrogate: "linear", least squares, or "gaussian_process": the same line, estimated with a model of how the rest of
        the model bends, most of all along its own slope (see `_normal_process.py`). Several times more exact at equal
        samples where the model is smooth. For tables of numbers alone, "weighted" sampling and up to 4096 samples, of
        which it takes those in pairs; its cost is 12 factors and inverses of [S/2, S/2] for each output.
      definitions: "lime" for those of the package lime 0.2: pi = sqrt(exp(-D²/width²)), so that its neighborhood is 1.4
        times wider; the defaults above; ridge 1, added to the weighted sums of squares; 10 features; and features
        ranked by coefficient times value.
      names: D names of the features. Default: those of the training statistics.
      output_names: names of the model's outputs. Default: none.
      keep_inputs: whether the attribution keeps the explained rows. Default True.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, D] (all outputs: [N, D, K]) the change of the output for one standard deviation of each number, or for
      a condition that holds, with std_errors; slopes, the same for one unit, where all features are numbers; intercept,
      the surrogate at the mean of the training data where no condition holds; prediction, the surrogate at x, beside
      the model's output; r_squared and the rest as for `xai.lime.fit`. A feature without deviation has the value 0.
      With the Gaussian process std_errors are the wider of its posterior deviations and what another draw would change
      by how far it misses pairs that it is not told; the first are too small alone where the model is not such a process.

    Raises:
      TypeError, ValueError: if x does not fit the model or the statistics, holds NaN or a category that the training
        data does not, the kernel is so narrow that all weights vanish, or an option is out of range. Where this cannot
        be known, within a transformation, such an example is NaN.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, equation 1 and section 3.4.
    """
    model, x = as_model(model), check.numeric_array("x", x)
    num_examples = _check_rows(x, training_statistics)
    features = x.shape[1]
    as_lime = check.one_of("definitions", definitions, DEFINITIONS) == "lime"
    num_samples = (5000 if as_lime else 1000) if num_samples is None else num_samples
    num_samples = check.positive_int("num_samples", num_samples, least=2)
    sampling = ("independent" if as_lime else "weighted") if sampling is None else sampling
    check.one_of("sampling", sampling, _rows.SAMPLINGS)
    around = check.one_of("around", ("data" if as_lime else "row") if around is None else around, ["row", "data"])
    width = 0.75 * features**0.5 if kernel_width is None else check.positive_float("kernel_width", kernel_width)
    width = width * math.sqrt(2) if as_lime else width
    _check_width(width, training_statistics)
    paired = check.one_of("surrogate", surrogate, SURROGATES) == "gaussian_process"
    recipe = read_recipe(
        _rows.layout(sampling, num_samples - 1, paired=paired),
        read_ridge(ridge, as_lime),
        num_players=features,
        num_features=min(10, features) if as_lime and num_features is None else num_features,
        feature_selection=feature_selection,
        top=top,
        until=until,
        max_samples=max_samples,
        certain=sampling == "weighted",
    )
    if paired:
        check_gaussian_process(recipe, sampling)
        _check_numbers(training_statistics)
    batch_size = check.batch_size(batch_size)
    target = as_target(target, output_shapes(model, x, num_examples), num_examples, all_allowed=True)
    key, ids = check.random_key(key), check.example_ids(ids, num_examples)
    own_names = training_statistics.names if names is None else read_names(names, features, num_examples)
    output_names = None if output_names is None else read_output_names(output_names, None)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    found = _tabular(
        model, x, training_statistics, target, key, ids, width,
        recipe=recipe, sampling=sampling, around=around, as_lime=as_lime, surrogate=surrogate,
        batch_size=batch_size, names=own_names, output_names=output_names, keep_inputs=keep_inputs,
    )  # fmt: skip
    if sampling != "weighted":
        check_weights(found, lambda place: _too_narrow(width, place, x, training_statistics, key, around))
    return found


@compiled(
    static_argnames=(
        "recipe",
        "sampling",
        "around",
        "as_lime",
        "surrogate",
        "batch_size",
        "names",
        "output_names",
        "keep_inputs",
    )
)
def _tabular(
    model: Model,
    x: Float[Array, "N D"],
    training_statistics: Statistics,
    target: Target,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    width: Any,
    recipe: Recipe,
    sampling: str,
    around: str,
    as_lime: bool,
    surrogate: str,
    batch_size: int | None,
    names: Names | None,
    output_names: tuple[str, ...] | None,
    keep_inputs: bool,
) -> Surrogate:
    rows = model_rows(model, x, batch_size)
    conditional = training_statistics.conditional
    deviation = training_statistics.deviation
    per_unit = jnp.where(deviation > 0, 1 / jnp.where(deviation > 0, deviation, 1), 0)

    def improve(
        samples: Samples, residuals: Array, coefficients: Array, together: Blocks
    ) -> tuple[Array, Array, Array]:
        return adjust(samples, residuals, coefficients, together, _rows.deviation_of_law(width))

    def explain_one(example: Example, target: Target) -> Fields:
        row, key = example.x, example.key
        # The row in the surrogate's units: 1 for conditions, which hold, and standard deviations from the mean.
        at = jnp.where(conditional, 1.0, (row - training_statistics.mean) * per_unit)
        fields = explain(
            lambda key: _rows.draw(sampling, key, row, training_statistics, width, around, recipe.together),
            lambda seen: in_blocks(lambda block: target.select(model(block)), seen, rows),
            key,
            recipe,
            active=_rows.active(row, training_statistics),
            improve=improve if surrogate == "gaussian_process" else None,
            at=at if as_lime else None,
        )
        fields["intercept"] = fields["prediction"] - jnp.einsum(
            "d,d...->...", at, fields["values"], precision=jax.lax.Precision.HIGHEST
        )
        if not conditional.any():
            fields["slopes"] = jnp.einsum("d,d...->d...", per_unit, fields["values"])
        return fields

    fields, target = explain_examples(
        explain_one,
        model,
        x,
        target,
        key=key,
        ids=ids,
        rows=rows,
        rows_per_example=recipe.samples(1),
        examples_at_once=recipe.most_examples(),
        output=False,
        invalid=training_statistics.unseen(x).any(axis=1),
    )
    return Surrogate(
        **fields,
        target=target.index,
        inputs=x if keep_inputs else None,
        choice=jnp.zeros(len(x), jnp.int32),
        axes="N M K" if target.every else "N M",
        method="LIME",
        names=names,
        output_names=output_names,
        choices=(("Gaussian process" if surrogate == "gaussian_process" else "least squares", ""),),
    )


def _check_rows(x: Array, statistics: Any) -> int:
    if not isinstance(statistics, Statistics):
        raise TypeError(
            f"training_statistics must be xai.lime.statistics(training_rows), but it is {type(statistics).__name__}."
        )
    features = len(statistics.mean)
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(
            f"x must have shape [N, {features}], with the features of the training statistics, "
            f"but its shape is {list(x.shape)}."
        )
    num_examples = check.examples(x)
    check.no_nan("x", x)
    if check.is_concrete(x, statistics) and statistics.bins is not None:
        with jax.ensure_compile_time_eval():  # x may be known while something else is being traced
            unseen = np.argwhere(np.asarray(_unseen(statistics, x)))
        if len(unseen):
            row, column = map(int, unseen[0])
            name = statistics.names[column] if statistics.names else f"column {column}"
            known = np.asarray(statistics.bins.mean)[column][np.asarray(statistics.bins.frequency)[column] > 0]
            raise ValueError(
                f"x[{row}] has the category {float(x[row, column]):g} in {name}, which the training rows do not hold; "
                f"they hold {[float(value) for value in known[:10]]}."
            )
    return num_examples


@compiled(title="lime.tabular")
def _unseen(statistics: Statistics, x: Array) -> Array:
    """Compiled, as arrays on a mesh of explicit axes come through no other door."""
    return statistics.unseen(x)


def _check_numbers(statistics: Statistics) -> None:
    conditions = np.flatnonzero(statistics.conditional)
    if len(conditions):
        column = int(conditions[0])
        name = statistics.names[column] if statistics.names else f"column {column}"
        raise ValueError(
            f"surrogate='gaussian_process' is for tables whose features are all numbers, but {name} is a condition "
            f"({statistics.kinds[column]}): use 'linear'."
        )


def _check_width(width: float, statistics: Statistics) -> None:
    """Raises where the kernel leaves no weight in float32 to a failed condition."""
    if statistics.conditional.any() and math.exp(-1 / width**2) < np.finfo(np.float32).tiny:
        raise ValueError(
            f"kernel_width {width:g} is so narrow that a failed condition, at distance 1, has weight exp(-1/{width:g}²) = 0: "
            f"{_usual_width(statistics)}."
        )


def _too_narrow(width: float, place: int, x: Array, statistics: Statistics, key: Array, around: str) -> str:
    points = _rows.draw("independent", key, x[place], statistics, width, around, _rows.layout("independent", 999))[
        0
    ].points
    median = float(jnp.median(jnp.linalg.norm(points[1:], axis=1)))
    return (
        f"kernel_width {width:g} is so narrow that all samples of x[{place}] have weight 0: their median distance from "
        f"it is {median:.3g}. {_usual_width(statistics)}, or sampling='weighted', which draws by the weights."
    )


def _usual_width(statistics: Statistics) -> str:
    features = len(statistics.mean)
    return f"Choose one of the order of 0.75·sqrt(D) = {0.75 * math.sqrt(features):.3g}"
