"""The bare model, jitted: what explanations are measured against."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

KEY = jax.random.key(0)
_apply = jax.jit(lambda model, x: model(x))
_apply_in_blocks = jax.jit(lambda model, x: jax.lax.map(model, x))


def at_once(model: Any, x: jax.Array) -> dict[str, Callable[[], Any]]:
    """The model on these rows."""
    return {"at once": lambda: _apply(model, x)}


def bare(
    model: Any, rows: int, row: tuple[int, ...], blocks: tuple[int, ...], ids: int = 0
) -> dict[str, Callable[[], Any]]:
    """The model on `rows` rows: at once, if they fit, and in compiled loops over blocks of several sizes.

    ids: how many token ids there are, for models that take these.
    """

    def drawn(*shape: int) -> jax.Array:
        return jax.random.randint(KEY, shape, 0, ids) if ids else jax.random.normal(KEY, shape)

    ways: dict[str, Callable[[], Any]] = {}
    if rows * math.prod(row) < 5e6:
        ways |= at_once(model, drawn(rows, *row))
    for size in blocks:
        number = -(-rows // size)
        x = drawn(number, rows // number, *row)  # a few rows less than `rows`, never more
        ways[f"{number} blocks of {rows // number}"] = lambda x=x: _apply_in_blocks(model, x)
    return ways
