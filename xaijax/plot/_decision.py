"""From the base value to the outputs, as lines: how rows come to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgba

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import (
    LOW_TO_HIGH,
    all_rows,
    caption,
    chosen_rows,
    lines_of_players,
    names_with_inputs,
    new_axes,
    number,
    titled,
)
from xaijax.plot._names import counted, others_label, player_names, shown_and_others

_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}  # numbers stay legible over lines


def decision(
    attribution: Attribution,
    *,
    names: Sequence[Any] | None = None,
    inputs: Any = None,
    top: int = 15,
    order: Sequence[int | str] | None = None,
    rows: Any = None,
    highlight: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a line for each row that climbs from the base value, through one player after another, to the output.

    The strongest players are at the top, so that the lines part there; what the others add comes first, at the bottom.
    The lines' colors go with their ends, from blue for the least to red for the largest of all rows; one row alone is dark.

    Args:
      attribution: Shapley values [N, M], or [N, M, K] of K outputs; or of one example or game alone.
      names: M names of the players; or a list of M for each example, where one row is drawn.
      inputs: [N, M] or [M] the inputs, shown beside the names where one row is drawn.
      top: how many players have a step of their own; the others are summed in one. Default 15.
      order: players, by number or name, from the top down. Default: by their mean size over all rows.
      rows: the rows to draw, by number or as booleans [N]; order, colors and limits are still those of all rows.
        Default: all.
      highlight: rows, by number or as booleans [N], whose lines are dark, thick and dashed and lie on top, such as
        those where the model is wrong. Default: none.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes: one collection of lines from [base value, 0 below the last] to the top; for one row with its values.

    Raises:
      TypeError, ValueError: if the attribution has no base value, or names or rows do not fit it.

    References:
      Lundberg's package shap, whose decision plot this is.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    >>> given = xai.Attribution(values, 5 + values.sum(axis=1), jnp.array([5.0, 5.0]))
    >>> ax = xai.plot.decision(given, names=["age", "income"])
    >>> [line[:, 0].tolist() for line in ax.collections[0].get_segments()]
    [[5.0, 6.0, 4.0], [5.0, 5.5, 8.5]]
    """
    found = all_rows(attribution, output=output, output_names=output_names)
    if found.base_value is None:
        raise ValueError("attribution has no base value to start from: draw it with xai.plot.heatmap or bars.")
    count, num_examples = found.values.shape[1], len(found.values)
    drawn = chosen_rows(rows, num_examples)
    marked = np.zeros(num_examples, bool)
    if highlight is not None and (np.asarray(highlight).dtype != bool or np.any(highlight)):
        marked[chosen_rows(highlight, num_examples)] = True
    drawn = np.concatenate([drawn[~marked[drawn]], drawn[marked[drawn]]])  # those to be seen lie on top
    shown, others = shown_and_others(np.abs(found.values).mean(axis=0), top, order, names)
    alone = int(drawn[0]) if len(drawn) == 1 else None
    labels = player_names(names, count, example=alone, num_examples=num_examples)
    if alone is not None:
        labels = names_with_inputs(labels, inputs, alone, num_examples=num_examples)
    steps, labels = found.values[:, shown], [labels[player] for player in shown]
    if len(others):
        steps = np.column_stack([steps, found.values[:, others].sum(axis=1)])
        labels.append(others_label(len(others)))
    # From the bottom, the last player, up: [N, steps + 1].
    paths = found.base_value[:, None] + np.concatenate(
        [np.zeros((num_examples, 1)), np.cumsum(steps[:, ::-1], axis=1)], axis=1
    )
    heights = np.arange(steps.shape[1], -1, -1) - 0.5

    ax = new_axes(ax, (6.4, max(2.2, 1.2 + 0.32 * len(labels))))
    least, most = paths.min(), paths.max()
    span = most - least or max(abs(least), 1.0)
    colors = LOW_TO_HIGH(_norm(paths[:, -1])(paths[drawn, -1]))
    colors[marked[drawn] | (len(drawn) == 1)] = to_rgba("0.1")
    ax.add_collection(
        LineCollection(
            [np.column_stack([path, heights]) for path in paths[drawn]],
            colors=colors,
            linewidths=np.where(marked[drawn], 2.2, max(0.5, min(1.6, 12 / len(drawn) ** 0.5))),
            linestyles=["--" if one else "-" for one in marked[drawn]],
            zorder=2,
        )
    )
    bases = np.unique(found.base_value[drawn])
    if len(bases) == 1:
        ax.axvline(bases[0], color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    for height in heights[1:-1]:
        ax.axhline(height, color="0.92", linewidth=0.6, zorder=0)
    margin = (0.07 if alone is None else 0.2) * span  # for the numbers, too
    ax.set_xlim(least - margin, most + margin)
    lines_of_players(ax, labels)
    if alone is not None:
        _write_values(ax, paths[alone], steps[alone], span)
    reached = f"base value {bases[0]:.4g}, at the bottom" if len(bases) == 1 else "the base values, at the bottom"
    ax.set_xlabel(f"from {reached}, to the output, at the top", fontsize=9)
    more = f", {int(marked[drawn].sum())} of them dashed" if marked[drawn].any() else ""
    titled(ax, title, caption(attribution.method, found.of, counted(len(drawn)) + more))
    return ax


def _norm(ends: np.ndarray) -> Normalize:
    return Normalize(ends.min(), ends.max()) if np.ptp(ends) > 0 else Normalize(ends[0] - 1, ends[0] + 1)


def _write_values(ax: Axes, path: np.ndarray, steps: np.ndarray, span: float) -> None:
    """The value of each step beside the line, on the side where there is more room."""
    low, high = ax.get_xlim()
    for place, value in enumerate(steps):
        before, after = path[len(steps) - 1 - place], path[len(steps) - place]
        right = high - max(before, after) >= min(before, after) - low
        edge = max(before, after) + 0.02 * span if right else min(before, after) - 0.02 * span
        side = "left" if right else "right"
        ax.text(edge, place, number(value), ha=side, va="center", fontsize=8, bbox=_PAPER, zorder=1)
