"""Tables of exact Shapley values of forests: of each bottom subtree, for every pattern of an input's bits.

A leaf of value v has d players on its path. o_j says whether the input satisfies all splits of player j there, and b_j
whether an input without this player does. h is the distribution of b: over background rows, the histogram of their
patterns (interventional); else the product of the shares of the training weight that satisfy each player's splits
(path-dependent). The diagonal of Owen's multilinear extension of the leaf's game is

    F(t) = v sum_b h[b] prod_j (t o_j + (1 - t) b_j)

and every index here is an integral of its derivatives in the o_i, with all b at once:

    phi_i = integral over t of v sum_b h[b] (o_i - b_i) prod_{j != i} (t o_j + (1 - t) b_j) dm(t)

with dm = dt for Shapley values and a mass at 1/2 for Banzhaf values; pairs have two such factors, and `MEASURES` their dm.
The integrand is a polynomial of degree below d, so that Gauss-Legendre nodes are exact. For all 2^d patterns o at once,
P_t[o] = sum_b h[b] prod_j (t o_j + (1 - t) b_j) is a Kronecker product of the matrices [[0, 1 - t], [t, 1]], and

    dF/do_i = -P_t[o] / (1 - t) where o_i = 0, and P_t[o] / t - P_t[o without i] / (t (1 - t)) where o_i = 1.

The number of background rows matters for h alone. Tables are computed in float64 on the host.

References: Owen (1972), Multilinear extensions of games. Lundberg et al. (2020), From local explanations to global
understanding with explainable AI for trees. Yu et al. (2022), Linear TreeSHAP, arXiv:2209.08192, for polynomials in place of
subsets. Nadel & Wettenstein (2025), From decision trees to Boolean logic: a fast and unified SHAP algorithm (Woodelf),
for tables over patterns.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.shap._subtrees import Conditions, Subtrees
from xaijax.trees._nodes import MISSING

_AT_ONCE = 2**16  # entries of arrays that stay in a core's cache
_SUBTREES_AT_ONCE = 64  # whose values are added before they are added to the sums; and on accelerators at once
_ROWS_AT_ONCE = 2**11  # of the background
_FEW, _FEW_PATTERNS = 0.3, 2**15  # of all tables, or patterns: so much more is computed to save compiling for a group

# (dm of single players, dm of pairs) as functions of t; None: a mass at 1/2.
_Measure = Callable[[np.ndarray], np.ndarray]
_uniform: _Measure = np.ones_like
MEASURES: dict[str, tuple[_Measure | None, _Measure | None]] = {
    "shapley": (_uniform, None),
    "banzhaf": (None, None),
    "SII": (_uniform, _uniform),
    "k-SII": (_uniform, _uniform),
    "STII": (_uniform, lambda t: 2 * (1 - t)),
    "FSII": (lambda t: 4 - 6 * t, lambda t: 6 * t * (1 - t)),
    "BII": (None, None),
}
OF_PLAYERS = ["shapley", "banzhaf"]  # the others are of pairs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Group:
    """Tables of subtrees of B bits, S at a time.

    column, low, high, missing: [steps, S, B, R] the conditions of the bits, as in `Conditions`.
    row: int32 [steps, S, E] the row of the result that each entry is added to: players, then pairs, then one that is dropped.
    table: [steps, S, E, K, 2^B] what an input of each pattern adds.
    """

    column: Int[Array, "steps S B R"]
    low: Int[Array, "steps S B R"]
    high: Int[Array, "steps S B R"]
    missing: Bool[Array, "steps S B R"]
    row: Int[Array, "steps S E"]
    table: Float[Array, "steps S E K patterns"]


def of_output(table: Array, only: Int[Array, ""] | None, axis: int) -> Array:
    """Returns the chosen output of a table, or all of them."""
    if only is None or table.shape[axis] == 1:
        return table
    return jax.lax.dynamic_index_in_dim(table, only, axis=axis)


def quadrature(num_players: int, measure: _Measure | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes and weights of the integral over t, exact for paths of so many players."""
    if measure is None:
        return np.array([0.5]), np.array([1.0])
    degree = num_players - (measure is _uniform)  # of the derivative, or of a pair's, times dm
    nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    nodes = (nodes + 1) / 2
    return nodes, weights / 2 * measure(nodes)


def pairs_of(num_players: int) -> np.ndarray:
    """Returns int [P, 2] all pairs i < j, in lexicographic order."""
    return np.array(list(itertools.combinations(range(num_players), 2)), np.int64).reshape(-1, 2)


def pair_number(first: np.ndarray, second: np.ndarray, num_players: int) -> np.ndarray:
    """Returns the index of the pairs first < second in `pairs_of`."""
    return first * num_players - first * (first + 1) // 2 + second - first - 1


def groups_of(subtrees: Subtrees) -> list[Subtrees]:
    """Returns the subtrees in groups, each of which is computed with one number of bits and of players."""
    bits = subtrees.bits
    if not len(bits):
        return []
    total = (2.0**bits).sum()
    groups, most = [], np.inf
    for number in np.unique(bits)[::-1]:
        rows = np.flatnonzero(bits == number)
        if len(rows) * (2.0**most - 2.0**number) <= max(_FEW * total, _FEW_PATTERNS):
            groups[-1] = np.concatenate([groups[-1], rows])
        else:
            groups.append(rows)
            most = float(number)
    return [_compact(subtrees[rows]) for rows in groups]


def _compact(subtrees: Subtrees) -> Subtrees:
    """Returns the subtrees with as many bits, conditions, players and leaves as they need."""
    bits, players = int(subtrees.bits.max()), int(subtrees.num_players.max())
    conditions = subtrees.conditions
    often = 1 + int(np.flatnonzero((conditions.low != MISSING).any(axis=(0, 1))).max(initial=0))
    is_used = (subtrees.on[:, :, :players] | subtrees.off[:, :, :players]).any(axis=2)
    leaves = int(is_used.sum(axis=1).max())
    cut = slice(None), slice(leaves), slice(players)
    return Subtrees(
        conditions=Conditions(*(part[:, :bits, :often] for part in dataclasses.astuple(conditions))),
        bits=subtrees.bits,
        player=subtrees.player[:, :players],
        on=subtrees.on[cut],
        off=subtrees.off[cut],
        ratio=subtrees.ratio[cut],
        value=subtrees.value[:, :leaves],
    )


def entries_of(num_players: Any, index: str) -> Any:
    """Returns E, the entries of subtrees of so many players: players, and pairs."""
    return num_players if index in OF_PLAYERS else num_players + num_players * (num_players - 1) // 2


def make_group(
    subtrees: Subtrees,
    index: str,
    num_players: int,
    background: tuple[np.ndarray, np.ndarray | None] | None,
    code_type: np.dtype,
    dtype: np.dtype,
) -> tuple[Group, np.ndarray]:
    """Returns the tables of a group, and [K] what its leaves add to the base value.

    Args:
      subtrees: those of the group.
      index: one of MEASURES.
      num_players: M of the forest.
      background: codes [columns, B] of the background rows and their weights [B] of sum 1, or None where they are
        equal; None for path-dependent values.
      code_type, dtype: the types of the arrays.
    """
    bits = subtrees.conditions.column.shape[1]
    entries, outputs = entries_of(subtrees.player.shape[1], index), subtrees.value.shape[-1]
    table = np.empty((len(subtrees.bits), entries, outputs, 2**bits), dtype)
    base = np.zeros(outputs)
    at_once = max(1, _AT_ONCE // (subtrees.on.shape[1] * 2**bits))
    for start in range(0, len(table), at_once):
        part = subtrees[np.arange(start, min(start + at_once, len(table)))]
        histogram = None if background is None else _histogram(part.conditions, *background)
        table[start : start + at_once], added = _part(part, index, histogram)
        base += added
    conditions = subtrees.conditions
    low, high = (part.astype(code_type) for part in (conditions.low, conditions.high))
    rows = rows_of(subtrees.player, num_players, index)
    arrays: Any = map(in_steps, (conditions.column, low, high, conditions.missing, rows, table))
    return Group(*arrays), base


def in_steps(array: np.ndarray) -> np.ndarray:
    """Returns [S, ...] as [steps, S of a step, ...], filled up with zeros, which add nothing."""
    at_once = min(_SUBTREES_AT_ONCE, len(array))
    missing = -len(array) % at_once
    if missing:
        array = np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
    return array.reshape(-1, at_once, *array.shape[1:])


def rows_of(player: np.ndarray, num_players: int, index: str) -> np.ndarray:
    """Returns int32 [S, E] the row of the result of each entry of players [S, J]; entries of no player get the last one."""
    players = np.where(player < 0, num_players, player).astype(np.int64)
    dropped = entries_of(num_players, index)
    rows = np.where(players == num_players, dropped, players)
    if index not in OF_PLAYERS:
        first, second = (players[:, side] for side in pairs_of(players.shape[1]).T)
        low, high = np.minimum(first, second), np.maximum(first, second)
        pairs = num_players + pair_number(low, high, num_players)
        rows = np.concatenate([rows, np.where(high == num_players, dropped, pairs)], axis=1)
    return rows.astype(np.int32)


def _histogram(conditions: Conditions, codes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Returns float64 [S, 2^B] the share of the background rows of each pattern, from counts or weights."""
    subtrees, bits = conditions.column.shape[:2]
    total = np.zeros(subtrees << bits)
    offset = np.arange(subtrees)[:, None] << bits
    for start in range(0, codes.shape[1], _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        patterns = (conditions.patterns(codes[:, block]) + offset).reshape(-1)
        spread = None if weights is None else np.tile(weights[block], subtrees)
        total += np.bincount(patterns, spread, minlength=len(total))
    return (total / (codes.shape[1] if weights is None else 1)).reshape(subtrees, -1)


def _part(subtrees: Subtrees, index: str, histogram: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tables [S, E, K, 2^B] of a few subtrees, and [K] what their leaves add to the base value."""
    on, off, value = subtrees.on, subtrees.off, subtrees.value
    count, leaves, slots = on.shape
    bits = subtrees.conditions.column.shape[1]
    is_used = (on | off) != 0
    width = max(1, int(is_used.sum(axis=2).max()))
    slot = np.argsort(~is_used, axis=2, kind="stable")[:, :, :width]  # the players of each leaf, in order
    on, off, ratio = (np.take_along_axis(part, slot, axis=2) for part in (on, off, subtrees.ratio))
    satisfied = _satisfied(on, off, bits)  # [S, L, 2^B]
    offset = np.arange(count * leaves).reshape(count, leaves, 1) << width
    if histogram is None:
        shares = np.ones((count, leaves, 1))
        for number in range(width):
            own = ratio[:, :, number, None]
            shares = np.concatenate([shares * (1 - own), shares * own], axis=2)
        shares = shares.reshape(count * leaves, -1)
    else:
        spread = np.broadcast_to(histogram[:, None], satisfied.shape).reshape(-1)
        shares = np.bincount((satisfied + offset).reshape(-1), spread, minlength=count * leaves << width)
        shares = shares.reshape(count * leaves, -1)
    base = value.reshape(-1, value.shape[-1]).T @ shares[:, -1]
    of_leaf = _of_leaf(shares, width, index)  # [entries of the leaf, S L, 2^width]
    target = slot.reshape(-1, width).T
    if index not in OF_PLAYERS:
        first, second = (target[side] for side in pairs_of(width).T)
        low, high = np.minimum(first, second), np.maximum(first, second)
        target = np.concatenate([target, slots + pair_number(low, high, slots)])
    entries = entries_of(slots, index)
    aligned = np.zeros((entries, *of_leaf.shape[1:]))
    aligned[target, np.arange(count * leaves)] = of_leaf
    at = (satisfied + offset).reshape(-1)
    table = np.empty((count, entries, value.shape[-1], 2**bits))
    for output in range(value.shape[-1]):
        scaled = aligned * value[:, :, output].reshape(-1, 1)
        for entry in range(entries):
            each = np.take(scaled[entry].reshape(-1), at, mode="clip").reshape(satisfied.shape)
            table[:, entry, output] = each.sum(axis=1)
    return table, base


def _satisfied(on: np.ndarray, off: np.ndarray, bits: int) -> np.ndarray:
    """Returns int64 [S, L, 2^B]: which players' splits each pattern satisfies at each leaf, as bits of a number."""
    pattern = np.arange(2**bits, dtype=np.int32)
    satisfied = np.zeros((*on.shape[:2], len(pattern)), np.int32)
    for number in range(on.shape[2]):
        wanted, both = on[:, :, number, None], (on | off)[:, :, number, None]
        satisfied |= ((pattern & both) == wanted).astype(np.int32) << number
    return satisfied.astype(np.int64)


def _of_leaf(shares: np.ndarray, width: int, index: str) -> np.ndarray:
    """Returns [E, n, 2^width]: the index of each player, and pair, of n leaves of value 1, for all patterns o."""
    single, pair = MEASURES[index]
    patterns = np.arange(2**width)
    result = []
    factors = lambda t, w: np.stack([w / (1 - t), w / t, w / (t * (1 - t))])  # noqa: E731
    failing, satisfying, without = _integrals(shares, width, *quadrature(width, single), factors)
    for player in range(width):
        has = (patterns >> player) & 1 == 1
        result.append(np.where(has, satisfying - _flipped(without, player), -failing))
    if index in OF_PLAYERS:
        return np.stack(result)
    # Both fail; one fails; both are satisfied: the products of the two derivatives, with P of 0, 1 and 2 players removed.
    factors = lambda t, w: np.stack(  # noqa: E731
        [
            w / (1 - t) ** 2,
            w / (t * (1 - t)),
            w / (t * (1 - t) ** 2),
            w / t**2,
            w / (t**2 * (1 - t)),
            w / (t * (1 - t)) ** 2,
        ]
    )
    none, mixed, mixed_without, both, both_without, both_without_two = _integrals(
        shares, width, *quadrature(width, pair), factors
    )
    for first, second in pairs_of(width):
        has = [(patterns >> player) & 1 == 1 for player in (first, second)]
        one_fails = [_flipped(mixed_without, player) - mixed for player in (first, second)]
        satisfied = both - _flipped(both_without, first) - _flipped(both_without, second)
        satisfied += _flipped(_flipped(both_without_two, first), second)
        of_failing = np.where(has[0], one_fails[0], np.where(has[1], one_fails[1], none))
        result.append(np.where(has[0] & has[1], satisfied, of_failing))
    return np.stack(result)


def _flipped(values: np.ndarray, player: int) -> np.ndarray:
    """Returns values[o with o_player changed]; only entries with o_player = 1 are used."""
    halves = values.reshape(len(values), -1, 2, 1 << player)
    return np.broadcast_to(halves[:, :, :1], halves.shape).reshape(values.shape)


def _integrals(
    shares: np.ndarray,
    width: int,
    nodes: np.ndarray,
    weights: np.ndarray,
    factors: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Returns [factors, n, 2^width]: the integrals of P_t[o] times each factor."""
    low = width // 2
    high = width - low
    scales = factors(nodes, weights)  # [factors, T]
    folded = shares.reshape(len(shares), 1 << high, 1 << low)
    result = np.zeros((len(scales), *folded.shape))
    for number, node in enumerate(nodes):
        of_high, of_low = _kronecker(high, float(node)), _kronecker(low, float(node))
        product = of_high @ (folded @ of_low.T)
        for own, scale in zip(result, scales[:, number], strict=True):
            own += scale * product
    return result.reshape(len(scales), *shares.shape)


@functools.lru_cache(maxsize=256)
def _kronecker(count: int, t: float) -> np.ndarray:
    """Returns the Kronecker product of `count` matrices [[0, 1 - t], [t, 1]] over o and b."""
    matrix = np.ones((1, 1))
    for _ in range(count):
        matrix = np.kron(matrix, np.array([[0, 1 - t], [t, 1]]))
    return matrix
