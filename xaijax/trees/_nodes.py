"""The nodes of all trees of a forest on the host: one order, one rule of comparison, and the integer codes of inputs."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np

MISSING = -1  # the code of a missing value


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a library reads an input before it compares it.

    float32: whether inputs are rounded to float32 first; else they are compared as float64.
    zero: the largest magnitude that counts as 0, or None.
    nan_allowed: whether the library predicts rows with NaN; else their outputs are NaN.
    nan_is_zero: [D] features whose NaN is read as 0; () for none.
    zero_is_missing: [D] features whose 0 is missing, next to NaN; () for none.
    """

    float32: bool = False
    zero: float | None = None
    nan_allowed: bool = True
    nan_is_zero: tuple[bool, ...] = ()
    zero_is_missing: tuple[bool, ...] = ()


@dataclasses.dataclass(frozen=True)
class Splits:
    """Nodes as a reader finds them: in any order, with the numbers of children counted over all trees.

    left, right: [nodes] -1 at leaves.
    feature: [nodes].
    threshold: [nodes] float64: x < threshold goes left.
    missing_left: [nodes] where a missing value goes.
    cover: [nodes] training weight.
    value: [nodes, K] outputs of the leaves.
    roots: [T].
    cuts: for each feature with categorical splits, the float64 values at which its codes change.
    categories: for each categorical node, the codes that go left, as booleans of length 1 + len(cuts of its feature).
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    cover: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    cuts: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    categories: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of all trees, level by level: first the roots, then their children, and so on. Compared by content.

    The right child follows the left one. The code of an input is the number of its feature's cuts that are at most x, so
    codes compare as the library compares inputs.

    left, right: int32 [nodes] children, -1 at leaves.
    feature: int32 [nodes], 0 at leaves.
    threshold: float64 [nodes]: x < threshold goes left. NaN at leaves and at categorical splits.
    cut: int32 [nodes]: code <= cut goes left. 0 at leaves and at categorical splits.
    missing_left: bool [nodes] whether a missing value, code -1, goes left; at categorical splits too.
    category_start: int32 [nodes] the first word of a categorical split's set; -1 for other nodes.
    category_words: uint32 [W] sets of codes: bit c % 32 of word category_start + c // 32 says whether code c goes left.
    cover: float64 [nodes] training weight.
    tree: int32 [nodes] the tree of each node; the root of tree t is node t.
    levels: [L + 1] the first node of each level, and the number of nodes.
    cuts: float64 [C] the cuts of all features, in ascending order for each.
    cut_starts: int32 [D + 1] the first cut of each feature.
    rule: how inputs are read.
    """

    left: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    cut: np.ndarray
    missing_left: np.ndarray
    category_start: np.ndarray
    category_words: np.ndarray
    cover: np.ndarray
    tree: np.ndarray
    levels: tuple[int, ...]
    cuts: np.ndarray
    cut_starts: np.ndarray
    rule: Rule

    @functools.cached_property
    def right(self) -> np.ndarray:
        return np.where(self.left < 0, -1, self.left + 1).astype(np.int32)

    @property
    def num_trees(self) -> int:
        return self.levels[1]

    @property
    def num_features(self) -> int:
        return len(self.cut_starts) - 1

    @property
    def depth(self) -> int:
        """The largest number of splits on a path."""
        return len(self.levels) - 2

    @property
    def num_cuts(self) -> np.ndarray:
        """[D] the number of cuts of each feature; its codes are 0 .. num_cuts, and -1 where it is missing."""
        return np.diff(self.cut_starts)

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Returns the codes int32 [N, D] of inputs [N, D], compared in float64."""
        rule = self.rule
        if rule.float32:
            with np.errstate(over="ignore"):
                x = np.asarray(x, np.float32)
        x = np.array(x, np.float64)  # a copy
        missing = np.isnan(x)
        if rule.zero is not None:
            x[np.abs(x) <= rule.zero] = 0.0
        if rule.nan_is_zero:
            as_zero = missing & np.array(rule.nan_is_zero)
            x[as_zero] = 0.0
            missing &= ~as_zero
        if rule.zero_is_missing:
            missing |= (x == 0.0) & np.array(rule.zero_is_missing)
        codes = np.zeros(x.shape, np.int32)
        for feature in np.flatnonzero(self.num_cuts):
            cuts = self.cuts[self.cut_starts[feature] : self.cut_starts[feature + 1]]
            codes[:, feature] = np.searchsorted(cuts, x[:, feature], side="right")
        codes[missing] = MISSING
        return codes

    @functools.cached_property
    def _digest(self) -> bytes:
        content = hashlib.sha256(repr((self.levels, self.rule)).encode())
        for field in dataclasses.fields(self):
            array = getattr(self, field.name)
            if isinstance(array, np.ndarray):
                content.update(f"{field.name}{array.shape}".encode())
                content.update(np.ascontiguousarray(array).data)
        return content.digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: Any) -> bool:
        return self is other or (isinstance(other, Nodes) and self._digest == other._digest)


def in_levels(splits: Splits, num_features: int, rule: Rule) -> tuple[Nodes, np.ndarray]:
    """Returns the nodes level by level, and their values [nodes, K]. Nodes that no root reaches are dropped.

    Raises:
      ValueError: if children or features are out of range, or a node has two parents; for dumps that are damaged.
    """
    left, right = np.asarray(splits.left, np.int64), np.asarray(splits.right, np.int64)
    order, levels, trees = [], [0], []
    level, tree = np.asarray(splits.roots, np.int64), np.arange(len(splits.roots))
    total = 0
    while level.size:
        _check(bool(((level >= 0) & (level < len(left))).all()), "children that are no nodes")
        total += level.size
        _check(total <= len(left), "nodes with more than one parent")
        order.append(level)
        trees.append(tree)
        levels.append(total)
        inner = left[level] >= 0
        level, tree = level[inner], tree[inner]
        level = np.stack([left[level], right[level]], axis=1).ravel()
        tree = np.repeat(tree, 2)
    order, tree = np.concatenate(order), np.concatenate(trees)
    is_leaf = left[order] < 0
    feature = np.where(is_leaf, 0, np.asarray(splits.feature)[order])
    _check(
        bool(((feature >= 0) & (feature < num_features)).all()), f"splits of features that are not below {num_features}"
    )
    new_left = np.full(total, -1, np.int32)
    new_left[~is_leaf] = levels[1] + 2 * np.arange(np.count_nonzero(~is_leaf))

    is_category = np.zeros(len(left), bool)
    is_category[list(splits.categories)] = True
    is_category = is_category[order] & ~is_leaf
    threshold = np.where(is_leaf | is_category, np.nan, np.asarray(splits.threshold, np.float64)[order])
    numeric = np.flatnonzero(~(is_leaf | is_category))
    _check(not np.isnan(threshold[numeric]).any(), "thresholds that are NaN")
    cuts, cut_starts, cut = _cuts(feature, threshold, numeric, splits.cuts, num_features)
    start, words = _words(splits.categories, order, is_category)
    nodes = Nodes(
        left=new_left,
        feature=feature.astype(np.int32),
        threshold=threshold,
        cut=cut,
        missing_left=np.asarray(splits.missing_left, bool)[order] & ~is_leaf,
        category_start=start,
        category_words=words,
        cover=np.asarray(splits.cover, np.float64)[order],
        tree=tree.astype(np.int32),
        levels=tuple(levels),
        cuts=cuts,
        cut_starts=cut_starts,
        rule=rule,
    )
    return nodes, np.where(is_leaf[:, None], np.asarray(splits.value, np.float64)[order], 0.0)


def _check(is_right: bool, wrong: str) -> None:
    if not is_right:
        raise ValueError(f"`model` must be an undamaged forest, got one with {wrong}: read it again from its library.")


def _cuts(
    feature: np.ndarray, threshold: np.ndarray, numeric: np.ndarray, given: dict[int, np.ndarray], num_features: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the cuts of all features, where they start, and the index of each numeric node's cut."""
    of_feature = np.concatenate([feature[numeric], *(np.full(len(values), key) for key, values in given.items())])
    values = np.concatenate([threshold[numeric], *given.values()]) + 0.0  # -0.0 becomes 0.0
    order = np.lexsort((values, of_feature))
    of_feature, values = of_feature[order].astype(np.int64), values[order]
    is_new = np.ones(len(values), bool)
    is_new[1:] = (of_feature[1:] != of_feature[:-1]) | (values[1:] != values[:-1])
    starts = np.searchsorted(of_feature[is_new], np.arange(num_features + 1)).astype(np.int32)
    number = np.empty(len(values), np.int64)
    number[order] = np.cumsum(is_new) - 1
    cut = np.zeros(len(feature), np.int32)
    cut[numeric] = number[: len(numeric)] - starts[feature[numeric]]
    return values[is_new], starts, cut


def _words(
    categories: dict[int, np.ndarray], order: np.ndarray, is_category: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first word of each categorical node's set, and the words of all sets."""
    start = np.full(len(order), -1, np.int32)
    packed, total = [], 0
    for node in np.flatnonzero(is_category):
        codes = np.asarray(categories[int(order[node])], bool)
        bits = np.zeros(-(-len(codes) // 32) * 32, bool)
        bits[: len(codes)] = codes
        words = np.packbits(bits, bitorder="little").view("<u4")
        start[node], total = total, total + len(words)
        packed.append(words)
    return start, np.concatenate(packed).astype(np.uint32) if packed else np.zeros(0, np.uint32)
