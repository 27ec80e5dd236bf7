"""One player: its value against its input, over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax import _check
from xaijax._attribution import Attribution, Interactions
from xaijax.plot._axes import (
    LOW_TO_HIGH,
    PERCENTILES,
    all_rows,
    inputs_of_all,
    new_axes,
    percentile_limits,
    player_names,
)

STRONGEST = "strongest"
_GREY = "#5f5f5f"
_MOST_GROUPS, _GROUP = 10, 10  # up to ten groups, of ten rows at least


def dependence(
    attribution: Attribution,
    player: int | str,
    *,
    inputs: Any,
    names: Sequence[str] | None = None,
    color_by: int | str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws one player's value against its input for every row, with whiskers of 1.96 standard errors.

    The label below states Spearman's rank correlation of the two: 1 where the value only rises with the input, -1 where
    it only falls.

    What spreads the dots at one input is what the other players change. `color_by="strongest"` colours them by the one
    that seems to change most. For `Interactions` that is the largest mean |pair| with the player. Otherwise the rows are
    sorted by the player's input into up to ten groups of equal size; in each, a straight line in this input is taken
    from the player's values and from another player's inputs, and the two remainders r and s are multiplied: the measure
    is sum over groups of |sum r s| over sqrt(sum r² sum s²), between 0 and 1. (The sign may change from group to group,
    as it does for a product of two inputs about zero.) It is a guide to where to look, not an interaction index.

    Args:
      attribution: values [N, M].
      player: its index, or its name.
      inputs: [N, M] the inputs, one number for each value.
      names: M names of the players.
      color_by: the index or name of the player whose inputs colour the dots, from their 5th to their 95th percentile,
        or "strongest". Default: all dots are grey.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the number of rows.

    Returns:
      The axes, with one collection of dots.

    Raises:
      TypeError, ValueError: if the player is none, names or inputs do not fit the values, or there is no other player.

    References:
      Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees, figure 4.
    """
    values, errors = all_rows(attribution)
    labels = player_names(names, values.shape[1])
    place = _place("player", player, names, values.shape[1])
    given = inputs_of_all(inputs, values.shape)
    other = color_by
    if other == STRONGEST and (names is None or STRONGEST not in names):
        other = _strongest_partner(attribution, place, values[:, place], given)
    elif other is not None:
        other = _place("color_by", other, names, values.shape[1])

    ax = new_axes(ax, (5.6, 3.8))
    across, up = given[:, place], values[:, place]
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    whiskers = 1.96 * errors[:, place]
    if whiskers.any():
        ax.errorbar(across, up, yerr=whiskers, fmt="none", ecolor="0.75", elinewidth=0.8, zorder=1)
    if other is None:
        ax.scatter(across, up, s=12, linewidths=0, color=_GREY, zorder=2)
    else:
        column, (low, high) = given[:, other], PERCENTILES
        norm = percentile_limits(column)
        dots = ax.scatter(across, up, s=12, linewidths=0, c=column, cmap=LOW_TO_HIGH, norm=norm, zorder=2)
        bar = ax.figure.colorbar(dots, ax=ax, fraction=0.04, pad=0.02, extend="both")
        bar.set_label(f"{labels[other]}, {low}th to {high}th percentile", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    correlation = rank_correlation(across, up)
    stated = "not defined" if np.isnan(correlation) else f"{correlation:+.3f}"
    ax.set_xlabel(f"{labels[place]}\n(Spearman's rank correlation {stated})", fontsize=9)
    ax.set_ylabel(f"value of {labels[place]}", fontsize=9)
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    caption = f"{attribution.method}: {len(values)} {'row' if len(values) == 1 else 'rows'}"
    ax.set_title(caption if title is None else title, fontsize=10)
    return ax


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, [N] and [N] to a number in [-1, 1]; equal numbers share their rank; NaN where one side is constant."""
    from scipy.stats import spearmanr  # half a second to import, for those who draw

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    found: Any = spearmanr(first, second)
    return float(found.statistic)


def _place(argument: str, player: Any, names: Sequence[str] | None, count: int) -> int:
    """The index of a player given by its index or name."""
    if isinstance(player, str):
        if names is None:
            raise ValueError(f"{argument} is {player!r}, but no names are given: pass names, or an index.")
        return list(names).index(_check.one_of(argument, player, names))
    place = _check.positive_int(argument, player, least=0)
    if place >= count:
        raise ValueError(f"{argument} must lie between 0 and {count - 1}, but it is {place}.")
    return place


def _strongest_partner(attribution: Attribution, player: int, values: np.ndarray, inputs: np.ndarray) -> int:
    """The other player that changes the player's values most, by the measure that `dependence` documents."""
    if inputs.shape[1] == 1:
        raise ValueError(f"color_by={STRONGEST!r} needs another player, but there is only one.")
    if isinstance(attribution, Interactions):
        strengths = np.abs(np.asarray(attribution.pairs, np.float64)[:, player]).mean(axis=0)
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
