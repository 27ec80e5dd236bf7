"""From the base value to the output, one player at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import Z, number, signed
from xaijax.plot._parts.axes import caption, draws, height_of_lines, label_values, lines_of_players, new_axes, titled
from xaijax.plot._parts.colors import color_by_sign
from xaijax.plot._parts.players import others_label, shown_and_others, with_inputs
from xaijax.plot._parts.rows import Row, check_leads_to_output, row_of

_ROUNDING = 1e-3  # of all that is added up: sums of float32, and estimates that are efficient up to their solver
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}  # keeps numbers legible over lines


@draws
def waterfall(
    attribution: Attribution,
    *,
    example: int = 0,
    names: NamesLike = None,
    inputs: ArrayOrSequence | None = None,
    top: int = 10,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws how the players lead from the base value to the output, the strongest first.

    Args:
      attribution: efficient values, such as Shapley values, [N, M], or [N, M, K] of K outputs; or of one example or game.
      example: the row to draw.
      names: M names of the players, or M for each example. Default: the attribution's own.
      inputs: [N, M] or [M] the inputs, numbers or words, written after the names. Default: the attribution's own.
      top: how many players have a bar of their own. The others are summed in one bar, which has no whisker, since their
        errors are not independent. Default 10.
      output: the output, by index or name, where all K are explained.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method.

    Returns:
      The axes, with bars from the top down and whiskers of 1.96 standard errors where there are any. Where the values do
      not sum to the output minus the base value, the label below says what they lead to.

    Raises:
      TypeError, ValueError: if the attribution is not efficient, or names or inputs do not fit its players.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: 5.0 + 3.0 * z[:, 0] - 1.0 * z[:, 1], num_players=2)
    >>> ax = xai.plot.waterfall(xai.shap.exact(game), names=["rooms", "crime"], inputs=["many", 0.25])
    >>> [label.get_text() for label in ax.get_yticklabels()], ax.get_xlabel()
    (['rooms = many', 'crime = 0.25'], 'base value 5  →  output 7')
    """
    check_leads_to_output(attribution)
    row = row_of(attribution, example, names=names, inputs=inputs, output=output, output_names=output_names)
    assert row.base_value is not None
    labels = with_inputs(row.labels, row.inputs)
    shown, others = shown_and_others(row.values, top)
    values, errors = row.values[shown], row.std_errors[shown]
    labels = [labels[player] for player in shown]
    if len(others):
        values, errors = np.append(values, row.values[others].sum()), np.append(errors, 0.0)
        labels.append(others_label(len(others)))

    ax = new_axes(ax, (6.4, 0.8 + height_of_lines(len(values), 0.36)))
    starts = row.base_value + np.concatenate([[0], np.cumsum(values)[:-1]])
    lines = np.arange(len(values))
    ax.barh(lines, values, left=starts, color=[color_by_sign(value) for value in values], height=0.62, zorder=2)
    if errors.any():
        ax.errorbar(starts + values, lines, xerr=Z * errors, fmt="none", ecolor="0.25", elinewidth=1, zorder=3)
    for line in lines[:-1]:
        ax.plot([starts[line + 1]] * 2, [line - 0.31, line + 1.31], color="0.6", linewidth=0.8, zorder=1)

    # The margins hold the numbers on both sides, so that none leaves the axes.
    ends = np.concatenate([starts, starts + values, [row.base_value, row.output]])
    span = row.span(ends.min(), ends.max()) or max(abs(row.base_value), 1.0)  # where all values are zero
    margin = Z * errors.max(initial=0.0) + 0.16 * span
    ax.set_xlim(ends.min() - margin, ends.max() + margin)
    for line, (start, value, error) in enumerate(zip(starts, values, errors, strict=True)):
        right, text = max(start, start + value + Z * error), signed(value, rounding=row.rounding, digits=3)
        ax.text(right + 0.015 * span, line, text, va="center", ha="left", fontsize=8, bbox=PAPER)
    ax.axvline(row.base_value, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    ax.axvline(row.output, color="0.2", linewidth=0.8, linestyle="--", zorder=0)
    lines_of_players(ax, labels)
    label_values(ax, f"base value {number(row.base_value)}  →  output {number(row.output)}{gap(row)}")
    titled(ax, title, caption(attribution.method, row.of))
    return ax


def gap(row: Row) -> str:
    """Returns what the values lead to, "" where this is the output up to rounding."""
    assert row.base_value is not None
    reached = row.base_value + row.values.sum()
    sizes = np.abs(row.values).sum() + abs(row.base_value) + abs(row.output)
    return "" if abs(reached - row.output) <= _ROUNDING * sizes else f"  (the values lead to {reached:.4g})"
