"""Whether values sum to the output, and what they sum to."""

from __future__ import annotations

import numpy as np

from xaijax._core.attribution import Interactions
from xaijax._report._explained import Explained

# Indices whose singles, pairs and triples sum to the output minus the base value.
_EFFICIENT_INDICES = ("k-SII", "STII", "FSII")
_EFFICIENT_METHODS = ("shapley values", "owen values", "expected gradients")


def sums_to_output(one: Explained) -> bool:
    """Whether the method promises that base value and values sum to the output."""
    attribution = one.attribution
    if attribution.base_value is None:
        return False
    if isinstance(attribution, Interactions):
        return attribution.index in _EFFICIENT_INDICES
    method = attribution.method.lower()
    promised = any(name in method for name in _EFFICIENT_METHODS)
    return promised and not method.startswith("channels")  # a map of channels' values is no sum of them


def total(one: Explained) -> tuple[np.ndarray, np.ndarray]:
    """[N] the sum of each example's values, pairs and triples, and the sum of their sizes."""
    parts = [(one.values, 1)]
    if isinstance(one.attribution, Interactions):
        parts.append((np.asarray(one.attribution.pairs), 2))
        if one.attribution.triples is not None:
            parts.append((np.asarray(one.attribution.triples), 6))  # each set stands at all orders of its members
    flat = [(part.reshape(len(part), -1), repeats) for part, repeats in parts]
    return (
        np.sum([part.sum(axis=1) / repeats for part, repeats in flat], axis=0),
        np.sum([np.abs(part).sum(axis=1) / repeats for part, repeats in flat], axis=0),
    )
