"""Parts of all activation maps: the tapped layer, the gradient there, and the finishing of a map."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import axes_of_map
from xaijax._core.numerics import HIGHEST, at_least_float32
from xaijax._core.places import find_places
from xaijax._core.tap import tap
from xaijax._core.target import Target
from xaijax._core.typing import Array, Float
from xaijax._model import Model


@dataclasses.dataclass(frozen=True)
class LayerOptions:
    """Names the activations that a map is made of; static for the compiler."""

    layer: str | None
    grid: tuple[int, ...] | None


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


def tap_layer(model: Model, x: Any, options: LayerOptions) -> tuple[Array, Callable[[Array], Any]]:
    """Returns activations [N, *space, C] in float32 or more, and the outputs as a function of them."""
    raw, head = tap(model, x, options.layer)
    places = find_places(raw, x, options.layer, options.grid)
    activations = at_least_float32(places.take(raw))
    return activations, lambda values: head(places.put(raw, values.astype(raw.dtype)))


def differentiate(activations: Array, tail: Callable[[Array], Any], target: Target) -> tuple[Tapped, Target]:
    """Computes the gradient of the score at the activations, by the backward pass of the tail alone.

    Returns:
      The tapped pass, and the target with the top classes resolved.
    """
    target, scores, (gradients,) = target.pull_back(*jax.vjp(tail, activations))
    return Tapped(activations, gradients, scores, lambda values: target.select(tail(values))), target


def axes_of(num_axes: int, *, every_class: bool = False) -> str:
    """Returns the axes of maps with so many spatial axes, such as "N h w", or "N h w K" for every class."""
    return " ".join(["N", axes_of_map(num_axes), *["K"] * every_class])


@dataclasses.dataclass(frozen=True)
class Finish:
    """Finishes a map by the options that all maps share, in this order.

    relu: keep only positive evidence for the target.
    upsample: resize linearly to the size of the input, or to a given size.
    normalize: bring each map to [0, 1].
    """

    relu: bool
    upsample: bool | tuple[int, ...]
    normalize: bool

    def __call__(self, maps: Float[Array, "N *space"], x: Any) -> Float[Array, "N *other"]:
        if self.relu:
            maps = jax.nn.relu(maps)
        if self.upsample:
            size = input_size(x, maps.ndim - 1) if self.upsample is True else self.upsample
            if len(size) != maps.ndim - 1:
                raise ValueError(f"upsample must give {maps.ndim - 1} sides, as many as the map has, but it is {size}.")
            maps = resize(maps, size)
        if self.normalize:
            maps = to_unit_range(maps)
        return check.nan_where(check.rows_with_nan(x), maps)


def input_size(x: Any, axes: int) -> tuple[int, ...]:
    """The sides of the input's places: of the first array of x with as many spatial axes as the map."""
    for spare in (2, 1):  # [N, ..., C] first, [N, ...] else
        for leaf in jax.tree.leaves(x):
            if jnp.ndim(leaf) == axes + spare:
                return jnp.shape(leaf)[1 : axes + 1]
    raise ValueError(
        f"upsample needs inputs with the {axes} spatial axes of the map, but x has shape "
        f"{jax.tree.map(jnp.shape, x)}: give upsample=(h, w), or leave it off."
    )


def resize(maps: Float[Array, "N *space"], size: tuple[int, ...]) -> Float[Array, "N *other"]:
    """Linear resizing, each map by itself."""
    return jax.image.resize(maps, (maps.shape[0], *size), method="linear")


def to_unit_range(maps: Float[Array, "N *space"], axes: tuple[int, ...] | None = None) -> Float[Array, "N *space"]:
    """(map - min) / (max - min) for each example (or over other axes).

    A map that is constant but for rounding becomes all zero, with zero gradient: its noise is no map.
    """
    axes = tuple(range(1, maps.ndim)) if axes is None else axes
    least, most = extremes(maps, axes)
    rounding = 16 * jnp.finfo(maps.dtype).eps * jnp.maximum(jnp.abs(least), jnp.abs(most))
    constant = ~(most - least > rounding) & ~jnp.isnan(most)
    return jnp.where(constant, 0, maps - least) / jnp.where(constant, 1, most - least)


def extremes(maps: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """The least and the largest value over some axes, which stay as axes of length one."""
    others = [axis for axis in range(maps.ndim) if axis not in axes]
    lines = jnp.transpose(maps, (*others, *axes)).reshape(*(maps.shape[axis] for axis in others), -1)
    kept = tuple(1 if axis in axes else side for axis, side in enumerate(maps.shape))
    return -_largest(-lines).reshape(kept), _largest(lines).reshape(kept)


@jax.custom_jvp
def _largest(lines: Float[Array, "... n"]) -> Float[Array, "..."]:
    """The largest value of each line, with the gradient of its place.

    JAX's own gradient of `max` looks for values equal to the largest one, and finds others or none where the compiler
    computes the values twice, in two fusions that round differently.
    """
    return lines.max(axis=-1)


@_largest.defjvp
def _at_its_place(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (lines,), (changes,) = primals, tangents
    places = jnp.argmax(lines, axis=-1)[..., None]
    return _largest(lines), jnp.take_along_axis(changes, places, axis=-1)[..., 0]
