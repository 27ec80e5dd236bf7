"""ROAD, remove and debias (Rong et al. 2022): the output as the most and the least relevant pixels are imputed.

score = mean over the percentiles of (f(x without the least relevant) - f(x without the most relevant)) / 2
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import at_least_float32
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Ids, Int, Key, KeyLike, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.metrics._score import Score
from xaijax.metrics.faithfulness._imputation import impute
from xaijax.metrics.faithfulness._over_inputs import over_inputs, read_channels, read_explained

_BETTER = {"both": "higher", "most": "lower", "least": "higher"}
_PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
_MOST_SAMPLES = 2**16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Road(Score):
    """A score with the outputs that it comes from.

    values: [N] the mean over the percentiles: of (least_first - most_first) / 2 for both orders, and of the change of the
      output for one order.
    fractions: [P] the share of the pixels that were imputed.
    output: [N] the output at x itself.
    most_first: [N, P] the outputs without the most relevant pixels; None where only the least relevant were imputed.
    least_first: [N, P] the outputs without the least relevant pixels, or None.
    target: [N] the class whose output it is; None for a score.
    std_errors, metric, better, method: as of a `Score`.
    """

    fractions: Float[Array, " P"] = dataclasses.field(kw_only=True)
    output: Float[Array, " N"] = dataclasses.field(kw_only=True)
    most_first: Float[Array, "N P"] | None = dataclasses.field(default=None, kw_only=True)
    least_first: Float[Array, "N P"] | None = dataclasses.field(default=None, kw_only=True)
    target: Int[Array, " N"] | None = dataclasses.field(default=None, kw_only=True)


def road(
    model: ModelLike,
    x: ArrayOrSequence,
    attribution: Attribution,
    *,
    key: KeyLike,
    percentiles: Sequence[float] = _PERCENTILES,
    order: str = "both",
    noise: float = 0.01,
    num_samples: int = 1,
    target: TargetLike = None,
    ids: Ids = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Road:
    """Computes how the output changes as pixels are replaced by what their surroundings predict, in order of relevance.

    Why: pixels that are set to a constant leave a silhouette, which shows the model what was removed and where. Imputed pixels
    are hard to tell from others, so that the output shows what the removed pixels said, without training again. A random order
    and a constant map have the expectation 0.

    Every removed pixel becomes the weighted mean of its 8 neighbors, 1/6 for those at its sides and 1/12 for those at its
    corners, of which some are removed as well, plus noise. The linear systems of all percentiles are solved at once on the
    device, to the precision of float32.

    Args:
      model: any model of images.
      x: [N, H, W, C] images of floating numbers. Those with NaN score NaN.
      attribution: of the same images: maps [N, h, w], resized linearly where they differ in size; values of regions, which
        each of their pixels gets; or values of all entries, which are summed over the channels. Of equal values, the first
        pixel comes first.
      key: a random key, for the noise. Both orders have the same noise.
      percentiles: P percentages of the pixels, between 0 and 100, that are imputed; counts are rounded. Default
        10, 20, ..., 90.
      order: "most" for the most relevant pixels first, "least" for the least relevant, "both" for half the difference.
        Default "both": the change that imputing causes in any order drops out.
      noise: its standard deviation, in units of x. Default 0.01, as in the implementations of the authors and of
        pytorch-grad-cam: imputed regions of smooth color are not recognized by their smoothness.
      num_samples: S draws of the noise. Default 1, as the noise is small; then there are no standard errors.
      target: an int, ints [N], a callable, or one of `xai.target`. Default: the class that the attribution explains; for an
        attribution without a class, the top class.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      channel_axis: the axis of the channels, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Road` in units of the output, with standard errors over the draws for S > 1: after 2 P S + 1 evaluations of each example,
      or P S + 1 for one order. It is differentiable with respect to the model's parameters, not with respect to x, whose
      derivatives pass through the pixels that stay, nor the attribution, which only ranks.

    Raises:
      TypeError, ValueError: if the attribution does not fit x or explains another class, x holds no images, or an argument is
        out of range.

    References:
      Rong et al. (2022), A consistent and efficient evaluation strategy for attribution methods, arXiv:2202.00449,
      section 4.2. The mean of both orders is that of pytorch-grad-cam's ROADCombined, whose percentile p leaves p percent
      of the pixels, and imputes all pixels of equal values at once.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)  # a gradient of gray, which its surroundings predict, but for the ends
    >>> attribution = xai.Attribution(x[..., 0], jnp.zeros(1), axes="N h w")
    >>> score = xai.metrics.road(lambda x: x.max(axis=(1, 2, 3)), x, attribution, key=jax.random.key(0), percentiles=[25])
    >>> score.most_first.round(), score.least_first.round()
    (Array([[11.]], dtype=float32), Array([[15.]], dtype=float32))
    """
    x = check.numeric_array("x", x)
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"`x` must be images [N, H, W, C] of floating numbers, got {check.shown(x)}: pass gray images as x[..., None], and "
            "integers as x.astype(float)."
        )
    model, bound = read_explained(model, x, attribution, target)
    noise = check.positive_float("noise", noise, zero_allowed=True)
    return _road(
        model,
        x,
        attribution,
        bound,
        jnp.asarray(noise, jnp.float32),
        check.random_key(key),
        check.example_ids(ids, len(x)),
        percentiles=_read_percentiles(percentiles),
        order=check.one_of("order", order, _BETTER),
        channels=read_channels(x, channel_axis),
        num_samples=check.positive_int("num_samples", num_samples, most=_MOST_SAMPLES),
        batch_size=check.batch_size(batch_size),
    )


def _read_percentiles(percentiles: Any) -> tuple[float, ...]:
    if not check.is_list(percentiles) or len(percentiles) == 0:
        raise TypeError(
            f"`percentiles` must be a sequence of percentages, such as [10, 50, 90], got {check.shown(percentiles)}."
        )
    read = check.host_array("percentiles", percentiles)
    if read.dtype.kind not in "iuf" or read.ndim != 1 or not ((read > 0) & (read < 100)).all():
        raise ValueError(
            f"`percentiles` must be between 0 and 100, such as [10, 50, 90], got {check.shown(percentiles)}: some pixels must be "
            "known to impute the others."
        )
    return tuple(map(float, read))


@compiled(static_argnames=("percentiles", "order", "channels", "num_samples", "batch_size"))
def _road(
    model: Model,
    x: Float[Array, "N ..."],
    attribution: Attribution,
    target: Target,
    noise: Float[Array, ""],
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    *,
    percentiles: tuple[float, ...],
    order: str,
    channels: int,
    num_samples: int,
    batch_size: int | None,
) -> Road:
    maps = over_inputs(attribution, x.shape, channels, shared=False).sum(axis=channels)
    num_pixels = maps[0].size
    fractions = jnp.asarray(percentiles) / 100
    counts = jnp.asarray([min(round(part / 100 * num_pixels), num_pixels - 1) for part in percentiles])
    signs = {"both": (-1, 1), "most": (-1,), "least": (1,)}[order]
    rows = model_rows(model, x, batch_size)
    outputs = in_blocks(model, x, rows)
    target = target.resolve(outputs)
    scores = target.select(outputs)

    def score_one(example: Example, target: Target) -> Fields:
        values, score = example.prepared
        image = jnp.moveaxis(jax.lax.stop_gradient(at_least_float32(example.x)), channels - 1, 0)
        ranks = jnp.stack([_ranks(sign * values) for sign in signs])

        def imputed(number: Int[Array, ""]) -> Float[Array, "S ..."]:
            percentile = number // len(signs)
            missing = ranks[number % len(signs)] < counts[percentile]
            filled = impute(image, missing)
            draws = example_draws(jax.random.fold_in(example.key, percentile))
            noisy = jnp.where(missing, filled[None] + noise.astype(image.dtype) * draws, image)
            return jnp.moveaxis(noisy, 1, channels).astype(example.x.dtype)

        def example_draws(key: Array) -> Float[Array, "S C H W"]:
            draw = lambda number: random.normal(jax.random.fold_in(key, number), image.shape)  # noqa: E731
            return each(draw)(jnp.arange(num_samples)).astype(image.dtype)

        def evaluate(numbers: Int[Array, " n"]) -> Float[Array, "n S"]:
            # On a CPU the arrays of one linear system stay in the caches; accelerators solve all of them side by side.
            images = in_blocks(each(imputed), numbers, 1 if jax.default_backend() == "cpu" else len(numbers))
            changed = images.reshape(-1, *images.shape[2:])
            selected = in_blocks(lambda block: target.select(model(block)), changed, rows)
            return selected.reshape(-1, num_samples)

        numbers = jnp.arange(len(percentiles) * len(signs))
        evaluated = in_blocks(evaluate, numbers, max(1, rows // num_samples))
        by_order = evaluated.reshape(len(percentiles), len(signs), num_samples)
        if order == "both":
            of_draws = ((by_order[:, 1] - by_order[:, 0]) / 2).mean(axis=0)
        else:
            of_draws = by_order[:, 0].mean(axis=0) - score
        fields = {"values": of_draws.mean(), "outputs": by_order.mean(axis=2)}
        if num_samples > 1:
            fields["std_errors"] = of_draws.std(ddof=1) / jnp.sqrt(num_samples).astype(of_draws.dtype)
        return fields

    fields, target = explain_examples(
        score_one,
        model,
        x,
        target,
        key=key,
        ids=ids,
        rows=rows,
        rows_per_example=min(rows, len(percentiles) * len(signs) * num_samples),
        prepared=(maps, scores),
        output=False,
        invalid=check.rows_with_nan(maps) | jnp.isnan(scores),
    )
    by_order = fields.pop("outputs")
    return Road(
        **fields,
        fractions=fractions,
        output=scores,
        most_first=None if order == "least" else by_order[..., 0],
        least_first=None if order == "most" else by_order[..., -1],
        target=target.index,
        metric="ROAD" if order == "both" else f"ROAD, the {order} relevant first",
        better=_BETTER[order],
        method=attribution.method,
    )


def _ranks(values: Float[Array, "H W"]) -> Int[Array, "H W"]:
    """Returns the rank of each pixel, 0 for the smallest value. Sorting suits images better than `numerics.ranks`."""
    order = jnp.argsort(values.reshape(-1), stable=True)
    return jnp.zeros(order.shape, order.dtype).at[order].set(jnp.arange(order.size)).reshape(values.shape)
