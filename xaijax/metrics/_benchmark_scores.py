"""How far explanations are from the truth, from themselves with another key, and from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Values = np.ndarray  # [N, M] in float64


def error(found: Values, truth: Values) -> float:
    """Root mean square error over examples and players."""
    return float(np.sqrt(np.mean((found - truth) ** 2)))


def size(values: Values) -> float:
    """Root mean square, that errors are compared with."""
    return float(np.sqrt(np.mean(values**2)))


def spread(of_keys: Sequence[Values]) -> float:
    """The standard deviation between keys, root mean square over examples and players; NaN for one key."""
    if len(of_keys) < 2:
        return float("nan")
    return float(np.sqrt(np.stack(of_keys).var(axis=0, ddof=1).mean()))


def rank_correlation(one: Values, other: Values) -> float:
    """Spearman's, of the players of each example, averaged over examples.

    Ties get the mean of their ranks. Examples whose players are all equal in one of them have no ranks, and do not count;
    NaN where there are no others.
    """
    first, second = (_centered(_ranks(values)) for values in (one, other))
    scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    known = scale > 0
    if not known.any():
        return float("nan")
    return float(((first * second).sum(axis=1)[known] / scale[known]).mean())


def mean_of_pairs(of_keys: Sequence[Values]) -> float:
    """The mean rank correlation between the answers to two keys; NaN for one key."""
    pairs = [(one, other) for place, one in enumerate(of_keys) for other in of_keys[:place]]
    return float(np.mean([rank_correlation(*pair) for pair in pairs])) if pairs else float("nan")


def _ranks(values: Values) -> Values:
    """The mean of the numbers of smaller and of not larger ones."""
    smaller = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    not_larger = (values[:, None, :] <= values[:, :, None]).sum(axis=2)
    ranks = (smaller + not_larger) / 2
    return np.where(np.isnan(values).any(axis=1, keepdims=True), np.nan, ranks)


def _centered(ranks: Values) -> Values:
    return ranks - ranks.mean(axis=1, keepdims=True)
