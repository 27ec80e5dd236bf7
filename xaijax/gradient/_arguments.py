"""Reads the arguments that the methods of this folder share."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.axes import axes_of_map, axes_of_players
from xaijax._core.jaxpr import make_jaxpr
from xaijax._core.masker import Masker
from xaijax._core.parts import FromLayer, Inputs, check_layer, explained, replaced
from xaijax._core.tap import layers
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Array, Float
from xaijax._model import Model, as_model


@dataclasses.dataclass(frozen=True)
class Layout:
    """The axes of the values, which are laid out like an input, or like a layer; static for the compiler.

    num_axes: those of one input, without N.
    channels: the axis of the channels, counted from the front with N; None for inputs without channels.
    summed: whether the values are summed over the channels.
    of_tokens: whether the sums belong to integer inputs [N, T], such as the ids of tokens.
    """

    num_axes: int
    channels: int | None
    summed: bool = False
    of_tokens: bool = False

    @property
    def space(self) -> tuple[int, ...]:
        """The axes of one input without the channels, counted without N."""
        return tuple(axis for axis in range(self.num_axes) if self.channels is None or axis != self.channels - 1)

    def axes(self, target: Target) -> str:
        """Returns the names of the axes of all values, [N, ...] or [N, ..., K]."""
        if self.of_tokens:
            names = axes_of_players(1).split()
        elif self.summed:
            names = axes_of_map(self.num_axes - 1).split()
        else:
            names = axes_of_players(self.num_axes).split()
            if self.channels is not None:
                names.insert(self.channels - 1, names.pop())
        return " ".join(["N", *names, *["K"] * target.every])

    def finish(self, values: Array) -> Array:
        """Returns all values [N, ...], summed over the channels where that is asked for."""
        return values.sum(axis=self.channels) if self.summed else values

    def inputs(self, x: Any) -> Array | None:
        """Returns the explained feature values [N, P], where each player is one: an input, a unit or a token."""
        if self.of_tokens:
            return x.inputs if isinstance(x.inputs, jax.Array) else None
        return explained(x) if explained(x).ndim == 2 else None


def read_layout(x: Any, channels: Any = None, channel_axis: Any = None, inputs: Any = None) -> Layout:
    """Checks `channels`, None or "sum", and `channel_axis`: where the channels of x [N, ...] are.

    inputs: those of the whole model, where x is a layer's activations.
    """
    _require_features(x)
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
    is_id = lambda leaf: leaf.shape == x.shape[:2] and not jnp.issubdtype(leaf.dtype, jnp.floating)  # noqa: E731
    of_tokens = channels == "sum" and x.ndim == 3 and axis % 3 == 2 and any(map(is_id, jax.tree.leaves(inputs)))
    return Layout(x.ndim - 1, axis % x.ndim, channels == "sum", of_tokens)


def _require_features(x: Any) -> None:
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            f"`x` must have at least one example and one feature, [N, ...], got shape {list(x.shape)}: pass x[None] for one "
            "example."
        )


def read_model(model: Any, x: Any, target: Any) -> tuple[Model, Target]:
    """Reads the model and the target of inputs that were read."""
    return bind_target(as_model(model), x, target, check.examples(x), all_allowed=True)


def read_part(model: Any, x: Any, target: Any, layer: Any) -> tuple[Model, Target, Any]:
    """Reads the same for a model that may be explained at a layer, then as the model from the layer on.

    Returns:
      The model, the target, and what is explained, or its shape and dtype: x, or the activations of the layer.
    """
    if layer is None:
        _require_features(x)
        return *read_model(model, x, target), x
    model, bound = read_model(model, x, target)
    like = check_layer(model, x, layer)
    return FromLayer(model, layer), bound, like


def read_input(x: Any, model: Any = None, layer: Any = None) -> tuple[Any, tuple[str, ...] | None]:
    """Returns floating inputs [N, ...], or any inputs of a model that is explained at a layer, and the columns' names."""
    x, columns = frames.read_frame("x", x)
    if layer is not None:
        refuse_masker("x", x)
        x = read_arrays("x", x)
        check.examples(x)
        return x, None
    frames.refuse_categories("x", columns, "gradients need numbers, use xai.shap.values")
    return read_rows("x", x, model), None if columns is None else columns.names


def read_arrays(name: str, x: Any) -> Any:
    """Returns an array of numbers, or a PyTree of them, without NaN."""
    is_tree = not isinstance(x, list) and any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(x))
    x = jax.tree.map(lambda leaf: check.numeric_array(name, leaf), x) if is_tree else check.numeric_array(name, x)
    check.no_nan(name, x)
    return x


def read_pair(
    name: str, x: Any, rows: Any, model: Any = None, layer: Any = None
) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Returns inputs, checked like those of `read_input`, what they are compared with, and the names of columns."""
    for each, value in ((name, rows), ("x", x)):
        frames.refuse_categories(each, frames.read_frame(each, value)[1], "gradients need numbers, use xai.shap.values")
    x, rows, names = frames.read_pair(("x", name), x, rows)
    return read_input(x, model, layer)[0], rows, names if layer is None else None


def read_rows(name: str, rows: Any, model: Any = None) -> Array:
    """Returns floating rows [B, ...], at least one, without NaN."""
    refuse_masker(name, rows)
    rows = check.numeric_array(name, rows)
    if rows.ndim >= 1 and len(rows) > 0 and jnp.issubdtype(rows.dtype, jnp.integer):
        raise ValueError(
            f"`{name}` must be floating numbers, got {check.shown(rows)}: {_fix_of_integers(model, rows)}."
        )
    if rows.ndim < 1 or len(rows) == 0 or not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ValueError(
            f"`{name}` must be floating numbers with at least one row in the first axis, got {check.shown(rows)}."
        )
    check.no_nan(name, rows)
    return rows


def _fix_of_integers(model: Any, x: Array) -> str:
    """Says how a model of integers is explained: at the output of its embedding, where one is known."""
    try:
        listed = () if model is None else layers(model, x)
    except Exception:  # the model itself is wrong, which is said when it is evaluated
        listed = ()
    embedded = [
        layer.path for layer in listed if layer.shape[:-1] == x.shape and jnp.issubdtype(layer.dtype, jnp.floating)
    ]
    if embedded:
        return f"explain ids at the output of their embedding, layer={embedded[0]!r} with channels='sum'"
    return "convert numbers with .astype(float), and explain ids at the output of their embedding, layer= of xai.layers"


def read_baseline(x: Any, baseline: Any, like: Any = None, *, name: str = "baseline") -> Any:
    """Returns a number, one input or several rows as rows [B, ...] of the dtype of what is explained.

    like: the shape and the dtype of what is explained: of x, which is the default, or of a layer's activations. For a layer,
      a number and arrays that fit it are activations; inputs of the model come back as `Inputs`, also where they fit both.
    """
    refuse_masker(name, baseline)
    of_layer = like is not None and like is not x
    like = x if like is None else like
    if of_layer:
        rows = read_arrays(name, baseline)
        if _are_inputs(x, rows):
            as_rows = lambda row, leaf: (row if row.ndim == leaf.ndim else row[None]).astype(leaf.dtype)  # noqa: E731
            return Inputs(jax.tree.map(as_rows, rows, x))
    rows = check.numeric_array(name, baseline)
    one = like.shape[1:]
    if rows.ndim == 0:
        rows = jnp.full((1, *one), rows)
    elif rows.shape == one:
        rows = rows[None]
    if rows.shape[1:] != one or rows.ndim != len(like.shape) or len(rows) == 0:
        what, whose = ("activation", "the layer") if of_layer else ("input", "x")
        raise ValueError(
            f"`{name}` must be a number, one {what} of shape {list(one)} or rows of such {what}s{', or inputs' * of_layer}, "
            f"got {check.shown(rows)} for {whose} of shape {list(like.shape)}."
        )
    if not jnp.issubdtype(like.dtype, jnp.floating) and jnp.issubdtype(rows.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must be integers, as x holds {like.dtype}, got {check.shown(rows)}: convert one of both."
        )
    check.no_nan(name, rows)
    if check.is_concrete(rows) and not np.isfinite(np.asarray(rows)).all():
        raise ValueError(f"`{name}` must be finite, got infinite values: no difference to them is a number.")
    return rows.astype(like.dtype)


def read_background(x: Any, background: Any, like: Any) -> Any:
    """Returns floating rows [B, ...] of the shape of x; those of a layer like `read_baseline`."""
    if like is not x:
        return read_baseline(x, background, like, name="background")
    rows = read_rows("background", background)
    if x.shape[1:] != rows.shape[1:]:
        raise ValueError(
            f"`background` must have rows of the shape of x's, {list(x.shape[1:])}, got the shapes {list(rows.shape)} of "
            f"`background` and {list(x.shape)} of `x`."
        )
    return rows


def _are_inputs(x: Any, rows: Any) -> bool:
    """Returns whether arrays are one input or several rows of inputs like x."""

    def fits(row: Array, leaf: Array) -> bool:
        is_like = row.ndim > 0 and row.shape[row.ndim - leaf.ndim + 1 :] == leaf.shape[1:]
        is_id = not jnp.issubdtype(leaf.dtype, jnp.floating)
        return is_like and row.ndim - leaf.ndim in (-1, 0) and not (is_id and jnp.issubdtype(row.dtype, jnp.floating))

    same = jax.tree.structure(x) == jax.tree.structure(rows)
    return same and all(jax.tree.leaves(jax.tree.map(fits, rows, x)))


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


def require_derivative(model: Model, x: Any, target: Target) -> None:
    """Raises, while tracing, if the explained score depends on x without any derivative: argmax, rounding, integers.

    Likewise if x reaches it through a `while` loop, which JAX differentiates forward only.
    """

    def pulled(model: Model, target: Target, x: Any, own: Array, cotangent: Array) -> tuple[Array, Array]:
        outputs, pull = jax.vjp(lambda own: model(replaced(x, own)), own)
        scores, pull_scores = jax.vjp(target.resolve(outputs).select, outputs)
        (gradients,) = pull(*pull_scores(jnp.full(scores.shape, cotangent.astype(scores.dtype))))
        return scores, gradients

    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x)
    arguments = model, target, x, explained(x), jax.ShapeDtypeStruct((), jnp.float32)
    try:
        closed, _ = make_jaxpr(pulled, *arguments)
    except ValueError as error:
        if "while_loop" not in str(error):  # JAX names it
            raise
        raise loop_error() from error
    *_, own_input, cotangent = closed.jaxpr.invars
    scores, gradients = closed.jaxpr.outvars
    if _depends(closed.jaxpr, scores, own_input) and not _depends(closed.jaxpr, gradients, cotangent):
        raise ValueError(
            "`model` must have a derivative with respect to x for this `target`, got one that is zero everywhere, as of argmax, "
            "rounding, comparisons or integers: explain the scores before them, or use xai.shap.values."
        )


def loop_error() -> ValueError:
    """Returns the error of a `while` loop whose derivative is asked for backward."""
    return ValueError(
        "`model` must be differentiable backward, got a `while` loop with an unknown number of steps: use `lax.scan`, or "
        "`lax.fori_loop` with a known number, or xai.shap.values, which needs no gradients."
    )


def refuse_loop(equation: Any) -> None:
    """Raises for a `while` loop, whose derivative would be asked for backward."""
    if equation.primitive.name == "while":
        raise loop_error()


def _depends(jaxpr: Any, result: Any, source: Any) -> bool:
    """Returns whether a result of a jaxpr depends on one of its variables; a call depends on all that it is given."""
    reached = {source}
    for equation in jaxpr.eqns:
        if any(not hasattr(variable, "val") and variable in reached for variable in equation.invars):
            reached.update(equation.outvars)
    return not hasattr(result, "val") and result in reached
