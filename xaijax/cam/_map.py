"""Parts of all activation maps: the tapped layer, the gradient there, and the finishing of a map."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.axes import axes_of_map
from xaijax._core.grid import ChannelAxis, LayerInputs, check_inputs, find_grid
from xaijax._core.numerics import HIGHEST, at_least_float32, ratio
from xaijax._core.tap import tap
from xaijax._core.target import Target
from xaijax._core.typing import Array, Float
from xaijax._model import Model


@dataclasses.dataclass(frozen=True)
class LayerOptions:
    """Names the activations that a map is made of; static for the compiler."""

    layer: str | None
    grid: tuple[int, ...] | None
    channel_axis: ChannelAxis

    def of(self, model: Model) -> LayerOptions:
        """Returns the options with the channel axis that the model's framework defines, unless the caller named one."""
        if self.channel_axis.given or model.channel_axis is None:
            return self
        known = ChannelAxis(model.channel_axis, model.channel_axis, given=True)
        return dataclasses.replace(self, channel_axis=known)


@dataclasses.dataclass(frozen=True)
class Tapped:
    """Holds one forward pass, cut at a layer, and the gradient of a score there.

    activations: [N, *space, C] A, in float32 or more.
    gradients: [N, *space, C] the gradient of each example's score with respect to its activations, dy/dA.
    scores: [N] the explained outputs y.
    score: y as a function of the activations; each example's score depends on its own activations only.
    """

    activations: Float[Array, "N *space C"]
    gradients: Float[Array, "N *space C"]
    scores: Float[Array, " N"]
    score: Callable[[Array], Array]

    @property
    def space(self) -> tuple[int, ...]:
        """Returns the spatial axes."""
        return tuple(range(1, self.activations.ndim - 1))

    def weigh(self, weights: Float[Array, "N C"]) -> Float[Array, "N *space"]:
        """Computes sum_k weights_k A_k."""
        return weigh(self.activations, weights)


def weigh(activations: Float[Array, "N *space C"], weights: Float[Array, "N C"]) -> Float[Array, "N *space"]:
    """Computes sum_k weights_k A_k."""
    return jnp.einsum("n...k,nk->n...", activations, weights, precision=HIGHEST)


class Cut(NamedTuple):
    """A model cut at a layer.

    activations: [N, *space, C] A, in float32 or more.
    tail: the outputs as a function of them.
    inputs: the inputs, as the layer depends on them.
    """

    activations: Float[Array, "N *space C"]
    tail: Callable[[Array], Any]
    inputs: LayerInputs

    def differentiate(self, target: Target) -> tuple[Tapped, Target]:
        """Computes the gradient of the score at the activations, by the backward pass of the tail alone.

        Returns:
          The tapped pass, and the target with the top classes resolved.
        """
        target, scores, (gradients,) = target.pull_back(*jax.vjp(self.tail, self.activations))
        return Tapped(self.activations, gradients, scores, lambda values: target.select(self.tail(values))), target


def tap_layer(model: Model, x: Any, options: LayerOptions) -> Cut:
    """Cuts a model at a layer, with its activations as [N, *space, C] in float32 or more."""
    options = options.of(model)
    raw, head, layout, inputs = tap(model, x, options.layer, options.channel_axis)
    check_inputs(x, inputs, options.channel_axis)
    grid = find_grid(raw, x, layout, options.layer, options.grid, options.channel_axis)
    activations = at_least_float32(grid.take(raw))
    seen = LayerInputs(x, layout.inputs, options.channel_axis)
    return Cut(activations, lambda values: head(grid.put(raw, values.astype(raw.dtype))), seen)


def axes_of(num_axes: int, *, every_class: bool = False) -> str:
    """Returns the axes of maps with so many spatial axes, such as "N h w", or "N h w K" for every class."""
    return " ".join(["N", axes_of_map(num_axes), *["K"] * every_class])


@dataclasses.dataclass(frozen=True)
class Finish:
    """Finishes a map by the options that all maps share, in this order.

    relu: keep only positive evidence for the target.
    upsample: resize linearly to the size of the inputs that the layer depends on, or to a given size.
    normalize: bring each map to [0, 1] after relu, and to [-1, 1] with 0 kept otherwise.
    """

    relu: bool
    upsample: bool | tuple[int, ...]
    normalize: bool

    def __call__(self, maps: Float[Array, "N *space"], inputs: LayerInputs) -> Float[Array, "N *other"]:
        if self.relu:
            maps = jax.nn.relu(maps)
        if self.upsample:
            maps = resize(maps, self.size(maps.ndim - 1, inputs))
        if self.normalize:
            maps = to_unit_range(maps) if self.relu else to_unit_magnitude(maps)
        return check.nan_where(check.rows_with_nan(inputs.x), maps)

    def size(self, num_axes: int, inputs: LayerInputs) -> tuple[int, ...]:
        """Returns the size that maps are resized to."""
        if self.upsample is True:
            return inputs.size(num_axes)
        size = self.upsample or ()
        if len(size) != num_axes:
            raise ValueError(f"`upsample` must have {num_axes} sides, as many as the map has axes, got {list(size)}.")
        return size


def resize(maps: Float[Array, "N *space"], size: tuple[int, ...]) -> Float[Array, "N *other"]:
    """Resizes each map linearly; pixel centers stay where they are."""
    return jax.image.resize(maps, (maps.shape[0], *size), method="linear")


def to_unit_range(maps: Float[Array, "N *space"], axes: tuple[int, ...] | None = None) -> Float[Array, "N *space"]:
    """Computes (map - min) / (max - min) for each example, or over other axes.

    A map that is constant up to rounding error becomes zero with zero gradient.
    """
    axes = tuple(range(1, maps.ndim)) if axes is None else axes
    least, most = extremes(maps, axes)
    rounding = 16 * jnp.finfo(maps.dtype).eps * jnp.maximum(jnp.abs(least), jnp.abs(most))
    constant = ~(most - least > rounding) & ~jnp.isnan(most)
    return jnp.where(constant, 0, maps - least) / jnp.where(constant, 1, most - least)


def to_unit_magnitude(maps: Float[Array, "N *space"]) -> Float[Array, "N *space"]:
    """Computes map / max |map| for each example: 0 stays 0, and so does a map of zeros."""
    _, largest = extremes(jnp.abs(maps), tuple(range(1, maps.ndim)))
    return ratio(maps, largest)


def extremes(maps: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Returns the least and the largest value over some axes, which stay as axes of length one."""
    others = [axis for axis in range(maps.ndim) if axis not in axes]
    lines = jnp.transpose(maps, (*others, *axes)).reshape(*(maps.shape[axis] for axis in others), -1)
    kept = tuple(1 if axis in axes else side for axis, side in enumerate(maps.shape))
    return -_largest(-lines).reshape(kept), _largest(lines).reshape(kept)


@jax.custom_jvp
def _largest(lines: Float[Array, "... n"]) -> Float[Array, "..."]:
    """Returns the largest value of each line, with the gradient of its index.

    JAX's own gradient of `max` compares values with the largest one, and matches others or none where the compiler
    computes the values twice, in two fusions that round differently.
    """
    return lines.max(axis=-1)


@_largest.defjvp
def _at_its_index(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (lines,), (changes,) = primals, tangents
    indices = jnp.argmax(lines, axis=-1)[..., None]
    return _largest(lines), jnp.take_along_axis(changes, indices, axis=-1)[..., 0]
