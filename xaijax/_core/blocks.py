"""Evaluation in blocks: the block bounds the memory, shapes are static, and one body is compiled."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import eval_jaxpr, max_dim

from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.jaxpr import make_jaxpr, operations

# Bytes of the largest array that the model computes from one block. On a CPU 1.25 MB per core, so that a block stays in
# the caches. Accelerators need larger blocks to be busy: 512 MB.
_LARGEST_BYTES = {"cpu": 5 * 2**18 * (os.cpu_count() or 1), "accelerator": 2**29}
_ROWS = (8, 2**15)  # at least, unless a caller needs fewer, and at most
_TRACED_ROWS = 3360  # unlikely as a size within a model, and divisible by most numbers of devices


def rows_at_once(batch_size: int | None, bytes_per_row: int, *, least: int = _ROWS[0]) -> int:
    """Returns the number of model rows in one evaluation: the caller's, or as many as suit the device, but `least`."""
    if batch_size is not None:
        return batch_size
    most = _ROWS[1]
    largest = _LARGEST_BYTES["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    return min(most, max(least, largest // max(1, bytes_per_row)))


def bytes_per_row(model: Any, x: Any) -> int:
    """Returns the bytes per row of the largest array that the model computes from x [N, ...]."""
    rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((_TRACED_ROWS, *leaf.shape[1:]), leaf.dtype), x)
    closed, _ = make_jaxpr(lambda model, x: model(x), model, rows)
    computed = [*closed.jaxpr.invars, *(variable for one in operations(closed.jaxpr) for variable in one.outvars)]
    arrays = [variable.aval for variable in computed if hasattr(variable.aval, "shape")]
    return max(
        math.prod(array.shape) * array.dtype.itemsize // _TRACED_ROWS
        for array in arrays
        if any(size and size % _TRACED_ROWS == 0 for size in array.shape)  # other arrays exist once for all rows
    )


def block_size(length: int, most: int) -> int:
    """Returns the size of equal blocks, at most `most`, that cover `length` with less than 1 % of padding, or the least.

    Up to twice as many blocks as needed are tried: ten rows in blocks of at most four become five blocks of two, not
    three blocks of four, two of whose rows would be padding.
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
    """Evaluates a function that treats the rows of xs independently, with at most `size` rows at a time.

    Blocks have equal sizes; repeated rows pad the last ones and are dropped afterwards. Each block takes every n-th row,
    so that every device works on every block where the rows are sharded over devices.
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
    """Does the same for a number of rows that `jax.export` leaves open: as few equal blocks as hold them."""
    length = jax.tree.leaves(xs)[0].shape[0]
    num_blocks = (length + most - 1) // most
    size = max_dim(1, (length + num_blocks - 1) // num_blocks)  # 1: shape checks must know a lower bound
    return repeated(function, xs, num_blocks, size)


def repeated(function: Callable[[Any], Any], xs: Any, num_blocks: Any, size: Any) -> Any:
    """Evaluates `function(xs)` in `num_blocks` blocks, padded with the last row; either number may be symbolic."""
    length = jax.tree.leaves(xs)[0].shape[0]
    rows = jnp.minimum(jnp.arange(num_blocks * size), length - 1)
    blocks = jax.tree.map(lambda leaf: leaf[rows].reshape(num_blocks, size, *leaf.shape[1:]), xs)
    answers = jax.lax.map(with_fast_convolutions(function), blocks)
    wanted = jnp.arange(length)  # indices, as a slice would have to prove that its end is in range
    return jax.tree.map(lambda leaf: leaf.reshape(num_blocks * size, *leaf.shape[2:])[wanted], answers)


def each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Vectorizes a function like `jax.vmap`, but without an axis of length one, which would slow the compiled code."""

    def over_all(xs: Any) -> Any:
        length = jax.tree.leaves(xs)[0].shape[0]
        if not isinstance(length, int) or length > 1:
            return jax.vmap(function)(xs)
        return jax.tree.map(lambda leaf: leaf[None], function(jax.tree.map(lambda leaf: leaf[0], xs)))

    return over_all


def example_keys(key: jax.Array, ids: jax.Array) -> jax.Array:
    """Returns a key for each example [N], from all bits of its id.

    Ids that fit 32 bits have the same keys in any dtype; of larger ones, both halves are folded in.
    """
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    if ids.dtype.itemsize <= 4:
        return fold(key, ids)
    keys = fold(key, ids.astype(jnp.uint32))
    wider = jax.vmap(jax.random.fold_in)(keys, (ids >> 32).astype(jnp.uint32))
    return jax.vmap(jnp.where)((ids < -(2**31)) | (ids >= 2**32), wider, keys)


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that `jax.vmap` applies to one example after the other on CPUs.

    For functions that decide: an example's numbers are then computed by the same instructions in every batch, so that
    rounding errors do not decide differently. Accelerators, which small matrices leave idle, compute all at once.
    """

    def call(*arguments: Any) -> Any:
        # Constants become arguments: a loop over a batch may batch them too, and `custom_vmap` refuses that of its own.
        program, shapes = make_jaxpr(function, *arguments)
        alone = _one_by_one(lambda constants, leaves: eval_jaxpr(program.jaxpr, constants, *leaves))
        return jax.tree.unflatten(jax.tree.structure(shapes), alone(program.consts, jax.tree.leaves(arguments)))

    return call


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    alone = jax.custom_batching.custom_vmap(function)

    @alone.def_vmap
    def over_all(_size: int, are_batched: Any, *arguments: Any) -> tuple[Any, Any]:
        leaves, structure = jax.tree.flatten(arguments)
        flags = jax.tree.leaves(are_batched)

        def in_turn(*leaves: Any) -> Any:
            def apply(batched: list[Any]) -> Any:
                own = iter(batched)
                merged = [next(own) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)]
                return alone(*jax.tree.unflatten(structure, merged))

            return jax.lax.map(apply, [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag])

        def at_once(*leaves: Any) -> Any:
            in_axes = jax.tree.unflatten(structure, [0 if flag else None for flag in flags])
            return jax.vmap(function, in_axes)(*jax.tree.unflatten(structure, leaves))

        results = jax.lax.platform_dependent(*leaves, cpu=in_turn, default=at_once)
        return results, jax.tree.map(lambda _: True, results)

    return alone
