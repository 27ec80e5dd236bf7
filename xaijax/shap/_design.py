"""Designs: the pairs of complementary coalitions to evaluate, constants of the number of players and of pairs.

A pair is represented by its smaller coalition. All coalitions of a size are taken where the budget allows. Of the other
sizes, coalitions are drawn without repetition, in blocks in which all players occur about equally often. The Shapley
kernel weighs pairs of one player most: the design "singles" begins with all of them. Designs are
nested: a larger one begins with the smaller ones, so that evaluations can be added until the values are precise.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from math import comb, inf

import numpy as np

SIZES = ["singles", "uniform", "kernel"]
_SEED = 0  # the players of each explanation are relabeled by its own key


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """J nested designs.

    coalitions: [n, M] the smaller coalition of each pair.
    stages: the number of pairs of each nested design, in increasing order; the last is n.
    alike: [J, n] the number of pairs of the same size in design j; 0 for pairs of later designs.
    chance: [J, n] the share of all pairs of this size that design j has; 0 for pairs of later designs.
    """

    coalitions: np.ndarray
    stages: tuple[int, ...]
    alike: np.ndarray
    chance: np.ndarray

    @property
    def num_players(self) -> int:
        return self.coalitions.shape[1]


def num_pairs(num_players: int) -> int:
    """Returns the number of pairs, without the pair of the empty and the grand coalition."""
    return 2 ** (num_players - 1) - 1


@functools.lru_cache(maxsize=32)
def design(num_players: int, stages: tuple[int, ...], sizes: str = "uniform") -> Design:
    """Returns nested designs.

    Args:
      num_players: M, at least 2.
      stages: numbers of pairs in increasing order, each at most `num_pairs(M)`.
      sizes: "uniform", equally many of each size, as in leverage score sampling (Musco & Witter 2025); "singles", the same
        after all pairs of one player; or "kernel", in proportion to the Shapley kernel 1 / (k (M - k)), as in KernelSHAP.
    """
    rng = np.random.default_rng((_SEED, num_players))
    smaller = np.arange(1, num_players // 2 + 1)
    totals = [comb(num_players, int(size)) // (2 if 2 * size == num_players else 1) for size in smaller]
    streams = [_Stream(num_players, int(size), total, rng) for size, total in zip(smaller, totals, strict=True)]
    counts = np.zeros(len(smaller), int)
    rows: list[np.ndarray] = []
    numbers: list[np.ndarray] = []  # the index of each row's size
    drawn: list[np.ndarray] = []
    offset = rng.random()
    for pairs in stages:
        shares = _share(pairs, totals, _size_weights(num_players, sizes), singles_first=sizes == "singles")
        wanted = _round(shares, pairs, totals, counts, offset)
        for number, stream in enumerate(streams):
            new = stream.take(int(wanted[number] - counts[number]))
            rows.append(new)
            numbers.append(np.full(len(new), number))
        counts = wanted
        drawn.append(counts)
    coalitions, size_of_row = np.concatenate(rows), np.concatenate(numbers)
    alike, chance = np.zeros((2, len(stages), len(coalitions)))
    for stage, (pairs, counts) in enumerate(zip(stages, drawn, strict=True)):
        shares = np.array([count / total for count, total in zip(counts.tolist(), totals, strict=True)])
        own = size_of_row[:pairs]
        alike[stage, :pairs], chance[stage, :pairs] = counts[own], shares[own]
    return Design(coalitions, stages, alike, chance)


def _size_weights(num_players: int, sizes: str) -> np.ndarray:
    smaller = np.arange(1, num_players // 2 + 1)
    weights = 1 / (smaller * (num_players - smaller)) if sizes == "kernel" else np.ones(len(smaller))
    return weights * np.where(2 * smaller == num_players, 0.5, 1.0)  # the complement has this size as well


def _share(pairs: int, totals: list[int], weights: np.ndarray, *, singles_first: bool) -> np.ndarray:
    """Returns shares in proportion to the weights, up to the totals; the excess is shared among the other sizes.

    singles_first: size 1 has as many as there are, independently of its weight.
    """
    ceilings = np.array([float(min(total, 2 * pairs)) for total in totals])  # binomials overflow floats
    full = np.zeros(len(totals), bool)
    if singles_first:
        full[0], ceilings[0] = True, min(totals[0], pairs)
    while True:
        left = pairs - ceilings[full].sum()
        shares = np.where(full, ceilings, 0.0)
        if full.all():
            return shares
        shares[~full] = left * weights[~full] / weights[~full].sum()
        over = ~full & (shares >= ceilings - 1e-9)
        if not over.any():
            return shares
        full |= over


def _round(shares: np.ndarray, pairs: int, totals: list[int], least: np.ndarray, offset: float) -> np.ndarray:
    """Returns integers near the shares, systematically rounded, that sum to `pairs` and are at least `least`."""
    ends = np.floor(np.concatenate([[0], np.cumsum(shares)]) + offset)
    counts = np.diff(ends).astype(int)
    counts = np.maximum(np.minimum(counts, [min(total, pairs) for total in totals]), least)
    while (missing := pairs - counts.sum()) != 0:
        # One at a time, from the size with the largest excess or to the one with the largest deficit.
        room = [
            total - count if missing > 0 else count - low
            for total, count, low in zip(totals, counts, least, strict=True)
        ]
        gaps = np.where(np.array(room, dtype=object) > 0, np.sign(missing) * (shares - counts), -inf).astype(float)
        counts[np.argmax(gaps)] += np.sign(missing)
    return counts


class _Stream:
    """Draws coalitions of one size without repetition: random ones in balanced blocks, or all that are left."""

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
        """Returns the next players of consecutive random orders, without repetition."""
        if len(self.waiting) < self.size:
            order, waiting = self.rng.permutation(self.num_players).tolist(), set(self.waiting)
            self.waiting += [player for player in order if player not in waiting]
            self.waiting += [player for player in order if player in waiting]
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
