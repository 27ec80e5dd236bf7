"""The runner: explains each example of a batch by itself, independently of the batch, the block size and the devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.blocks import bytes_per_row, each, example_keys, in_blocks, rows_at_once
from xaijax._core.target import Target
from xaijax._core.typing import Array, Bool
from xaijax._model import Model


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Example:
    """One example, without N; or all of them, with a leading axis N.

    x: its input. prepared: what a method computed for it beforehand. target: its part of the target. key: its key, or None.
    """

    x: Any
    prepared: Any
    target: Any
    key: Any


Fields = dict[str, Any]  # of an attribution
ExplainOne = Callable[[Example, Target], Fields]  # (one example, its target) -> its fields


def explain_examples(
    explain_one: ExplainOne,
    model: Model,
    x: Any,
    target: Target,
    *,
    key: Array | None,
    ids: Array | None,
    rows: int,
    rows_per_example: int | None = None,
    examples_at_once: int | None = None,
    prepared: Any = (),
    output: bool = True,
    invalid: Bool[Array, " N"] | None = None,
) -> tuple[Fields, Target]:
    """Explains every example and gathers the fields.

    Args:
      explain_one: the method: the fields of one example, from the example and its target. It evaluates at most `rows`
        model rows at a time, with `in_blocks`.
      model, x, target: the model, its inputs [N, ...] and what is explained.
      key: the key that is folded with each example's id; None for methods that draw nothing.
      ids: [N] the examples' ids; None for their indices.
      rows: model rows in one evaluation, from `model_rows`.
      rows_per_example: model rows that one example evaluates at once: rows // rows_per_example examples run side by side.
      examples_at_once: the number of examples side by side instead.
      prepared: PyTree with leading axis N: what differs from example to example, apart from x.
      output: whether the fields get the model's `output`, for methods that do not evaluate it themselves.
      invalid: [N] examples that become NaN, next to those whose input holds NaN.

    Returns:
      The fields, with leading axis N, and the target with the top classes resolved.
    """
    num_examples = check.examples(x)
    outputs = in_blocks(model, x, rows) if output or target.is_top else None
    target = target.resolve(outputs)
    ids = jnp.arange(num_examples) if ids is None else ids
    keys = None if key is None else example_keys(key, ids)
    if examples_at_once is None:
        examples_at_once = max(1, rows // (rows_per_example or 1))

    def explain(example: Example) -> Fields:
        return explain_one(example, target.of_example(example.target))

    fields = in_blocks(each(explain), Example(x, prepared, target.per_example, keys), examples_at_once)
    bad = check.rows_with_nan(x)
    if invalid is not None:
        bad = bad | invalid
    if output:
        fields["output"] = target.select(outputs)
        if not target.every:
            bad = bad | jnp.isnan(fields["output"])  # NaN: there is no such class
    return check.nan_where(bad, fields), target


def model_rows(model: Model, x: Any, batch_size: int | None) -> int:
    """Returns the number of model rows in one evaluation: the caller's, or as many as suit the device."""
    return rows_at_once(batch_size, bytes_per_row(model, x))
