"""The mean and the spread of samples in one pass, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core.blocks import block_size
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.numerics import in_own_units, power_of_two, safe_sqrt
from xaijax._core.typing import Array, Float, Int


class Running(NamedTuple):
    """Statistics of a number of samples.

    seen: [] the number of samples.
    mean: [...] their mean, in units of unit.
    spread: [...] the sum of their squared deviations, in units of unit².
    unit: [...] powers of two, in which squares neither overflow nor vanish.
    """

    seen: Int[Array, "*batch"]
    mean: Float[Array, "..."]
    spread: Float[Array, "..."]
    unit: Float[Array, "..."]

    def means(self) -> Array:
        """Returns the mean of the samples."""
        return self.unit * self.mean

    def std_errors(self) -> Array:
        """Returns the standard errors of the mean; NaN for one sample, which has no spread."""
        seen = self.seen.astype(self.mean.dtype)
        return self.unit * safe_sqrt(self.spread / (seen - 1) / seen)


def merged(left: Running, right: Running) -> Running:
    """Returns the statistics of both sets of samples (Chan, Golub & LeVeque 1983).

    Nothing cancels where the spread is small compared with the mean.
    """
    seen = left.seen + right.seen
    before, new, total = (count.astype(left.mean.dtype) for count in (left.seen, right.seen, seen))
    unit = jnp.maximum(left.unit, right.unit)
    own, other = left.unit / unit, right.unit / unit
    share, step = new / total, right.mean * other - left.mean * own
    spread = left.spread * own * own + right.spread * other * other + step**2 * (before * share)
    return Running(seen, left.mean * own + step * share, spread, unit)


def add(running: Running | None, sample: Callable[[Array], Any], first: Any, count: int, at_once: int) -> Running:
    """Adds the samples numbered first ... first + count - 1, at most `at_once` at a time, to the statistics.

    sample: numbers [n] -> samples [n, ...]; or these and the unit [...] that they are given in.
    """
    at_once = block_size(count, at_once)
    num_blocks = -(-count // at_once)

    def of_block(start: Int[Array, ""]) -> Running:
        numbers = start + jnp.arange(at_once)
        samples, unit = in_own_units(*_with_unit(sample(first + numbers)))
        counted = (numbers < count).reshape(-1, *[1] * (samples.ndim - 1))
        new = counted.sum(dtype=jnp.int32)
        mean = jnp.where(counted, samples, 0).sum(axis=0) / new.astype(samples.dtype)
        deviations = jnp.where(counted, samples - mean[None], 0)
        return Running(new, mean, (deviations**2).sum(axis=0), unit)

    if running is None:
        if num_blocks == 1:
            return of_block(jnp.zeros((), jnp.int32))
        shape, _ = jax.eval_shape(lambda numbers: _with_unit(sample(numbers)), jax.ShapeDtypeStruct((1,), jnp.int32))
        zeros = jnp.zeros(shape.shape[1:], shape.dtype)
        running = Running(jnp.zeros((), jnp.int32), zeros, zeros, power_of_two(zeros[None]))
    # Under reverse-mode differentiation a block is evaluated again instead of keeping every block's values.
    new = with_fast_convolutions(of_block)
    body = jax.checkpoint(lambda running, start: (merged(running, new(start)), None), prevent_cse=False)
    running, _ = jax.lax.scan(body, running, jnp.arange(num_blocks, dtype=jnp.int32) * at_once)
    return running


def _with_unit(samples: Any) -> tuple[Array, Array]:
    return samples if isinstance(samples, tuple) else (samples, jnp.ones_like(samples[0]))
