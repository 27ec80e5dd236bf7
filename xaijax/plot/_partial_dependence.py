"""The output as one feature changes: the mean of all rows, single rows, and values of an attribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.words import counted, shortened
from xaijax.metrics import PartialDependence
from xaijax.plot._parts.axes import caption, draw_legend, draws, label_values, new_axes, titled, without_frame
from xaijax.plot._parts.colors import color_by_sign
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.rows import UNUSED, Rows, note_of_classes, rows_of

_SAME = 1e-2  # of the outputs' size: a difference due to precision or batch size, rather than to another target


@draws
def partial_dependence(
    dependence: PartialDependence,
    *,
    attribution: Attribution | None = None,
    lines: int = 50,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the output against one feature: of single rows as thin lines, their mean over all rows as a thick one.

    The thick line is the partial dependence, the thin ones are individual conditional expectations: where they are not
    parallel, the feature interacts with others. The values of an attribution are drawn as dots, one for each row, at the
    base value plus the feature's value: for an additive model and a background of these rows, SHAP values lie on the thick
    line.

    Args:
      dependence: from `xai.metrics.partial_dependence`, of one feature.
      attribution: of the same rows and target, with a value for each feature. Default: none.
      lines: how many rows have a thin line, evenly from the smallest to the largest output. Default 50; 0 for none.
      output: the output of the attribution, by index or name, where it explains all K.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the feature and the number of rows.

    Returns:
      The axes, with a collection of thin lines, the thick line and, with an attribution, a collection of dots. Marks at the
      bottom show the rows' own inputs.

    Raises:
      TypeError, ValueError: if the outputs are not finite, or the attribution is of other rows or another target.

    References:
      Friedman (2001), Greedy function approximation: a gradient boosting machine. Goldstein, Kapelner, Bleich & Pitkin
      (2015), Peeking inside the black box, arXiv:1309.6392.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> x = jnp.array([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    >>> age = xai.metrics.partial_dependence(lambda x: x[:, 0] * x[:, 1], x, 0, names=["age", "income"])
    >>> ax = xai.plot.partial_dependence(age)
    >>> ax.get_xlabel(), ax.lines[0].get_xydata().tolist()  # the mean of x[:, 1] is 2
    ('age', [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    """
    if not isinstance(dependence, PartialDependence):
        raise TypeError(f"`dependence` must come from xai.metrics.partial_dependence, got {check.shown(dependence)}.")
    if len(dependence.grids) != 1:
        raise ValueError(f"`dependence` must be of one feature, got {len(dependence.grids)}: compute it for one.")
    each, own = (np.asarray(part, np.float64) for part in (dependence.outputs, dependence.output))
    if not (np.isfinite(each).all() and np.isfinite(own).all()):
        raise ValueError(
            "`dependence` must hold finite outputs, got NaN or infinity: look at the model and its inputs."
        )
    lines, count, feature = check.positive_int("lines", lines, least=0), len(own), dependence.features[0]
    label = f"feature {feature}" if dependence.names is None else shortened(dependence.names[0])
    table = None
    if attribution is None and output is not None:
        raise ValueError(f"`output` must be left out without an attribution, got {check.shown(output)}.")
    output_names = None if output_names is None else check.texts("output_names", output_names)
    if attribution is not None:
        table = rows_of(attribution, names=UNUSED, inputs=UNUSED, output=output, output_names=output_names, noted=False)
        _check_same(table, own, feature)

    ax = new_axes(ax, (5.8, 4.0))
    grid, inputs = (np.asarray(part, np.float64) for part in (dependence.grids[0], dependence.inputs[:, 0]))
    if lines:
        steps = np.unique(np.linspace(0, count - 1, min(lines, count)).round().astype(int))
        shown = np.argsort(own, kind="stable")[steps]
        of_all = counted(count) if len(shown) == count else f"{len(shown)} of {counted(count)}"
        curves = [np.column_stack([grid, each[row]]) for row in shown]
        ax.add_collection(LineCollection(curves, colors="0.72", linewidths=0.7, zorder=1, label=f"each row ({of_all})"))
    marker: Any = {"marker": "o"} if len(grid) == 1 else {}
    ax.plot(grid, each.mean(axis=0), color="0.1", linewidth=2.2, zorder=3, label="mean of all rows", **marker)
    if table is not None:
        _draw_values(ax, table, feature, inputs, own)
    ax.autoscale_view()
    ax.plot(inputs, np.zeros(count), "|", color="0.3", markersize=6, transform=ax.get_xaxis_transform(), zorder=4)
    note = ""
    if dependence.target is not None:
        names = attribution.output_names if attribution is not None and output_names is None else output_names
        note = note_of_classes(np.asarray(dependence.target), names)
    label_values(ax, label, note)
    of = table.of if table is not None else ""
    ax.set_ylabel("output" if not of else f"output: {of}", fontsize=9, **label_style([of]))
    ax.tick_params(labelsize=8)
    without_frame(ax)
    draw_legend(ax, fontsize=7, frameon=True, edgecolor="none", framealpha=0.85, loc="best")
    default = f"partial dependence on {label}: {counted(count)}"
    method = "" if attribution is None else attribution.method
    titled(ax, title, default + (f"\nwith {caption(method, of)}" if method else ""))
    return ax


def _check_same(table: Rows, own: np.ndarray, feature: int) -> None:
    if len(table.numbers) != len(own) or feature >= table.values.shape[1]:
        raise ValueError(
            f"`attribution` must have a value for each feature of each row, [{len(own)}, D], got values of shape "
            f"{list(table.values.shape)}: explain the same rows."
        )
    differences = np.abs(table.output - own)
    if differences.max() > _SAME * max(np.abs(own).max(), np.ptp(own)):
        row = int(differences.argmax())
        raise ValueError(
            f"`attribution` must explain the output that is drawn, got {table.output[row]:.4g} for row {row}, whose output "
            f"is {own[row]:.4g}: pass the rows and the target that were explained to xai.metrics.partial_dependence."
        )


def _draw_values(ax: Axes, table: Rows, feature: int, inputs: np.ndarray, own: np.ndarray) -> None:
    values = table.values[:, feature]
    start, name = (own.mean(), "mean output") if table.base_value is None else (table.base_value, "base value")
    ax.scatter(
        inputs, start + values, s=14, c=[color_by_sign(value) for value in values], linewidths=0, alpha=0.8, zorder=2.5,
        label=f"{name} + the feature's value",
    )  # fmt: skip
