"""One player: its value against its input, over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import Z, counted, shortened
from xaijax.plot._parts.axes import caption, draws, label_values, new_axes, titled, without_frame
from xaijax.plot._parts.colors import GRAY, LOW_TO_HIGH
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.inputs import PERCENTILES, Column, colors_of
from xaijax.plot._parts.players import index_of_player
from xaijax.plot._parts.rows import one_output, rows_of

STRONGEST = "strongest"
_DARK = "#5f5f5f"
_LEAST_ALPHA = 0.35  # of the dots, many of which overlap
_GOLDEN = (5**0.5 - 1) / 2  # its multiples modulo 1 fill a line evenly
_MOST_GROUPS, _GROUP = 10, 10  # up to ten groups, each of at least ten rows


@draws
def dependence(
    attribution: Attribution,
    player: int | str,
    *,
    inputs: ArrayOrSequence | None = None,
    names: NamesLike = None,
    color_by: int | str | None = None,
    rows: ArrayOrSequence | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws one player's value against its input for every row, with whiskers of 1.96 standard errors.

    The label below states Spearman's rank correlation of the two: 1 where the value only rises with the input, -1 where
    it only falls.

    The spread of the dots at one input is due to the other players. `color_by="strongest"` colors the dots by the player
    that seems to contribute most to it. For `Interactions` that is the player with the largest mean |pair|. Otherwise the
    rows are sorted by the player's input into up to ten groups of equal size. In each group, a straight line in this input
    is subtracted from the player's values and from another player's inputs, which leaves r and s. The measure is the sum
    over groups of |sum r s|, divided by sqrt(sum r² sum s²), between 0 and 1. (The sign may change from group to group, as
    for a product of two inputs with mean zero.) It is a guide to where to look, not an interaction index.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example.
      player: its index, or its name.
      inputs: [N, M] the inputs, one number or word for each value. Words are in alphabetical order, with their dots a little
        apart, and have no rank correlation. Rows whose input is missing (NaN or None) are left out, and counted below.
        Default: the attribution's own.
      names: M names of the players. Default: the attribution's own.
      color_by: the index or name of the player whose inputs color the dots, from their 5th to their 95th percentile, or
        "strongest". Missing inputs are gray. Default: all dots are dark gray.
      rows: the rows to draw, as indices or booleans [N]; colors and limits are still those of all rows. Default: all.
      output: the output, by index or name, where all K are explained; or the class whose rows are drawn, where rows
        explain different classes.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method and the number of rows.

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
    table = rows_of(attribution, names=names, inputs=inputs, rows=rows, output=output, output_names=output_names)
    values, labels, columns = table.values, table.labels, table.columns
    if columns is None:
        raise ValueError("`inputs` must be given, since the attribution holds none: pass the explained rows [N, M].")
    index = index_of_player("player", player, table.names, values.shape[1])
    own = columns[index]
    known, drawn = ~own.missing, table.drawn[~own.missing[table.drawn]]
    if not len(drawn):
        raise ValueError(f"`inputs` must hold at least one input of {labels[index]}, got missing ones alone.")
    other = None
    if isinstance(color_by, str) and color_by == STRONGEST and (table.names is None or STRONGEST not in table.names):
        single, _ = one_output(attribution, output if attribution.all_outputs else None, output_names)
        other = _strongest_partner(single, index, values[known, index], columns, known)
    elif color_by is not None:
        other = index_of_player("color_by", color_by, table.names, values.shape[1])

    ax = new_axes(ax, (5.6, 3.8))
    across = own.numbers if own.words is None else own.numbers + _apart(own.numbers)
    up, whiskers = values[:, index], Z * table.std_errors[:, index]
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_xlim(*_with_margin(across[known], np.zeros(1)))
    ax.set_ylim(*_with_margin(up[known], whiskers[known]))
    if whiskers.any():
        ax.errorbar(across[drawn], up[drawn], yerr=whiskers[drawn], fmt="none", ecolor="0.75", elinewidth=0.8, zorder=1)
    dots: Any = {"s": 12, "linewidths": 0, "zorder": 2, "alpha": max(_LEAST_ALPHA, min(1, 30 / len(drawn) ** 0.5))}
    if other is None:
        ax.scatter(across[drawn], up[drawn], color=_DARK, **dots)
    else:
        column = columns[other]
        colors = LOW_TO_HIGH if column.words is None else LOW_TO_HIGH.resampled(len(column.words))
        colors = colors.with_extremes(bad=GRAY)
        norm, shown = colors_of(column), np.ma.masked_invalid(column.numbers[drawn])
        ax.scatter(across[drawn], up[drawn], c=shown, cmap=colors, norm=norm, plotnonfinite=True, **dots)
        _color_bar(ax, column, ScalarMappable(norm, colors), labels[other], missing=bool(column.missing[drawn].any()))
    if own.words is not None:
        words = [shortened(word) for word in own.words]
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len("  ".join(words)) > 50 else {}
        ax.set_xticks(range(len(words)), words, **turned, **label_style(words))
        correlation = ""
    else:
        measured = rank_correlation(own.numbers[drawn], up[drawn])
        correlation = f"(Spearman's rank correlation {'not defined' if np.isnan(measured) else f'{measured:+.3f}'})"
    left_out = len(table.drawn) - len(drawn)
    left_out = f"{counted(left_out)} left out, whose input is missing" if left_out else ""
    label_values(ax, labels[index], correlation, left_out, table.note)
    ax.set_ylabel(f"value of {labels[index]}", fontsize=9, **label_style(labels[index]))
    ax.tick_params(labelsize=8)
    without_frame(ax)
    titled(ax, title, caption(attribution.method, table.of, counted(len(drawn))))
    return ax


def _strongest_partner(
    attribution: Attribution, player: int, values: np.ndarray, columns: list[Column], known: np.ndarray
) -> int:
    """Returns the other player that changes the player's values most, by the measure that `dependence` documents."""
    count = len(columns)
    if count == 1:
        raise ValueError(f"`color_by` must not be {STRONGEST!r} where there is only one player.")
    if isinstance(attribution, Interactions):
        strengths = np.abs(np.asarray(attribution.pairs, np.float64)[..., player, :]).reshape(-1, count).mean(axis=0)
    else:
        inputs = np.stack([np.where(column.missing, _mean_of(column), column.numbers) for column in columns], axis=1)
        strengths = interaction_strengths(values, inputs[known, player], inputs[known])
    strengths[player] = -1.0
    return int(strengths.argmax())


def _mean_of(column: Column) -> float:
    return 0.0 if column.missing.all() else float(column.numbers[~column.missing].mean())


def _with_margin(positions: np.ndarray, whiskers: np.ndarray) -> tuple[float, float]:
    least, most = (positions - whiskers).min(), (positions + whiskers).max()
    margin = 0.05 * (most - least) or 0.05 * abs(most) or 0.5
    return least - margin, most + margin


def _apart(words: np.ndarray) -> np.ndarray:
    """Returns offsets that spread the dots of each word over a third of its room, in the order of the rows."""
    offsets = np.zeros(len(words))
    for word in np.unique(words[np.isfinite(words)]):
        members = np.flatnonzero(words == word)
        offsets[members] = (np.arange(len(members)) * _GOLDEN % 1 - 0.5) / 3 if len(members) > 1 else 0
    return offsets


def _color_bar(ax: Axes, column: Column, mappable: ScalarMappable, label: str, *, missing: bool) -> None:
    low, high = PERCENTILES
    style = label_style([label, *(column.words or ())])
    between: Any = {} if column.words is not None else {"extend": "both"}
    bar = ax.figure.colorbar(mappable, ax=ax, fraction=0.04, pad=0.02, **between)
    if column.words is not None:
        bar.set_ticks(range(len(column.words)), labels=[shortened(word) for word in column.words], **style)
    text = label if column.words is not None else f"{label}, {low}th to {high}th percentile"
    bar.set_label(text + ("\n(gray: missing)" if missing else ""), fontsize=8, **style)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Spearman's rank correlation of [N] and [N], between -1 and 1; NaN where one of them is constant."""
    from scipy.stats import spearmanr  # imported on first use: it takes half a second

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    result: Any = spearmanr(first, second)
    return float(result.statistic)


def interaction_strengths(values: np.ndarray, own: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Returns how much the inputs [N, M] change values [N] beyond the player's own input [N]: [M] between 0 and 1."""
    inputs = inputs / np.maximum(inputs.std(axis=0), 1e-300)  # in units that can be compared with rounding error
    groups = np.array_split(np.argsort(own, kind="stable"), np.clip(len(own) // _GROUP, 1, _MOST_GROUPS))
    products, of_values, of_inputs = np.zeros((3, inputs.shape[1]))
    for rows in groups:
        columns = np.column_stack([np.ones(len(rows)), own[rows] - own[rows].mean()])
        basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
        basis = basis[:, : np.count_nonzero(sizes > 1e-9 * sizes[0])]  # inputs that are all equal have no slope
        left, right = (part - basis @ (basis.T @ part) for part in (values[rows], inputs[rows]))
        products += np.abs(left @ right)
        of_values += left @ left
        of_inputs += (right**2).sum(axis=0)
    scales = np.sqrt(of_values * of_inputs)
    return np.divide(products, scales, out=np.zeros_like(scales), where=of_inputs > 1e-18 * len(own))
