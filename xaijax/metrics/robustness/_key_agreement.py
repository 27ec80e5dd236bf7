"""Agreement of an explanation with itself under another key, for explainers that draw samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Ids, Inputs, Int, KeyLike, ModelLike, TargetLike
from xaijax.metrics._agreement import MEASURES, agreements
from xaijax.metrics._explained_again import Task, for_each, read_task, run, std_errors
from xaijax.metrics._score import Score

_MOST_SAMPLES = 2**16


def key_agreement(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: Inputs,
    *,
    key: KeyLike,
    ids: Ids = None,
    agreement: str = "rank_correlation",
    top: int | None = None,
    num_samples: int = 5,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how well two explanations agree that differ in their random keys alone.

    Why: explainers that draw samples, such as LIME and sampled Shapley values, answer differently each time. Where the
    agreement is low, take more samples before you read the ranking of the players.

    Args:
      explainer: a function (model, x, ..., key=...) that returns an `Attribution`. It also gets those of ids, target and
        batch_size that it names.
      model: any model.
      x: inputs [N, ...] of any type that the explainer takes.
      key: a JAX random key, from which those of the explanations are derived.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      agreement: "rank_correlation" (Spearman, over all players), "top_agreement" (the share of the strongest players that are
        the same), or "sign_agreement" (of those that also have the same sign). Default "rank_correlation".
      top: how many players are the strongest, by |value|. Default: a fifth of them.
      num_samples: S pairs of explanations, no two of which share a key. Default 5.
      target: what is explained, where the explainer names it. Default: the top class.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score`, higher is better, with std_errors from the S pairs; None for S = 1. NaN where an explanation is constant
      (rank correlation) or NaN. The cost is 2 S explanations.

    Raises:
      TypeError, ValueError: if the explainer takes no key, or an argument is of another type or out of range.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> explainer = lambda model, x, key: xai.shap.values(model, x, xai.mask.baseline(jnp.zeros(3)), key=key)
    >>> model = lambda x: x @ jnp.array([1.0, 2.0, 3.0])  # all explanations are exact
    >>> score = xai.metrics.key_agreement(explainer, model, jnp.ones((1, 3)), key=jax.random.key(0))
    >>> round(float(score.values[0]), 3), round(float(score.std_errors[0]), 3)
    (1.0, 0.0)
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size)
    if not task.explainer.takes("key"):
        raise TypeError(
            "`explainer` must take an argument `key`, got one that has no such argument, or has it bound: without a key its "
            "explanations do not differ."
        )
    return run(
        _key_agreement,
        task,
        agreement=check.one_of("agreement", agreement, MEASURES),
        top=None if top is None else check.positive_int("top", top),
        num_samples=check.positive_int("num_samples", num_samples, most=_MOST_SAMPLES),
    )


@compiled(static_argnames=("agreement", "top", "num_samples", "on_host"), title="key agreement")
def _key_agreement(task: Task, *, agreement: str, top: int | None, num_samples: int, on_host: bool) -> Score:
    task = task.resolved()
    at_once = task.at_once(num_samples)

    def explained(number: Int[Array, ""]) -> Attribution:
        return dataclasses.replace(task, key=jax.random.fold_in(task.key, number)).explain(at_once)

    def of_pair(number: Int[Array, ""]) -> Score:
        first, second = explained(2 * number), explained(2 * number + 1)
        agreed = agreements((first, second), top=top)[:, MEASURES.index(agreement), 0]
        return Score(task.nan_where_invalid(first, agreed), method=first.method)

    pairs = for_each(of_pair, num_samples, at_once, on_host)
    fields = pairs.values.mean(axis=0), std_errors(pairs.values)
    return Score(*fields, metric="key agreement", better="higher", method=pairs.method)
