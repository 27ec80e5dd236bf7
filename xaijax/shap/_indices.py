"""Interaction indices as linear functions of a game: their weights of coalitions and of products of spins.

Every index here is linear in the Möbius transform a of the game, a(S) = sum over A in S of (-1)^(|S|-|A|) v(A), and
depends on counts of players alone:

    I(T) = sum over S ⊇ T of c(|T|, |S|) a(S)

| index | c(t, s) | reference |
|---|---|---|
| SII | 1 / (s - t + 1) | Grabisch & Roubens 1999 |
| BII | 2^-(s - t) | Grabisch & Roubens 1999 |
| STII, top order k | 1 / C(s, k) for t = k; below, a(T) alone | Sundararajan, Dhamdhere & Agarwal 2020, arXiv:1902.05622 |
| k-SII, top order k | sum over j <= k - t of B(j) C(s-t, j) / (s - t - j + 1) | Bordt & von Luxburg 2023, arXiv:2209.04012 |
| FSII, top order k | a(T), and for s > k (-1)^(k-t) t/(k+t) C(k, t) C(s-1, k) / C(s+k-1, k+t) | Tsai, Yeh & Ravikumar 2023, arXiv:2203.00870 |

k-SII (Lundberg et al. 2020 for pairs) adds to SII the terms with which all orders up to k sum to the grand coalition's
value minus the empty one's: k-SII(T) = sum over S ⊇ T, |S| <= k, of B(|S| - |T|) SII(S), with Bernoulli's numbers
B = 1, -1/2, 1/6.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from math import comb

import numpy as np

INDICES = ["k-SII", "SII", "STII", "FSII", "BII"]
SUMMING = ["k-SII", "STII", "FSII"]  # all orders sum to output - base value
_BERNOULLI = (Fraction(1), Fraction(-1, 2), Fraction(1, 6))


def coefficient(index: str, order: int, t: int, s: int) -> Fraction:
    """Returns c(t, s) of an index whose top order is `order`."""
    if index == "SII":
        return Fraction(1, s - t + 1)
    if index == "k-SII":  # SII of all sets of t + j players between T and S
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
    """Returns [M+1, t+1] the weight of v(A) in I(T), by |A| and |A ∩ T|.

    It is the sum over S ⊇ A ∪ T of c(t, |S|) (-1)^(|S|-|A|), in exact fractions.
    """
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


def spin_weights(index: str, t: int, num_players: int) -> np.ndarray:
    """Returns [M+1] the weights m(u) of I(T) = sum over U ⊇ T of m(|U|) beta_U, for order 2 and |T| = t of 1 or 2.

    beta are the coefficients of products of spins, and m(u) = sum over T ⊆ S ⊆ U of c(t, |S|) 2^|S| (-1)^(u-|S|). With
    c(t, s) the moments of q^(s - t), they are 2^t times the moments of (2 q - 1)^(u - t), here in closed form.
    """
    j = np.arange(num_players + 1) - float(t)  # u - t
    even, sign = j % 2 == 0, np.where(j % 2, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        uniform = np.where(even, 1 / (j + 1), 0)
        moments = {
            ("SII", 1): uniform,
            ("SII", 2): uniform,
            ("k-SII", 1): np.where(even, uniform, -1),
            ("k-SII", 2): uniform,
            ("STII", 1): sign,
            ("STII", 2): np.where(even, uniform, -1 / (j + 2)),
            ("FSII", 1): np.where(even, uniform, -3 / (j + 2)),
            ("FSII", 2): np.where(even, 3 / ((j + 1) * (j + 3)), 0),
            ("BII", 1): np.where(j == 0, 1.0, 0),
            ("BII", 2): np.where(j == 0, 1.0, 0),
        }[index, t]
    return np.where(j < 0, 0, 2**t * moments)
