"""Who acts with whom: a matrix of pairs, with what is each player's own on its diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax.plot._axes import (
    SIGNED,
    caption,
    check_attribution,
    check_example,
    new_axes,
    number,
    of_output,
    player_names,
    titled,
)
from xaijax.plot._fonts import label_style
from xaijax.plot._names import counted

_FEW = 10  # players whose cells have room for numbers


def interactions(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: Sequence[str] | None = None,
    top: int = 10,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws pairs of players as a matrix: red for what they add together, blue for what they take away.

    The diagonal has the values of single players, in a frame. One symmetric scale, stated by the color bar, holds for
    both.

    Args:
      attribution: `xai.Interactions`, values [N, M] and pairs [N, M, M], or with K outputs last; or of one example or game.
      example: which row to draw; None for the mean sizes over all rows.
      names: M names of the players.
      top: how many players to show, those with the largest sum of sizes in their row of the matrix. Default 10.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.

    Returns:
      The axes: players from the strongest down and to the right.

    Raises:
      TypeError, ValueError: if the attribution has no pairs of one output, or names do not fit its players.

    >>> import xaijax as xai
    >>> game = xai.Game(lambda z: z[:, 0] * z[:, 1], num_players=3)
    >>> ax = xai.plot.interactions(xai.shap.interactions(game, index="SII"), names=["a", "b", "c"])
    >>> ax.images[0].get_array()[0].round(3).tolist()
    [0.5, 1.0, 0.0]
    """
    values, pairs, of = singles_and_pairs(attribution, example, output, output_names)
    matrix = pairs + np.diag(values)
    labels = player_names(names, len(values), example=example, num_examples=attribution.num_examples)
    shown = np.argsort(-np.abs(matrix).sum(axis=1), kind="stable")[: check.positive_int("top", top)]
    matrix = matrix[np.ix_(shown, shown)]
    count = len(shown)
    most = np.abs(matrix).max() or 1.0

    ax = new_axes(ax, (1.8 + 0.52 * count, 1.2 + 0.46 * count))
    drawn = ax.imshow(matrix, cmap=SIGNED, vmin=-most, vmax=most)
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
    bar.ax.tick_params(labelsize=7)
    if count <= _FEW:
        for row, column in np.ndindex(matrix.shape):
            value = float(matrix[row, column])
            color = "white" if abs(value) > 0.6 * most else "0.15"
            ax.text(column, row, number(value), ha="center", va="center", fontsize=7, color=color)
    for place in range(count):
        ax.add_patch(_frame(place))
    labels = [labels[place] for place in shown]
    style: dict[str, Any] = {"fontsize": 8} | label_style(labels)
    ax.set_xticks(range(count), labels, rotation=45, ha="right", rotation_mode="anchor", **style)
    ax.set_yticks(range(count), labels, **style)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    left_out = len(values) - count
    averaged = f"mean |value| of {counted(attribution.num_examples or 1)}" if example is None else ""
    default = caption(attribution.method, of, averaged)
    titled(ax, title, default + (f"\n{counted(left_out, 'weaker player')} left out" if left_out else ""))
    return ax


def singles_and_pairs(
    attribution: Attribution, example: int | None, output: Any, output_names: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, str]:
    """Values [M], pairs [M, M] and the name of the output: of one example, or for None the mean sizes over all."""
    check_attribution(attribution)
    if not isinstance(attribution, Interactions):
        raise TypeError(f"attribution must be xai.Interactions, but it is {type(attribution).__name__}.")
    alone = attribution.num_examples is None
    one, of = of_output(attribution, output, output_names)
    assert isinstance(one, Interactions)
    values, pairs = (np.asarray(part, np.float64) for part in (one.values, one.pairs))
    if not np.isfinite(pairs).all():
        raise ValueError("attribution has pairs that are not finite: there is nothing to draw; look at its inputs.")
    if alone:
        values, pairs = values[None], pairs[None]
    if example is None:
        return np.abs(values).mean(axis=0), np.abs(pairs).mean(axis=0), of
    example = check_example(example, len(values))
    return values[example], pairs[example], of


def _frame(place: int) -> Rectangle:
    return Rectangle((place - 0.48, place - 0.48), 0.96, 0.96, fill=False, edgecolor="0.25", linewidth=1.2)
