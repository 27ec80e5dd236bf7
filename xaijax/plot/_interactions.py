"""Interactions: a matrix of pairs of players, with the values of single players on its diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.rounding import without_rounding_error
from xaijax._core.typing import NamesLike
from xaijax._core.words import counted, signed
from xaijax.plot._parts.axes import caption, draws, label_values, new_axes, titled
from xaijax.plot._parts.colors import SIGNED
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.players import labels_of, player_names
from xaijax.plot._parts.rows import UNUSED, check_attribution, check_example, one_output, rows_of

_FEW = 10  # players whose cells have room for numbers


@draws
def interactions(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: NamesLike = None,
    top: int = 10,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws interactions as a matrix: red where a pair increases the output, blue where it decreases it.

    The diagonal has the values of single players, in a frame. Both have one symmetric scale, which the color bar states.

    Args:
      attribution: `xai.Interactions`, values [N, M] and pairs [N, M, M], or with K outputs last; or of one example or game.
      example: the row to draw; None for the mean sizes over all rows.
      names: M names of the players. Default: the attribution's own.
      top: how many players to show, those with the largest sum of sizes in their row of the matrix. Default 10.
      output: the output, by index or name, where all K are explained; or the class whose rows are averaged.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method.

    Returns:
      The axes, with the strongest player at the top and on the left.

    Raises:
      TypeError, ValueError: if the attribution has no pairs of one output, or names do not fit its players.

    >>> import xaijax as xai
    >>> game = xai.Game(lambda z: z[:, 0] * z[:, 1], num_players=3)
    >>> ax = xai.plot.interactions(xai.shap.interactions(game, index="SII"), names=["a", "b", "c"])
    >>> ax.images[0].get_array()[0].round(3).tolist()
    [0.5, 1.0, 0.0]
    """
    shown_pairs = singles_and_pairs(attribution, example, names, output, output_names)
    matrix = shown_pairs.pairs + np.diag(shown_pairs.values)
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
            ax.text(column, row, signed(value, digits=3), ha="center", va="center", fontsize=7, color=color)
    for number in range(count):
        ax.add_patch(_frame(number))
    labels = [shown_pairs.labels[player] for player in shown]
    style: dict[str, Any] = {"fontsize": 8} | label_style(labels)
    ax.set_xticks(range(count), labels, rotation=45, ha="right", rotation_mode="anchor", **style)
    ax.set_yticks(range(count), labels, **style)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    left_out = len(shown_pairs.values) - count
    if shown_pairs.note:
        label_values(ax, shown_pairs.note)
    default = caption(attribution.method, shown_pairs.of, shown_pairs.averaged)
    titled(ax, title, default + (f"\n{counted(left_out, 'weaker player')} left out" if left_out else ""))
    return ax


class Pairs(NamedTuple):
    """values: [M]; pairs: [M, M]; labels: M names; of: the output's name; averaged: over how many rows; note: as in `Rows`."""

    values: np.ndarray
    pairs: np.ndarray
    labels: list[str]
    of: str
    averaged: str = ""
    note: str = ""


def singles_and_pairs(
    attribution: Attribution,
    example: int | None,
    names: Any,
    output: int | str | None,
    output_names: Sequence[str] | None,
) -> Pairs:
    """Reads one example, or for None the mean sizes over all."""
    check_attribution(attribution)
    if not isinstance(attribution, Interactions):
        raise TypeError(f"`attribution` must be xai.Interactions, got {type(attribution).__name__}.")
    if not np.isfinite(np.asarray(attribution.pairs)).all():
        raise ValueError("`attribution` must have finite pairs, got NaN or infinity: look at its inputs.")
    count = attribution.num_examples
    if example is None:
        rows = rows_of(attribution, names=names, inputs=UNUSED, output=output, output_names=output_names)
        single, _ = one_output(attribution, output if attribution.all_outputs else None, output_names)
        assert isinstance(single, Interactions)
        pairs = np.asarray(without_rounding_error(single).pairs)
        pairs = pairs[None] if count is None else pairs[rows.numbers]
        values, pairs = np.abs(rows.values).mean(axis=0), np.abs(pairs).mean(axis=0)
        averaged = f"mean |value| of {counted(len(rows.values))}"
        return Pairs(values, pairs, rows.labels, rows.of, averaged, rows.note)
    example = check_example(example, count or 1)
    single, of = one_output(attribution if count is None else attribution[example], output, output_names)
    assert isinstance(single, Interactions)
    given = attribution.names if names is None else names
    own = player_names(given, single.num_players, example=example, num_examples=count)
    single = without_rounding_error(single)
    values, pairs = np.asarray(single.values), np.asarray(single.pairs)
    return Pairs(values, pairs, labels_of(own, len(values)), of)


def _frame(number: int) -> Rectangle:
    return Rectangle((number - 0.48, number - 0.48), 0.96, 0.96, fill=False, edgecolor="0.25", linewidth=1.2)
