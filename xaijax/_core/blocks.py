"""Evaluating in blocks: memory bounded by the block, shapes static, one compiled body."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import max_dim

from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.jaxpr import operations

# Bytes of the largest array that the model makes of one block. On a CPU 1.25 MB for each core, so that a block stays in
# the caches: a perceptron, a small ResNet, a ViT, a transformer and a bag of embeddings are all within a seventh of their
# fastest there on two cores, where with 10 MB the transformers take half as long again. Accelerators want to be filled:
# 512 MB.
_LARGEST_BYTES = {"cpu": 5 * 2**18 * (os.cpu_count() or 1), "accelerator": 2**29}
_ROWS = (8, 2**15)
_TRACED_ROWS = 3360  # no size that a model has by itself, and one that most numbers of devices divide


def rows_at_once(batch_size: int | None, bytes_per_row: int) -> int:
    """The number of model rows in one evaluation: the caller's, or as many as suit the device."""
    if batch_size is not None:
        return batch_size
    least, most = _ROWS
    largest = _LARGEST_BYTES["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return min(most, max(least, largest // max(1, bytes_per_row)))


def bytes_per_row(model: Any, x: Any) -> int:
    """What one row of x [N, ...] takes of the largest array that the model makes on the way to its outputs."""
    rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((_TRACED_ROWS, *leaf.shape[1:]), leaf.dtype), x)
    closed = jax.make_jaxpr(lambda model, x: model(x))(model, rows)
    made = [*closed.jaxpr.invars, *(variable for one in operations(closed.jaxpr) for variable in one.outvars)]
    arrays = [variable.aval for variable in made if hasattr(variable.aval, "shape")]
    return max(
        math.prod(array.shape) * array.dtype.itemsize // _TRACED_ROWS
        for array in arrays
        if any(size and size % _TRACED_ROWS == 0 for size in array.shape)  # weights are made once for all rows
    )


def block_size(length: int, most: int) -> int:
    """The size of equal blocks, of `most` at most, that cover `length` with few rows too many: less than 1 %, or the fewest.

    Up to twice as many blocks as needed are tried: ten rows with four at most make five blocks of two, not three of
    four, in which two rows would be evaluated for nothing.
    """
    least_blocks = -(-length // most)
    sizes = (-(-length // blocks) for blocks in range(least_blocks, min(2 * least_blocks, length) + 1))
    best = next(sizes)
    for size in sizes:
        if 100 * (-length % best) < length:
            break
        best = min(best, size, key=lambda size: -length % size)
    return best


def in_blocks(function: Callable[[Any], Any], xs: Any, size: int) -> Any:
    """`function(xs)` for a function that treats the rows of xs independently, with at most `size` rows at a time.

    Blocks are of equal size, the last ones filled up with repeated rows that are dropped again. Each block takes rows
    from all over xs (every n-th), so that where the rows are sharded over devices every device works on every block.
    """
    (length, *_) = (leaf.shape[0] for leaf in jax.tree.leaves(xs))
    if not isinstance(length, int):
        return _in_symbolic_blocks(function, xs, size)
    size = block_size(length, size)
    num_blocks = -(-length // size)
    if num_blocks <= 1:
        return function(xs)

    def split(leaf: jax.Array) -> jax.Array:
        missing = size * num_blocks - length
        if missing:
            leaf = jnp.concatenate([leaf, leaf[:missing]])  # missing < size <= length
        return jnp.swapaxes(leaf.reshape(size, num_blocks, *leaf.shape[1:]), 0, 1)

    def join(leaf: jax.Array) -> jax.Array:
        return jnp.swapaxes(leaf, 0, 1).reshape(size * num_blocks, *leaf.shape[2:])[:length]

    # Under reverse-mode differentiation a block is evaluated again, so that its size bounds the memory there too.
    body = jax.checkpoint(with_fast_convolutions(function), prevent_cse=False)
    return jax.tree.map(join, jax.lax.map(body, jax.tree.map(split, xs)))


def _in_symbolic_blocks(function: Callable[[Any], Any], xs: Any, most: int) -> Any:
    """The same for a number of rows that `jax.export` leaves open: as few equal blocks as hold them once it is known."""
    length = jax.tree.leaves(xs)[0].shape[0]
    num_blocks = (length + most - 1) // most
    size = max_dim(1, (length + num_blocks - 1) // num_blocks)  # 1: for those who must know that it is no less
    return repeated(function, xs, num_blocks, size)


def repeated(function: Callable[[Any], Any], xs: Any, num_blocks: Any, size: Any) -> Any:
    """`function(xs)` in so many blocks of this size, filled up with the last row; either number may be symbolic."""
    length = jax.tree.leaves(xs)[0].shape[0]
    rows = jnp.minimum(jnp.arange(num_blocks * size), length - 1)
    blocks = jax.tree.map(lambda leaf: leaf[rows].reshape(num_blocks, size, *leaf.shape[1:]), xs)
    answers = jax.lax.map(with_fast_convolutions(function), blocks)
    wanted = jnp.arange(length)  # a slice would have to prove that there are so many
    return jax.tree.map(lambda leaf: leaf.reshape(num_blocks * size, *leaf.shape[2:])[wanted], answers)


def each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`jax.vmap(function)`, without an axis of length one in the compiler's way where there is one example at a time."""

    def over_all(xs: Any) -> Any:
        length = jax.tree.leaves(xs)[0].shape[0]
        if not isinstance(length, int) or length > 1:
            return jax.vmap(function)(xs)
        return jax.tree.map(lambda leaf: leaf[None], function(jax.tree.map(lambda leaf: leaf[0], xs)))

    return over_all


def example_keys(key: jax.Array, ids: jax.Array) -> jax.Array:
    """One key for each example, from its id alone, [N]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, ids)
