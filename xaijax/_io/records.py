"""Attributions as tidy tables: one record for each value."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core.attribution import Attribution
from xaijax._core.names import read_names
from xaijax._core.words import num_present


def records(
    attribution: Attribution,
    *,
    names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    output_names: Sequence[str] | None = None,
    inputs: Any = None,
) -> list[dict[str, Any]]:
    """Makes one record for each value: a tidy table of example, output, player, value and what is known of them.

    Why: for tables, databases and data frames; `xai.to_frame` makes the data frame.

    Args:
      attribution: values [N, M] or [N, M, K] of players, or of one example alone.
      names: M names of the players. Default: the attribution's own.
      output_names: K names of the outputs. Default: the attribution's own.
      inputs: [N, M] the explained feature values. Default: the attribution's own.

    Returns:
      Dictionaries in the order of the values, with the keys example, output, player, name, value, std_error, input,
      model_output and base_value, as far as these are known. output is the index of the explained output, or its name.

    Raises:
      TypeError, ValueError: if it is no attribution of players, or names or inputs do not fit.
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be what an explainer returns, got {type(attribution).__name__}.")
    if not attribution.of_players:
        raise ValueError(
            f"`attribution` must be of players, values [N, M] or [N, M, K], got the axes {attribution.axes!r}: a map has "
            "no players to list."
        )
    names = read_names(names, attribution.num_players, attribution.num_examples) if names is not None else None
    attribution = attribution.with_names(names, output_names=output_names, inputs=inputs)
    fields = {
        name: np.asarray(getattr(attribution, name))
        for name in ("values", "std_errors", "inputs", "output", "base_value", "target")
        if getattr(attribution, name) is not None
    }
    sizes = {"N": attribution.num_examples, "M": attribution.num_players, "K": attribution.num_outputs}
    axes = {name: attribution.axes_of(name) for name in fields}
    table, present = [], _num_present(attribution, fields["values"])
    for index in itertools.product(*(range(sizes[axis] or 0) for axis in axes["values"])):
        at = dict(zip(axes["values"], index, strict=True))
        if at["M"] >= present[at.get("N", 0)]:
            continue
        known = {name: field[tuple(at[axis] for axis in axes[name])].item() for name, field in fields.items()}
        table.append(_record(attribution, at, known))
    return table


def to_frame(
    attribution: Attribution,
    *,
    names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    output_names: Sequence[str] | None = None,
    inputs: Any = None,
) -> Any:
    """Makes a pandas DataFrame with one row for each value: the table of `xai.records`.

    Args:
      attribution, names, output_names, inputs: as in `xai.records`.

    Returns:
      A `pandas.DataFrame` with the columns of `xai.records`.

    Raises:
      ImportError: if pandas is not installed.
      TypeError, ValueError: as `xai.records`.
    """
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError(
            "xai.to_frame makes a DataFrame of pandas, which is not installed: pip install pandas."
        ) from None
    return pandas.DataFrame(records(attribution, names=names, output_names=output_names, inputs=inputs))


def _num_present(attribution: Attribution, values: np.ndarray) -> list[int]:
    """Returns the number of players of each example."""
    if attribution.names is None:
        return [attribution.num_players] * (attribution.num_examples or 1)
    if attribution.num_examples is None:
        return [num_present(attribution.player_names(), values)]
    return [num_present(attribution.player_names(example), own) for example, own in enumerate(values)]


def _record(attribution: Attribution, at: dict[str, int], known: dict[str, Any]) -> dict[str, Any]:
    example = at.get("N", 0)
    record: dict[str, Any] = {"example": example}
    output = at.get("K", known.get("target"))
    if output is not None:
        record["output"] = _output_name(attribution, output)
    record["player"] = at["M"]
    if attribution.names is not None:
        record["name"] = attribution.player_names(example)[at["M"]]
    record["value"] = known["values"]
    labels = {"std_errors": "std_error", "inputs": "input", "output": "model_output", "base_value": "base_value"}
    return record | {label: known[name] for name, label in labels.items() if name in known}


def _output_name(attribution: Attribution, number: int) -> int | str:
    names = attribution.output_names
    return names[number] if names is not None and 0 <= number < len(names) else number
