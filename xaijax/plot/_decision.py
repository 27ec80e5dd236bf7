"""From the base value to the outputs: a line for each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgba

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import counted, number, signed
from xaijax.plot._parts.axes import caption, draws, height_of_lines, label_values, lines_of_players, new_axes, titled
from xaijax.plot._parts.colors import LOW_TO_HIGH
from xaijax.plot._parts.players import others_label, shown_and_others, with_inputs
from xaijax.plot._parts.rows import UNUSED, check_leads_to_output, chosen_rows, row_of, rows_of
from xaijax.plot._waterfall import PAPER


@draws
def decision(
    attribution: Attribution,
    *,
    names: NamesLike = None,
    inputs: ArrayOrSequence | None = None,
    top: int = 15,
    order: Sequence[int | str] | None = None,
    rows: ArrayOrSequence | None = None,
    highlight: ArrayOrSequence | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a line for each row, from the base value at the bottom through one player after another to the output.

    The strongest players are at the top. The color of a line is that of its output, from blue for the smallest to red for
    the largest of all rows; a single row is dark.

    Args:
      attribution: efficient values, such as Shapley values, [N, M], or [N, M, K] of K outputs; or of one example or game.
      names: M names of the players, or M for each example where one row is drawn. Default: the attribution's own.
      inputs: [N, M] or [M] the inputs, written after the names where one row is drawn. Default: the attribution's own.
      top: how many players have a step of their own; the others are summed in one. Default 15.
      order: players, by index or name, from the top down. Default: by mean |value| over all rows.
      rows: the rows to draw, as indices or booleans [N]; order, colors and limits are still those of all rows.
        Default: all.
      highlight: rows, as indices or booleans [N], whose lines are dark, thick, dashed and on top, such as those where the
        model is wrong. Default: none.
      output: the output, by index or name, where all K are explained; or the class whose rows are drawn, where rows
        explain different classes.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method and the number of rows.

    Returns:
      The axes, with one collection of lines; for a single row with its values.

    Raises:
      TypeError, ValueError: if the attribution is not efficient, or names or rows do not fit it.

    References:
      Lundberg & Lee, the package shap, decision plot.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    >>> given = xai.Attribution(values, 5 + values.sum(axis=1), jnp.array([5.0, 5.0]), efficient=True)
    >>> ax = xai.plot.decision(given, names=["age", "income"])
    >>> [line[:, 0].tolist() for line in ax.collections[0].get_segments()]
    [[5.0, 6.0, 4.0], [5.0, 5.5, 8.5]]
    """
    check_leads_to_output(attribution)
    count = attribution.num_examples or 1
    chosen = chosen_rows(rows, count)
    alone = int(chosen[0]) if len(chosen) == 1 else None
    one_row = {"output": output, "output_names": output_names}
    all_names = UNUSED if alone is not None else names  # names of each example are those of a single row
    table = rows_of(attribution, names=all_names, inputs=UNUSED if alone is not None else inputs, rows=rows, **one_row)
    assert table.base_value is not None
    labels, player_names, row = table.labels, table.names, None
    if alone is not None:
        row = row_of(attribution, alone, names=names, inputs=inputs, **one_row)
        labels, player_names = with_inputs(row.labels, row.inputs), row.names
    marked = np.zeros(count, bool)
    if highlight is not None and _marks_some(check.host_array("highlight", highlight)):
        marked[chosen_rows(highlight, count, "highlight")] = True
    marked = marked[table.numbers]
    drawn = np.concatenate([table.drawn[~marked[table.drawn]], table.drawn[marked[table.drawn]]])  # the marked on top
    shown, others = shown_and_others(np.abs(table.values).mean(axis=0), top, order, player_names)
    steps, labels = table.values[:, shown], [labels[player] for player in shown]
    if len(others):
        steps = np.column_stack([steps, table.values[:, others].sum(axis=1)])
        labels.append(others_label(len(others)))
    # From the bottom, the last player, up: [N, steps + 1].
    climbed = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps[:, ::-1], axis=1)], axis=1)
    paths = table.base_value[:, None] + climbed
    heights = np.arange(steps.shape[1], -1, -1) - 0.5

    ax = new_axes(ax, (6.4, max(2.2, 1.2 + height_of_lines(len(labels), 0.32))))
    least, most = paths.min(), paths.max()
    span = (most - least if row is None else row.span(least, most)) or max(abs(least), 1.0)
    colors = LOW_TO_HIGH(_norm(paths[:, -1])(paths[drawn, -1]))
    colors[marked[drawn] | (len(drawn) == 1)] = to_rgba("0.1")
    ax.add_collection(
        LineCollection(
            [np.column_stack([path, heights]) for path in paths[drawn]],
            colors=colors,
            linewidths=np.where(marked[drawn], 2.2, max(0.5, min(1.6, 12 / len(drawn) ** 0.5))),
            linestyles=["--" if dashed else "-" for dashed in marked[drawn]],
            zorder=2,
        )
    )
    bases = np.unique(table.base_value[drawn])
    if len(bases) == 1:
        ax.axvline(bases[0], color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    for height in heights[1:-1]:
        ax.axhline(height, color="0.92", linewidth=0.6, zorder=0)
    margin = (0.07 if alone is None else 0.2) * span  # for the numbers, too
    ax.set_xlim(least - margin, most + margin)
    lines_of_players(ax, labels)
    if row is not None:
        _write_values(ax, paths[drawn[0]], steps[drawn[0]], span, row.rounding)
    start = f"base value {number(bases[0])} (bottom)" if len(bases) == 1 else "base values (bottom)"
    label_values(ax, f"{start}  →  output (top)", table.note)
    more = f", {int(marked[drawn].sum())} of them dashed" if marked[drawn].any() else ""
    titled(ax, title, caption(attribution.method, table.of, counted(len(drawn)) + more))
    return ax


def _marks_some(highlight: np.ndarray) -> bool:
    """Returns whether rows are marked, unlike by booleans that are all False."""
    return highlight.dtype != bool or bool(highlight.any())


def _norm(ends: np.ndarray) -> Normalize:
    return Normalize(ends.min(), ends.max()) if np.ptp(ends) > 0 else Normalize(ends[0] - 1, ends[0] + 1)


def _write_values(ax: Axes, path: np.ndarray, steps: np.ndarray, span: float, rounding: float) -> None:
    """Writes the value of each step next to the line, on the side with more room."""
    low, high = ax.get_xlim()
    for line, value in enumerate(steps):
        before, after = path[len(steps) - 1 - line], path[len(steps) - line]
        right = high - max(before, after) >= min(before, after) - low
        edge = max(before, after) + 0.02 * span if right else min(before, after) - 0.02 * span
        side = "left" if right else "right"
        text = signed(value, rounding=rounding, digits=3)
        ax.text(edge, line, text, ha=side, va="center", fontsize=8, bbox=PAPER, zorder=1)
