"""Distances of explanations from the truth, between keys, and between explainers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xaijax.metrics._agreement import rank_correlations

Values = np.ndarray  # [N, M] in float64


def error(values: Values, truth: Values) -> float:
    """Returns the root mean square error over examples and players."""
    return float(np.sqrt(np.mean((values - truth) ** 2)))


def size(values: Values) -> float:
    """Returns the root mean square, which errors are compared with."""
    return float(np.sqrt(np.mean(values**2)))


def spread(of_keys: Sequence[Values]) -> float:
    """Returns the standard deviation between keys, as a root mean square over examples and players; NaN for one key."""
    if len(of_keys) < 2:
        return float("nan")
    return float(np.sqrt(np.stack(of_keys).var(axis=0, ddof=1).mean()))


def rank_correlation(left: Values, right: Values) -> float:
    """Returns Spearman's rank correlation over the players of each example, averaged over examples.

    Ties get the mean of their ranks. Examples whose players are all equal on one side have no ranks and do not count; NaN if
    there are no others.
    """
    correlations = np.asarray(rank_correlations(left, right), np.float64)
    known = ~np.isnan(correlations)
    return float(correlations[known].mean()) if known.any() else float("nan")


def mean_of_pairs(of_keys: Sequence[Values]) -> float:
    """Returns the mean rank correlation between the answers to two keys; NaN for one key."""
    pairs = [(values, earlier) for number, values in enumerate(of_keys) for earlier in of_keys[:number]]
    return float(np.mean([rank_correlation(*pair) for pair in pairs])) if pairs else float("nan")
