"""Plans the tables of a forest: which subtrees, which background, how much memory; and makes them, whole or in pieces."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.frames import Columns
from xaijax._core.typing import Array, Float, Int
from xaijax.mask._background import Background
from xaijax.shap._subtrees import Subtrees, categories_of, subtrees_of, with_categories
from xaijax.shap._tree_tables import Group, groups_of, make_group, num_entries
from xaijax.trees._forest import Forest
from xaijax.trees._nodes import Nodes

MOST_BYTES = 2**31  # of tables that are kept
_PIECE_BYTES = 2**28  # of tables that are made for one call and dropped
_MOST_TOTAL = 2**36  # of all pieces


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class TreeTables:
    """Tables of a forest and a background, for `xai.shap.trees` or `xai.shap.interactions`: made by `xai.shap.tree_tables`.

    groups: the tables of subtrees with the same number of bits.
    members: bool [sets, codes + 1] the sets of categorical splits; set_feature: [sets] their features.
    base: [K] the outputs when all players are absent.
    regions: [D] the player of each feature, where groups of features are players.
    nodes: the splits of the forest.
    index: the index that the tables are of.
    num_players: M.
    columns: of the data frame that the background was read from.
    names: of the players.
    """

    groups: tuple[Group, ...]
    members: Any
    set_feature: Any
    base: Float[Array, " K"]
    regions: Int[Array, " D"] | None
    nodes: Nodes = dataclasses.field(metadata={"static": True})
    index: str = dataclasses.field(metadata={"static": True})
    num_players: int = dataclasses.field(metadata={"static": True})
    columns: Columns | None = dataclasses.field(metadata={"static": True})
    names: tuple[str, ...] | None = dataclasses.field(metadata={"static": True})

    @property
    def num_bytes(self) -> int:
        """The memory of the tables."""
        return sum(group.table.size * group.table.dtype.itemsize for group in self.groups)

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
        nodes = _checked_cover(nodes) if masker is None else dataclasses.replace(nodes, cover=np.ones(len(nodes.left)))
        subtrees = subtrees_of(nodes, value, players.astype(np.int32), self.categories)
        self.parts = groups_of(subtrees)
        self.dtype = jax.dtypes.canonicalize_dtype(np.float64)
        self.code_type = np.dtype(np.int16 if nodes.num_cuts.max(initial=0) < 2**15 - 4 else np.int32)
        sizes = [self._bytes_each(part) for part in self.parts]
        self.num_bytes = sum(len(part.bits) * each for part, each in zip(self.parts, sizes, strict=True))
        if self.num_bytes > _MOST_TOTAL or max(sizes, default=0) > MOST_BYTES:
            raise ValueError(
                f"`forest` must have tables of at most {shown_bytes(_MOST_TOTAL)}, got {shown_bytes(self.num_bytes)}, as its paths "
                f"have up to {int(subtrees.bits.max())} players and splits: limit the depth, group the features (groups= of the "
                "masker), or sample, by xai.shap.values with num_evaluations."
            )

    def _bytes_each(self, part: Subtrees) -> int:
        entries = num_entries(part, self.index) * part.value.shape[-1]
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
        base = self.constant + sum(added for _, added in made)
        return self._with_groups([group for group, _ in made], base)

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
                yield self._with_groups([group], constant + added)
                constant = np.zeros_like(constant)

    def _made(self, part: Subtrees) -> tuple[Group, np.ndarray]:
        return make_group(part, self.index, self.num_players, self.background, self.code_type, self.dtype)

    def _with_groups(self, groups: list[Group], base: np.ndarray) -> TreeTables:
        masker, forest = self.masker, self.forest
        names = None if masker is None else masker.names((forest.nodes.num_features,))
        with jax.ensure_compile_time_eval():
            return TreeTables(
                groups=jax.tree.map(jnp.asarray, tuple(groups)),
                members=jnp.asarray(self.categories.members),
                set_feature=jnp.asarray(self.categories.feature),
                base=jnp.asarray(base, self.dtype),
                regions=self.regions,
                nodes=forest.nodes,
                index=self.index,
                num_players=self.num_players,
                columns=None if masker is None else masker.columns,
                names=forest.feature_names if names is None and self.regions is None else names,
            )


def shown_bytes(count: int) -> str:
    return f"{count / 2**30:,.1f} GB" if count >= 2**29 else f"{count / 2**20:,.1f} MB"


def _checked_cover(nodes: Nodes) -> Nodes:
    """Returns the nodes, after the check of the training weights that path-dependent values divide by."""
    cover = nodes.cover[nodes.left >= 0]
    wrong = ~(np.isfinite(cover) & (cover > 0))
    if wrong.any() or not (nodes.cover >= 0).all():
        raise ValueError(
            f"`forest` must have positive covers (training weights) at all splits, got {float(cover[wrong][0]) if wrong.any() else 'negative ones'} at {int(wrong.sum())}"
            " of them: pass masker=xai.mask.background(rows), which needs none."
        )
    return nodes
