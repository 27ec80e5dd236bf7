"""Arithmetic that is exact where it must be: full precision on accelerators, and derivatives that stay finite at zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float, Int

# Matrix products run in TF32 or bfloat16 on accelerators unless they ask for more.
HIGHEST = jax.lax.Precision.HIGHEST

_COMPARED = 256  # up to so many numbers, comparing all pairs is faster than sorting


def dot(left: Array, right: Array) -> Array:
    """Returns the matrix product in full precision on every device."""
    return jnp.matmul(left, right, precision=HIGHEST)


def einsum(subscripts: str, *operands: Array) -> Array:
    """Returns `jnp.einsum` in full precision on every device."""
    return jnp.einsum(subscripts, *operands, precision=HIGHEST)


def at_least_float32(values: Array) -> Array:
    """Returns the values in float32, or in their own dtype where it is wider."""
    with jax.numpy_dtype_promotion("standard"):
        return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Returns numerator / denominator, and 0 with zero gradient where the denominator is 0."""
    zero = denominator == 0
    return jnp.where(zero, 0, numerator) / jnp.where(zero, 1, denominator)


def safe_sqrt(values: Array) -> Array:
    """Returns the square root, and 0 with zero gradient where a value is 0 (or below it by rounding); NaN stays NaN."""
    positive = ~(values <= 0)
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0)


def power_of_two(values: Array) -> Array:
    """Returns a power of two near the largest |value| along the first axis: a unit that rounds nothing.

    Squares of values in this unit neither overflow nor vanish, and its products and quotients are exact. The least unit
    is 2^-70 in float32: squares of the smallest normal numbers, 2^-126, are then normal, and so are derivatives, which
    are computed in the same unit, also where all values are 0.
    """
    largest = jax.lax.stop_gradient(jnp.abs(values).max(axis=0))
    least, most = (-70, 120) if values.dtype.itemsize == 4 else (-600, 1000)
    _, exponent = jnp.frexp(largest)
    exponent = jnp.where(largest > 0, jnp.clip(exponent, least, most), least)
    return jnp.ldexp(jnp.ones_like(largest), exponent)


def in_own_units(values: Float[Array, "n ..."], unit: Float[Array, "..."]) -> tuple[Array, Array]:
    """Returns values that are given in a unit in units of their own size along the first axis; and these units."""
    units = jnp.maximum(power_of_two(values) * unit, power_of_two(jnp.zeros_like(values)))
    return values * (unit / units)[None], units


def zero_where(flags: Bool[Array, " M"], values: Float[Array, "M ..."]) -> Float[Array, "M ..."]:
    """Returns the values with exact zeros where a flag is set, and with the derivatives of the values themselves.

    Flags such as "this feature equals its background" describe one point; the derivative there need not be zero. Where
    the values are estimates, it is that of the estimate, the limit of the derivatives at nearby points; finite
    differences at the point itself, along other features, see zeros on both sides instead of the estimate's error.
    """
    flags = flags.reshape(-1, *[1] * (values.ndim - 1))
    return jnp.where(flags, values - jax.lax.stop_gradient(values), values)


def ranks(numbers: Float[Array, "... M"]) -> Int[Array, "... M"]:
    """Returns the rank of each of M numbers, 0 for the smallest; of equal numbers the first ranks lower."""
    return jax.lax.platform_dependent(numbers, cpu=_ranks_by_scan, default=_ranks_at_once)


def _ranks_at_once(numbers: Float[Array, "... M"]) -> Int[Array, "... M"]:
    count = numbers.shape[-1]
    if count > _COMPARED:
        return jnp.argsort(jnp.argsort(numbers, axis=-1, stable=True), axis=-1).astype(jnp.int32)
    own, others = numbers[..., :, None], numbers[..., None, :]
    earlier = jnp.tri(count, k=-1, dtype=bool).reshape(*[1] * (numbers.ndim - 1), count, count)
    return jnp.sum(_precedes(others, own, earlier), axis=-1, dtype=jnp.int32)


def _ranks_by_scan(numbers: Float[Array, "... M"]) -> Int[Array, "... M"]:
    """XLA for the CPU would store all pairs before it sums them, and its sorting is slower still."""

    def count_one(count: Array, index: Array) -> tuple[Array, None]:
        other = jax.lax.dynamic_index_in_dim(numbers, index, axis=-1, keepdims=True)
        later = (jnp.arange(numbers.shape[-1]) > index).reshape(*[1] * (numbers.ndim - 1), -1)
        return count + _precedes(other, numbers, later).astype(jnp.int32), None

    start = jnp.zeros(numbers.shape, jnp.int32)
    return jax.lax.scan(count_one, start, jnp.arange(numbers.shape[-1]))[0]


def ranks_of_distinct(numbers: Int[Array, "... M"]) -> Int[Array, "... M"]:
    """Returns the rank of each of M integers, no two of which are equal; on CPUs several times faster than `ranks`."""
    return jax.lax.platform_dependent(numbers, cpu=_ranks_by_groups, default=_ranks_at_once)


def _ranks_by_groups(numbers: Int[Array, "... M"]) -> Int[Array, "... M"]:
    """Compares all numbers with eight of them in one pass, as reading the counts takes longer than a comparison."""
    size, rest = 8, -numbers.shape[-1] % 8
    largest = jnp.full((*numbers.shape[:-1], rest), jnp.iinfo(numbers.dtype).max, numbers.dtype)
    others = jnp.concatenate([numbers, largest], axis=-1) if rest else numbers  # the largest precede no number

    def count_group(count: Array, start: Array) -> tuple[Array, None]:
        group = jax.lax.dynamic_slice_in_dim(others, start, size, axis=-1)
        for index in range(size):
            count = count + (group[..., index : index + 1] < numbers).astype(jnp.int32)
        return count, None

    start = jnp.zeros(numbers.shape, jnp.int32)
    return jax.lax.scan(count_group, start, jnp.arange(0, others.shape[-1], size))[0]


def _precedes(other: Array, own: Array, earlier: Bool[Array, "..."]) -> Bool[Array, "..."]:
    """Whether another number ranks lower: it is smaller, or equal and earlier."""
    return (other < own) | ((other == own) & earlier)
