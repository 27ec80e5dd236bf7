"""One player: its value against its input, over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from xaijax._core.attribution import Attribution, Interactions
from xaijax.plot._axes import (
    LOW_TO_HIGH,
    all_rows,
    caption,
    chosen_rows,
    new_axes,
    of_output,
    titled,
    without_frame,
)
from xaijax.plot._fonts import label_style
from xaijax.plot._inputs import PERCENTILES, Column, colors_of, columns_of
from xaijax.plot._names import counted, place_of, player_names, shortened

STRONGEST = "strongest"
_GRAY = "#5f5f5f"
_ALPHA_BELOW = 0.35  # how opaque the dots are at least: many of them lie on each other
_GOLDEN = (5**0.5 - 1) / 2  # whose multiples fill a line evenly
_MOST_GROUPS, _GROUP = 10, 10  # up to ten groups, of ten rows at least


def dependence(
    attribution: Attribution,
    player: int | str,
    *,
    inputs: Any,
    names: Sequence[str] | None = None,
    color_by: int | str | None = None,
    rows: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws one player's value against its input for every row, with whiskers of 1.96 standard errors.

    The label below states Spearman's rank correlation of the two: 1 where the value only rises with the input, -1 where
    it only falls.

    What spreads the dots at one input is what the other players change. `color_by="strongest"` colors them by the one
    that seems to change most. For `Interactions` that is the largest mean |pair| with the player. Otherwise the rows are
    sorted by the player's input into up to ten groups of equal size; in each, a straight line in this input is taken
    from the player's values and from another player's inputs, and the two remainders r and s are multiplied: the measure
    is sum over groups of |sum r s| over sqrt(sum r² sum s²), between 0 and 1. (The sign may change from group to group,
    as it does for a product of two inputs about zero.) It is a guide to where to look, not an interaction index.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example alone.
      player: its index, or its name.
      inputs: [N, M] the inputs, one number or word for each value. Words lie side by side in the order of the alphabet,
        their dots a little apart, and have no rank correlation.
      names: M names of the players.
      color_by: the index or name of the player whose inputs color the dots, from their 5th to their 95th percentile,
        or "strongest". Default: all dots are gray.
      rows: the rows to draw, by number or as booleans [N]; colors and limits are still those of all rows. Default: all.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes, with one collection of dots.

    Raises:
      TypeError, ValueError: if the player is none, names or inputs do not fit the values, or there is no other player.

    References:
      Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees, figure 4.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    >>> given = xai.Attribution(values, values.sum(axis=1))
    >>> ax = xai.plot.dependence(given, "age", inputs=values, names=["age", "income"], color_by="income")
    >>> ax.get_xlabel()
    "age\\n(Spearman's rank correlation +1.000)"
    """
    values, errors, _, _, of = all_rows(attribution, output=output, output_names=output_names)
    labels = player_names(names, values.shape[1], num_examples=len(values))
    place = place_of("player", player, names, values.shape[1])
    columns = columns_of(inputs, values.shape)
    other = color_by
    if other == STRONGEST and (names is None or STRONGEST not in names):
        one, _ = of_output(attribution, output, output_names)
        other = _strongest_partner(
            one, place, values[:, place], np.stack([column.numbers for column in columns], axis=1)
        )
    elif other is not None:
        other = place_of("color_by", other, names, values.shape[1])
    drawn = chosen_rows(rows, len(values))

    ax = new_axes(ax, (5.6, 3.8))
    own = columns[place]
    across = own.numbers if own.words is None else own.numbers + _beside(own.numbers)
    up, whiskers = values[:, place], 1.96 * errors[:, place]
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_xlim(*_with_margin(across, np.zeros(1)))
    ax.set_ylim(*_with_margin(up, whiskers))
    if whiskers.any():
        ax.errorbar(across[drawn], up[drawn], yerr=whiskers[drawn], fmt="none", ecolor="0.75", elinewidth=0.8, zorder=1)
    dots: Any = {"s": 12, "linewidths": 0, "zorder": 2, "alpha": max(_ALPHA_BELOW, min(1, 30 / len(drawn) ** 0.5))}
    if other is None:
        ax.scatter(across[drawn], up[drawn], color=_GRAY, **dots)
    else:
        column = columns[other]
        norm, shown = colors_of(column), column.numbers[drawn]
        colors = LOW_TO_HIGH if column.words is None else LOW_TO_HIGH.resampled(len(column.words))
        mappable = ScalarMappable(norm, colors)
        ax.scatter(across[drawn], up[drawn], c=shown, cmap=colors, norm=norm, **dots)
        _color_bar(ax, column, mappable, labels[other])
    if own.words is not None:
        words = [shortened(word) for word in own.words]
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len("  ".join(words)) > 50 else {}
        ax.set_xticks(range(len(words)), words, **turned, **label_style(words))
        correlation = ""
    else:
        measured = rank_correlation(own.numbers[drawn], up[drawn])
        correlation = f"\n(Spearman's rank correlation {'not defined' if np.isnan(measured) else f'{measured:+.3f}'})"
    style = label_style(labels[place])
    ax.set_xlabel(labels[place] + correlation, fontsize=9, **style)
    ax.set_ylabel(f"value of {labels[place]}", fontsize=9, **style)
    ax.tick_params(labelsize=8)
    without_frame(ax)
    titled(ax, title, caption(attribution.method, of, counted(len(drawn))))
    return ax


def _with_margin(places: np.ndarray, whiskers: np.ndarray) -> tuple[float, float]:
    least, most = (places - whiskers).min(), (places + whiskers).max()
    margin = 0.05 * (most - least) or 0.05 * abs(most) or 0.5
    return least - margin, most + margin


def _beside(places: np.ndarray) -> np.ndarray:
    """Offsets that spread the dots of each word over a third of the room it has, in the order of the rows."""
    offsets = np.zeros(len(places))
    for word in np.unique(places):
        members = np.flatnonzero(places == word)
        offsets[members] = (np.arange(len(members)) * _GOLDEN % 1 - 0.5) / 3 if len(members) > 1 else 0
    return offsets


def _color_bar(ax: Axes, column: Column, mappable: ScalarMappable, label: str) -> None:
    low, high = PERCENTILES
    style = label_style([label, *(column.words or ())])
    between: Any = {} if column.words is not None else {"extend": "both"}
    bar = ax.figure.colorbar(mappable, ax=ax, fraction=0.04, pad=0.02, **between)
    if column.words is not None:
        bar.set_ticks(range(len(column.words)), labels=[shortened(word) for word in column.words], **style)
    bar.set_label(
        label if column.words is not None else f"{label}, {low}th to {high}th percentile", fontsize=8, **style
    )
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, [N] and [N] to a number in [-1, 1]; equal numbers share their rank; NaN where one side is constant."""
    from scipy.stats import spearmanr  # half a second to import, for those who draw

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    found: Any = spearmanr(first, second)
    return float(found.statistic)


def _strongest_partner(attribution: Attribution, player: int, values: np.ndarray, inputs: np.ndarray) -> int:
    """The other player that changes the player's values most, by the measure that `dependence` documents."""
    if inputs.shape[1] == 1:
        raise ValueError(f"color_by={STRONGEST!r} needs another player, but there is only one.")
    if isinstance(attribution, Interactions):
        strengths = (
            np.abs(np.asarray(attribution.pairs, np.float64)[..., player, :]).reshape(-1, inputs.shape[1]).mean(axis=0)
        )
    else:
        strengths = interaction_strengths(values, inputs[:, player], inputs)
    strengths[player] = -1.0
    return int(strengths.argmax())


def interaction_strengths(values: np.ndarray, own: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """How much the inputs [N, M] change values [N] beyond what the own input [N] does: [M] between 0 and 1."""
    inputs = inputs / np.maximum(inputs.std(axis=0), 1e-300)  # in units that can be compared with rounding
    groups = np.array_split(np.argsort(own, kind="stable"), np.clip(len(own) // _GROUP, 1, _MOST_GROUPS))
    together, of_values, of_inputs = np.zeros((3, inputs.shape[1]))
    for rows in groups:
        columns = np.column_stack([np.ones(len(rows)), own[rows] - own[rows].mean()])
        basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
        basis = basis[:, : np.count_nonzero(sizes > 1e-9 * sizes[0])]  # own inputs of one value have no slope
        left, right = (part - basis @ (basis.T @ part) for part in (values[rows], inputs[rows]))
        together += np.abs(left @ right)
        of_values += left @ left
        of_inputs += (right**2).sum(axis=0)
    scales = np.sqrt(of_values * of_inputs)
    return np.divide(together, scales, out=np.zeros_like(scales), where=of_inputs > 1e-18 * len(own))
