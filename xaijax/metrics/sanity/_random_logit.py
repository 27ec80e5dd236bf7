"""Random logit: whether the explanation of a class differs from those of other classes (Sixt, Granz & Landgraf 2020).

score = mean over classes c' != c, drawn at random, of s(phi_c'(x), phi_c(x))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import example_keys
from xaijax._core.compile import compiled
from xaijax._core.target import Target, output_shapes
from xaijax._core.typing import Array, Float, Ids, Inputs, Int, KeyLike, ModelLike, TargetLike
from xaijax.metrics._explained_again import Task, for_each, read_task, rows_of, run, std_errors
from xaijax.metrics._score import Score
from xaijax.metrics._similarity import SIMILARITIES, similarities

_CLASSES = 0x636C6173  # folded into the key for the classes; the explainer gets the key itself


def random_logit(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: Inputs,
    *,
    key: KeyLike,
    ids: Ids = None,
    similarity: str = "absolute_rank_correlation",
    num_samples: int = 5,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how similar the explanation of a class is to those of other classes, drawn at random.

    Why: an explanation that is the same for every class shows where something is, and not why the model chose this class.

    Args:
      explainer: a function (model, x, ..., target=...) that returns an `Attribution`, such as `xai.gradient.saliency`. It also
        gets those of key, ids and batch_size that it names; the key is the same for all classes.
      model: a model of K >= 2 classes, outputs [N, K].
      x: inputs [N, ...] of any type that the explainer takes.
      key: a JAX random key.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      similarity: "absolute_rank_correlation" (Spearman, of the absolute values), "rank_correlation", or "cosine". Default the
        first: of two classes of a softmax, one explanation is the other with its signs changed, and shows the same.
      num_samples: S other classes of each example, drawn without replacement; all K - 1 of them if it is larger. Default 5.
      target: the class c, an int or ints [N]. Default: the top class.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score`; lower is better. std_errors of the mean over all other classes, 0 if all were taken; None for one class of
      several. NaN where an explanation is constant or NaN. The cost is S + 1 explanations.

    Raises:
      TypeError, ValueError: if the explainer takes no target, the model has no several classes, or an argument is of another
        type or out of range.

    References:
      Sixt, Granz & Landgraf (2020), When explanations lie: why many modified BP attributions fail, arXiv:1912.09818,
      where one other class is drawn and maps are compared by their structural similarity.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x @ jnp.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]])  # opposite orders of importance
    >>> score = xai.metrics.random_logit(xai.gradient.saliency, model, jnp.ones((1, 3)), key=jax.random.key(0))
    >>> round(float(score.values[0]), 3)
    -1.0
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size)
    if task.target is None:
        raise TypeError(
            "`explainer` must take the class as its argument `target`, got one that has no such argument, or has it bound: "
            "pass lambda model, x, target: ..."
        )
    if task.target.score is not None:
        raise TypeError(f"`target` must be an int, ints [N] or None, got {check.shown(target)}.")
    shapes = output_shapes(task.model, task.x, task.num_examples)
    if len(shapes.shape) != 2 or shapes.shape[1] < 2:
        raise ValueError(f"`model` must have at least two classes, outputs [N, K], got outputs {list(shapes.shape)}.")
    return run(
        _random_logit,
        task,
        similarity=check.one_of("similarity", similarity, SIMILARITIES),
        num_others=shapes.shape[1] - 1,
        num_samples=min(check.positive_int("num_samples", num_samples), shapes.shape[1] - 1),
    )


@compiled(static_argnames=("similarity", "num_others", "num_samples", "on_host"), title="random logit")
def _random_logit(task: Task, *, similarity: str, num_others: int, num_samples: int, on_host: bool) -> Score:
    task = task.resolved()
    assert task.target is not None
    assert task.target.index is not None, "one class of each example"
    original, index = task.explain(), task.target.index
    keys = example_keys(jax.random.fold_in(task.key, _CLASSES), task.own_ids)
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, num_others))(keys)
    others = (index[:, None] + 1 + shuffled) % (num_others + 1)  # every class but the explained one
    at_once = task.at_once(num_samples)

    def of_class(number: Int[Array, ""]) -> Float[Array, " N"]:
        target = Target(index=jnp.take(others, number, axis=1).astype(jnp.int32))
        attribution = dataclasses.replace(task, target=target).explain(at_once)
        return similarities(similarity, rows_of(original), rows_of(attribution))

    samples = for_each(of_class, num_samples, at_once, on_host)
    if num_samples == num_others:
        errors = jnp.zeros(task.num_examples, samples.dtype)
    else:
        errors = std_errors(samples)
        left_out = 1 - num_samples / num_others  # of a finite number of classes
        errors = None if errors is None else errors * left_out**0.5
    fields = task.nan_where_invalid(original, (samples.mean(axis=0), errors))
    return Score(*fields, metric="random logit", better="lower", method=original.method)
