"""Cuts trees into bottom subtrees of a few leaves, whose outputs depend on a few bits of an input; or into single leaves.

A bit says whether an input satisfies all splits on one player's features on the path to the subtree, or which way it goes
at a split within the subtree. All trees are cut at once, level by level, in NumPy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np

from xaijax.trees._nodes import MISSING, Nodes

_MOST_SPLITS = 3  # within a subtree
_MOST_BITS = 9  # of a subtree of several splits: its tables have 2^bits entries


@dataclasses.dataclass(frozen=True)
class Conditions:
    """A bit is 1 where all its R conditions hold: low <= code < high, or the code is missing where `missing` says so.

    column: int32 [S, B, R] columns of the codes with categories; low, high: int32 [S, B, R]; missing: bool [S, B, R].
    """

    column: np.ndarray
    low: np.ndarray
    high: np.ndarray
    missing: np.ndarray

    def __getitem__(self, rows: object) -> Self:
        names = [field.name for field in dataclasses.fields(self)]  # pyright: ignore[reportArgumentType]
        return type(self)(*(getattr(self, name)[rows] for name in names))

    def patterns(self, codes: np.ndarray) -> np.ndarray:
        """Returns uint32 [S, N]: the bits of each input, from codes [columns, N] of 16 or 32 bits."""
        subtrees, bits, conditions = self.column.shape
        unsigned = np.dtype(f"u{codes.dtype.name}")
        low, width = self.low.astype(codes.dtype), np.maximum(self.high - self.low, 0).astype(unsigned)
        any_missing = bool((codes == MISSING).any())
        patterns = np.zeros((subtrees, codes.shape[1]), np.uint32)
        for bit in range(bits):
            holds = np.ones(patterns.shape, bool)
            for number in range(conditions):
                at = slice(None), bit, number, None
                code = codes[self.column[:, bit, number]]
                inside = (code - low[at]).view(unsigned) < width[at]  # low <= code < high: codes below wrap around
                holds &= inside | ((code == MISSING) & self.missing[at]) if any_missing else inside
            patterns |= holds.astype(np.uint32) << np.uint32(bit)
        return patterns


class _Rows:
    """What subtrees and leaves share: all their fields have S rows."""

    player: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Self:
        names = [field.name for field in dataclasses.fields(self)]  # pyright: ignore[reportArgumentType]
        return type(self)(*(getattr(self, name)[rows] for name in names))

    @property
    def num_players(self) -> np.ndarray:
        """[S]."""
        return (self.player >= 0).sum(axis=1)


@dataclasses.dataclass(frozen=True)
class Subtrees(_Rows):
    """S subtrees of at most L leaves, B bits and J players.

    conditions: of the bits; conditions that are not used always hold.
    bits: [S] the number of bits.
    player: int32 [S, J] the players, and -1 where there are fewer.
    on, off: int32 [S, L, J] the bits that are 1, and 0, where an input satisfies a leaf's splits on a player.
    ratio: float64 [S, L, J] the share of the training weight that satisfies them.
    value: float64 [S, L, K] outputs of the leaves, relative to the mean of their tree's leaves; 0 where there are fewer.
    """

    conditions: Conditions
    bits: np.ndarray
    player: np.ndarray
    on: np.ndarray
    off: np.ndarray
    ratio: np.ndarray
    value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Leaves(_Rows):
    """S leaves whose paths have at most B players, each with one bit; a bit that is not used always holds.

    conditions: of the bits.
    player: int32 [S, B] the players, and -1 where there are fewer.
    ratio: float64 [S, B] the share of the training weight that satisfies their splits; 1 where there are fewer.
    value: float64 [S, K] outputs, relative to the mean of their tree's leaves.
    """

    conditions: Conditions
    player: np.ndarray
    ratio: np.ndarray
    value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Categories:
    """Sets of codes, as columns of zeros and ones behind those of the features.

    feature: int32 [sets]; members: int8 [sets, codes + 1] whether code -1, 0, 1, ... is in the set.
    of_node: int32 [nodes] the set of a categorical split, whose members go left; -1 for other nodes.
    """

    feature: np.ndarray
    members: np.ndarray
    of_node: np.ndarray


def categories_of(nodes: Nodes) -> Categories:
    """Returns the different sets of all categorical splits."""
    of_node = np.full(len(nodes.left), -1, np.int32)
    splits = np.flatnonzero(nodes.category_start >= 0)
    feature = nodes.feature[splits]
    num_codes = int(nodes.num_cuts[feature].max()) + 1 if splits.size else 0
    keys = np.zeros((len(splits), num_codes + 2), np.int64)
    code = np.arange(num_codes)
    for row, split in enumerate(splits):
        own = code[: nodes.num_cuts[feature[row]] + 1]
        words = nodes.category_words[nodes.category_start[split] + own // 32]
        keys[row, 2 : 2 + len(own)] = (words >> (own % 32).astype(np.uint32)) & 1
    keys[:, 0], keys[:, 1] = feature, nodes.missing_left[splits]
    if splits.size:
        keys, number = np.unique(keys, axis=0, return_inverse=True)
        of_node[splits] = number.reshape(-1)
    return Categories(keys[:, 0].astype(np.int32), keys[:, 1:].astype(np.int8), of_node)


def with_categories(codes: np.ndarray, categories: Categories) -> np.ndarray:
    """Returns codes [columns, N]: those of the features, codes [N, D], and 1 where a set holds them."""
    if not len(categories.feature):
        return np.ascontiguousarray(codes.T)
    rows = np.arange(len(categories.feature))[:, None]
    member = categories.members[rows, codes.T[categories.feature] + 1]
    return np.concatenate([codes.T, member.astype(codes.dtype)])


@dataclasses.dataclass
class _Paths:
    """Paths to n nodes: P players, each with R conditions; player and column are -1 where there are fewer."""

    node: np.ndarray
    player: np.ndarray
    ratio: np.ndarray
    column: np.ndarray
    low: np.ndarray
    high: np.ndarray
    missing: np.ndarray

    @property
    def num_players(self) -> np.ndarray:
        """[n]."""
        return (self.player >= 0).sum(axis=1)

    def take(self, rows: np.ndarray) -> _Paths:
        return _Paths(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class _Splits:
    """The splits of all nodes: the column that they compare, its player, and the conditions and shares of their children."""

    column: np.ndarray
    player: np.ndarray
    middle: np.ndarray
    category: np.ndarray
    missing_left: np.ndarray
    share: np.ndarray
    largest: int

    def condition(self, node: np.ndarray, is_left: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns low, high and missing of the left or the right child; members of a category's set go left."""
        low = np.where(self.category[node] == is_left, self.middle[node], 0)
        high = np.where(self.category[node] == is_left, self.largest, self.middle[node])
        missing = ~self.category[node] & (self.missing_left[node] == is_left)
        return low, high, missing


class Cut:
    """All trees, cut into their bottom subtrees.

    bits: [S] the number of bits of each subtree.
    num_players: [S] the number of players on the path to it.
    """

    def __init__(self, nodes: Nodes, value: np.ndarray, players: np.ndarray, categories: Categories, share: np.ndarray):
        """Cuts all trees.

        Args:
          nodes: the splits.
          value: float64 [nodes, K].
          players: int32 [D] the player of each feature.
          categories: the sets of categorical splits.
          share: float64 [nodes] each node's share of the training weight of its parent.
        """
        is_category = categories.of_node >= 0
        self._nodes, self._value = nodes, value - _tree_means(nodes, value)
        self._splits = _Splits(
            column=np.where(is_category, nodes.num_features + categories.of_node, nodes.feature),
            player=players[nodes.feature],
            middle=np.where(is_category, 1, nodes.cut + 1),
            category=is_category,
            missing_left=nodes.missing_left,
            share=share,
            largest=int(nodes.num_cuts.max(initial=0)) + 2,
        )
        below = _num_splits(nodes)
        paths = _roots(nodes, below)
        self._paths = _descended(paths, nodes, self._splits, lambda paths: _is_bottom(paths, below))
        self.num_players = self._paths.num_players
        self.bits = self.num_players + below[self._paths.node]

    def subtrees(self, rows: np.ndarray) -> Subtrees:
        """Returns the chosen subtrees."""
        return _with_leaves(self._nodes, self._splits, self._paths.take(rows), self._value)

    def leaves(self, rows: np.ndarray) -> Leaves:
        """Returns the leaves of the chosen subtrees."""
        nodes = self._nodes
        paths = _descended(self._paths.take(rows), nodes, self._splits, lambda paths: nodes.left[paths.node] < 0)
        conditions = Conditions(np.maximum(paths.column, 0), paths.low, paths.high, paths.missing)
        return Leaves(conditions, paths.player, paths.ratio, self._value[paths.node])


def _tree_means(nodes: Nodes, value: np.ndarray) -> np.ndarray:
    """Returns [nodes, K] the mean of the leaves of each node's tree: constants need no explanation, and round."""
    is_leaf = nodes.left < 0
    counts = np.bincount(nodes.tree[is_leaf], minlength=nodes.num_trees)
    sums = [np.bincount(nodes.tree[is_leaf], column[is_leaf], nodes.num_trees) for column in value.T]
    return (np.stack(sums, axis=1) / counts[:, None])[nodes.tree]


def _num_splits(nodes: Nodes) -> np.ndarray:
    """Returns [nodes] the number of splits below each node, its own included."""
    count = np.zeros(len(nodes.left), np.int64)
    for first, last in zip(nodes.levels[-2::-1], nodes.levels[:0:-1], strict=True):
        left = nodes.left[first:last]
        is_split = left >= 0
        count[first:last][is_split] = 1 + count[left[is_split]] + count[left[is_split] + 1]
    return count


def _roots(nodes: Nodes, below: np.ndarray) -> _Paths:
    """Returns the paths to the roots of all trees, without those of one leaf, which are constants."""
    roots = np.flatnonzero(below[: nodes.num_trees] > 0)
    shape = (len(roots), 0)
    return _Paths(
        node=roots,
        player=np.zeros(shape, np.int32),
        ratio=np.zeros(shape),
        column=np.zeros((*shape, 1), np.int32),
        low=np.zeros((*shape, 1), np.int32),
        high=np.zeros((*shape, 1), np.int32),
        missing=np.zeros((*shape, 1), bool),
    )


def _is_bottom(paths: _Paths, below: np.ndarray) -> np.ndarray:
    """Returns [n] which nodes are the roots of bottom subtrees; below: [nodes] the splits of each node's subtree."""
    own = below[paths.node]
    return (own <= 1) | ((own <= _MOST_SPLITS) & (paths.num_players + own <= _MOST_BITS))


def _descended(paths: _Paths, nodes: Nodes, splits: _Splits, ends: Callable[[_Paths], np.ndarray]) -> _Paths:
    """Returns the paths that end at the first node where they shall."""
    ended = [paths.take(paths.node < 0)]  # none yet
    while len(paths.node):
        is_end = ends(paths)
        ended.append(paths.take(is_end))
        upper = paths.take(~is_end)
        children = [_extended(upper, nodes, splits, is_left) for is_left in (True, False)]
        paths = _joined(children, splits.largest)
    return _joined(ended, splits.largest)


def _extended(paths: _Paths, nodes: Nodes, splits: _Splits, is_left: bool) -> _Paths:
    """Returns the paths to the left or the right children."""
    rows = np.arange(len(paths.node))
    child = nodes.left[paths.node] + (not is_left)
    low, high, missing = splits.condition(paths.node, is_left)
    column, player = splits.column[paths.node], splits.player[paths.node]
    slot = _position(paths.player, player)
    fewest = int(slot.max(initial=-1)) + 1
    longer = _padded(paths, max(fewest, paths.player.shape[1]), paths.column.shape[2], splits.largest)
    number = _position(longer.column[rows, slot], column)
    longer = _padded(longer, longer.player.shape[1], max(int(number.max(initial=0)) + 1, 1), splits.largest)
    at = rows, slot, number
    longer.node = child
    longer.player[rows, slot] = player
    longer.ratio[rows, slot] *= splits.share[child]
    longer.column[at] = column
    longer.low[at] = np.maximum(longer.low[at], low)
    longer.high[at] = np.minimum(longer.high[at], high)
    longer.missing[at] &= missing
    return longer


def _position(members: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns [n] the position of each wanted number among its row's members [n, P], or that of the first free one."""
    is_it = members == wanted[:, None]
    first = is_it.argmax(axis=1) if members.shape[1] else np.zeros(len(members), np.int64)
    return np.where(is_it.any(axis=1), first, (members >= 0).sum(axis=1))


def _padded(paths: _Paths, players: int, conditions: int, largest: int) -> _Paths:
    """Returns a copy with room for so many players, and conditions of each."""
    _, old_players, old_conditions = paths.column.shape
    more = ((0, 0), (0, max(0, players - old_players)))
    also = (*more, (0, max(0, conditions - old_conditions)))
    return _Paths(
        node=paths.node,
        player=np.pad(paths.player, more, constant_values=-1),
        ratio=np.pad(paths.ratio, more, constant_values=1.0),
        column=np.pad(paths.column, also, constant_values=-1),
        low=np.pad(paths.low, also, constant_values=MISSING),
        high=np.pad(paths.high, also, constant_values=largest),
        missing=np.pad(paths.missing, also, constant_values=True),
    )


def _joined(parts: list[_Paths], largest: int) -> _Paths:
    players, conditions = (max(part.column.shape[axis] for part in parts) for axis in (1, 2))
    parts = [_padded(part, players, conditions, largest) for part in parts]
    fields = [field.name for field in dataclasses.fields(_Paths)]
    return _Paths(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _with_leaves(nodes: Nodes, splits: _Splits, paths: _Paths, value: np.ndarray) -> Subtrees:
    """Descends from the roots of the subtrees to their leaves; each split on the way becomes a bit."""
    count = paths.num_players
    width = paths.player.shape[1] + _MOST_SPLITS
    room = _padded(paths, width, paths.column.shape[2], splits.largest)
    bits = count.copy()
    is_path = np.arange(width) < count[:, None]
    on = np.where(is_path, np.int32(1) << np.arange(width, dtype=np.int32), np.int32(0))
    entries = (np.arange(len(count)), paths.node, on, np.zeros_like(on), room.ratio)
    leaves = []
    while len(entries[0]) or not leaves:
        is_leaf = nodes.left[entries[1]] < 0
        leaves.append(tuple(part[is_leaf] for part in entries))
        subtree, node, on, off, ratio = (part[~is_leaf] for part in entries)
        slot, bit = np.zeros(len(node), np.int64), np.zeros(len(node), np.int64)
        rank = _rank_within(subtree)
        for number in range(int(rank.max(initial=-1)) + 1):  # splits of one subtree one by one: they share players
            own = np.flatnonzero(rank == number)
            at = subtree[own]
            slot[own] = _position(room.player[at], splits.player[node[own]])
            room.player[at, slot[own]] = splits.player[node[own]]
            bit[own] = bits[at]
            bits[at] += 1
            room.column[at, bit[own], 0] = splits.column[node[own]]
            room.low[at, bit[own], 0], room.high[at, bit[own], 0], room.missing[at, bit[own], 0] = splits.condition(
                node[own], True
            )
        rows = np.arange(len(node))
        children = []
        for is_left in (True, False):
            child = nodes.left[node] + (not is_left)
            new_on, new_off, new_ratio = on.copy(), off.copy(), ratio.copy()
            (new_on if is_left else new_off)[rows, slot] |= (1 << bit).astype(np.int32)
            new_ratio[rows, slot] *= splits.share[child]
            children.append((subtree, child, new_on, new_off, new_ratio))
        entries = tuple(np.concatenate(pair) for pair in zip(*children, strict=True))
    subtree, node, on, off, ratio = (np.concatenate(part) for part in zip(*leaves, strict=True))
    leaf = _rank_within(subtree)
    shape = (len(count), int(leaf.max(initial=0)) + 1)

    def by_subtree(part: np.ndarray, fill: float = 0) -> np.ndarray:
        array = np.full((*shape, part.shape[1]), fill, part.dtype)
        array[subtree, leaf] = part
        return array

    return Subtrees(
        conditions=Conditions(np.maximum(room.column, 0), room.low, room.high, room.missing),
        bits=bits,
        player=room.player,
        on=by_subtree(on),
        off=by_subtree(off),
        ratio=by_subtree(ratio, 1),
        value=by_subtree(value[node]),
    )


def _rank_within(group: np.ndarray) -> np.ndarray:
    """Returns [n] how many earlier entries have the same number."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    return rank
