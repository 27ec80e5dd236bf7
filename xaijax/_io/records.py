"""Attributions put together, and as records for tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution


def concatenate(attributions: Sequence[Attribution]) -> Attribution:
    """Puts the examples of several attributions into one, such as those of the batches of a data set.

    Args:
      attributions: at least one, of one type and method, with the same players.

    Returns:
      An attribution of all examples, in order.

    Raises:
      TypeError, ValueError: if there are none, or they do not belong together.
    """
    attributions = list(attributions)
    if not attributions:
        raise ValueError("attributions is empty: there must be at least one.")
    for one in attributions:
        if not isinstance(one, Attribution):
            raise TypeError(f"attributions must be what explainers return, but one is {type(one).__name__}.")
        if one.num_examples is None:
            raise ValueError("attributions must have examples, values [N, M], but one is of a single game.")
    first = attributions[0]
    for one in attributions[1:]:
        if jax.tree.structure(one) != jax.tree.structure(first):
            raise ValueError(
                f"attributions must be of one kind and method, with the same fields, but {_kind(first)} and {_kind(one)} are "
                "among them."
            )
        for field, other in zip(jax.tree.leaves(first), jax.tree.leaves(one), strict=True):
            if field.shape[1:] != other.shape[1:]:
                raise ValueError(
                    f"attributions must have the same players, but have shapes {list(field.shape)} and {list(other.shape)}."
                )
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *attributions)


def records(
    attribution: Attribution, *, names: Sequence[str] | None = None, inputs: Any = None
) -> list[dict[str, Any]]:
    """One record for each value: what tables and data frames are made of, `pandas.DataFrame(xai.records(attribution))`.

    Args:
      attribution: values [N, M], or [N, M, K]; or of one example alone.
      names: M names of the players.
      inputs: [N, M] the inputs.

    Returns:
      Dictionaries of example, player, name, value, and, where they are known, class, std_error, input, output and
      base_value, in the order of the values.

    Raises:
      TypeError, ValueError: if it is no attribution of players, or names or inputs do not fit.
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
    if attribution.num_examples is None:
        attribution = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], attribution)
    values = np.asarray(attribution.values)
    outputs = np.asarray(attribution.output)
    if values.ndim != outputs.ndim + 1 or values.ndim not in (2, 3):
        raise ValueError(
            f"attribution must be of players, values [N, M] or [N, M, K], but has shape {list(values.shape)}."
        )
    players = values.shape[1]
    if names is not None and len(names) != players:
        raise ValueError(f"names must be one for each of the {players} players, but there are {len(names)}.")
    given = None if inputs is None else np.asarray(inputs)
    if given is not None and given.shape != values.shape[:2]:
        raise ValueError(f"inputs must have shape {list(values.shape[:2])}, but it is {list(given.shape)}.")
    beside = {"output": outputs, "base_value": attribution.base_value}
    found = []
    for place in np.ndindex(values.shape):
        example, player, *output = place
        record: dict[str, Any] = {"example": example, "player": player, "value": values[place].item()}
        if names is not None:
            record["name"] = names[player]
        if output:
            record["class"] = output[0]
        elif attribution.target is not None:
            record["class"] = int(np.asarray(attribution.target)[example])
        if attribution.std_errors is not None:
            record["std_error"] = np.asarray(attribution.std_errors)[place].item()
        if given is not None:
            record["input"] = given[example, player].item()
        for name, field in beside.items():
            if field is not None:
                record[name] = np.asarray(field)[(example, *output)].item()
        found.append(record)
    return found


def _kind(attribution: Attribution) -> str:
    return f"{type(attribution).__name__} by {attribution.method or 'no method'}"
