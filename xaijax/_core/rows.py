"""Which examples a user selects: JAX itself would clamp indices out of range."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check


def check_rows(rows: Any, count: int) -> Any:
    """Reads the indices or booleans that select examples; JAX itself would clamp indices out of range."""
    if isinstance(rows, tuple):
        raise TypeError(
            f"`rows` must select examples, got {check.shown(rows)}: index the arrays for more axes, as in "
            "attribution.values[0, 1], or pass a list for several examples."
        )
    rows = rows if not check.is_concrete(rows) else check.host_array("rows", rows)
    if rows.dtype == bool and rows.shape == (count,):
        if isinstance(rows, np.ndarray):
            return np.flatnonzero(rows)
        raise TypeError(
            f"`rows` must be known where it holds booleans, got {check.shown(rows)}: select with jnp.where, or pass indices."
        )
    if not np.issubdtype(rows.dtype, np.integer) or rows.ndim > 1:
        raise TypeError(
            f"`rows` must be an int, a slice, ints or {count} booleans, got {rows.dtype}{list(rows.shape)}."
        )
    if isinstance(rows, np.ndarray):
        missing = rows[(rows < -count) | (rows >= count)].reshape(-1)
        if missing.size:
            raise IndexError(
                f"`rows` must be from {-count} to {count - 1}, as there are {count} examples, got {missing[0]}."
            )
    return rows


def taken(leaf: Any, rows: Any) -> Any:
    """Selects along the first axis; traced indices out of range give NaN, and False for booleans."""
    if isinstance(rows, slice) or check.is_concrete(rows):
        return leaf[rows]
    leaf = jnp.asarray(leaf)
    return leaf.at[rows].get(mode="fill", fill_value=False if leaf.dtype == bool else None)
