"""Bars: one example's values, or the mean strength over many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from xaijax import _check
from xaijax._attribution import Attribution, Surrogate
from xaijax.plot._axes import (
    NEGATIVE,
    POSITIVE,
    check_attribution,
    new_axes,
    number,
    one_row,
    player_names,
    strongest,
)


def bars(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: Sequence[str] | None = None,
    top: int = 10,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the strongest values as bars, with whiskers of 1.96 standard errors.

    Args:
      attribution: values [N, M], or [M] of one game.
      example: which row to draw; None for the mean size |value| over all rows, with its standard error.
      names: M names of the players.
      top: how many players to show, the strongest. Default 10.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method, and for a surrogate its local R².

    Returns:
      The axes: bars from the top down.

    Raises:
      TypeError, ValueError: if the names do not fit the players, or an argument is out of range.
    """
    if example is None:
        check_attribution(attribution)
        sizes = np.abs(np.asarray(attribution.values, np.float64))
        if sizes.ndim != 2:
            raise ValueError(f"attribution must have values [N, M] to be averaged, not {list(sizes.shape)}.")
        values = sizes.mean(axis=0)
        errors = sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes)) if len(sizes) > 1 else np.zeros_like(values)
        caption = f"{attribution.method}: mean |value| of {len(sizes)} examples"
    else:
        row = one_row(attribution, example)
        values, errors = row.values, row.std_errors
        caption = attribution.method + _fidelity(attribution, example)
    labels = player_names(names, len(values))
    shown, _ = strongest(values, _check.positive_int("top", top))

    ax = new_axes(ax, (6.0, 0.8 + 0.34 * len(shown)))
    places = np.arange(len(shown))
    lengths, whiskers = values[shown], 1.96 * errors[shown]
    colours = [POSITIVE if value >= 0 else NEGATIVE for value in lengths]
    ax.barh(places, lengths, color=colours, height=0.62, zorder=2)
    if whiskers.any():
        ax.errorbar(lengths, places, xerr=whiskers, fmt="none", ecolor="0.25", elinewidth=1, zorder=3)
    least, most = min(0, (lengths - whiskers).min()), max(0, (lengths + whiskers).max())
    span = max(most - least, 1e-12)
    ax.set_xlim(least - (0.18 * span if least < 0 else 0), most + (0.18 * span if most > 0 or least == 0 else 0))
    for place, (value, whisker) in enumerate(zip(lengths, whiskers, strict=True)):
        end = value + np.copysign(whisker + 0.015 * span, value)
        ax.text(end, place, number(value), va="center", ha="left" if value >= 0 else "right", fontsize=8)
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(places, [labels[place] for place in shown], fontsize=8)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.set_title(caption if title is None else title, fontsize=10)
    return ax


def _fidelity(attribution: Attribution, example: int) -> str:
    if not isinstance(attribution, Surrogate):
        return ""
    fidelity, prediction, output = (
        float(np.asarray(field).reshape(-1)[example])
        for field in (attribution.r_squared, attribution.prediction, attribution.output)
    )
    return f"\nlocal R² {fidelity:.2f}, surrogate says {prediction:.3g}, model {output:.3g}"
