"""Infidelity (Yeh et al. 2019): does the attribution predict how the score changes when the input does?

infidelity = E_I[(beta I·phi - (f(x) - f(x - I)))²]                                           equation 1
beta = E_I[I·phi (f(x) - f(x - I))] / E_I[(I·phi)²], the scale that is best for this example, or 1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, frames
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.noise import deviations, read_size, require_fit
from xaijax._core.numerics import ratio, safe_sqrt
from xaijax._core.target import Target
from xaijax._core.typing import (
    Array,
    ArrayOrSequence,
    Float,
    Ids,
    Inputs,
    Int,
    Key,
    KeyLike,
    ModelLike,
    Shaped,
    TargetLike,
)
from xaijax._model import Model
from xaijax.metrics._score import Score
from xaijax.metrics.faithfulness._over_inputs import over_inputs, read_channels, read_explained
from xaijax.metrics.faithfulness._perturbations import Perturbation, read_baseline, read_perturbation

_MOST_SAMPLES = 2**20


def infidelity(
    model: ModelLike,
    x: Inputs,
    attribution: Attribution,
    *,
    key: KeyLike,
    perturbation: str | Callable[[Any, Any], Any] | None = None,
    num_samples: int = 64,
    optimal_scale: bool = True,
    contributions: bool | None = None,
    baseline: Any = 0,
    scale: float | ArrayOrSequence = 0.1,
    window: int | tuple[int, ...] | None = None,
    target: TargetLike = None,
    ids: Ids = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Score:
    """Computes the mean squared error by which an attribution misses the changes of the score under perturbations.

    infidelity = E_I[(beta I·phi - (f(x) - f(x - I)))²]

    Why: says how well the values, as the slopes or contributions of a linear model, predict what the network does. It is
    differentiable with respect to the model's parameters and the values, so that either can be optimized for it.

    Args:
      model: any model.
      x: [N, ...] inputs, or a data frame of numbers. Rows with NaN score NaN.
      attribution: of the same inputs: values like x; values [N, M] of all M entries; values of regions; or maps [N, *space],
        resized linearly where they differ in size.
      key: a random key. Draw s of an example uses fold_in(fold_in(key, its id), s).
      perturbation: how an input is changed. "noise": I is normal, of the standard deviation `scale`. "square": a square
        window at a random position takes the baseline's values. "subset": so does a random subset of the positions, whose
        size is uniform. Or a function (key, x [...]) -> I [...] of one input. Squares and subsets take all channels of a
        position. Default: "square" for images, "subset" for other inputs, which suit values of every kind.
      num_samples: S perturbations of each example, at least 2. Default 64: the standard error is then about a fifth of
        the infidelity.
      optimal_scale: whether beta is the best scale of each example, or 1. Default True, as class activation maps and
        other relative values have no unit of their own; and so the paper compares methods. Of values and their negatives the
        best scales are negatives too, and the infidelity is the same: see `insertion` for the order. Pass False to judge the
        size and the sign of values in units of the score, and to optimize.
      contributions: whether values are in units of the score, such as Shapley values, or slopes, per unit of x, such as
        gradients. Contributions are multiplied with the share of the way to the baseline, I / (x - baseline), which is 1 for
        removed entries, and the entries of a region or of a pixel share its value. Slopes are multiplied with I, and all
        channels of a pixel have its value, as in captum and Quantus. Default: whether the attribution has a base value, which
        its values lead from to the output, as Shapley values and integrated gradients do, or x holds integers. Pass True for
        input x gradient, for LIME, and for maps of relevance.
      baseline: a number or one input [...]. Default 0.
      scale: of the noise, as in `xai.gradient.smooth`: a number in units of the range (max - min) of each example, or an
        array that broadcasts to one input, in units of x. Default 0.1.
      window: the side of the square, or one for each side of the input. Default: a quarter of each, rounded up.
      target: an int, ints [N], a callable, or one of `xai.target`. Default: the class that the attribution explains; for an
        attribution without a class, the top class.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      channel_axis: the axis of the channels of inputs with three axes or more, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score` in units of the squared score, lower is better, with standard errors over the draws, after S + 1 evaluations
      of each example. With the optimal scale the estimate is the smallest mean over the draws, about 1 / S too small.

    Raises:
      TypeError, ValueError: if the attribution does not fit x or explains another class, the perturbation has another shape,
        or an argument is out of range.

    References:
      Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392, equation 1, and the
      optimal scaling of its experiments.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x @ jnp.array([3.0, 1.0])
    >>> x = jnp.array([[1.0, 2.0]])
    >>> for attribution in (xai.gradient.saliency(model, x), xai.gradient.input_x_gradient(model, x)):
    ...     score = xai.metrics.infidelity(model, x, attribution, key=jax.random.key(0), perturbation="noise", scale=1.0)
    ...     print(f"{float(score.values[0]):.2f}")
    0.00
    0.85
    """
    x, baseline, _ = frames.read_pair(("x", "baseline"), x, baseline)
    x = check.numeric_array("x", x)
    model, bound = read_explained(model, x, attribution, target)
    channels = read_channels(x, channel_axis)
    of_shares = attribution.base_value is not None or attribution.efficient or not jnp.issubdtype(x.dtype, jnp.floating)
    of_shares = of_shares if contributions is None else check.flag("contributions", contributions)
    settings, own = read_perturbation(perturbation, window, x, channels, of_shares)
    scale = read_size("scale", scale)
    require_fit("scale", scale, x)
    return _infidelity(
        model,
        x,
        attribution,
        bound,
        read_baseline(baseline, x),
        scale,
        own,
        check.random_key(key),
        check.example_ids(ids, len(x)),
        perturbation=settings,
        channels=channels,
        optimal_scale=check.flag("optimal_scale", optimal_scale),
        num_samples=check.positive_int("num_samples", num_samples, least=2, most=_MOST_SAMPLES),
        batch_size=check.batch_size(batch_size),
    )


@compiled(static_argnames=("perturbation", "channels", "optimal_scale", "num_samples", "batch_size"))
def _infidelity(
    model: Model,
    x: Shaped[Array, "N *input"],
    attribution: Attribution,
    target: Target,
    baseline: Shaped[Array, "*input"],
    scale: Float[Array, "..."],
    own: Model | None,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    *,
    perturbation: Perturbation,
    channels: int | None,
    optimal_scale: bool,
    num_samples: int,
    batch_size: int | None,
) -> Score:
    values = over_inputs(attribution, x.shape, channels, shared=perturbation.of_shares)
    rows = model_rows(model, x, batch_size)
    outputs = in_blocks(model, x, rows)
    target = target.resolve(outputs)
    scores = target.select(outputs)
    spread = jnp.broadcast_to(deviations(x, scale), x.shape)

    def score_one(example: Example, target: Target) -> Fields:
        values, score, spread = example.prepared

        def sample(numbers: Int[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
            def change(number: Int[Array, ""]) -> tuple[Array, Array]:
                draw = jax.random.fold_in(example.key, number)
                changed, step = perturbation.apply(draw, example.x, baseline, spread, own)
                return changed, (step * values.astype(step.dtype)).sum()

            changed, predicted = each(change)(numbers)
            return predicted, score - target.select(model(changed))

        predicted, actual = in_blocks(sample, jnp.arange(num_samples), rows)
        value, std_error = _squared_error(predicted.astype(actual.dtype), actual, optimal_scale)
        return {"values": value, "std_errors": std_error}

    fields, _ = explain_examples(
        score_one,
        model,
        x,
        target,
        key=key,
        ids=ids,
        rows=rows,
        rows_per_example=min(rows, num_samples),
        prepared=(values, scores, spread),
        output=False,
    )
    return Score(**fields, metric="infidelity", better="lower", method=attribution.method)


def _squared_error(
    predicted: Float[Array, " S"], actual: Float[Array, " S"], optimal_scale: bool
) -> tuple[Array, Array]:
    """Returns the mean squared error over the draws, and its standard error.

    At the best scale the derivative of the error with respect to the scale is 0. By the delta method the standard error is
    therefore that of the squared errors at this scale, with one degree of freedom less.
    """
    beta = ratio((predicted * actual).sum(), (predicted**2).sum()) if optimal_scale else jnp.ones((), actual.dtype)
    squares = (beta * predicted - actual) ** 2
    mean, count = squares.mean(), len(squares)
    variance = ((squares - mean) ** 2).sum() / max(1, count - 1 - optimal_scale)
    return mean, safe_sqrt(variance / count)
