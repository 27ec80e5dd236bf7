"""How far explanations of one input differ from key to key: their error, what they put first, what they promise."""

from __future__ import annotations

import itertools

import numpy as np

import xaijax as xai


def relative_error(values: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared error over keys and examples, each example's relative to its own coefficients.

    values: [E, K, M] coefficients for E examples and K keys; truth: [E, M] what they come to with very many samples.
    """
    values, truth = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    return float((((values - truth[:, None]) ** 2).sum(axis=2) / (truth**2).sum(axis=1)[:, None]).mean())


def jaccard(values: np.ndarray, top: int = 5) -> float:
    """Of the `top` largest coefficients of two keys, those of both over those of either: the mean over pairs of keys."""
    first = np.argsort(-np.abs(values), axis=2, kind="stable")[:, :, :top]
    shares = [
        len(set(one) & set(other)) / len(set(one) | set(other))
        for example in first
        for one, other in itertools.combinations(example.tolist(), 2)
    ]
    return float(np.mean(shares))


def coverage(values: np.ndarray, errors: np.ndarray, truth: np.ndarray) -> float:
    """The share of the 95 % intervals that hold the truth; players that are padding (error 0) have none."""
    inside = np.abs(values - truth[:, None]) <= 1.96 * errors
    return float(inside[errors > 0].mean())


def of_keys(found: xai.Surrogate, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """[E, K, M] coefficients and standard errors of examples that were repeated K times, one after another."""
    values, errors = np.asarray(found.values), np.asarray(found.std_errors)
    return values.reshape(examples, -1, values.shape[1]), errors.reshape(examples, -1, values.shape[1])
