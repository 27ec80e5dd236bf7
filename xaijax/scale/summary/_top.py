"""The largest numbers of each column, and whose they are, in one pass."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float, Int

NOBODY = -1  # the id of a place that is not taken yet


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Top:
    """The k numbers of largest size in each column, the largest first, of equals the one with the smaller id first.

    values: [k, P], NaN where there are fewer.
    ids: [k, P], -1 where there are fewer.
    """

    values: Float[Array, "k P"]
    ids: Int[Array, "k P"]


def no_top(count: int, columns: int) -> Top:
    return Top(jnp.full((count, columns), jnp.nan), jnp.full((count, columns), NOBODY, jnp.int32))


def top_of(values: Float[Array, "N P"], ids: Int[Array, " N"], there: Bool[Array, "N P"], count: int) -> Top:
    rows = Top(jnp.where(there, values, jnp.nan), jnp.where(there, ids[:, None], NOBODY))
    return _largest(rows, count)


def merge_top(one: Top, other: Top) -> Top:
    both = Top(jnp.concatenate([one.values, other.values]), jnp.concatenate([one.ids, other.ids]))
    return _largest(both, len(one.values))


def _largest(rows: Top, count: int) -> Top:
    if len(rows.values) < count:
        more = no_top(count - len(rows.values), rows.values.shape[1])
        rows = Top(jnp.concatenate([rows.values, more.values]), jnp.concatenate([rows.ids, more.ids]))
    order = jnp.where(jnp.isnan(rows.values), jnp.inf, -jnp.abs(rows.values))
    _, ids, values = jax.lax.sort((order, rows.ids, rows.values), dimension=0, num_keys=2)
    return Top(values[:count], ids[:count])
