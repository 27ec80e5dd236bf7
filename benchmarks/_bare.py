"""The bare model, jitted: what explanations are measured against."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

KEY = jax.random.key(0)
_apply = jax.jit(lambda model, x: model(x))
_apply_in_blocks = jax.jit(lambda model, x: jax.lax.map(model, x))
_gradients = jax.jit(lambda model, x: _gradient(model, x))
_gradients_in_blocks = jax.jit(lambda model, x: jax.lax.map(lambda block: _gradient(model, block), x))

Ways = dict[str, Callable[[], Any]]
# On accelerators, which want to be filled: as many numbers more at once, and as many times larger blocks.
_ACCELERATOR = 16


def at_once(model: Any, x: jax.Array) -> Ways:
    """The model on these rows."""
    return {"at once": lambda: _apply(model, x)}


def bare(
    model: Any, rows: int, row: tuple[int, ...], blocks: tuple[int, ...], ids: int = 0, gradients: bool = False
) -> Ways:
    """The model on `rows` rows: at once, if they fit, and in compiled loops over blocks of several sizes.

    ids: how many token ids there are, for models that take these.
    gradients: the gradient with respect to the rows, for explanations that are made of gradients.
    """

    def drawn(*shape: int) -> jax.Array:
        return jax.random.randint(KEY, shape, 0, ids) if ids else jax.random.normal(KEY, shape)

    larger = 1 if jax.default_backend() == "cpu" else _ACCELERATOR
    whole, looped = (_gradients, _gradients_in_blocks) if gradients else (_apply, _apply_in_blocks)
    ways: Ways = {}
    if rows * math.prod(row) < 5e6 * larger:
        x = drawn(rows, *row)
        ways["at once"] = lambda x=x: whole(model, x)
    for size in blocks:
        number = -(-rows // (size * larger))
        if number > 1:
            x = drawn(number, rows // number, *row)  # a few rows less than `rows`, never more
            ways[f"{number} blocks of {rows // number}"] = lambda x=x: looped(model, x)
    if not ways:
        x = drawn(rows, *row)
        ways["at once"] = lambda x=x: whole(model, x)
    return ways


def _gradient(model: Any, x: jax.Array) -> jax.Array:
    return jax.grad(lambda x: model(x).sum())(x)
