"""Reads the arguments that the methods of this folder share."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.attribution import axes_of_map, axes_of_players
from xaijax._core.jaxpr import make_jaxpr
from xaijax._core.masker import Masker
from xaijax._core.target import Target, as_target, output_shapes
from xaijax._core.typing import Array, Float
from xaijax._model import Model, as_model


@dataclasses.dataclass(frozen=True)
class Layout:
    """The axes of the values, which are laid out like an input; static for the compiler.

    num_axes: those of one input, without N.
    channels: the axis of the channels, counted from the front with N; None for inputs without channels.
    summed: whether the values are summed over the channels.
    """

    num_axes: int
    channels: int | None
    summed: bool = False

    @property
    def space(self) -> tuple[int, ...]:
        """The axes of one input without the channels, counted without N."""
        return tuple(axis for axis in range(self.num_axes) if self.channels is None or axis != self.channels - 1)

    def axes(self, target: Target) -> str:
        """Returns the names of the axes of all values, [N, ...] or [N, ..., K]."""
        if self.summed:
            names = axes_of_map(self.num_axes - 1).split()
        else:
            names = axes_of_players(self.num_axes).split()
            if self.channels is not None:
                names.insert(self.channels - 1, names.pop())
        return " ".join(["N", *names, *["K"] * target.every])

    def finish(self, values: Array) -> Array:
        """Returns all values [N, ...], summed over the channels where that is asked for."""
        return values.sum(axis=self.channels) if self.summed else values


def read_layout(x: Array, channels: Any = None, channel_axis: Any = None) -> Layout:
    """Checks `channels`, None or "sum", and `channel_axis`: where the channels of x [N, ...] are."""
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            f"`x` must have at least one example and one feature, [N, ...], got shape {list(x.shape)}: pass x[None] for one "
            "example."
        )
    if channels is not None:
        check.one_of("channels", channels, ["sum"])
    axis = -1 if channel_axis is None else channel_axis
    if isinstance(axis, bool) or not isinstance(axis, numbers.Integral):
        raise TypeError(f"`channel_axis` must be an int such as 1 or -1, got {check.shown(axis)}.")
    axis = int(axis)
    if not -x.ndim < axis < x.ndim or axis == 0:
        raise ValueError(
            f"`channel_axis` must be an axis of x, of shape {list(x.shape)}, other than the first, got {check.shown(axis)}."
        )
    if x.ndim < 3:
        if channels is not None:
            raise ValueError(
                f"`channels` must be None for inputs [N, D], which have no channels, got {check.shown(channels)} for x of "
                f"shape {list(x.shape)}."
            )
        return Layout(x.ndim - 1, None)
    return Layout(x.ndim - 1, axis % x.ndim, channels == "sum")


def read_model(model: Any, x: Array, target: Any) -> tuple[Model, Target]:
    """Reads the model and the target of inputs that were read."""
    model = as_model(model)
    num_examples = check.examples(x)
    return model, as_target(target, output_shapes(model, x, num_examples), num_examples, all_allowed=True)


def read_input(x: Any) -> tuple[Array, tuple[str, ...] | None]:
    """Returns floating inputs [N, ...], and the names of a data frame's columns."""
    x, columns = frames.read_frame("x", x)
    frames.refuse_categories("x", columns, "gradients need numbers, use xai.shap.values")
    return read_rows("x", x), None if columns is None else columns.names


def read_pair(name: str, x: Any, rows: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Returns inputs and what they are compared with as arrays, and the names of columns; no column holds categories."""
    for each, value in ((name, rows), ("x", x)):
        frames.refuse_categories(each, frames.read_frame(each, value)[1], "gradients need numbers, use xai.shap.values")
    return frames.read_pair(("x", name), x, rows)


def read_rows(name: str, rows: Any) -> Array:
    """Returns floating rows [B, ...], at least one, without NaN."""
    refuse_masker(name, rows)
    rows = check.numeric_array(name, rows)
    if rows.ndim < 1 or len(rows) == 0 or not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ValueError(
            f"`{name}` must be floating numbers with at least one row in the first axis, got {check.shown(rows)}."
        )
    check.no_nan(name, rows)
    return rows


def read_baseline(x: Array, baseline: Any) -> Array:
    """Returns a number, one input or several rows as rows [B, ...] of the dtype of x."""
    refuse_masker("baseline", baseline)
    rows = check.numeric_array("baseline", baseline)
    one = x.shape[1:]
    if rows.ndim == 0:
        rows = jnp.full((1, *one), rows)
    elif rows.shape == one:
        rows = rows[None]
    if rows.shape[1:] != one or rows.ndim != x.ndim or len(rows) == 0:
        raise ValueError(
            f"`baseline` must be a number, one input of shape {list(one)} or rows of such inputs, got {check.shown(rows)} for "
            f"x of shape {list(x.shape)}."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(rows.dtype, jnp.floating):
        raise TypeError(
            f"`baseline` must be integers, as x holds {x.dtype}, got {check.shown(rows)}: convert one of both."
        )
    check.no_nan("baseline", rows)
    if check.is_concrete(rows) and not np.isfinite(np.asarray(rows)).all():
        raise ValueError("`baseline` must be finite, got infinite values: no difference to them is a number.")
    return rows.astype(x.dtype)


def read_weights(weights: Any, count: int) -> Float[Array, " B"]:
    """Returns the weights [B] of rows, with sum 1; NaN for negative ones that are traced."""
    if weights is None:
        return jnp.full(count, 1 / count)
    weights = check.numeric_array("weights", weights)
    if weights.shape != (count,):
        raise ValueError(f"`weights` must be one number for each of the {count} baselines, got {check.shown(weights)}.")
    weights = weights.astype(jnp.result_type(float))
    right = jnp.isfinite(weights).all() & (weights >= 0).all() & (weights.sum() > 0)
    if check.is_concrete(right) and not right:
        raise ValueError(
            f"`weights` must be finite, at least 0 and not all 0, got {check.shown(weights.tolist())}: leave weights out for "
            "baselines that count the same."
        )
    return jnp.where(right, weights / weights.sum(), jnp.nan)


def refuse_masker(name: str, rows: Any) -> None:
    """Raises for a masker where rows are asked for."""
    if isinstance(rows, Masker):
        raise TypeError(f"`{name}` must be an array of rows, got a masker: pass the rows that it was made of.")


def require_derivative(model: Model, x: Array, target: Target) -> None:
    """Raises, while tracing, if the explained score depends on x without any derivative: argmax, rounding, integers."""

    def pulled(model: Model, target: Target, x: Array, cotangent: Array) -> tuple[Array, Array]:
        outputs, pull = jax.vjp(model, x)
        scores, pull_scores = jax.vjp(target.resolve(outputs).select, outputs)
        (gradients,) = pull(*pull_scores(jnp.full(scores.shape, cotangent.astype(scores.dtype))))
        return scores, gradients

    arguments = model, target, jax.ShapeDtypeStruct(x.shape, x.dtype), jax.ShapeDtypeStruct((), jnp.float32)
    closed, _ = make_jaxpr(pulled, *arguments)
    *_, own_input, cotangent = closed.jaxpr.invars
    scores, gradients = closed.jaxpr.outvars
    if _depends(closed.jaxpr, scores, own_input) and not _depends(closed.jaxpr, gradients, cotangent):
        raise ValueError(
            "`model` must have a derivative with respect to x for this `target`, got one that is zero everywhere, as of argmax, "
            "rounding, comparisons or integers: explain the scores before them, or use xai.shap.values."
        )


def _depends(jaxpr: Any, result: Any, source: Any) -> bool:
    """Returns whether a result of a jaxpr depends on one of its variables; a call depends on all that it is given."""
    reached = {source}
    for equation in jaxpr.eqns:
        if any(not hasattr(variable, "val") and variable in reached for variable in equation.invars):
            reached.update(equation.outvars)
    return not hasattr(result, "val") and result in reached
