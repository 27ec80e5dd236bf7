"""The spatial axes of layers and inputs: channels first or last, tokens laid out on a grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.layout import Layout
from xaijax._core.typing import Array

_FEW, _MANY = (1, 3), 4  # channels of images; an axis longer than _MANY behind them is no channel axis


@dataclasses.dataclass(frozen=True)
class ChannelAxis:
    """The axis of the channels, as the option `channel_axis` says; static for the compiler.

    inputs: in input arrays.
    layers: in layers with as many axes as the inputs, and in all layers where `layers_alike`; other layers hold tokens
      [N, T, C], with channels last.
    given: whether the caller named it. If not, a model that shows another one is refused.
    """

    inputs: int = -1
    layers: int = -1
    layers_alike: bool = False
    given: bool = False

    def of_layer(self, num_axes: int, x: Any) -> int:
        """Returns the channel axis of a layer, counted from the front."""
        alike = self.layers_alike or any(jnp.ndim(leaf) == num_axes for leaf in jax.tree.leaves(x))
        return _from_front(self.layers if alike else -1, num_axes)

    def layer_sides(self, shape: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
        """Returns the sides of a layer [N, ...] without its channel axis."""
        axis = self.of_layer(len(shape), x)
        return tuple(side for number, side in enumerate(shape) if number not in (0, axis))

    def of_input(self, num_axes: int) -> int:
        """Returns the channel axis of an input array, counted from the front."""
        return _from_front(self.inputs, num_axes)


_MOST_AXES = 64  # of a NumPy array


def read_channel_axis(value: Any) -> ChannelAxis:
    """Checks the option `channel_axis`: None for the last axis, an int, or two of them for layers and for inputs."""
    if value is None:
        return ChannelAxis()
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or any(isinstance(axis, bool) or not isinstance(axis, int) for axis in pair):
        raise TypeError(
            "`channel_axis` must be an int such as 1 or -1, or two of them for the layer and the input, got "
            f"{check.shown(value)}."
        )
    if any(abs(axis) >= _MOST_AXES for axis in pair):
        raise ValueError(f"`channel_axis` must be an axis of the input, such as 1 or -1, got {check.shown(value)}.")
    if 0 in pair:
        raise ValueError("`channel_axis` must not be 0, the axis of the examples: pass 1 for channels first.")
    return ChannelAxis(inputs=pair[1], layers=pair[0], layers_alike=isinstance(value, tuple | list), given=True)


def _from_front(axis: int, num_axes: int) -> int:
    if not -num_axes < axis < num_axes:
        raise ValueError(f"`channel_axis` must be an axis of the {num_axes} axes of the array, got {axis}.")
    return axis % num_axes


@dataclasses.dataclass(frozen=True)
class LayerInputs:
    """The inputs of a model, as a layer depends on them.

    x: the PyTree of arrays [N, ...].
    seen: the numbers of those leaves that the layer depends on.
    channel_axis: the axis of their channels.
    """

    x: Any
    seen: frozenset[int]
    channel_axis: ChannelAxis

    def size(self, num_axes: int, error: str | None = None) -> tuple[int, ...]:
        """Returns the spatial sides of the inputs that the layer depends on.

        Args:
          num_axes: how many spatial axes the map has.
          error: the sentence for inputs without one size, in which {shapes} stands for their shapes, for methods that
            need the size themselves. Default: that the option upsample=True needs it.

        Raises:
          ValueError: if none of them has so many spatial axes, or two of them differ in size.
        """
        leaves = jax.tree.leaves(self.x)
        seen: list[tuple[int, ...]] = [
            jnp.shape(leaf) for number, leaf in enumerate(leaves) if number in self.seen or not self.seen
        ]
        sizes = {self._sides(shape) for shape in seen if len(shape) == num_axes + 2}
        sizes = sizes or {shape[1:] for shape in seen if len(shape) == num_axes + 1}
        if len(sizes) == 1:
            return sizes.pop()
        shown = f"inputs of the shapes {[list(shape) for shape in seen]}"
        if error is not None:
            raise ValueError(error.format(shapes=shown.removeprefix("inputs of the shapes ")))
        if sizes:
            raise ValueError(f"`upsample` must be a size (h, w), as the layer depends on {shown}, got True.")
        raise ValueError(
            f"`upsample` must be False or a size, as the map has {num_axes} spatial axes and depends on {shown}, got True."
        )

    def map(self, function: Callable[..., Array], sides: tuple[int, ...], *others: Any) -> Any:
        """Changes one input [1, ...] where the layer depends on it, and returns it without the axis of length 1.

        Args:
          function: called with an array [*sides, C], and the arrays of `others`, for the floating arrays of these sides
            that the layer depends on. Other arrays are returned as they are.
          sides: the spatial sides.
          others: PyTrees like one input without N.
        """
        leaves, structure = jax.tree.flatten(self.x)
        covered = self._covered(leaves, sides)

        def change(*arrays: Array) -> Array:
            if arrays[0].ndim == len(sides):
                return function(*(array[..., None] for array in arrays))[..., 0]
            axis = self.channel_axis.of_input(arrays[0].ndim + 1) - 1
            return jnp.moveaxis(function(*(jnp.moveaxis(array, axis, -1) for array in arrays)), -1, axis)

        rows = enumerate(zip(leaves, *map(jax.tree.leaves, others), strict=True))
        changed = [change(leaf[0], *rest) if number in covered else leaf[0] for number, (leaf, *rest) in rows]
        return jax.tree.unflatten(structure, changed)

    def _covered(self, leaves: list[Array], sides: tuple[int, ...]) -> list[int]:
        """Returns the numbers of the floating arrays of these sides that the layer depends on."""
        numbers = [
            number
            for number, leaf in enumerate(leaves)
            if (number in self.seen or not self.seen)
            and jnp.issubdtype(leaf.dtype, jnp.floating)
            and (leaf.shape[1:] == sides or (leaf.ndim == len(sides) + 2 and self._sides(leaf.shape) == sides))
        ]
        if not numbers:
            raise ValueError(
                f"`x` must hold a floating array of the size {list(sides)} that the layer depends on, got "
                f"{', '.join(map(check.shown, leaves))}: convert integers to float32 before they reach the model."
            )
        return numbers

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axis = self.channel_axis.of_input(len(shape))
        return tuple(side for number, side in enumerate(shape) if number not in (0, axis))


@dataclasses.dataclass(frozen=True)
class Grid:
    """The spatial axes of a layer's activations.

    channel_axis: counted from the front.
    before: the number of tokens before the grid, such as class and register tokens.
    sides: the spatial sides, in the order of the layer.
    order: the order in which the inputs have these axes: (1, 0) where the layer holds columns before rows.
    """

    channel_axis: int
    before: int
    sides: tuple[int, ...]
    order: tuple[int, ...]

    def take(self, raw: Array) -> Array:
        """Returns the layer's activations as [N, *space, C], with the spatial axes in the order of the inputs."""
        activations = jnp.moveaxis(raw, self.channel_axis, -1)
        if activations.shape[1:-1] != self.sides:
            tokens = activations[:, self.before : self.before + math.prod(self.sides)]
            activations = tokens.reshape(raw.shape[0], *self.sides, activations.shape[-1])
        return activations.transpose(self._axes(self.order))

    def put(self, raw: Array, activations: Array) -> Array:
        """Returns the layer's activations with other values on the grid; tokens around it are kept."""
        channels_last = jnp.moveaxis(raw, self.channel_axis, -1)
        activations = activations.transpose(self._axes(_inverse(self.order)))
        if channels_last.shape[1:-1] != self.sides:
            tokens = activations.reshape(raw.shape[0], -1, channels_last.shape[-1])
            after = channels_last[:, self.before + tokens.shape[1] :]
            activations = jnp.concatenate([channels_last[:, : self.before], tokens, after], axis=1)
        return jnp.moveaxis(activations, -1, self.channel_axis)

    def _axes(self, order: tuple[int, ...]) -> tuple[int, ...]:
        return (0, *(1 + number for number in order), len(order) + 1)


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def input_order(sources: Sequence[int | None]) -> tuple[int, ...]:
    """Returns the order of a layer's spatial axes in the inputs, or the layer's own where the trace does not show it."""
    numbers = [number for number in sources if number is not None]
    if len(set(numbers)) < len(sources):
        return tuple(range(len(sources)))
    return tuple(sorted(range(len(sources)), key=numbers.__getitem__))


def find_grid(
    raw: Any, x: Any, layout: Layout, layer: str | None, grid: tuple[int, ...] | None, channel_axis: ChannelAxis
) -> Grid:
    """Returns the grid of a layer's activations [N, ..., C].

    Raises:
      ValueError: if the layer has no spatial axes, or the given grid does not fit.
    """
    name = "the last spatial layer" if layer is None else f"layer {layer!r}"
    if raw.ndim < 3 or raw.shape[0] != check.examples(x):
        raise ValueError(
            f"`layer` must have spatial axes [N, ..., C], got {name} of shape {list(raw.shape)}: xai.layers(model, x) lists "
            "all layers with their shapes."
        )
    if not jnp.issubdtype(raw.dtype, jnp.floating):
        raise ValueError(
            f"`layer` must hold floating activations, got {name} of dtype {raw.dtype}, which has no gradients."
        )
    axis = channel_axis.of_layer(raw.ndim, x)
    _check_channels(name, layout, axis, raw.shape, channel_axis)
    sides = channel_axis.layer_sides(raw.shape, x)
    if len(sides) > 1:
        if grid is not None and grid != sides:
            raise ValueError(
                f"`grid` must fit the spatial axes {list(sides)} of {name}, got {list(grid)}: leave it out."
            )
        sources = [source for number, source in enumerate(layout.sources) if number not in (0, axis)]
        return Grid(axis, 0, sides, input_order([source[0] if len(source) == 1 else None for source in sources]))
    before, sides, order = token_grid(layout, 3 - axis, raw.shape[3 - axis], grid, name)
    return Grid(axis, before, sides, order)


def token_grid(
    layout: Layout, axis: int, count: int, grid: tuple[int, ...] | None, name: str
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Returns the number of tokens before the grid, its sides, and the order in which the inputs have them.

    The sides are the given ones, those in the trace, or (count,).
    """
    tokens = layout.axes[axis]
    if grid is None:
        sides = tokens.sides or (count,)
        order = input_order(layout.sources[axis]) if len(layout.sources[axis]) == len(sides) else (*range(len(sides)),)
        return (tokens.before if tokens.sides else 0), sides, order
    size = math.prod(grid)
    if size > count:
        raise ValueError(f"`grid` must have at most the {count} positions of {name}, got {list(grid)}.")
    before = tokens.before if size == count - tokens.before - tokens.after else count - size
    return before, grid, tuple(range(len(grid)))


def check_inputs(
    x: Any, layouts: Sequence[Layout], channel_axis: ChannelAxis, with_channels: Sequence[bool] | None = None
) -> None:
    """Raises ValueError if a convolution or the shape of an input shows another channel axis than the default.

    with_channels: which of the arrays of x are taken to have channels; None for all of them.
    """
    if channel_axis.given:
        return
    arrays, _ = jax.tree_util.tree_flatten_with_path(x)
    with_channels = [True] * len(arrays) if with_channels is None else with_channels
    for (path, leaf), layout, has_channels in zip(arrays, layouts, with_channels, strict=True):
        shape = jnp.shape(leaf)
        if len(shape) < 3 or not has_channels:
            continue
        if len(layout.channel_axes) == 1:
            (axis,) = layout.channel_axes
        else:
            likely = len(shape) in (4, 5) and shape[1] in _FEW and min(shape[2:]) > _MANY and not layout.channel_axes
            axis = 1 if likely else len(shape) - 1
        if axis != len(shape) - 1:
            raise ValueError(
                f"`channel_axis` must be given for x{jax.tree_util.keystr(path)} of shape {list(shape)}, whose channels seem to be on axis {axis}: pass "
                f"channel_axis={axis}, or channel_axis=-1 if the channels are last."
            )


def _check_channels(name: str, layout: Layout, axis: int, shape: Any, channel_axis: ChannelAxis) -> None:
    """Raises ValueError if a convolution shows that a layer has its channels on another axis."""
    shown = layout.channel_axes
    if len(shown) != 1 or axis in shown or (channel_axis.given and channel_axis.layers_alike):
        return
    pair = shown[0] if channel_axis.inputs == shown[0] else (shown[0], channel_axis.inputs)
    raise ValueError(
        f"`channel_axis` must say where the channels are: {name} of shape {list(shape)} has them on axis {shown[0]}, as a "
        f"convolution shows: pass channel_axis={pair}{' for the layer and the input' * isinstance(pair, tuple)}."
    )
