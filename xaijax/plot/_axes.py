"""What all plots share: axes, one example of an attribution, and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize

from xaijax import _check
from xaijax._attribution import Attribution

POSITIVE, NEGATIVE = "#c44e2b", "#2b6ca3"  # orange-red and blue: told apart by all kinds of colour vision
LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", [NEGATIVE, "#c9b3c4", POSITIVE])
PERCENTILES = (5, 95)  # of an input, between which its colours change: a few extremes leave the others apart
LONGEST_NAME = 28


class Row(NamedTuple):
    """One example's attribution of players: values [M], std_errors [M] (0 where there are none), base and output."""

    values: np.ndarray
    std_errors: np.ndarray
    base_value: float | None
    output: float


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of `size` inches."""
    if ax is not None:
        if not isinstance(ax, Axes):
            raise TypeError(f"ax must be matplotlib axes, but it is {type(ax).__name__}.")
        return ax
    _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def one_row(attribution: Attribution, example: int) -> Row:
    """The values of one example, or of a hand-written game, which is its own only example."""
    check_attribution(attribution)
    values = np.asarray(attribution.values, np.float64)
    errors = attribution.std_errors
    errors = np.zeros_like(values) if errors is None else np.asarray(errors, np.float64)
    base, output = (
        None if field is None else np.asarray(field) for field in (attribution.base_value, attribution.output)
    )
    if values.ndim == 1 and output is not None and output.ndim == 0:
        return Row(values, _finite(errors), None if base is None else float(base), float(output))
    if values.ndim != 2 or output is None or output.ndim != 1:
        raise ValueError(
            f"attribution must explain one output of each example, values [N, M], but its values have shape "
            f"{list(values.shape)}; of all outputs take one with jax.tree.map(lambda leaf: leaf[..., k], attribution)."
        )
    example = check_example(example, len(values))
    base_value = None if base is None else float(base[example])
    return Row(values[example], _finite(errors[example]), base_value, float(output[example]))


def all_rows(attribution: Attribution) -> tuple[np.ndarray, np.ndarray]:
    """The values [N, M] of all examples, and their standard errors [N, M] (0 where there are none)."""
    check_attribution(attribution)
    values = np.asarray(attribution.values, np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"attribution must explain one output of many rows, values [N, M], but its values have shape "
            f"{list(values.shape)}; of all outputs take one with jax.tree.map(lambda leaf: leaf[..., k], attribution)."
        )
    errors = attribution.std_errors
    return values, np.zeros_like(values) if errors is None else _finite(np.asarray(errors, np.float64))


def inputs_of_all(inputs: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The inputs [N, M] as numbers, one for each value."""
    try:
        given = np.asarray(inputs, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"inputs must be an array of numbers, but it is {type(inputs).__name__}: {error}") from error
    if given.shape != shape:
        raise ValueError(
            f"inputs must have one number for each value, {list(shape)}, but its shape is {list(given.shape)}."
        )
    bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if len(bad):
        raise ValueError(
            f"inputs holds numbers that are not finite (first rows concerned: {bad[:5].tolist()}): no colour or place "
            "can stand for them; fill or drop them first."
        )
    return given


def percentile_limits(inputs: np.ndarray) -> Normalize:
    """Colours from the 5th to the 95th percentile, or over the whole range where these are one number."""
    low, high = np.percentile(inputs, PERCENTILES)
    if low == high:
        low, high = inputs.min(), inputs.max()
    return Normalize(low, high, clip=True) if low < high else Normalize(low - 1, high + 1, clip=True)


def check_attribution(attribution: Any) -> None:
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
    if not np.isfinite(np.asarray(attribution.values)).all():
        raise ValueError("attribution has values that are not finite: there is nothing to draw; look at its inputs.")


def check_example(example: Any, num_examples: int) -> int:
    example = _check.positive_int("example", example, least=0)
    if example >= num_examples:
        raise ValueError(f"example must lie between 0 and {num_examples - 1}, but it is {example}.")
    return example


def player_names(names: Sequence[str] | None, count: int) -> list[str]:
    """A name for every player, shortened in the middle where it is longer than a label can be."""
    if names is None:
        return [f"player {number}" for number in range(count)]
    if len(names) != count:
        raise ValueError(f"names must have one entry for each of the {count} players, but it has {len(names)}.")
    return [shortened(str(name)) for name in names]


def names_with_inputs(labels: list[str], inputs: Any, example: int) -> list[str]:
    """'name = value', where inputs [N, M] or [M] are given."""
    if inputs is None:
        return labels
    given = np.asarray(inputs)
    given = given[example] if given.ndim == 2 else given
    if given.shape != (len(labels),):
        raise ValueError(f"inputs must have one value for each of {len(labels)} players, not {list(given.shape)}.")
    return [f"{label} = {value:.4g}" for label, value in zip(labels, given.tolist(), strict=True)]


def shortened(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    head = LONGEST_NAME // 2
    return f"{name[:head]}…{name[-(LONGEST_NAME - head - 1) :]}"


def strongest(values: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the `top` strongest values, strongest first, and of the others."""
    order = np.argsort(-np.abs(values), kind="stable")
    return order[:top], order[top:]


def number(value: float) -> str:
    return f"{value:+.3g}"


def _finite(errors: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(errors), errors, 0)
