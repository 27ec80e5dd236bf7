"""From the base value to the output, one player at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._axes import (
    NEGATIVE,
    POSITIVE,
    Row,
    caption,
    lines_of_players,
    names_with_inputs,
    new_axes,
    number,
    one_row,
    player_names,
    strongest,
    titled,
)
from xaijax.plot._names import others_label

_ROUNDING = 1e-3  # of all that is added up: sums of float32 and estimates that are efficient up to their solver
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}  # numbers stay legible over lines


def waterfall(
    attribution: Attribution,
    *,
    example: int = 0,
    names: Sequence[Any] | None = None,
    inputs: Any = None,
    top: int = 10,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws how the players lead from the base value to the output, the strongest first.

    Args:
      attribution: Shapley values [N, M], or [N, M, K] of K outputs; or of one example or game alone.
      example: which row to draw.
      names: M names of the players, or a list of M for each example.
      inputs: [N, M] or [M] the inputs, numbers or words, shown beside the names.
      top: how many players have a bar of their own; the others are summed in one, which has no whisker, since their errors
        are not independent. Default 10.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.

    Returns:
      The axes: bars from the top down, with whiskers of 1.96 standard errors where there are any. Where the values do not
      sum to the output less the base value, the label below says what they lead to.

    Raises:
      TypeError, ValueError: if the attribution has no base value, or names or inputs do not fit its players.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Attribution(jnp.array([3.0, -1.0]), jnp.array(7.0), jnp.array(5.0), method="by hand")
    >>> ax = xai.plot.waterfall(game, names=["rooms", "crime"], inputs=["many", 0.25])
    >>> [label.get_text() for label in ax.get_yticklabels()], ax.get_xlabel()
    (['rooms = many', 'crime = 0.25'], 'base value 5  →  output 7')
    """
    row = one_row(attribution, example, output=output, output_names=output_names)
    if row.base_value is None:
        raise ValueError("attribution has no base value to start from: draw it with xai.plot.bars.")
    top = check.positive_int("top", top)
    labels = player_names(names, len(row.values), example=example, num_examples=row.num_examples)
    labels = names_with_inputs(labels, inputs, example, num_examples=row.num_examples)

    shown, others = strongest(row.values, top)
    values = [*row.values[shown], *([row.values[others].sum()] if len(others) else [])]
    errors = [*row.std_errors[shown], *([0.0] if len(others) else [])]
    labels = [labels[place] for place in shown] + ([others_label(len(others))] if len(others) else [])

    ax = new_axes(ax, (6.4, 0.8 + 0.36 * len(values)))
    starts = row.base_value + np.concatenate([[0], np.cumsum(values)[:-1]])
    places = np.arange(len(values))
    colors = [POSITIVE if value >= 0 else NEGATIVE for value in values]
    ax.barh(places, values, left=starts, color=colors, height=0.62, zorder=2)
    if np.any(errors):
        ends = starts + values
        ax.errorbar(ends, places, xerr=1.96 * np.asarray(errors), fmt="none", ecolor="0.25", elinewidth=1, zorder=3)
    for place in places[:-1]:
        ax.plot([starts[place + 1]] * 2, [place - 0.31, place + 1.31], color="0.6", linewidth=0.8, zorder=1)

    # Room for the numbers on both sides, so that none leaves the axes.
    ends = np.concatenate([starts, starts + values, [row.base_value, row.output]])
    span = ends.max() - ends.min() or max(abs(row.base_value), 1.0)  # where all values are zero
    margin = 1.96 * max(errors, default=0.0) + 0.16 * span
    ax.set_xlim(ends.min() - margin, ends.max() + margin)
    for place, (start, value, error) in enumerate(zip(starts, values, errors, strict=True)):
        right = max(start, start + value + 1.96 * error, start + value)
        ax.text(right + 0.015 * span, place, number(value), va="center", ha="left", fontsize=8, bbox=_PAPER)
    ax.axvline(row.base_value, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    ax.axvline(row.output, color="0.2", linewidth=0.8, linestyle="--", zorder=0)
    lines_of_players(ax, labels)
    ax.set_xlabel(f"base value {row.base_value:.4g}  →  output {row.output:.4g}{gap(row)}", fontsize=9)
    titled(ax, title, caption(attribution.method, row.of))
    return ax


def gap(row: Row) -> str:
    """What the values lead to, where this is not the output, as for estimates that are not efficient."""
    assert row.base_value is not None
    reached = row.base_value + row.values.sum()
    sizes = np.abs(row.values).sum() + abs(row.base_value) + abs(row.output)
    return "" if abs(reached - row.output) <= _ROUNDING * sizes else f"  (the values lead to {reached:.4g})"
