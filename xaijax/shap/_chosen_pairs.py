"""Pairs of complementary coalitions chosen one by one, each the one that tells most about the Shapley values.

After some pairs, the next one is that which reduces the expected squared error of the values of a Gaussian process most
(A-optimality; for Gaussian processes: Cohn, Ghahramani & Jordan 1996). With R the posterior covariances of the values with the
candidates' odd parts, and p the posterior variances of these, the pair z reduces the sum of the variances by

    sum over i of R_iz² / p_z

The process treats all players alike, so that the choice is a constant of the number of players, and costs no evaluation.
All pairs of one player come first: the Shapley kernel weighs them most.
"""

from __future__ import annotations

import dataclasses
import functools
import sys

import numpy as np
from threadpoolctl import ThreadpoolController

from xaijax._core.stored import stored
from xaijax.shap import _indices, _process
from xaijax.shap._design import num_pairs
from xaijax.shap._indices import spin_weights
from xaijax.shap._process import ODD, Counts, kernel

_DEGREE, _BOOST, _NOISE = 1.5, 10.0, 1e-2  # of the process, see `_process.py`
_CANDIDATES = 512
_TIES = 1e-6  # candidates that tell as much are told apart by more than rounding errors, which differ between machines


@dataclasses.dataclass(frozen=True, eq=False)
class ChosenPairs:
    """coalitions: [n, M] the smaller coalition of each pair."""

    coalitions: np.ndarray


@functools.lru_cache(maxsize=32)
def chosen_pairs(num_players: int, count: int) -> ChosenPairs:
    """Returns n pairs; those of fewer pairs are the first of those of more.

    count: n, at most `num_pairs(M)`. Candidates are drawn anew whenever the number of pairs has doubled, or half of them are chosen.
    """
    sources = (sys.modules[__name__], _process, _indices)
    arrays = stored("pairs", (num_players, count), lambda: {"coalitions": _chosen(num_players, count)}, sources)
    return ChosenPairs(arrays["coalitions"])


def _chosen(num_players: int, count: int) -> np.ndarray:
    chosen = np.eye(num_players, dtype=bool)[: min(count, num_players, num_pairs(num_players))]
    with ThreadpoolController().limit(limits=1, user_api="blas"):  # products with vectors gain nothing from more
        while (missing := count - len(chosen)) > 0:
            candidates = _candidates(num_players, chosen)
            added = _best(chosen, candidates, min(len(chosen), missing, len(candidates) // 2 + 1))
            chosen = np.concatenate([chosen, candidates[added]])
    return chosen


def _candidates(num_players: int, chosen: np.ndarray) -> np.ndarray:
    """Returns pairs that are not chosen: all of them, or random ones, of each size as many."""
    rng = np.random.default_rng((num_players, len(chosen)))
    if num_pairs(num_players) <= _CANDIDATES:
        rows = (np.arange(1, 2 ** (num_players - 1))[:, None] >> np.arange(num_players) & 1).astype(bool)
        sizes = rows.sum(axis=1)
        rows = np.where((2 * sizes > num_players)[:, None], ~rows, rows)
    else:
        sizes = rng.integers(2, (num_players + 1) // 2 + 1, _CANDIDATES)
        rows = np.argsort(np.argsort(rng.random((_CANDIDATES, num_players)), axis=1), axis=1) < sizes[:, None]
        rows = np.where((2 * rows.sum(axis=1) > num_players)[:, None], ~rows, rows)
    halves = 2 * rows.sum(axis=1) == num_players
    rows = np.where((halves & ~rows[:, 0])[:, None], ~rows, rows)
    seen = {row.tobytes() for row in chosen}
    distinct = {row.tobytes(): row for row in rows if row.tobytes() not in seen}
    return np.array(list(distinct.values()))


def _best(chosen: np.ndarray, candidates: np.ndarray, count: int) -> list[int]:
    """Returns the indices of the pairs to add to the chosen ones and the grand coalition's."""
    from scipy.linalg import cholesky, solve_triangular  # imported on first use: it takes a tenth of a second

    num_players, known = chosen.shape[1], len(chosen)
    both = np.concatenate([chosen, candidates])
    members, moments = np.arange(num_players)[:, None], spin_weights("SII", 1, num_players)
    between, with_values, _ = kernel(Counts.of(both, members), moments, ODD, _DEGREE, _BOOST)
    before, new = np.append(np.arange(known), len(both)), np.arange(known, len(both))
    root = cholesky(between[np.ix_(before, before)] + _NOISE * np.eye(known + 1), lower=True)
    explained = solve_triangular(root, between[np.ix_(before, new)], lower=True)
    covariances = with_values[:, new] - solve_triangular(root, with_values[:, before].T, lower=True).T @ explained
    variances = np.diag(between)[new] - (explained**2).sum(axis=0) + _NOISE
    explained = np.concatenate([explained, np.zeros((count, len(new)))])
    favor = 1 + _TIES * np.random.default_rng((num_players, known)).random(len(new))
    gains = np.einsum("qc,qc->c", covariances, covariances) / variances * favor
    best: list[int] = []
    for step in range(count):
        best.append(int(np.argmax(gains)))
        used = explained[: known + 1 + step]
        with_best = between[new[best[-1]], new] - used[:, best[-1]] @ used
        with_best /= np.sqrt(variances[best[-1]])
        explained[known + 1 + step] = with_best
        covariances -= np.outer(covariances[:, best[-1]] / np.sqrt(variances[best[-1]]), with_best)
        variances = np.maximum(variances - with_best**2, _NOISE / 2)
        gains = np.einsum("qc,qc->c", covariances, covariances) / variances * favor
        gains[best] = -1
    return best
