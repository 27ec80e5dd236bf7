"""Designs: which pairs of complementary coalitions are evaluated; constants of M and their number, made on the host.

A pair is named by its smaller side. Where the budget reaches all coalitions of a size, they are all taken; of the other
sizes coalitions are drawn without repetition, in blocks in which every player is absent about equally often. Designs are
nested: a larger one begins with the smaller ones, so that precision can be asked for in steps.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from math import comb, inf

import numpy as np

SIZES = ["uniform", "kernel"]
_SEED = 0  # players are relabeled by the caller's key, so that no two explanations share a design


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """coalitions: [n, M] the smaller side of each pair; stages: how many pairs each nested design has, the last n.

    alike: [J, n] how many pairs of its size design j has; chance: [J, n] of how many there are, the share; both 0 where the
    pair is in later designs only.
    """

    coalitions: np.ndarray
    stages: tuple[int, ...]
    alike: np.ndarray
    chance: np.ndarray

    @property
    def num_players(self) -> int:
        return self.coalitions.shape[1]


def num_pairs(num_players: int) -> int:
    """How many pairs there are, besides that of nobody and all."""
    return 2 ** (num_players - 1) - 1


@functools.lru_cache(maxsize=32)
def design(num_players: int, stages: tuple[int, ...], sizes: str = "uniform") -> Design:
    """Nested designs of the given numbers of pairs, in increasing order.

    Args:
      num_players: M, at least 2.
      stages: numbers of pairs, each at most `num_pairs(M)`.
      sizes: "uniform", equally many of each size, as in leverage score sampling (Musco & Witter 2025), or "kernel", in
        proportion to the Shapley kernel 1 / (k (M - k)), as in KernelSHAP.
    """
    rng = np.random.default_rng((_SEED, num_players))
    smaller = np.arange(1, num_players // 2 + 1)
    totals = [comb(num_players, int(size)) // (2 if 2 * size == num_players else 1) for size in smaller]
    streams = [_Stream(num_players, int(size), total, rng) for size, total in zip(smaller, totals, strict=True)]
    counts = np.zeros(len(smaller), int)
    rows: list[np.ndarray] = []
    place: list[np.ndarray] = []  # the size, by its number, of each row
    drawn: list[np.ndarray] = []
    offset = rng.random()
    for pairs in stages:
        wanted = _round(_share(pairs, totals, _size_weights(num_players, sizes)), pairs, totals, counts, offset)
        for number, stream in enumerate(streams):
            new = stream.take(int(wanted[number] - counts[number]))
            rows.append(new)
            place.append(np.full(len(new), number))
        counts = wanted
        drawn.append(counts)
    coalitions, numbers = np.concatenate(rows), np.concatenate(place)
    alike, chance = np.zeros((2, len(stages), len(coalitions)))
    for stage, (pairs, counts) in enumerate(zip(stages, drawn, strict=True)):
        shares = np.array([count / total for count, total in zip(counts.tolist(), totals, strict=True)])
        alike[stage, :pairs], chance[stage, :pairs] = counts[numbers[:pairs]], shares[numbers[:pairs]]
    return Design(coalitions, stages, alike, chance)


def _size_weights(num_players: int, sizes: str) -> np.ndarray:
    smaller = np.arange(1, num_players // 2 + 1)
    weights = np.ones(len(smaller)) if sizes == "uniform" else 1 / (smaller * (num_players - smaller))
    return weights * np.where(2 * smaller == num_players, 0.5, 1.0)  # one size, where the others are two


def _share(pairs: int, totals: list[int], weights: np.ndarray) -> np.ndarray:
    """In proportion to the weights, but never more than there are: what is over is shared among the others."""
    ceilings = np.array([float(min(total, 2 * pairs)) for total in totals])  # binomials overflow floats
    full = np.zeros(len(totals), bool)
    while True:
        left = pairs - sum(total for total, one in zip(totals, full, strict=True) if one)
        shares = np.where(full, ceilings, 0.0)
        if full.all():
            return shares
        shares[~full] = left * weights[~full] / weights[~full].sum()
        over = ~full & (shares >= ceilings - 1e-9)
        if not over.any():
            return shares
        full |= over


def _round(shares: np.ndarray, pairs: int, totals: list[int], least: np.ndarray, offset: float) -> np.ndarray:
    """Whole numbers near the shares, systematically rounded, that sum to `pairs` and are not below those had already."""
    ends = np.floor(np.concatenate([[0], np.cumsum(shares)]) + offset)
    counts = np.diff(ends).astype(int)
    counts = np.maximum(np.minimum(counts, [min(total, pairs) for total in totals]), least)
    while (missing := pairs - counts.sum()) != 0:
        # One at a time from where there is most too much, or to where there is most too little.
        room = [
            total - count if missing > 0 else count - low
            for total, count, low in zip(totals, counts, least, strict=True)
        ]
        gaps = np.where(np.array(room, dtype=object) > 0, np.sign(missing) * (shares - counts), -inf).astype(float)
        counts[np.argmax(gaps)] += np.sign(missing)
    return counts


class _Stream:
    """Coalitions of one size without repetition: random ones in balanced blocks, or all of them, once all are asked for."""

    def __init__(self, num_players: int, size: int, total: int, rng: np.random.Generator):
        self.num_players, self.size, self.total, self.rng = num_players, size, total, rng
        self.halves = 2 * size == num_players
        self.seen: set[bytes] = set()
        self.waiting: list[int] = []

    def take(self, count: int) -> np.ndarray:
        if count == 0:
            return np.zeros((0, self.num_players), bool)
        if len(self.seen) + count >= self.total:
            rest = [row for row in self._all() if row.tobytes() not in self.seen]
            self.seen.update(row.tobytes() for row in rest)
            return np.array(rest)
        rows: list[np.ndarray] = []
        while len(rows) < count:
            row = np.zeros(self.num_players, bool)
            row[self._block()] = True
            if self.halves and not row[0]:
                row = ~row
            if row.tobytes() not in self.seen:
                self.seen.add(row.tobytes())
                rows.append(row)
        return np.array(rows)

    def _block(self) -> list[int]:
        """The next players of random orders that follow one another, nobody twice."""
        if len(self.waiting) < self.size:
            order = self.rng.permutation(self.num_players).tolist()
            fresh = [player for player in order if player not in self.waiting]
            self.waiting += fresh + [player for player in order if player not in fresh]
        block, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        return block

    def _all(self) -> list[np.ndarray]:
        first = (0,) if self.halves else ()
        players, size = range(len(first), self.num_players), self.size - len(first)
        rows = []
        for others in itertools.combinations(players, size):
            row = np.zeros(self.num_players, bool)
            row[[*first, *others]] = True
            rows.append(row)
        return rows
