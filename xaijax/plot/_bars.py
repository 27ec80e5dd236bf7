"""Bars: one example's values, or the mean strength over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax._core.attribution import Attribution, Surrogate
from xaijax.plot._axes import (
    NEGATIVE,
    POSITIVE,
    all_rows,
    caption,
    chosen_rows,
    lines_of_players,
    new_axes,
    number,
    of_output,
    one_row,
    player_names,
    titled,
)
from xaijax.plot._names import counted, others_label, shown_and_others

_TOO_LONG = 3  # times the longest bar, for the sum of the others


def bars(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: Sequence[Any] | None = None,
    top: int = 10,
    order: Sequence[int | str] | None = None,
    rows: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the strongest values as bars, with whiskers of 1.96 standard errors, and the sum of the others.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example or game alone.
      example: which row to draw; None for the mean size |value| over all rows, with its standard error.
      names: M names of the players, or a list of M for each example, such as LIME's conditions,
        `training_statistics.conditions(x)`, of which the example takes its own.
      top: how many players to show, the strongest; the others are summed in one more bar. For one example this has no
        whisker, since their errors are not independent. Where it is more than three times as long as the longest, it goes
        on beyond the axes, with its length and an arrow at the edge. Default 10.
      order: players, by number or name, from the top down. Default: by size.
      rows: with example=None, the rows to average over, by number or as booleans [N]; the order is still that of all
        rows. Default: all.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method, and for a surrogate its local R².

    Returns:
      The axes: bars from the top down.

    Raises:
      TypeError, ValueError: if the names do not fit the players, or an argument is out of range.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 4.0]])
    >>> ax = xai.plot.bars(xai.Attribution(values, values.sum(axis=1)), example=None, names=["age", "income"])
    >>> [(label.get_text(), float(bar.get_width())) for label, bar in zip(ax.get_yticklabels(), ax.patches)]
    [('income', 3.0), ('age', 0.75)]
    """
    if example is None:
        found = all_rows(attribution, output=output, output_names=output_names)
        sizes, num_examples, of = np.abs(found.values), len(found.values), found.of
        drawn = chosen_rows(rows, num_examples)
        more = f"mean |value| of {counted(len(drawn), 'example')}"
        shown, others = shown_and_others(sizes.mean(axis=0), top, order, names)
        sizes = sizes[drawn]
        values, errors = mean_and_error(sizes)
        rest = mean_and_error(sizes[:, others].sum(axis=1))
    else:
        if rows is not None:
            raise ValueError("rows choose what is averaged over, with example=None; for one row leave rows out.")
        row = one_row(attribution, example, output=output, output_names=output_names)
        values, errors, num_examples, of = row.values, row.std_errors, row.num_examples, row.of
        more = ""
        shown, others = shown_and_others(values, top, order, names)
        rest = values[others].sum(), 0.0
    labels = player_names(names, len(values), example=example, num_examples=num_examples)
    labels, lengths, whiskers = [labels[place] for place in shown], values[shown], 1.96 * errors[shown]
    if len(others):
        labels.append(others_label(len(others)))
        lengths, whiskers = np.append(lengths, rest[0]), np.append(whiskers, 1.96 * rest[1])

    ax = new_axes(ax, (6.0, 0.8 + 0.34 * len(labels)))
    places = np.arange(len(labels))
    colors = [POSITIVE if value >= 0 else NEGATIVE for value in lengths]
    ax.barh(places, lengths, color=colors, height=0.62, zorder=2)
    if whiskers.any():
        ax.errorbar(lengths, places, xerr=whiskers, fmt="none", ecolor="0.25", elinewidth=1, zorder=3)
    cut = is_cut(lengths, whiskers, len(shown))
    scaled = slice(len(shown)) if cut else slice(None)
    least = min(0, (lengths - whiskers)[scaled].min())
    most = max(0, (lengths + whiskers)[scaled].max())
    span = most - least or 1.0
    negative, positive = (least < 0 or (cut and lengths[-1] < 0)), (most > 0 or least == 0 or (cut and lengths[-1] > 0))
    ax.set_xlim(least - 0.18 * span * negative, most + 0.18 * span * positive)
    for place, (value, whisker) in enumerate(zip(lengths, whiskers, strict=True)):
        shown_number = number(value) if example is not None else f"{value:.3g}"  # sizes have no sign
        if cut and place == len(shown):
            write_cut(ax, place, value, shown_number)
            continue
        end = value + np.copysign(whisker + 0.015 * span, value)
        ax.text(end, place, shown_number, va="center", ha="left" if value >= 0 else "right", fontsize=8)
    ax.axvline(0, color="0.3", linewidth=0.8)
    lines_of_players(ax, labels)
    fidelity = "" if example is None else _fidelity(attribution, example, output, output_names)
    titled(ax, title, caption(attribution.method, of, more) + fidelity)
    return ax


def is_cut(lengths: np.ndarray, whiskers: np.ndarray, num_shown: int) -> bool:
    """Whether the sum of the others, the last bar, would leave the players shown too small to compare."""
    most = (np.abs(lengths) + whiskers)[:num_shown].max()
    return len(lengths) > num_shown and abs(float(lengths[-1])) > _TOO_LONG * most > 0


def write_cut(ax: Axes, place: float, length: float, text: str, *, size: float = 8) -> None:
    """In a bar that goes on beyond the axes, at their edge: how long it is, and an arrow."""
    edge = ax.get_xlim()[1 if length > 0 else 0]
    shown = f"{text}  ▶ " if length > 0 else f" ◀  {text}"
    side = "right" if length > 0 else "left"
    ax.text(edge, place, shown, ha=side, va="center", fontsize=size, color="white", fontweight="bold", zorder=4)


def mean_and_error(sizes: np.ndarray) -> tuple[Any, Any]:
    """The mean of sizes [N, ...] over the rows and its standard error, which is 0 for one row alone."""
    mean = sizes.mean(axis=0)
    return mean, sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes)) if len(sizes) > 1 else np.zeros_like(mean)


def _fidelity(attribution: Attribution, example: int, output: Any, output_names: Any) -> str:
    if not isinstance(attribution, Surrogate):
        return ""
    one, _ = of_output(attribution, output, output_names)
    assert isinstance(one, Surrogate)
    fidelity, prediction, answer = (
        float(np.asarray(field).reshape(-1)[example]) for field in (one.r_squared, one.prediction, one.output)
    )
    return f"\nlocal R² {fidelity:.2f}, surrogate says {prediction:.3g}, model {answer:.3g}"
