"""Sanity checks by random parameters: explanations of the model must change with what it has learned.

parameter_randomization   s(phi(f_l, x), phi(f, x)), f_l with the parameters of layer l, or of all from the top to l, drawn anew
efficient_randomization   (H(phi(f_all, x)) - H(phi(f, x))) / H(phi(f, x)), H the entropy of the histogram of the values
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Float, Ids, Inputs, Int, KeyLike, ModelLike, TargetLike
from xaijax.metrics._explained_again import Task, for_each, read_task, rows_of, run, std_errors
from xaijax.metrics._score import Score
from xaijax.metrics._similarity import SIMILARITIES, similarities
from xaijax.metrics.sanity._layers import permuted, read_layers, steps_of, with_drawn

ORDERS = ["cascading", "independent"]
_PARAMETERS = 0x70617261  # folded into the key for the parameters; the explainer gets the key itself
_MOST_SAMPLES = 2**16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Randomization(Score):
    """The similarity of explanations of a model and of the same model with random parameters.

    values: [N] the mean over the layers.
    std_errors: [N] the standard errors over several draws of the parameters; None for one draw.
    layer_values: [N, L] the similarity after each step, the mean over the draws.
    layers: the L layers, in the order of the steps.
    order: "cascading" or "independent".
    metric, better, method: as of a `Score`.
    """

    layer_values: Float[Array, "N L"] = dataclasses.field(kw_only=True)
    layers: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True}, kw_only=True)
    order: str = dataclasses.field(default="", metadata={"static": True}, kw_only=True)


def parameter_randomization(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: Inputs,
    *,
    key: KeyLike,
    ids: Ids = None,
    order: str = "cascading",
    layers: Sequence[str] | None = None,
    similarity: str = "absolute_rank_correlation",
    num_samples: int = 1,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Randomization:
    """Computes how similar explanations stay when the parameters of the model are replaced by random ones, layer by layer.

    Why: an explanation that stays the same does not show what the model has learned. Edge detectors, and methods close to
    them such as guided backpropagation, are exposed. A low similarity does not show that an explanation is right.

    Args:
      explainer: a function (model, x, ...) that returns an `Attribution`, such as `xai.gradient.saliency`. It gets those of
        key, ids, target and batch_size that it names, and must use the model that it gets. It is traced once for all layers.
      model: a model whose parameters are leaves: `xai.linen(...)`, an NNX module, `xai.function(f, parameters)`, Equinox.
      x: inputs [N, ...] of any type that the explainer takes.
      key: a JAX random key, of the parameters and of the explainer, which gets the same for all models.
      ids: integers [N] that name the examples for the explainer's randomness. Default: their positions.
      order: "cascading" draws the layers from the top to the bottom, and keeps what was drawn; "independent" draws one layer
        at a time, the others as they were. Default "cascading".
      layers: paths of modules or parameters, each a step, in the order of the steps. Default: every module that has
        parameters of its own, the one that is used last first.
      similarity: "absolute_rank_correlation" (Spearman, of the absolute values), "rank_correlation", or "cosine". Default the
        first: an explanation that only changes its signs shows the same.
      num_samples: how often all parameters are drawn. Default 1, as in the paper.
      target: what is explained, where the explainer names it. Default: the top class of the model as it is, for all models.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Parameters are drawn by a permutation of each array's numbers, which keeps their distribution, and with it the scale of
    the activations. Arrays of equal numbers, such as biases of 0, stay as they are; so do arrays of one number, integers, and
    what is not trained by gradients, such as the running statistics of batch normalization.

    Returns:
      A `Randomization`: values [N], lower is better, layer_values [N, L] and the names of the layers. NaN where an explanation
      is constant or NaN. All examples share the drawn parameters. The cost is 1 + num_samples · L explanations, in one compiled
      program that holds one set of drawn parameters at a time.

    Raises:
      TypeError, ValueError: if an argument is of another type or out of range, the model has no such layer, or no parameters
        that are leaves, as functions that close over them.

    References:
      Adebayo et al. (2018), Sanity checks for saliency maps, arXiv:1810.03292, model parameter randomization test. There parameters are drawn from the
      distribution of their initialization, which a trained model does not tell.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0, 3.0, 4.0]))
    >>> ignores = lambda model, x: xai.Attribution(x, x.sum(axis=1))  # shows the input
    >>> x = jnp.array([[1.0, 2.0, 4.0, 3.0]])
    >>> score = xai.metrics.parameter_randomization(ignores, model, x, key=jax.random.key(0))
    >>> round(float(score.values[0]), 3), score.layers
    (1.0, ('0',))
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size)
    return run(
        _randomization,
        task,
        order=check.one_of("order", order, ORDERS),
        layers=read_layers(layers),
        similarity=check.one_of("similarity", similarity, SIMILARITIES),
        num_samples=check.positive_int("num_samples", num_samples, most=_MOST_SAMPLES),
    )


def efficient_randomization(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: Inputs,
    *,
    key: KeyLike,
    ids: Ids = None,
    num_bins: int = 100,
    num_samples: int = 1,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how much more complex explanations become when all parameters of the model are random.

    (H(random) - H(model)) / H(model), with H the entropy of the histogram of an explanation's values

    Why: the sanity check for the price of two explanations. A trained model has structured explanations, a random one noise,
    unless the method ignores the model, whose score is then 0. It compares no pair of maps, whose similarity noise blurs.

    Args:
      explainer, model, x, key, ids, target, batch_size: as in `parameter_randomization`.
      num_bins: of equal width, from the least to the greatest value of each explanation. Default 100, as in the paper; use few
        for explanations of few values.
      num_samples: how often all parameters are drawn. Default 1.

    Returns:
      A `Score`; higher is better, 0 is no change. std_errors over the draws, None for one draw. NaN where the values are all in
      one bin, such as 0, or one is NaN.

    Raises:
      TypeError, ValueError: as `parameter_randomization`.

    References:
      Hedström et al. (2024), Sanity checks revisited: an exploration to repair the model parameter randomisation test,
      arXiv:2401.06465, efficient MPRT.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0, 3.0, 4.0]))
    >>> ignores = lambda model, x: xai.Attribution(x, x.sum(axis=1))  # shows the input
    >>> x = jnp.array([[1.0, 2.0, 4.0, 3.0]])
    >>> float(xai.metrics.efficient_randomization(ignores, model, x, key=jax.random.key(0)).values[0])
    0.0
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size)
    num_bins = check.positive_int("num_bins", num_bins, least=2, most=2**16)
    num_samples = check.positive_int("num_samples", num_samples, most=_MOST_SAMPLES)
    return run(_efficient, task, num_bins=num_bins, num_samples=num_samples)


@compiled(static_argnames=("order", "layers", "similarity", "num_samples", "on_host"), title="parameter randomization")
def _randomization(
    task: Task, *, order: str, layers: tuple[str, ...] | None, similarity: str, num_samples: int, on_host: bool
) -> Randomization:
    steps = steps_of(task.model, task.x, layers)
    in_step = np.logical_or.accumulate(steps.drawn) if order == "cascading" else steps.drawn
    task = task.resolved()
    original = task.explain()

    def of_draw(number: Int[Array, ""]) -> Float[Array, "L N"]:
        parameters = _drawn(task, steps.ever_drawn, number)

        def of_layer(layer: Int[Array, ""]) -> Float[Array, " N"]:
            model = with_drawn(task.model, parameters, jnp.asarray(in_step)[layer])
            changed = dataclasses.replace(task, model=model)
            return similarities(similarity, rows_of(original), rows_of(changed.explain()))

        # One at a time: side by side, convolutions with kernels of their own are slow, and all parameters exist L times.
        return for_each(of_layer, len(steps.layers), 1, on_host)

    samples = for_each(of_draw, num_samples, 1, on_host)
    per_draw = samples.mean(axis=1)
    fields = {
        "values": per_draw.mean(axis=0),
        "std_errors": std_errors(per_draw),
        "layer_values": samples.mean(axis=0).T,
    }
    return Randomization(
        **task.nan_where_invalid(original, fields), layers=steps.layers, order=order, metric=f"{order} randomization",
        better="lower", method=original.method,
    )  # fmt: skip


@compiled(static_argnames=("num_bins", "num_samples", "on_host"), title="efficient randomization")
def _efficient(task: Task, *, num_bins: int, num_samples: int, on_host: bool) -> Score:
    drawn = steps_of(task.model, task.x, None).ever_drawn
    task = task.resolved()
    original = task.explain()
    before = _complexity(rows_of(original), num_bins)

    def of_draw(number: Int[Array, ""]) -> Float[Array, " N"]:
        model = with_drawn(task.model, _drawn(task, drawn, number), drawn)
        changed = dataclasses.replace(task, model=model)
        after = _complexity(rows_of(changed.explain()), num_bins)
        return (after - before) / jnp.where(before > 0, before, jnp.nan)

    samples = for_each(of_draw, num_samples, 1, on_host)
    fields = task.nan_where_invalid(original, (samples.mean(axis=0), std_errors(samples)))
    return Score(*fields, metric="efficient randomization", better="higher", method=original.method)


def _drawn(task: Task, drawn: Sequence[bool], number: Int[Array, ""]) -> list[Array | None]:
    key = jax.random.fold_in(jax.random.fold_in(task.key, _PARAMETERS), number)
    return permuted(task.model, key, drawn)


def _complexity(rows: Float[Array, "N M"], num_bins: int) -> Float[Array, " N"]:
    """Returns the entropy of the histogram of each row, in nats; NaN for rows with NaN."""

    def of_row(row: Array) -> Array:
        least, most = row.min(), row.max()
        width = jnp.where(most > least, most - least, 1)
        bins = jnp.clip(jnp.floor((row - least) / width * num_bins), 0, num_bins - 1).astype(jnp.int32)
        shares = jnp.zeros(num_bins, row.dtype).at[bins].add(1) / len(row)
        return -(shares * jnp.log(jnp.where(shares > 0, shares, 1))).sum() + 0 * width  # NaN stays NaN

    return jax.vmap(of_row)(rows)
