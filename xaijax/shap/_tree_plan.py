"""Plans the tables of a forest: which subtrees, which background, how much memory; and makes them, whole or in pieces."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from xaijax._core.frames import Columns
from xaijax._core.typing import Array, Float, Int, Shaped
from xaijax.mask._background import Background
from xaijax.shap._subtrees import Cut, Subtrees, categories_of, with_categories
from xaijax.shap._tree_leaves import LeafGroup, leaf_groups, make_leaves, num_bytes
from xaijax.shap._tree_tables import OF_PLAYERS, Group, entries_of, groups_of, make_group
from xaijax.trees._forest import Forest
from xaijax.trees._nodes import Nodes

MOST_BYTES = 2**31  # of tables that are kept
_PIECE_BYTES = 2**28  # of tables that are made for one call and dropped
_MOST_TOTAL = 2**33  # of all pieces, whose tables take a few minutes
# Of path-dependent tables; deeper subtrees are explained leaf by leaf, at less cost than their tables for up to 2^bits inputs.
_MOST_OF_PATHS, _MOST_BITS_OF_PATHS = 2**27, 10


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class TreeTables:
    """Tables of a forest and a background, for `xai.shap.trees` or `xai.shap.interactions`: made by `xai.shap.tree_tables`.

    groups: the tables of subtrees with the same number of bits.
    leaves: the leaves of subtrees that are too deep for tables.
    members: bool [sets, codes + 1] the sets of categorical splits; set_feature: [sets] their features.
    base: [K] the outputs when all players are absent.
    regions: [D] the player of each feature, where groups of features are players.
    nodes: the splits of the forest.
    outputs: uint8 [32] a digest of the forest's outputs.
    index: the index that the tables are of.
    num_players: M.
    columns: of the data frame that the background was read from.
    names: of the players.
    """

    groups: tuple[Group, ...]
    leaves: tuple[LeafGroup, ...]
    members: Any
    set_feature: Any
    base: Float[Array, " K"]
    regions: Int[Array, " D"] | None
    outputs: Shaped[Array, "32"]
    nodes: Nodes = dataclasses.field(metadata={"static": True})
    index: str = dataclasses.field(metadata={"static": True})
    num_players: int = dataclasses.field(metadata={"static": True})
    columns: Columns | None = dataclasses.field(metadata={"static": True})
    names: tuple[str, ...] | None = dataclasses.field(metadata={"static": True})

    @property
    def num_bytes(self) -> int:
        """The memory of the tables."""
        leaves = jax.tree.leaves(self.leaves)
        return sum(array.nbytes for array in [*(group.table for group in self.groups), *leaves])

    def __repr__(self) -> str:
        return f"TreeTables({self.index}, {self.num_players} players, {shown_bytes(self.num_bytes)})"


class Plan:
    """The subtrees of a forest, in groups, with the background that they are compared with."""

    def __init__(self, forest: Forest, masker: Background | None, index: str):
        nodes = forest.nodes
        self.forest, self.masker, self.index = forest, masker, index
        value = np.asarray(forest.value, np.float64)
        self.regions = None if masker is None else masker.groups
        players = np.arange(nodes.num_features) if self.regions is None else np.asarray(self.regions).reshape(-1)
        self.num_players = int(players.max()) + 1
        self.categories = categories_of(nodes)
        share = _shares(nodes) if masker is None else np.ones(len(nodes.left))
        self.dtype = jax.dtypes.canonicalize_dtype(np.float64)
        self.code_type = np.dtype(np.int16 if nodes.num_cuts.max(initial=0) < 2**15 - 4 else np.int32)
        cut = Cut(nodes, value, players.astype(np.int32), self.categories, share)
        is_table = self._fits(cut, value.shape[1])
        self.leaves = leaf_groups(cut.leaves(~is_table))
        self.parts = groups_of(cut.subtrees(is_table))
        self.num_bytes = sum(len(part.bits) * self._bytes_each(part) for part in self.parts)
        self.num_bytes += sum(num_bytes(part, index, self.code_type, self.dtype) for part in self.leaves)
        if self.leaves and self.num_bytes > MOST_BYTES:
            raise ValueError(
                f"`forest` must have paths of at most {shown_bytes(MOST_BYTES)}, got {shown_bytes(self.num_bytes)}: limit the "
                "depth or the number of trees, or sample, by xai.shap.values with a masker and num_evaluations."
            )

    def _fits(self, cut: Cut, outputs: int) -> np.ndarray:
        """Returns which subtrees [S] get tables: all, or for path-dependent values those of few bits.

        Raises:
          ValueError: if the tables of all are needed, and too large.
        """
        entries = entries_of(cut.num_players, self.index)
        sizes = 2.0**cut.bits * entries * outputs * self.dtype.itemsize
        if self.masker is None:
            of_bits = np.cumsum(np.bincount(cut.bits, sizes))
            return (of_bits[cut.bits] <= _MOST_OF_PATHS) & (cut.bits <= _MOST_BITS_OF_PATHS)
        largest, total = float(sizes.max(initial=0)), float(sizes.sum())
        if total > _MOST_TOTAL or largest > MOST_BYTES:
            wanted = "values" if self.index in OF_PLAYERS else "interactions"
            sampled = (
                "values with num_evaluations and a key"
                if wanted == "values"
                else "interactions(xai.game(forest, x, masker))"
            )
            raise ValueError(
                f"`forest` must have tables of at most {shown_bytes(_MOST_TOTAL)}, and {shown_bytes(MOST_BYTES)} for a path, for exact "
                f"{wanted} of a background, got {shown_bytes(total)} and {shown_bytes(largest)}, as its paths have up to "
                f"{int(cut.bits.max())} players and splits: take path-dependent {wanted} (masker=None), which need none, limit the depth, "
                f"group the features (groups= of the masker), or sample, by xai.shap.{sampled}."
            )
        return np.ones(len(sizes), bool)

    def _bytes_each(self, part: Subtrees) -> int:
        entries = int(entries_of(part.player.shape[1], self.index)) * part.value.shape[-1]
        return entries * 2 ** part.conditions.column.shape[1] * self.dtype.itemsize

    @functools.cached_property
    def background(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The codes [columns, B] of the background rows and their weights [B], if any; None without rows."""
        if self.masker is None:
            return None
        rows = np.asarray(self.masker.rows if self.masker.host_rows is None else self.masker.host_rows)
        codes = self.forest.nodes.codes(rows).astype(self.code_type)
        if bool(np.asarray(self.forest.invalid(rows)).any()):
            raise ValueError(
                f"`masker` must have rows without NaN for a forest of {self.forest.library}, which refuses missing values: "
                "fill or drop them."
            )
        columns = with_categories(codes, self.categories)
        if self.masker.shares is None:
            return columns, None
        weights = np.asarray(self.masker.shares, np.float64)
        return columns, weights / weights.sum()

    @functools.cached_property
    def constant(self) -> np.ndarray:
        """[K] the sum of the means of the trees' leaves, which the tables leave out, and of the bias."""
        nodes = self.forest.nodes
        value = np.asarray(self.forest.value, np.float64)
        is_leaf = nodes.left < 0
        counts = np.bincount(nodes.tree[is_leaf], minlength=nodes.num_trees)
        means = [np.bincount(nodes.tree[is_leaf], column[is_leaf], nodes.num_trees) / counts for column in value.T]
        return np.sum(means, axis=1) + np.asarray(self.forest.bias, np.float64)

    @functools.cached_property
    def tables(self) -> TreeTables:
        """All tables."""
        made = [self._made(part) for part in self.parts]
        leaves = [make_leaves(part, self.index, self.num_players, self.code_type, self.dtype) for part in self.leaves]
        base = self.constant + sum(added for _, added in [*made, *leaves])
        return self._with_groups([group for group, _ in made], [group for group, _ in leaves], base)

    def pieces(self) -> Iterator[TreeTables]:
        """Returns the tables in pieces of equal shapes, whose values and base values add up."""
        constant = self.constant
        for part in self.parts:
            count = min(len(part.bits), max(1, _PIECE_BYTES // self._bytes_each(part)))
            for start in range(0, len(part.bits), count):
                rows = np.arange(start, start + count)
                piece = part[np.minimum(rows, len(part.bits) - 1)]
                piece.value[rows >= len(part.bits)] = 0
                group, added = self._made(piece)
                yield self._with_groups([group], [], constant + added)
                constant = np.zeros_like(constant)

    def _made(self, part: Subtrees) -> tuple[Group, np.ndarray]:
        return make_group(part, self.index, self.num_players, self.background, self.code_type, self.dtype)

    def _with_groups(self, groups: list[Group], leaves: list[LeafGroup], base: np.ndarray) -> TreeTables:
        masker, forest = self.masker, self.forest
        names = None if masker is None else masker.names((forest.nodes.num_features,))
        arrays = {
            "groups": tuple(groups),
            "leaves": tuple(leaves),
            "members": self.categories.members,
            "set_feature": self.categories.feature,
            "base": base.astype(self.dtype),
            "outputs": digest_of(forest.value, forest.bias),
        }
        with jax.ensure_compile_time_eval():
            return TreeTables(
                **jax.device_put(arrays),
                regions=self.regions,
                nodes=forest.nodes,
                index=self.index,
                num_players=self.num_players,
                columns=None if masker is None else masker.columns,
                names=forest.feature_names if names is None and self.regions is None else names,
            )


def digest_of(value: Any, bias: Any) -> np.ndarray:
    """Returns uint8 [32]: a digest of a forest's outputs as they are in float32, on every device."""
    content = hashlib.sha256()
    for part in (value, bias):
        content.update(np.ascontiguousarray(part, np.float32).data)
    return np.frombuffer(content.digest(), np.uint8)


def shown_bytes(count: float) -> str:
    return f"{count / 2**30:,.1f} GB" if count >= 2**29 else f"{count / 2**20:,.1f} MB"


def _shares(nodes: Nodes) -> np.ndarray:
    """Returns [nodes] each node's share of the training weight of its parent: a half where no weight reaches the parent."""
    cover = nodes.cover
    wrong = ~(np.isfinite(cover) & (cover >= 0))
    wrong[: nodes.num_trees] |= (cover[: nodes.num_trees] == 0) & (nodes.left[: nodes.num_trees] >= 0)
    if wrong.any():
        raise ValueError(
            "`forest` must have positive covers (training weights) at the roots of its trees, and none below 0, got "
            f"{float(cover[wrong][0])} at {int(wrong.sum())} of its nodes: pass masker=xai.mask.background(rows), which needs none."
        )
    share = np.ones(len(cover))
    parents = np.flatnonzero(nodes.left >= 0)
    for child in (nodes.left[parents], nodes.left[parents] + 1):
        weight = cover[parents]
        share[child] = np.where(weight > 0, cover[child] / np.where(weight > 0, weight, 1), 0.5)
    return share
