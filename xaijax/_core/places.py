"""Where in the input the activations of a layer are: spatial axes as they come, or tokens laid out on a grid."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array

# Class and register tokens that may stand before the patches when the grid is inferred: DINOv2 has five. And fewer than
# half as many as patches, so that the tokens of another grid are not taken for a small one with much before it.
_MOST_PREFIX_TOKENS = 8


@dataclasses.dataclass(frozen=True)
class Places:
    """prefix: the number of tokens before those with a place, such as the class token; space: the axes of the places."""

    prefix: int
    space: tuple[int, ...]

    def take(self, raw: Array) -> Array:
        """[N, ..., C] as the layer has them, to [N, *space, C]."""
        if raw.shape[1:-1] == self.space:
            return raw
        return raw[:, self.prefix :].reshape(raw.shape[0], *self.space, raw.shape[-1])

    def put(self, raw: Array, activations: Array) -> Array:
        """The layer's activations with other values at the places; tokens without a place stay as they are."""
        if raw.shape[1:-1] == self.space:
            return activations
        tokens = activations.reshape(raw.shape[0], -1, raw.shape[-1])
        return jnp.concatenate([raw[:, : self.prefix], tokens], axis=1)


def find_places(raw: Any, x: Any, layer: str | None, grid: tuple[int, ...] | None) -> Places:
    """The places of a layer's activations [N, ..., C], or a full sentence why it has none."""
    name = "the last spatial layer" if layer is None else f"layer {layer!r}"
    if raw.ndim < 3 or raw.shape[0] != check.examples(x):
        raise ValueError(
            f"{name} has no spatial axes: a map needs activations [N, ..., C], but its shape is "
            f"{list(raw.shape)}; xai.layers(model, x) lists all layers with their shapes."
        )
    if not jnp.issubdtype(raw.dtype, jnp.floating):
        raise ValueError(f"{name} is of type {raw.dtype}, which has no gradients.")
    space = raw.shape[1:-1]
    if grid is not None:
        return _given(space, grid, name)
    if len(space) == 1 and not _is_signal(x, space[0]) and (sides := _input_sides(x)):
        return _inferred(space[0], sides, name)
    return Places(0, space)


def _given(space: tuple[int, ...], grid: tuple[int, ...], name: str) -> Places:
    count = math.prod(grid)
    if space == grid:
        return Places(0, grid)
    if len(space) != 1 or count > space[0]:
        raise ValueError(
            f"grid {list(grid)} has {count} places, which does not fit {name} with its axes {list(space)}: tokens "
            "before the patches are dropped, but there must be one token for every place."
        )
    return Places(space[0] - count, grid)


def _inferred(tokens: int, sides: tuple[int, ...], name: str) -> Places:
    """The finest grid of square patches of the input that has no more places than there are tokens."""
    for patch in range(1, min(sides) + 1):
        if any(side % patch for side in sides):
            continue
        space = tuple(side // patch for side in sides)
        prefix = tokens - math.prod(space)
        if 0 <= prefix <= _MOST_PREFIX_TOKENS and 2 * prefix < math.prod(space):
            return Places(prefix, space)
    raise ValueError(
        f"{name} has {tokens} tokens, which are no grid of square patches of the input's {list(sides)} places with at "
        f"most {_MOST_PREFIX_TOKENS} class and register tokens before them: give grid=(h, w), or grid=({tokens},) for "
        "a map over the tokens."
    )


def _is_signal(x: Any, places: int) -> bool:
    """Whether an input [N, T] or [N, T, C] has as many places as the layer."""
    return any(jnp.ndim(leaf) in (2, 3) and jnp.shape(leaf)[1] == places for leaf in jax.tree.leaves(x))


def _input_sides(x: Any) -> tuple[int, ...] | None:
    """The spatial axes of an input that has two or more of them [N, ..., C]; None for signals, rows and token ids."""
    shapes = [jnp.shape(leaf)[1:-1] for leaf in jax.tree.leaves(x) if jnp.ndim(leaf) >= 4]
    return shapes[0] if shapes else None
