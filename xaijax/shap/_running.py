"""The mean and the spread of samples in one pass, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core.blocks import block_size
from xaijax._core.typing import Array, Float, Int


class Running(NamedTuple):
    """seen: how many samples; mean; spread: the sum of their squared deviations."""

    seen: Float[Array, ""]
    mean: Float[Array, "..."]
    spread: Float[Array, "..."]

    def std_errors(self) -> Array:
        """Of the mean; NaN for one sample, which says nothing of its spread."""
        variances = self.spread / (self.seen - 1) / self.seen
        return jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)  # slope 0 at 0


def add(running: Running | None, sample: Callable[[Array], Array], first: Any, count: int, at_once: int) -> Running:
    """Takes the samples of the numbers first ... first + count - 1 into the running mean and spread.

    Blocks are merged by Chan, Golub & LeVeque (1983): nothing cancels where the spread is small beside the mean, and
    nothing but the two running results is kept.
    """
    at_once = block_size(count, at_once)
    num_blocks = -(-count // at_once)

    def merge(running: Running, start: Int[Array, ""]) -> tuple[Running, None]:
        numbers = start + jnp.arange(at_once)
        samples = sample(first + numbers)
        counted = (numbers < count).reshape(-1, *[1] * (samples.ndim - 1))
        new = counted.sum()
        mean = jnp.where(counted, samples, 0).sum(axis=0) / new
        spread = jnp.where(counted, (samples - mean) ** 2, 0).sum(axis=0)
        step, total = mean - running.mean, running.seen + new
        spread = running.spread + spread + step**2 * (running.seen * new / total)
        return Running(total, running.mean + step * (new / total), spread), None

    if running is None:
        if num_blocks == 1:
            samples = sample(first + jnp.arange(count))
            mean = samples.mean(axis=0)
            return Running(jnp.asarray(count, mean.dtype), mean, ((samples - mean) ** 2).sum(axis=0))
        shape = jax.eval_shape(sample, jax.ShapeDtypeStruct((1,), jnp.int32))
        zeros = jnp.zeros(shape.shape[1:], shape.dtype)
        running = Running(jnp.zeros((), shape.dtype), zeros, zeros)
    # Under reverse-mode differentiation a block is evaluated again instead of keeping every block's values.
    body = jax.checkpoint(merge, prevent_cse=False)
    running, _ = jax.lax.scan(body, running, jnp.arange(num_blocks) * at_once)
    return running
