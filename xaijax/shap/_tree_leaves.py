"""Path-dependent values and interactions of deep trees, leaf by leaf, without tables.

An absent player satisfies a leaf's splits with probability z_j, the share of the training weight that does, no matter what the
other players do. So the sum over all patterns b of `_tree_tables.py` is a product, and with P_t = prod_j (t o_j + (1 - t) z_j)

    phi_i = integral of v P_t (1 - z_i) / (t + (1 - t) z_i) dm(t)  where the input satisfies the splits of player i,
    phi_i = -integral of v P_t / (1 - t) dm(t)                     where it does not.

Interactions of pairs have two such factors, (1 - z) / (t + (1 - t) z) or -1 / (1 - t), times P_t. The integrands are
polynomials of degree below d, the number of players on the path, so that ceil(d / 2) Gauss-Legendre nodes are exact. A
leaf costs an input O(d^2), where the table of its subtree has 2^d patterns.

References: Yu et al. (2022), Linear TreeSHAP, arXiv:2209.08192, for polynomials in place of subsets. Quadrature-TreeSHAP (2026),
arXiv:2605.04497, for quadrature in place of polynomial arithmetic.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.numerics import einsum
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.shap._subtrees import Conditions, Leaves
from xaijax.shap._tree_tables import (
    MEASURES,
    OF_PLAYERS,
    entries_of,
    in_steps,
    of_output,
    pairs_of,
    quadrature,
    rows_of,
)
from xaijax.trees._nodes import MISSING

ROWS = 256  # inputs at once: their products stay in the cache
_FEW, _FEW_FACTORS = 0.2, 2**19  # of all factors: so many more are multiplied to save compiling for a group
_UNROLLED = 4  # factors of a product that are multiplied before it is stored


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LeafGroup:
    """Leaves of up to B players on their paths, S at a time, in parts, each of which is summed before it is added.

    column, low, high, missing: [parts, steps, S, B, R] the conditions of the players, as in `Conditions`.
    row: int32 [parts, steps, S, E] the rows of the results of the B players and of their pairs, as in `Group`.
    ratio: [parts, steps, S, B] the share z of the training weight that satisfies a player's splits.
    value: [parts, steps, S, K] what the leaf adds to the outputs.
    nodes, weights: [T] of the quadrature. pair_weights: [T] those of pairs, or None.
    """

    column: Int[Array, "parts steps S B R"]
    low: Int[Array, "parts steps S B R"]
    high: Int[Array, "parts steps S B R"]
    missing: Bool[Array, "parts steps S B R"]
    row: Int[Array, "parts steps S E"]
    ratio: Float[Array, "parts steps S B"]
    value: Float[Array, "parts steps S K"]
    nodes: Float[Array, " T"]
    weights: Float[Array, " T"]
    pair_weights: Float[Array, " T"] | None


def leaf_groups(leaves: Leaves) -> list[Leaves]:
    """Returns the leaves in groups, each of which is computed with one number of players."""
    count = leaves.num_players
    costs = np.square(count, dtype=np.float64)
    groups: list[np.ndarray] = []
    most = np.inf
    for number in np.unique(count)[::-1]:
        rows = np.flatnonzero(count == number)
        if len(rows) * (most**2 - number**2) <= max(_FEW * costs.sum(), _FEW_FACTORS):
            groups[-1] = np.concatenate([groups[-1], rows])
        else:
            groups.append(rows)
            most = float(number)
    return [_compact(leaves[rows]) for rows in groups]


def _compact(leaves: Leaves) -> Leaves:
    """Returns the leaves with as many players and conditions as they need."""
    players, conditions = int(leaves.num_players.max()), leaves.conditions
    often = 1 + int(np.flatnonzero((conditions.low != MISSING).any(axis=(0, 1))).max(initial=0))
    return Leaves(
        conditions=Conditions(*(part[:, :players, :often] for part in dataclasses.astuple(conditions))),
        player=leaves.player[:, :players],
        ratio=leaves.ratio[:, :players],
        value=leaves.value,
    )


def make_leaves(
    leaves: Leaves, index: str, num_players: int, code_type: np.dtype, dtype: np.dtype
) -> tuple[LeafGroup, np.ndarray]:
    """Returns the arrays of a group, and [K] what its leaves add to the base value.

    Args:
      leaves: those of the group.
      index: one of MEASURES.
      num_players: M of the forest.
      code_type, dtype: the types of the arrays.
    """
    single, pair = MEASURES[index]
    width, pair_weights = leaves.player.shape[1], None
    nodes, weights = quadrature(width, single)
    if index not in OF_PLAYERS:  # one more node than the values need, for pairs' own dm
        nodes, even = quadrature(width + 2, None if single is None else np.ones_like)
        weights, pair_weights = (even if dm is None else even * dm(nodes) for dm in (single, pair))
    conditions = leaves.conditions
    parts = (
        conditions.column,
        conditions.low.astype(code_type),
        conditions.high.astype(code_type),
        conditions.missing,
        rows_of(leaves.player, num_players, index),
        leaves.ratio.astype(dtype),
        leaves.value.astype(dtype),
    )
    of_quadrature = (None if part is None else part.astype(dtype) for part in (nodes, weights, pair_weights))
    arrays: Any = (*map(_in_parts, parts), *of_quadrature)
    return LeafGroup(*arrays), leaves.ratio.prod(axis=1) @ leaves.value


def _in_parts(array: np.ndarray) -> np.ndarray:
    """Returns [S, ...] as [parts, steps, S of a step, ...], filled up with zeros, which add nothing."""
    steps = in_steps(array)
    each = math.isqrt(len(steps))
    missing = -len(steps) % each
    if missing:
        steps = np.concatenate([steps, np.zeros((missing, *steps.shape[1:]), steps.dtype)])
    return steps.reshape(-1, each, *steps.shape[1:])


def num_bytes(leaves: Leaves, index: str, code_type: np.dtype, dtype: np.dtype) -> int:
    """Returns the memory of a group's arrays."""
    entries = len(leaves.player) * entries_of(leaves.player.shape[1], index)
    conditions = leaves.conditions.column.size * (4 + 2 * code_type.itemsize + 1)
    return conditions + 4 * entries + leaves.ratio.size * dtype.itemsize + leaves.value.size * dtype.itemsize


def add_leaves(
    sums: Float[Array, "R+1 K n"], group: LeafGroup, columns: Int[Array, "columns n"], only: Int[Array, ""] | None
) -> Float[Array, "R+1 K n"]:
    """Adds what each leaf says of the inputs to the sums of the players and pairs."""
    t, weights = group.nodes, group.weights
    first, second = pairs_of(group.ratio.shape[-1]).T

    def add(sums: Array, part: tuple[Array, ...]) -> tuple[Array, None]:
        column, low, high, missing, row, ratio, value = part
        code = columns[column]  # [S, B, R, n]
        inside = (code >= low[..., None]) & (code < high[..., None])
        satisfied = (inside | ((code == MISSING) & missing[..., None])).all(axis=2)  # [S, B, n]
        failing = (1 - t) * ratio[..., None]
        satisfying = t + failing  # [S, B, T]

        def multiply(product: Array, factor: tuple[Array, Array, Array]) -> tuple[Array, None]:
            satisfied, satisfying, failing = factor
            return product * jnp.where(satisfied[:, None], satisfying[..., None], failing[..., None]), None

        factors = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), (satisfied, satisfying, failing))
        ones = jnp.ones((len(row), len(t), columns.shape[1]), ratio.dtype)
        product, _ = jax.lax.scan(multiply, ones, factors, unroll=_UNROLLED)
        slope = (1 - ratio[..., None]) / satisfying
        slope = jnp.concatenate([slope, jnp.broadcast_to(-1 / (1 - t), slope[:, :1].shape)], axis=1)
        integral = einsum("sbt,stn->sbn", slope * weights, product)
        phi = jnp.where(satisfied, integral[:, :-1], integral[:, -1:])
        if group.pair_weights is not None:
            slope = jnp.where(satisfied[:, :, None], slope[:, :-1, :, None], slope[:, -1:, :, None])  # [S, B, T, n]
            weighted = product * group.pair_weights[:, None]
            pairs = (slope[:, first] * slope[:, second] * weighted[:, None]).sum(axis=2)
            phi = jnp.concatenate([phi, pairs], axis=1)
        value = of_output(value, only, axis=1)
        added = phi[:, :, None] * value[:, None, :, None]  # [S, E, K, n]
        return sums.at[row.reshape(-1)].add(added.reshape(-1, *sums.shape[1:]), mode="promise_in_bounds"), None

    def add_part(sums: Array, part: tuple[Array, ...]) -> tuple[Array, None]:  # sums of sums round less
        return sums + jax.lax.scan(add, jnp.zeros_like(sums), part)[0], None

    parts = (group.column, group.low, group.high, group.missing, group.row, group.ratio, group.value)
    return jax.lax.scan(add_part, sums, parts)[0]
