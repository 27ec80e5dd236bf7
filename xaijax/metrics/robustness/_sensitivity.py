"""Sensitivity of explanations to small changes of the input: relative to the explanation, and per distance.

max_sensitivity   max_e |phi(x + e) - phi(x)| / |phi(x)|      e uniform in a ball of the maximum norm
avg_sensitivity   mean of the same
local_lipschitz   max_e |phi(x + e) - phi(x)| / |e|
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, example_keys
from xaijax._core.compile import compiled
from xaijax._core.noise import read_size, require_fit
from xaijax._core.numerics import at_least_float32, safe_sqrt
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Float, Ids, Int, KeyLike, ModelLike, TargetLike
from xaijax.metrics._explained_again import Task, for_each, laid_out, largest, read_task, run, std_errors
from xaijax.metrics._score import Score

_NOISE = 0x6E6F6973  # folded into the key for the noise; the explainer gets the key itself
_MOST_SAMPLES = 2**20


def max_sensitivity(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    key: KeyLike,
    ids: Ids = None,
    num_samples: int = 20,
    radius: float | ArrayOrSequence = 0.02,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how much an explanation changes at most when the input changes a little, relative to its size.

    max over e of |phi(x + e) - phi(x)| / |phi(x)|, with |e_i| <= radius and Euclidean norms

    Why: an explanation that changes where the input, and with it the output, hardly does describes the method more than
    the model. Read it only next to a measure of faithfulness: a constant explanation has sensitivity 0.

    Args:
      explainer: a function (model, x, ...) that returns an `Attribution`, such as `xai.gradient.saliency`. It gets those of
        key, ids, target and batch_size that it names. It is traced once for all samples; one that needs values, such as one
        of torch, is called for each sample.
      model: any model; x: [N, ...] floating inputs of any shape, or a data frame of numbers.
      key: a JAX random key. The explainer gets the same key for x and for all x + e, so that its own sampling error largely
        cancels; `xai.metrics.key_agreement` measures that.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      num_samples: S, how many e are drawn for each example. Default 20.
      radius: of the ball, in units of x: a number, or an array that fits one input, such as 0.1 of the columns' standard
        deviations of a table. Default 0.02, which suits images in [0, 1].
      target: what is explained, where the explainer names it; that of x also at x + e. Default: the top class of x. An
        explainer without an argument `target` may explain another class at x + e.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score`; lower is better. The largest of S samples is at most the maximum over the ball and grows with S, so compare
      explainers at the same S. It has no std_errors: the samples do not tell how far the maximum is. NaN where phi(x) is 0
      or NaN. The cost is S + 1 explanations.

    Raises:
      TypeError, ValueError: if an argument is of another type or out of range, or the explainer returns anything but one
        attribution of each example.

    References:
      Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392, max-sensitivity. The division
      by |phi(x)|, as in captum and Quantus, makes methods of different units comparable.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: (x**2).sum(axis=1)  # gradient 2 x
    >>> score = xai.metrics.max_sensitivity(xai.gradient.saliency, model, [[1.0, 0.0]], key=jax.random.key(0), radius=0.1)
    >>> 0.05 < float(score.values[0]) < 0.1 * 2**0.5
    True
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size, perturbed=True)
    return _score("max sensitivity", task, num_samples, radius)


def avg_sensitivity(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    key: KeyLike,
    ids: Ids = None,
    num_samples: int = 20,
    radius: float | ArrayOrSequence = 0.02,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how much an explanation changes on average when the input changes a little, relative to its size.

    mean over e of |phi(x + e) - phi(x)| / |phi(x)|, with e uniform in |e_i| <= radius

    Why: unlike the maximum, the mean does not depend on the number of samples, and has a standard error.

    Args:
      explainer: as in `max_sensitivity`; likewise all other arguments.
      model, x: any model and its floating inputs [N, ...].
      key: a JAX random key.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      num_samples: S, how many e are drawn for each example. Default 20.
      radius: of the ball, in units of x. Default 0.02.
      target: what is explained, that of x also at x + e. Default: the top class of x.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score` with std_errors from the S samples (None for S = 1); lower is better. NaN where phi(x) is 0 or NaN.

    Raises:
      TypeError, ValueError: as `max_sensitivity`.

    References:
      Yeh et al. (2019), arXiv:1901.09392, whose maximum is replaced by the mean, as by Bhatt, Weller & Moura (2020),
      Evaluating and aggregating feature-based model explanations, arXiv:2005.00631.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> score = xai.metrics.avg_sensitivity(xai.gradient.saliency, lambda x: 3 * x[:, 0], [[1.0, 2.0]], key=jax.random.key(0))
    >>> score.values.tolist(), score.std_errors.tolist()  # the gradient of a linear model is constant
    ([0.0], [0.0])
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size, perturbed=True)
    return _score("average sensitivity", task, num_samples, radius)


def local_lipschitz(
    explainer: Callable[..., Attribution],
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    key: KeyLike,
    ids: Ids = None,
    num_samples: int = 20,
    radius: float | ArrayOrSequence = 0.02,
    target: TargetLike = None,
    batch_size: int | None = None,
) -> Score:
    """Computes the local Lipschitz estimate of an explanation: its largest change per distance from the input.

    max over e of |phi(x + e) - phi(x)| / |e|, with |e_i| <= radius and Euclidean norms

    Why: of an explanation that is robust, near inputs have near explanations. The estimate is in units of the explanation
    over those of x, so compare explainers of one unit only, or use `max_sensitivity`.

    Args:
      explainer: as in `max_sensitivity`; likewise all other arguments.
      model, x: any model and its floating inputs [N, ...].
      key: a JAX random key.
      ids: integers [N] that name the examples for their randomness. Default: their positions.
      num_samples: S, how many e are drawn for each example. Default 20.
      radius: of the ball, in units of x. Default 0.02.
      target: what is explained, that of x also at x + e. Default: the top class of x.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score` without std_errors, as the largest of S samples has none; lower is better.

    Raises:
      TypeError, ValueError: as `max_sensitivity`.

    References:
      Alvarez-Melis & Jaakkola (2018), On the robustness of interpretability methods, arXiv:1806.08049. There
      the maximum is searched for by Bayesian optimization; here it is the largest of random samples.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: (x**2).sum(axis=1)  # gradient 2 x
    >>> score = xai.metrics.local_lipschitz(xai.gradient.saliency, model, [[1.0, 3.0]], key=jax.random.key(0), radius=0.5)
    >>> round(float(score.values[0]), 3)
    2.0
    """
    task = read_task(explainer, model, x, key, ids, target, batch_size, perturbed=True)
    return _score("local Lipschitz", task, num_samples, radius)


def _score(metric: str, task: Task, num_samples: Any, radius: Any) -> Score:
    num_samples, radius = read_ball(task.x, num_samples, radius)
    return run(_sensitivity, task, radius, metric=metric, num_samples=num_samples)


def read_ball(x: Array, num_samples: Any, radius: Any) -> tuple[int, Array]:
    """Checks the number of samples and the radius of the ball that they are drawn from."""
    num_samples = check.positive_int("num_samples", num_samples, most=_MOST_SAMPLES)
    size = read_size("radius", radius)
    require_fit("radius", size, x)
    if check.is_concrete(size) and not size.any():
        raise ValueError(f"`radius` must be positive for at least one feature, got {check.shown(radius)}.")
    return num_samples, size


@compiled(static_argnames=("metric", "num_samples", "on_host"), title=lambda options: options["metric"])
def _sensitivity(task: Task, radius: Array, *, metric: str, num_samples: int, on_host: bool) -> Score:
    task = task.resolved()
    original = task.explain()
    values = laid_out(original)

    def of_changed(changed: Task, attribution: Attribution) -> tuple[Array, Array]:
        size = norm(laid_out(attribution) - values)
        distance = norm(differences(changed.x, task.x)) if metric == "local Lipschitz" else norm(values)
        return jnp.where(distance > 0, size / distance, jnp.nan), jnp.ones(len(size), bool)

    samples, counted = of_neighbors(task, radius, of_changed, num_samples, on_host)
    if metric == "average sensitivity":
        fields = samples.mean(axis=0), std_errors(samples)
    else:
        fields = largest(samples, counted), None
    return Score(*task.nan_where_invalid(original, fields), metric=metric, better="lower", method=original.method)


def of_neighbors(
    task: Task,
    radius: Array,
    of_changed: Callable[[Task, Attribution], tuple[Float[Array, " N"], Bool[Array, " N"]]],
    num_samples: int,
    on_host: bool,
) -> tuple[Float[Array, "S N"], Bool[Array, "S N"]]:
    """Explains inputs near x, and returns for each sample what is measured there, and whether it counts.

    Each example's samples depend on the key and its id alone.
    """
    keys = example_keys(jax.random.fold_in(task.key, _NOISE), task.own_ids)
    at_once = task.at_once(num_samples)

    def sample(number: Int[Array, ""]) -> tuple[Array, Array]:
        draw = lambda key: random.uniform(jax.random.fold_in(key, number), task.x.shape[1:], radius.dtype)  # noqa: E731
        noise = radius * (2 * each(draw)(keys) - 1)
        changed = dataclasses.replace(task, x=(at_least_float32(task.x) + noise).astype(task.x.dtype))
        return of_changed(changed, changed.explain(at_once))

    return for_each(sample, num_samples, at_once, on_host)


def differences(left: Any, right: Any) -> Float[Array, "N D"]:
    """Returns the differences of two arrays [N, ...], or of PyTrees of them, in one row for each example."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    rows = [(at_least_float32(one) - at_least_float32(other)).reshape(len(one), -1) for one, other in pairs]
    return jnp.concatenate(rows, axis=1)


def norm(rows: Float[Array, "N D"]) -> Float[Array, " N"]:
    """Returns the Euclidean norm of each row, in units of its largest number, whose squares neither overflow nor vanish."""
    unit = jax.lax.stop_gradient(jnp.abs(rows).max(axis=1))
    scaled = rows / jnp.where(unit > 0, unit, 1)[:, None]
    return unit * safe_sqrt((scaled**2).sum(axis=1))
