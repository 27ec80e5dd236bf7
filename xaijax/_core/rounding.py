"""Rounding error: which values are 0 up to the precision of the numbers that they were computed from."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.axes import EXAMPLES, OUTPUTS

AnyAttribution = TypeVar("AnyAttribution", bound=Attribution)

_SINGLE, _DOUBLE = 1e-6, 1e-14  # some multiples of the relative precision of float32 and float64
_OF_PLAYERS = ("values", "std_errors", "pairs", "pair_errors", "triples")


def rounding_error(attribution: Attribution) -> np.ndarray:
    """Returns the size up to which values are rounding error, with the axes of the output, [N, K].

    Values of players are differences of outputs, so that the largest of |output|, |base value| and |values| counts. Maps
    and pixels have other units, such as those of gradients, so that only their own largest |value| counts.
    """
    values = np.asarray(attribution.values)
    names = attribution.axes.split()
    sizes = [
        _finite(values).max(axis=tuple(k for k, name in enumerate(names) if name not in (EXAMPLES, OUTPUTS)), initial=0)
    ]
    if attribution.of_players:
        numbers = (attribution.output, attribution.base_value)
        sizes += [_finite(np.asarray(part)) for part in numbers if part is not None]
    precise = all(jnp.asarray(part).dtype == np.float64 for part in (attribution.values, attribution.output))
    size: np.ndarray = np.max(np.broadcast_arrays(*sizes), axis=0)
    return (_DOUBLE if precise else _SINGLE) * size


def without_rounding_error(attribution: AnyAttribution) -> AnyAttribution:
    """Returns an attribution in NumPy and float64 whose values and standard errors are 0 where they are rounding error."""
    size, fields = rounding_error(attribution), {}
    for name in _OF_PLAYERS[: 5 if isinstance(attribution, Interactions) else 2]:
        if (values := getattr(attribution, name)) is not None:
            values = np.asarray(values, np.float64)
            players = tuple(range(int(attribution.has_examples), values.ndim - int(attribution.all_outputs)))
            fields[name] = zero_up_to(np.expand_dims(size, players), values)
    return dataclasses.replace(attribution, **fields)


def zero_up_to(size: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the values with zeros where |value| is at most `size`."""
    return np.where(np.abs(values) <= size, 0.0, values)


def _finite(values: np.ndarray) -> np.ndarray:
    """Returns |value| in float64, 0 where it is not finite."""
    return np.where(np.isfinite(values), np.abs(values.astype(np.float64)), 0.0)
