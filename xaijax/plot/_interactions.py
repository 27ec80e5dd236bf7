"""Who acts with whom: a matrix of pairs, with what is each player's own on its diagonal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xaijax import _check
from xaijax._attribution import Attribution, Interactions
from xaijax.plot._axes import check_attribution, check_example, new_axes, number, player_names

_FEW = 10  # players whose cells have room for numbers


def interactions(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: Sequence[str] | None = None,
    top: int = 10,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws pairs of players as a matrix: red for what they add together, blue for what they take away.

    The diagonal has the values of single players, in a frame. One symmetric scale, stated by the colour bar, holds for
    both.

    Args:
      attribution: `xai.Interactions`, values [N, M] and pairs [N, M, M]; or of one game.
      example: which row to draw; None for the mean sizes over all rows.
      names: M names of the players.
      top: how many players to show, those with the largest sum of sizes in their row of the matrix. Default 10.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.

    Returns:
      The axes: players from the strongest down and to the right.

    Raises:
      TypeError, ValueError: if the attribution has no pairs of one output, or names do not fit its players.
    """
    check_attribution(attribution)
    if not isinstance(attribution, Interactions):
        raise TypeError(f"attribution must be xai.Interactions, but it is {type(attribution).__name__}.")
    values, pairs = (np.asarray(part, np.float64) for part in (attribution.values, attribution.pairs))
    alone = attribution.num_examples is None
    if values.ndim != (1 if alone else 2):
        raise ValueError(
            f"attribution must explain one output of each example, values [N, M], but its values have shape "
            f"{list(values.shape)}."
        )
    if not np.isfinite(pairs).all():
        raise ValueError("attribution has pairs that are not finite: there is nothing to draw; look at its inputs.")
    if alone:
        values, pairs = values[None], pairs[None]
    if example is None:
        values, pairs = np.abs(values).mean(axis=0), np.abs(pairs).mean(axis=0)
    else:
        example = check_example(example, len(values))
        values, pairs = values[example], pairs[example]
    matrix = pairs + np.diag(values)
    labels = player_names(names, len(values))
    shown = np.argsort(-np.abs(matrix).sum(axis=1), kind="stable")[: _check.positive_int("top", top)]
    matrix = matrix[np.ix_(shown, shown)]
    count = len(shown)
    most = np.abs(matrix).max() or 1.0

    ax = new_axes(ax, (1.8 + 0.52 * count, 1.2 + 0.46 * count))
    drawn = ax.imshow(matrix, cmap="RdBu_r", vmin=-most, vmax=most)
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
    bar.ax.tick_params(labelsize=7)
    if count <= _FEW:
        for row, column in np.ndindex(matrix.shape):
            value = matrix[row, column]
            colour = "white" if abs(value) > 0.6 * most else "0.15"
            ax.text(column, row, number(value), ha="center", va="center", fontsize=7, color=colour)
    for place in range(count):
        ax.add_patch(_frame(place))
    ax.set_xticks(range(count), [labels[place] for place in shown], rotation=45, ha="right", fontsize=8)
    ax.set_yticks(range(count), [labels[place] for place in shown], fontsize=8)
    ax.tick_params(length=0)
    left_out = len(values) - count
    caption = attribution.method + (f"\n{left_out} weaker players left out" if left_out else "")
    ax.set_title(caption if title is None else title, fontsize=10)
    return ax


def _frame(place: int) -> Rectangle:
    return Rectangle((place - 0.48, place - 0.48), 0.96, 0.96, fill=False, edgecolor="0.25", linewidth=1.2)
