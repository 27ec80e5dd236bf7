"""Interaction indices: what each of them makes of a game, on the host in exact fractions.

Every index here is linear in the Möbius transform a of the game, a(S) = sum over A in S of (-1)^(|S|-|A|) v(A), and knows
players by number alone:

    I(T) = sum over S ⊇ T of c(|T|, |S|) a(S)

From c follow the weight of v(A) in I(T), which depends on |A| and |A ∩ T|, and what I(T) makes of a product of spins.

| index | c(t, s) | reference |
|---|---|---|
| SII | 1 / (s - t + 1) | Grabisch & Roubens 1999 |
| BII | 2^-(s - t) | Grabisch & Roubens 1999 |
| STII, top order k | 1 / C(s, k) for t = k; below, a(T) alone | Sundararajan, Dhamdhere & Agarwal 2020, arXiv:1902.05622 |
| k-SII, top order k | sum over j <= k - t of B(j) C(s-t, j) / (s - t - j + 1) | Bordt & von Luxburg 2023, arXiv:2209.04012 |
| FSII, top order k | a(T), and for s > k (-1)^(k-t) t/(k+t) C(k, t) C(s-1, k) / C(s+k-1, k+t) | Tsai, Yeh & Ravikumar 2023, arXiv:2203.00870 |

k-SII (Lundberg et al. 2020 for pairs) adds to SII what makes all orders up to k sum to v(all) - v(nobody): k-SII(T) = sum
over S ⊇ T, |S| <= k, of B(|S| - |T|) SII(S), with Bernoulli's numbers B = 1, -1/2, 1/6.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from math import comb

import numpy as np

INDICES = ["k-SII", "SII", "STII", "FSII", "BII"]
SUMMING = ["k-SII", "STII", "FSII"]  # all orders together sum to output - base value
_BERNOULLI = (Fraction(1), Fraction(-1, 2), Fraction(1, 6))


def coefficient(index: str, order: int, t: int, s: int) -> Fraction:
    """c(t, s) of an index whose top order is `order`."""
    if index == "SII":
        return Fraction(1, s - t + 1)
    if index == "k-SII":  # of all sets of t + j players between the two, SII
        steps = range(min(order, s) - t + 1)
        return sum((_BERNOULLI[j] * comb(s - t, j) / (s - t - j + 1) for j in steps), Fraction(0))
    if index == "BII":
        return Fraction(1, 2 ** (s - t))
    if index == "STII":
        return Fraction(1, comb(s, order)) if t == order else Fraction(s == t)
    if s <= order:  # FSII
        return Fraction(s == t)
    sign = (-1) ** (order - t)
    return sign * Fraction(t, order + t) * comb(order, t) * Fraction(comb(s - 1, order), comb(s + order - 1, order + t))


@functools.lru_cache(maxsize=64)
def coalition_weights(index: str, order: int, t: int, num_players: int) -> np.ndarray:
    """[M+1, t+1] the weight of v(A) in I(T), by |A| and |A ∩ T|: sum over S ⊇ A ∪ T of c(t, |S|) (-1)^(|S|-|A|)."""
    table = np.zeros((num_players + 1, t + 1))
    for size in range(num_players + 1):
        for shared in range(max(0, size + t - num_players), min(t, size) + 1):
            joined = size + t - shared
            table[size, shared] = float(
                sum(
                    comb(num_players - joined, s - joined) * coefficient(index, order, t, s) * (-1) ** (s - size)
                    for s in range(joined, num_players + 1)
                )
            )
    return table


@functools.lru_cache(maxsize=64)
def spin_weights(index: str, order: int, t: int, num_players: int) -> np.ndarray:
    """[M+1] what I(T) makes of a product of the spins of u players, T among them: sum over T ⊆ S ⊆ U of c(t, |S|) 2^|S| (-1)^(u-|S|)."""
    table = np.zeros(num_players + 1)
    for u in range(t, num_players + 1):
        table[u] = float(
            sum(comb(u - t, s - t) * coefficient(index, order, t, s) * 2**s * (-1) ** (u - s) for s in range(t, u + 1))
        )
    return table
