"""Expected gradients (Erion et al. 2021), known as GradientSHAP.

phi_i = E over b of the background, a of [0, 1] of (x_i - b_i) · ∂f/∂x_i (b + a (x - b))

Integrated gradients (Sundararajan, Taly & Yan 2017) averaged over baselines: Aumann-Shapley values, which are Shapley
values of the game in which features grow from b to x together.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution, axes_of_players
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.target import Target, TargetLike, as_target, output_shapes
from xaijax._core.typing import Array, Float, Int, Key
from xaijax._model import Model, as_model
from xaijax.shap._running import add

_REPLICATES = 16  # independent, so that their spread is that of another draw


def expected_gradients(
    model: Any,
    x: Any,
    background: Any,
    *,
    key: Any,
    target: TargetLike = None,
    num_samples: int = 256,
    ids: Any = None,
    batch_size: int | None = None,
) -> Attribution:
    """Gradients averaged over the ways from background rows to the input (GradientSHAP), with standard errors.

    Why: an attribution to every feature or pixel for a few hundred gradients, however many there are, where Shapley
    values need several evaluations for each. For differentiable models.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] floating inputs of any shape.
      background: [B, ...] rows to come from, such as training rows, or one black image.
      key: a JAX random key. Each example's samples depend on the key and its id alone.
      target: an int, ints [N], a callable from outputs to one number for each row, or None for the top class.
      num_samples: S gradients for each example, in 16 independent replicates, within which the places on the way are
        stratified. Default 256.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, whose sum is output minus base_value up to their errors; std_errors alike; base_value the
      mean output over the background; output.

    Raises:
      TypeError, ValueError: if x or the background are no floating numbers or do not fit each other, hold NaN, or an
        argument is out of range.

    References:
      Erion, Janizek, Sturmfels, Lundberg & Lee (2021), Improving performance of deep learning models with axiomatic
      attribution priors and expected gradients, arXiv:1906.10670.
    """
    model = as_model(model)
    x, background = (_read_rows(name, rows) for name, rows in (("x", x), ("background", background)))
    if x.shape[1:] != background.shape[1:]:
        raise ValueError(
            f"background must have rows of the shape of x's, {list(x.shape[1:])}, but its shape is "
            f"{list(background.shape)}."
        )
    num_examples = check.examples(x)
    bound = as_target(target, output_shapes(model, x, num_examples), num_examples, all_allowed=False)
    num_samples = check.positive_int("num_samples", num_samples, least=2 * _REPLICATES)
    return _expected_gradients(
        model, x, background, bound, check.random_key(key), check.example_ids(ids, num_examples),
        num_samples=num_samples, batch_size=check.batch_size(batch_size),
    )  # fmt: skip


def _read_rows(name: str, rows: Any) -> Array:
    rows = check.numeric_array(name, rows)
    if rows.ndim < 1 or len(rows) == 0 or not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be floating numbers with rows in the first axis, at least one, but it is "
            f"{rows.dtype.name}{list(rows.shape)}."
        )
    check.no_nan(name, rows)
    return rows


@compiled(static_argnames=("num_samples", "batch_size"))
def _expected_gradients(
    model: Model,
    x: Float[Array, "N *input"],
    background: Float[Array, "B *input"],
    target: Target,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    num_samples: int,
    batch_size: int | None,
) -> Attribution:
    rows = model_rows(model, x, batch_size)
    length = num_samples // _REPLICATES
    replicates_at_once = max(1, rows // length)

    def explain_one(example: Example, target: Target) -> Fields:
        own, key = example.x, example.key

        def gradients(inputs: Float[Array, "n *input"]) -> Float[Array, "n *input"]:
            return jax.grad(lambda inputs: target.select(model(inputs)).sum())(inputs)

        def replicate(number: Int[Array, ""]) -> tuple[Array, Array]:
            """Where on which way: strata of [0, 1] in random order, rows by chance."""
            place_key, order_key, row_key = jax.random.split(jax.random.fold_in(key, number), 3)
            places = (jax.random.permutation(order_key, length) + random.uniform(place_key, (length,))) / length
            order = jax.random.randint(row_key, (length,), 0, len(background))
            return places, order

        def sample(numbers: Int[Array, " R"]) -> Float[Array, "R *input"]:
            places, order = jax.vmap(replicate)(numbers)
            steps = own - background[order.reshape(-1)]
            at = background[order.reshape(-1)] + places.reshape(-1, *[1] * own.ndim) * steps
            return (steps * in_blocks(gradients, at, rows)).reshape(len(numbers), length, *own.shape).mean(axis=1)

        running = add(None, sample, 0, _REPLICATES, replicates_at_once)
        base = in_blocks(lambda block: target.select(model(block)), background, rows).mean()
        return {"values": running.mean, "std_errors": running.std_errors(), "base_value": base}

    fields, target = explain_examples(
        explain_one, model, x, target, key=key, ids=ids, rows=rows, rows_per_example=replicates_at_once * length
    )
    return Attribution(
        **fields,
        target=target.index,
        num_evaluations=jnp.full(len(x), _REPLICATES * length, jnp.int32),
        inputs=x if x.ndim == 2 else None,
        axes=f"N {axes_of_players(x.ndim - 1)}",
        method="expected gradients",
    )
