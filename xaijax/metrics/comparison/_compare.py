"""Compares explainers on one model and its inputs by several metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, frames
from xaijax._core.attribution import Attribution
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, ArrayOrSequence, Ids, Inputs, KeyLike, ModelLike, TargetLike
from xaijax.metrics.comparison._comparison import Comparison, comparison_of
from xaijax.metrics.comparison._example_scores import read_functions, read_options, score_examples


def compare(
    explainers: Mapping[str, Callable[..., Attribution]] | Sequence[Callable[..., Attribution]],
    model: ModelLike,
    x: Inputs,
    metrics: Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]],
    *,
    key: KeyLike,
    masker: Masker | None = None,
    masks: ArrayOrSequence | None = None,
    target: TargetLike = None,
    ids: Ids = None,
    batch_size: int | None = None,
    top: int | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compares explainers by several metrics on the same examples: means with intervals, ranks, tests and agreement.

    Why: metrics answer different questions and often disagree, so that one number does not choose an explainer. One table
    shows what each explainer is good at, whether a difference exceeds chance, and which explainers say the same.
    `xai.metrics.benchmark_explainers` compares time, error and stability over budgets instead; `xai.scale.compare_dataset`
    runs the same comparison over data sets, and resumes.

    Args:
      explainers: by name, or a sequence of functions with different names. Each is called once, as
        explainer(model, x, ...) with those of key, ids, target and batch_size that it names; bind other options with
        functools.partial.
      model: any model.
      x: [N, ...] the inputs.
      metrics: by name, or a sequence of functions of `xai.metrics`. Each is called by the names of its parameters, with
        those of game, attribution, maps, model, x, explainer, masks, key, ids, target and batch_size that it names; game is
        `xai.game(model, x, masker, target=target)`, and maps is the attribution. Attributions come without the name of their
        method and what the estimator reports, so that metrics are compiled once for all explainers. A metric returns a
        `Score`, or numbers [N], of which neither direction is better.
      key: a JAX random key. Explainers get it as it is; metrics get another one made from it, the same for all.
      masker: from `xai.mask`, for metrics that take a game. All explainers are scored by this way of removing features,
        which favors explainers that use it too.
      masks: booleans [N, *space], for metrics of localization.
      target: the explained output: an int, ints [N], a callable, one of `xai.target`, or None for the top class. Default
        None. It is passed on where it is given.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; passed on where it is given.
      top: k of the agreement of the k strongest players. Default: a fifth of the players.
      level: the probability of the intervals. Default 0.95.

    Returns:
      A `Comparison`: `scores`, `table()`, `ranks()`, `tests()`, `agreement` and `show()`. `xai.plot.scores` and
      `xai.plot.agreement` draw it.

    Raises:
      TypeError, ValueError: if explainers or metrics are no functions by name, a metric needs an argument that is not
        given, explainers explain different outputs or inputs, or a metric returns no score of each example. Errors of
        explainers and metrics get a note that names them.

    References:
      Krishna et al. (2022), The disagreement problem in explainable machine learning, arXiv:2202.01602, section 3.2: rank
      correlation, feature agreement and sign agreement.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> weights, x = jnp.array([3.0, -2.0, 1.0]), jnp.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
    >>> def error(x, attribution):  # of a linear model, whose contributions are known
    ...     return xai.metrics.Score(jnp.abs(attribution.values - weights * x).sum(axis=1), better="lower")
    >>> comparison = xai.metrics.compare(
    ...     [xai.gradient.saliency, xai.gradient.input_x_gradient], lambda x: x @ weights, x, [error], key=jax.random.key(0))
    >>> [(record["explainer"], record["mean"], record["rank"]) for record in comparison.table()]
    [('saliency', 2.0, 2.0), ('input_x_gradient', 0.0, 1.0)]
    """
    explainers, metrics = read_functions("explainers", explainers), read_functions("metrics", metrics)
    key, masker, top, level = read_options(metrics, key, masker, masks is not None, top, level)
    if isinstance(x, list):
        x = check.numeric_array("x", x)
    elif not frames.is_frame(x):
        x = jax.tree.map(lambda leaf: check.numeric_array("x", leaf), x)
    num_examples = check.examples(x)
    if not check.is_concrete(x, key):
        raise TypeError(f"`x` must have known values, got {check.shown(x)}: compare outside of jax.jit.")
    return comparison_of(
        [
            score_examples(
                model,
                x,
                explainers=explainers,
                metrics=metrics,
                key=key,
                ids=check.example_ids(jnp.arange(num_examples) if ids is None else ids, num_examples),
                masker=masker,
                masks=None if masks is None else _read_masks(masks, num_examples),
                target=target,
                batch_size=check.batch_size(batch_size),
                top=top,
            )
        ],
        level,
    )


def _read_masks(masks: ArrayOrSequence, num_examples: int) -> Array:
    read = check.numeric_array("masks", masks)
    if read.dtype != bool or read.ndim < 2 or len(read) != num_examples:
        raise ValueError(
            f"`masks` must be booleans [{num_examples}, *space], True on the object, got {read.dtype}{list(read.shape)}."
        )
    return read
