"""Relative stability: the relative change of an explanation, over that of the input or the change of the outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, ArrayOrSequence, Float, Ids, KeyLike, ModelLike, TargetLike
from xaijax.metrics._explained_again import Task, laid_out, largest, read_task, run
from xaijax.metrics._score import Score
from xaijax.metrics.robustness._sensitivity import differences, norm, of_neighbors, read_ball


def relative_input_stability(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    key: KeyLike,
    ids: Ids = None,
    num_samples: int = 20,
    radius: float | ArrayOrSequence = 0.02,
    epsilon: float = 1e-6,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how much an explanation changes at most, relative to the change of the input, each in relative units.

    max over x' of |(phi(x) - phi(x')) / phi(x)| / max(|(x - x') / x|, epsilon), with elementwise quotients

    Why: unlike the Lipschitz estimate it has no units, so that it compares explainers and inputs of different scales.

    Args:
      explainer: as in `xai.metrics.max_sensitivity`; likewise all other arguments.
      model, x: any model and its floating inputs [N, ...].
      key: a JAX random key.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      num_samples: S, how many x' are drawn for each example, uniformly with |x'_i - x_i| <= radius. Default 20. Of models of
        several classes, outputs [N, K], only those x' count whose top class is that of x.
      radius: of the ball, in units of x. Default 0.02.
      epsilon: the least change that is divided by; it also divides changes of numbers that are exactly 0, which have no
        relative change and then dominate. Default 1e-6.
      target: what is explained, that of x also at x'. Default: the top class of x.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score` without std_errors, as the largest of S samples has none; lower is better. NaN where no x' counts. The cost is
      S + 1 explanations, and the outputs at x and all x' for their classes.

    Raises:
      TypeError, ValueError: as `max_sensitivity`.

    References:
      Agarwal et al. (2022), Rethinking stability for attribution-based explanations, arXiv:2203.06877, section 3.3.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x[:, 0] ** 2  # gradient 2 x, which changes as much as x
    >>> score = xai.metrics.relative_input_stability(xai.gradient.saliency, model, [[0.5]], key=jax.random.key(0))
    >>> round(float(score.values[0]), 2)
    1.0
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size, perturbed=True)
    return _score("relative input stability", task, num_samples, radius, epsilon)


def relative_output_stability(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    key: KeyLike,
    ids: Ids = None,
    num_samples: int = 20,
    radius: float | ArrayOrSequence = 0.02,
    epsilon: float = 1e-6,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how much an explanation changes at most in relative units, over the change of the model's outputs.

    max over x' of |(phi(x) - phi(x')) / phi(x)| / max(|f(x) - f(x')|, epsilon), with an elementwise quotient

    Why: where the outputs change, a faithful explanation has to change too. This measure asks for no more stability than
    the model has.

    Args:
      explainer: as in `xai.metrics.max_sensitivity`; likewise all other arguments.
      model, x: any model and its floating inputs [N, ...]. All outputs of the model count: let it return logits, as in the
        paper.
      key: a JAX random key.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      num_samples: S, as in `relative_input_stability`. Default 20.
      radius: of the ball, in units of x. Default 0.02.
      epsilon: the least change that is divided by, as in `relative_input_stability`. Default 1e-6.
      target: what is explained, that of x also at x'. Default: the top class of x.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score`, as from `relative_input_stability`, in units of 1 over those of the outputs.

    Raises:
      TypeError, ValueError: as `max_sensitivity`.

    References:
      Agarwal et al. (2022), arXiv:2203.06877, section 3.3.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x[:, 0] ** 2  # the relative change of 2 x over the change of x² is about 1 / (2 x²)
    >>> score = xai.metrics.relative_output_stability(xai.gradient.saliency, model, [[0.5]], key=jax.random.key(0), radius=1e-3)
    >>> round(float(score.values[0]), 1)
    2.0
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size, perturbed=True)
    return _score("relative output stability", task, num_samples, radius, epsilon)


def _score(metric: str, task: Task, num_samples: Any, radius: Any, epsilon: Any) -> Score:
    num_samples, radius = read_ball(task.x, num_samples, radius)
    epsilon = jnp.asarray(check.positive_float("epsilon", epsilon), radius.dtype)
    return run(_stability, task, radius, epsilon, metric=metric, num_samples=num_samples)


@compiled(static_argnames=("metric", "num_samples", "on_host"), title=lambda options: options["metric"])
def _stability(task: Task, radius: Array, epsilon: Array, *, metric: str, num_samples: int, on_host: bool) -> Score:
    task = task.resolved()
    original = task.explain()
    values, of_input = laid_out(original), metric == "relative input stability"
    shapes = jax.eval_shape(Task.outputs, task)
    has_classes = hasattr(shapes, "shape") and len(shapes.shape) == 2 and shapes.shape[1] > 1
    outputs = task.outputs() if has_classes or not of_input else None

    def of_changed(changed: Task, attribution: Attribution) -> tuple[Array, Array]:
        change = norm(_relative(values, laid_out(attribution), epsilon))
        new = None if outputs is None else changed.outputs()
        if of_input:
            distance = norm(_relative(_rows(task.x), _rows(changed.x), epsilon))
        else:
            distance = norm(differences(new, outputs))
        counted = jnp.argmax(new, axis=1) == jnp.argmax(outputs, axis=1) if has_classes else jnp.ones(len(change), bool)  # pyright: ignore[reportArgumentType]
        return change / jnp.maximum(distance, epsilon), counted

    samples, counted = of_neighbors(task, radius, of_changed, num_samples, on_host)
    values = task.nan_where_invalid(original, largest(samples, counted))
    return Score(values, metric=metric, better="lower", method=original.method)


def _relative(values: Float[Array, "N D"], changed: Float[Array, "N D"], epsilon: Array) -> Float[Array, "N D"]:
    return (values - changed) / jnp.where(values == 0, epsilon, values)


def _rows(x: Float[Array, "N ..."]) -> Float[Array, "N D"]:
    return at_least_float32(x).reshape(len(x), -1)
