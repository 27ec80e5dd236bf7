"""What the score loses when parts of the input take the values of a baseline: windows, or groups of features.

The explained value of a part is f(x) - f(x with the part replaced), and a feature's is the mean over the parts it is in.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.numerics import HIGHEST
from xaijax._core.parts import cut_inputs, explained, read_out, repeated, whole
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Int, ModelLike, Shaped, TargetLike
from xaijax._model import Model
from xaijax.gradient._arguments import Layout, read_arrays, read_baseline, read_layout, read_part, refuse_masker
from xaijax.gradient._slopes import trailing


@dataclasses.dataclass(frozen=True)
class _Windows:
    """Windows that slide over the axes of one input; static for the compiler.

    shape: of one input. sides, strides: of the windows, for each axis.
    """

    shape: tuple[int, ...]
    sides: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of windows along each axis. The last ones may reach beyond the end."""
        sizes = zip(self.shape, self.sides, self.strides, strict=True)
        return tuple(-(-(size - side) // stride) + 1 for size, side, stride in sizes)

    def covers(self, axis: int) -> np.ndarray:
        """Returns which positions of an axis each window covers, [windows, positions]."""
        starts = np.arange(self.counts[axis])[:, None] * self.strides[axis]
        positions = np.arange(self.shape[axis])[None]
        return (starts <= positions) & (positions < starts + self.sides[axis])

    def masks(self, indices: Int[Array, " n"]) -> Bool[Array, "n *input"]:
        """Returns the positions that windows cover, the last axis counting fastest."""
        inside = jnp.ones((len(indices), *[1] * len(self.shape)), bool)
        for axis, index in enumerate(jnp.unravel_index(indices, self.counts)):
            along = jnp.asarray(self.covers(axis))[index]
            shape = [len(indices), *[1] * len(self.shape)]
            shape[axis + 1] = self.shape[axis]
            inside = inside & along.reshape(shape)
        return inside

    def spread(self, differences: Shaped[Array, "P ..."]) -> Array:
        """Returns for each position the mean over the windows that cover it, [...] or [..., K]."""
        values = differences.reshape(*self.counts, *differences.shape[1:])
        for axis in range(len(self.shape)):
            covers = self.covers(axis)
            shares = jnp.asarray(covers / covers.sum(axis=0), values.dtype)
            values = jnp.moveaxis(jnp.tensordot(shares, values, axes=([0], [axis]), precision=HIGHEST), 0, axis)
        return values


def occlusion(
    model: ModelLike,
    x: ArrayOrSequence,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    baseline: ArrayOrSequence = 0,
    target: TargetLike = None,
    layer: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes how much the score falls when a sliding window is replaced by a baseline.

    phi_i = mean over the windows W that cover i of f(x) - f(x with baseline in W)

    Why: needs no derivative, and shows what the model really loses. One evaluation for each window.

    Args:
      model: any model.
      x: [N, ...] numbers of any shape: images, signals, volumes, tables.
      window: the sides of the window: one int for all axes but the channels; one int for each of these; or one for each axis
        of an input, the channels included. Windows cover all channels unless they say otherwise.
      stride: the steps between windows, in the same form, at most the sides, so that every position is covered. The last
        windows end at the border. Default: the sides, windows side by side.
      baseline: a number, one input [...], or a data frame of one row. With `layer`, numbers and arrays of the layer's shape
        are activations, and an input stands for its activations. Default 0.
      target: an int, ints [N], a callable from outputs to one number for each row, one of `xai.target`, "all" for every
        output [N, ..., K], or None for the top class.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer is computed from x. Default: x is explained.
      channel_axis: the axis of the channels of inputs with three axes or more, 1 for channels first. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; num_evaluations [N] windows and the input itself.

    Raises:
      TypeError, ValueError: if the window or the stride does not fit x, the baseline has another shape, x holds NaN, or an
        argument is out of range.

    References:
      Zeiler & Fergus (2014), Visualizing and understanding convolutional networks, arXiv:1311.2901, section 4.2.
    """
    x, baseline, names, model, bound, like = _read(model, x, baseline, target, layer)
    layout = read_layout(like, None, channel_axis, x)
    shape = like.shape[1:]
    sides = _read_sides("window", window, shape, layout, most=shape)
    strides = sides if stride is None else _read_sides("stride", stride, shape, layout, most=sides)
    windows = _Windows(shape, sides, strides)
    if math.prod(windows.counts) >= 2**30:
        raise ValueError(f"`window` must be larger, got {list(sides)} with more than {2**30:,} windows.")
    batch_size = check.batch_size(batch_size)
    return _occlusion(model, x, baseline, bound, windows=windows, layout=layout, batch_size=batch_size).with_names(
        names
    )


def feature_ablation(
    model: ModelLike,
    x: ArrayOrSequence,
    *,
    groups: ArrayOrSequence | None = None,
    baseline: ArrayOrSequence = 0,
    target: TargetLike = None,
    layer: str | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes how much the score falls when one feature, or one group of features, is replaced by a baseline.

    phi_i = f(x) - f(x with baseline in the group of i)

    Why: needs no derivative. One evaluation for each group; features that replace each other all get little, where
    Shapley values (`xai.shap.values`) share among them.

    Args:
      model: any model.
      x: [N, ...] numbers of any shape, or a data frame of numbers.
      groups: [...] integers 0..G-1 of the shape of one input, or of its leading axes: features with the same number are
        replaced at once, and each of them gets the group's value. Default: every feature by itself.
      baseline: as in `xai.gradient.occlusion`; also one row of a data frame, such as the means. Default 0.
      target: an int, ints [N], a callable from outputs to one number for each row, one of `xai.target`, "all" for every
        output [N, ..., K], or None for the top class.
      layer: the path of a layer, from `xai.layers(model, x)`, whose activations are explained instead of x; x may then be
        integers or a PyTree. What reaches the output past the layer is computed from x. Default: x is explained.
      channel_axis: the axis of the channels, which the axes of the values are named by. Default: the last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, ...] like x, in units of the score; output [N]; num_evaluations [N] groups and the input itself.

    Raises:
      TypeError, ValueError: if the groups do not fit x or have gaps, the baseline has another shape, x holds NaN, or an
        argument is out of range.

    References:
      Lei et al. (2018), Distribution-free predictive inference for regression, section 6 (leave one covariate out), without
      fitting again.
    """
    x, baseline, names, model, bound, like = _read(model, x, baseline, target, layer)
    layout = read_layout(like, None, channel_axis, x)
    shape = like.shape[1:]
    labels = np.arange(math.prod(shape)).reshape(shape) if groups is None else check.labels("groups", groups)
    if labels.ndim == 0 or labels.shape != shape[: labels.ndim]:
        raise ValueError(
            f"`groups` must have the shape {list(shape)} of one input, or of its leading axes, got {list(labels.shape)}."
        )
    options = {"num_groups": int(labels.max()) + 1, "layout": layout, "batch_size": check.batch_size(batch_size)}
    return _feature_ablation(model, x, baseline, jnp.asarray(labels), bound, **options).with_names(names)


def _read(
    model: Any, x: Any, baseline: Any, target: Any, layer: Any
) -> tuple[Any, Any, tuple[str, ...] | None, Model, Target, Any]:
    """Returns inputs, one baseline, the names of columns, the model, the target, and what is explained."""
    refuse_masker("baseline", baseline)
    x, baseline, names = frames.read_pair(("x", "baseline"), x, baseline)
    x = check.numeric_array("x", x) if layer is None else read_arrays("x", x)
    check.examples(x)
    check.no_nan("x", x)
    model, bound, like = read_part(model, x, target, layer)
    rows = read_baseline(x, baseline, like)
    if check.examples(rows) > 1:
        raise ValueError(
            f"`baseline` must be a number or one input of shape {list(like.shape[1:])}, got {check.examples(rows)} rows: use "
            "xai.shap.values with a background for several."
        )
    return x, rows, names if layer is None else None, model, bound, like


def _read_sides(
    name: str, value: Any, shape: tuple[int, ...], layout: Layout, *, most: tuple[int, ...]
) -> tuple[int, ...]:
    """Reads one int, or one for each axis without or with the channels, as one for each axis of an input."""
    sizes = tuple(value) if check.is_list(value) else (value,) * len(layout.space)
    if not sizes or any(isinstance(size, bool) or not isinstance(size, numbers.Integral) for size in sizes):
        raise TypeError(f"`{name}` must be an int or a sequence of ints, got {check.shown(value)}.")
    sides = [int(size) for size in sizes]
    if len(sides) == len(layout.space) < len(shape):
        assert layout.channels is not None
        sides.insert(layout.channels - 1, most[layout.channels - 1])
    if len(sides) != len(shape) or any(not 1 <= side <= largest for side, largest in zip(sides, most, strict=True)):
        whose = "the sides of x" if most == shape else "the window"
        raise ValueError(
            f"`{name}` must have from 1 to {list(most)}, {whose}, along the axes of an input, got {check.shown(value)}: leave "
            "the channels out to cover all of them."
        )
    return tuple(sides)


@compiled(static_argnames=("windows", "layout", "batch_size"))
def _occlusion(
    model: Model,
    x: Any,
    baseline: Any,
    target: Target,
    *,
    windows: _Windows,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    count = math.prod(windows.counts)
    options = {"layout": layout, "batch_size": batch_size, "method": "occlusion"}
    return _without_parts(model, x, baseline, target, count, windows.masks, windows.spread, **options)


@compiled(static_argnames=("num_groups", "layout", "batch_size"))
def _feature_ablation(
    model: Model,
    x: Any,
    baseline: Any,
    groups: Int[Array, "..."],
    target: Target,
    *,
    num_groups: int,
    layout: Layout,
    batch_size: int | None,
) -> Attribution:
    shape = explained(jax.eval_shape(cut_inputs, model, x)).shape[1:]

    def masks(indices: Int[Array, " n"]) -> Bool[Array, "n *input"]:
        absent = groups[None] == trailing(indices, groups[None]).astype(groups.dtype)
        return absent.reshape(*absent.shape, *[1] * (1 + len(shape) - absent.ndim))

    def spread(differences: Shaped[Array, "P ..."]) -> Array:
        values = differences[groups]
        own = (*groups.shape, *[1] * (len(shape) - groups.ndim), *differences.shape[1:])
        return jnp.broadcast_to(values.reshape(own), (*shape, *differences.shape[1:]))

    options = {"layout": layout, "batch_size": batch_size, "method": "feature ablation"}
    return _without_parts(model, x, baseline, target, num_groups, masks, spread, **options)


def _without_parts(
    model: Model,
    x: Any,
    baseline: Any,
    target: Target,
    count: int,
    masks: Callable[[Array], Array],
    spread: Callable[[Array], Array],
    *,
    layout: Layout,
    batch_size: int | None,
    method: str,
) -> Attribution:
    """Evaluates each example without each of its parts, and once as it is.

    masks: indices [n] of parts -> the positions [n, ...] that they replace.
    spread: the differences [P] or [P, K] of the scores -> values [...] or [..., K].
    """
    rows = model_rows(whole(model), x, batch_size)
    num_examples = check.examples(x)
    x = in_blocks(lambda block: cut_inputs(model, block), x, rows)
    baseline = read_out(model, baseline)

    def explain_one(example: Example, target: Target) -> Fields:
        def scores(indices: Int[Array, " n"]) -> Array:
            absent = masks(jnp.minimum(indices, count - 1))
            absent = absent & trailing(indices < count, absent)  # the last row is the input itself
            values = jnp.where(absent, baseline, explained(example.x)[None])
            return target.select(model(repeated(example.x, values)))

        evaluated = in_blocks(scores, jnp.arange(count + 1), rows)
        return {"values": spread(evaluated[-1:] - evaluated[:-1]), "output": evaluated[-1]}

    fields, target = explain_examples(
        explain_one,
        model,
        x,
        target,
        key=None,
        ids=None,
        rows=rows,
        rows_per_example=min(rows, count + 1),
        output=False,
    )
    return Attribution(
        **fields,
        target=target.index,
        num_evaluations=jnp.full(num_examples, count + 1, jnp.int32),
        inputs=layout.inputs(x),
        axes=layout.axes(target),
        method=method,
    )
