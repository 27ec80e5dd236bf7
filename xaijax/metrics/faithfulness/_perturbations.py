"""Perturbations of one input: noise, squares or subsets that are set to a baseline, or the user's own."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, random
from xaijax._core.numerics import at_least_float32, ratio
from xaijax._core.typing import Array, Bool, Float, Shaped
from xaijax._model import Model, function_of_several
from xaijax.metrics.faithfulness._over_inputs import space_of

PERTURBATIONS = ["noise", "square", "subset"]


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """How inputs are changed; static for the compiler.

    name: one of PERTURBATIONS, or "own".
    sides: of one input, without the channels.
    channels: the axis of the channels in one input, or None.
    window: the sides of the square.
    of_shares: whether a step is the share of the way to the baseline, I / (x - baseline), rather than I.
    """

    name: str
    sides: tuple[int, ...]
    channels: int | None
    window: tuple[int, ...]
    of_shares: bool

    def apply(
        self,
        key: Array,
        x: Shaped[Array, "*input"],
        baseline: Shaped[Array, "*input"],
        deviations: Float[Array, "..."],
        own: Model | None,
    ) -> tuple[Shaped[Array, "*input"], Float[Array, "*input"]]:
        """Draws a perturbation I of one input; returns x - I, and the step that the values are multiplied with."""
        wide = at_least_float32(x)
        distance = wide - at_least_float32(baseline)
        if self.name in ("square", "subset"):
            removed = self._square(key) if self.name == "square" else self._subset(key)
            removed = removed if self.channels is None else jnp.expand_dims(removed, self.channels)
            step = jnp.where(removed, jnp.ones_like(wide) if self.of_shares else distance, 0)
            return jnp.where(removed, baseline, x), step
        if own is None:
            change = deviations * random.normal(key, x.shape).astype(deviations.dtype)
        else:
            change = at_least_float32(own((key, x)))
        change = change.astype(wide.dtype)
        return (wide - change).astype(x.dtype), ratio(change, distance) if self.of_shares else change

    def _square(self, key: Array) -> Bool[Array, "*space"]:
        """Draws a window within the input, each position with the same probability."""
        inside = jnp.ones([1] * len(self.sides), bool)
        draws = random.uniform(key, (len(self.sides),))
        for axis, (side, length) in enumerate(zip(self.sides, self.window, strict=True)):
            start = jnp.floor(draws[axis] * (side - length + 1)).astype(jnp.int32)
            positions = jnp.arange(side) - start
            shape = [1] * len(self.sides)
            shape[axis] = side
            inside = inside & ((positions >= 0) & (positions < length)).reshape(shape)
        return inside

    def _subset(self, key: Array) -> Bool[Array, "*space"]:
        """Draws a subset whose size is uniform: each position is removed with one probability, which is drawn first."""
        of_share, of_positions = jax.random.split(key)
        return random.uniform(of_positions, self.sides) < jax.random.uniform(of_share)


def read_perturbation(
    perturbation: Any, window: Any, x: Array, channels: int | None, of_shares: bool
) -> tuple[Perturbation, Model | None]:
    """Reads the options `perturbation` and `window`; of a user's function it returns the model of (key, x) too."""
    sides = space_of(x.shape, channels)
    own = None
    if perturbation is None:
        perturbation = "square" if x.ndim > 3 else "subset"
    elif not isinstance(perturbation, str) and callable(perturbation):
        own, perturbation = function_of_several("perturbation", "perturbation(key, x)", perturbation), "own"
    else:
        check.one_of("perturbation", perturbation, PERTURBATIONS)
    if perturbation in ("noise", "own") and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f'`perturbation` must be "square" or "subset", which replace entries, as `x` holds {x.dtype}, got '
            f"{check.shown(perturbation)}."
        )
    if own is not None:
        _check_own(own, x)
    axis = None if channels is None else channels - 1
    return Perturbation(perturbation, sides, axis, _read_window(window, sides), of_shares), own


def _check_own(own: Model, x: Array) -> None:
    key = jax.eval_shape(lambda: jax.random.key(0))
    drawn: Any = jax.eval_shape(own, (key, jax.ShapeDtypeStruct(x.shape[1:], x.dtype)))
    if getattr(drawn, "shape", None) != x.shape[1:] or not jnp.issubdtype(drawn.dtype, jnp.floating):
        raise ValueError(
            f"`perturbation` must return the change of one input, floating numbers of shape {list(x.shape[1:])}, got "
            f"{check.shown(drawn)}."
        )


def _read_window(window: Any, sides: tuple[int, ...]) -> tuple[int, ...]:
    """Reads the sides of the square: one int, or one for each side of the input; by default a quarter of them."""
    if window is None:
        return tuple(-(-side // 4) for side in sides)
    sizes = tuple(window) if check.is_list(window) else (window,) * len(sides)
    if not sizes or any(isinstance(size, bool) or not isinstance(size, numbers.Integral) for size in sizes):
        raise TypeError(f"`window` must be an int or a sequence of ints, got {check.shown(window)}.")
    if len(sizes) != len(sides) or any(not 1 <= size <= side for size, side in zip(sizes, sides, strict=True)):
        raise ValueError(
            f"`window` must have sides from 1 to {list(sides)}, those of an input without channels, got {check.shown(window)}."
        )
    return tuple(map(int, sizes))


def read_baseline(baseline: Any, x: Array) -> Array:
    """Returns a number or one input as one input of the dtype of x."""
    read = check.numeric_array("baseline", baseline)
    if read.shape not in ((), x.shape[1:], (1, *x.shape[1:])):
        raise ValueError(
            f"`baseline` must be a number or one input of shape {list(x.shape[1:])}, got {check.shown(read)}."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(read.dtype, jnp.floating):
        raise TypeError(f"`baseline` must be integers, as `x` holds {x.dtype}, got {check.shown(read)}.")
    if check.is_concrete(read) and not np.isfinite(np.asarray(read)).all():
        raise ValueError(f"`baseline` must be finite, got {check.shown(baseline)}.")
    one = read.reshape(x.shape[1:]) if read.ndim else read
    return jnp.broadcast_to(one, x.shape[1:]).astype(x.dtype)
