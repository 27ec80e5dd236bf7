"""What the model says as one feature changes: the mean of all rows, single rows, and attributions laid over."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import bytes_per_row, in_blocks, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.target import Target, TargetLike, as_target, output_shapes
from xaijax._core.typing import Array, Float, Shaped
from xaijax._model import Model, as_model
from xaijax.plot._axes import NEGATIVE, POSITIVE, Rows, all_rows, caption, new_axes, titled, without_frame
from xaijax.plot._fonts import label_style
from xaijax.plot._names import counted, place_of, player_names

_SAME = 1e-2  # of the outputs' size: what another precision or batch changes, and no other target


def partial_dependence(
    model: Any,
    x: Any,
    feature: int | str,
    *,
    attribution: Attribution | None = None,
    target: TargetLike = None,
    names: Sequence[str] | None = None,
    num_points: int = 40,
    lines: int = 50,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the output against one feature, for all else as it is: of single rows thin, their mean over all rows thick.

    The mean is the partial dependence (Friedman 2001, equation 53): the mean over all N rows x of f(x with the feature
    set to g). The thin lines are its terms, the individual conditional expectations (Goldstein et al. 2015): where they
    are not parallel, the feature acts together with others. An attribution lies over them as a dot for each row, at the
    base value plus the feature's value: for a model that adds its features up and a background of these rows, the SHAP values
    lie on the thick line.

    Args:
      model: any model of rows [N, D].
      x: [N, D] rows. Marks at the bottom show where they lie.
      feature: its number, or its name.
      attribution: of the same rows and target, with a value for each feature. Default: none.
      target: an int, ints [N], a callable from outputs to one number for each row, or None: the attribution's target, or
        without attribution the top class of each row as it is.
      names: D names of the features.
      num_points: how many values of the feature the lines go through, evenly from the least to the largest of x; all
        its values where these are fewer. Default 40, which looks smooth.
      lines: of how many rows to draw the line, from the least to the largest output evenly. Default 50; 0 for none.
      output: which output of the attribution, by number or by a name of output_names, where it explains all K; also the
        target, where none is given.
      output_names: K names of the outputs.
      batch_size: model rows in one evaluation; None for as many as suit the device.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the feature and the number of rows.

    Returns:
      The axes: a collection of thin lines, the thick line and, with an attribution, a collection of dots.

    Raises:
      TypeError, ValueError: if the feature is none of x, the model's outputs are not finite, or the attribution is of
        other rows or another target.

    References:
      Friedman (2001), Greedy function approximation: a gradient boosting machine. Goldstein, Kapelner, Bleich & Pitkin
      (2015), Peeking inside the black box, arXiv:1309.6392.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> x = jnp.array([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    >>> ax = xai.plot.partial_dependence(lambda x: x[:, 0] * x[:, 1], x, 0, names=["age", "income"])
    >>> ax.lines[0].get_xydata().tolist()  # the mean of x[:, 1] is 2
    [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]
    """
    model, x = as_model(model), check.numeric_array("x", x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x must be rows [N, D], but its shape is {list(x.shape)}.")
    check.no_nan("x", x)
    count = x.shape[0]
    column = place_of("feature", feature, names, x.shape[1])
    label = player_names(names, x.shape[1], num_examples=count)[column] if names is not None else f"feature {column}"
    lines = check.positive_int("lines", lines, least=0)
    found = None if attribution is None else all_rows(attribution, output=output, output_names=output_names)
    if target is None:
        target = _target_of(attribution, output, output_names)
    bound = as_target(target, output_shapes(model, x, count), count, all_allowed=False)
    grid = grid_of(np.asarray(x[:, column]), check.positive_int("num_points", num_points, least=2))
    evaluated = curves(model, x, jnp.asarray(grid), bound, column, batch_size=check.batch_size(batch_size))
    evaluated = np.asarray(evaluated, np.float64)
    if not np.isfinite(evaluated).all():
        raise ValueError("model returns numbers that are not finite: there is nothing to draw; look at its inputs.")
    each, own = evaluated[:, :-1], evaluated[:, -1]
    if found is not None:
        _check_same(found, own, x.shape)

    ax = new_axes(ax, (5.8, 4.0))
    places = np.asarray(grid, np.float64)
    if lines:
        shown = np.argsort(own, kind="stable")[
            np.unique(np.linspace(0, count - 1, min(lines, count)).round().astype(int))
        ]
        of_all = counted(count) if len(shown) == count else f"{len(shown)} of {counted(count)}"
        ax.add_collection(
            LineCollection(
                [np.column_stack([places, each[row]]) for row in shown],
                colors="0.72", linewidths=0.7, zorder=1, label=f"each row ({of_all})",
            )
        )  # fmt: skip
    one: Any = {"marker": "o"} if len(places) == 1 else {}
    ax.plot(places, each.mean(axis=0), color="0.1", linewidth=2.2, zorder=3, label="mean of all rows", **one)
    inputs = np.asarray(x[:, column], np.float64)
    if found is not None:
        _draw_values(ax, found, column, inputs, own)
    ax.autoscale_view()
    ax.plot(inputs, np.zeros(count), "|", color="0.3", markersize=6, transform=ax.get_xaxis_transform(), zorder=4)
    style = label_style([label])
    ax.set_xlabel(label, fontsize=9, **style)
    of = found.of if found is not None else ""
    ax.set_ylabel("output" if not of else f"output: {of}", fontsize=9, **label_style([of]))
    ax.tick_params(labelsize=8)
    without_frame(ax)
    ax.legend(fontsize=7, edgecolor="none", framealpha=0.85, loc="best")
    method = attribution.method if attribution is not None else ""
    default = f"partial dependence on {label}: {counted(count)}"
    titled(ax, title, default + (f"\nwith {caption(method, of)}" if method else ""))
    return ax


def grid_of(values: np.ndarray, num_points: int) -> np.ndarray:
    """What the feature is set to: all its values, or where these are many, even steps between the outermost ones."""
    distinct = np.unique(values)
    if len(distinct) <= num_points:
        return distinct
    steps = np.linspace(float(distinct[0]), float(distinct[-1]), num_points)
    return np.unique(steps.round() if np.issubdtype(values.dtype, np.integer) else steps).astype(values.dtype)


@compiled(static_argnames=("feature", "batch_size"))
def curves(
    model: Model,
    x: Shaped[Array, "N D"],
    grid: Shaped[Array, " G"],
    target: Target,
    feature: int,
    batch_size: int | None,
) -> Float[Array, "N G+1"]:
    """The target's output of every row with the feature set to every value of the grid, and last as it is."""
    size = rows_at_once(batch_size, bytes_per_row(model, x))
    if target.is_top:
        target = target.resolve(in_blocks(model, x, size))
    points = len(grid) + 1

    def evaluate(index: Array) -> Array:
        row, point = index // points, index % points
        rows = x[row]
        values = jnp.where(point < len(grid), grid[point % len(grid)], rows[:, feature])
        of_rows = dataclasses.replace(
            target,
            index=None if target.index is None else target.index[row],
            arguments=jax.tree.map(lambda leaf: leaf[row], target.arguments),
        )
        return of_rows.select(model(rows.at[:, feature].set(values)))

    return in_blocks(evaluate, jnp.arange(len(x) * points), size).reshape(len(x), points)


def _target_of(attribution: Attribution | None, output: Any, output_names: Sequence[str] | None) -> TargetLike:
    """The output that the attribution explains, where this is a class."""
    if attribution is None:
        return (
            output if not isinstance(output, str) else place_of("output", output, output_names, len(output_names or ()))
        )
    if attribution.target is not None:
        return attribution.target
    if output is None:
        return None
    return place_of("output", output, output_names, np.shape(attribution.output)[-1])


def _check_same(found: Rows, own: np.ndarray, shape: tuple[int, ...]) -> None:
    if found.values.shape != shape:
        raise ValueError(
            f"attribution must have a value for each feature of each row, {list(shape)}, but its values have shape "
            f"{list(found.values.shape)}."
        )
    differences = np.abs(found.output - own)
    if differences.max() > _SAME * max(np.abs(own).max(), np.ptp(own)):
        row = int(differences.argmax())
        raise ValueError(
            f"attribution must explain the output that is drawn, but of row {row} it explains {found.output[row]:.4g}, while "
            f"the model's output is {own[row]:.4g}: pass the rows and the target that were explained."
        )


def _draw_values(ax: Axes, found: Rows, column: int, inputs: np.ndarray, own: np.ndarray) -> None:
    values = found.values[:, column]
    start, said = (own.mean(), "mean output") if found.base_value is None else (found.base_value, "base value")
    ax.scatter(
        inputs, start + values, s=14, c=[POSITIVE if value >= 0 else NEGATIVE for value in values], linewidths=0, alpha=0.8,
        zorder=2.5, label=f"{said} + the feature's value",
    )  # fmt: skip
