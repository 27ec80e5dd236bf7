"""Bars: the values of one example, or the mean |value| of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from xaijax._core.attribution import Attribution, Surrogate
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import Z, counted, signed
from xaijax.plot._parts.axes import caption, draws, height_of_lines, label_values, lines_of_players, new_axes, titled
from xaijax.plot._parts.colors import color_by_sign
from xaijax.plot._parts.players import others_label, shown_and_others
from xaijax.plot._parts.rows import UNUSED, check_example, one_output, row_of, rows_of, unit_of

_TOO_LONG = 3  # times the longest bar, for the sum of the others


@draws
def bars(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: NamesLike = None,
    top: int = 10,
    order: Sequence[int | str] | None = None,
    rows: ArrayOrSequence | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the strongest values as bars, with whiskers of 1.96 standard errors, and the sum of the others.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs; or of one example or game.
      example: the row to draw; None for the mean |value| over all rows, with its standard error.
      names: M names of the players, or M for each example. Default: the attribution's own.
      top: how many players to show, the strongest. The others are summed in one more bar, which has no whisker for a single
        example, since their errors are not independent. Where it is more than three times as long as the longest other
        bar, it is cut at the edge and its length is written there. Default 10.
      order: players, by index or name, from the top down. Default: by size.
      rows: with example=None, the rows to average over, as indices or booleans [N]; the order of the players is still that
        of all rows. Default: all.
      output: the output, by index or name, where all K are explained; or the class whose rows are averaged.
      output_names: names of the outputs. Default: the attribution's own.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method, and for a surrogate its local R².

    Returns:
      The axes, with bars from the top down.

    Raises:
      TypeError, ValueError: if the names do not fit the players, or an argument is out of range.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 4.0]])
    >>> ax = xai.plot.bars(xai.Attribution(values, values.sum(axis=1)), example=None, names=["age", "income"])
    >>> [(label.get_text(), float(bar.get_width())) for label, bar in zip(ax.get_yticklabels(), ax.patches)]
    [('income', 3.0), ('age', 0.75)]
    """
    if example is None:
        many = rows_of(attribution, names=names, inputs=UNUSED, rows=rows, output=output, output_names=output_names)
        sizes, of, labels, note = np.abs(many.values), many.of, many.labels, many.note
        shown, others = shown_and_others(sizes.mean(axis=0), top, order, many.names)
        sizes = sizes[many.drawn]
        values, errors = mean_and_error(sizes)
        rest = mean_and_error(sizes[:, others].sum(axis=1))
        more, rounding = f"mean |value| of {counted(len(sizes), 'example')}", 0.0
    else:
        if rows is not None:
            raise ValueError("`rows` must be left out for a single example, got rows: pass example=None to average.")
        row = row_of(attribution, example, names=names, inputs=UNUSED, output=output, output_names=output_names)
        values, errors, of, labels, note = row.values, row.std_errors, row.of, row.labels, ""
        shown, others = shown_and_others(values, top, order, row.names)
        rest, more, rounding = (values[others].sum(), 0.0), "", row.rounding
    labels, lengths, whiskers = [labels[player] for player in shown], values[shown], Z * errors[shown]
    if len(others):
        labels.append(others_label(len(others)))
        lengths, whiskers = np.append(lengths, rest[0]), np.append(whiskers, Z * rest[1])

    ax = new_axes(ax, (6.0, 1.0 + height_of_lines(len(labels), 0.34)))
    lines = np.arange(len(labels))
    ax.barh(lines, lengths, color=[color_by_sign(value) for value in lengths], height=0.62, zorder=2)
    if whiskers.any():
        ax.errorbar(lengths, lines, xerr=whiskers, fmt="none", ecolor="0.25", elinewidth=1, zorder=3)
    cut = is_cut(lengths, whiskers, len(shown))
    inside = slice(len(shown)) if cut else slice(None)
    least, most = min(0, (lengths - whiskers)[inside].min()), max(0, (lengths + whiskers)[inside].max())
    span = most - least or 1.0
    negative, positive = (least < 0 or (cut and lengths[-1] < 0)), (most > 0 or least == 0 or (cut and lengths[-1] > 0))
    ax.set_xlim(least - 0.18 * span * negative, most + 0.18 * span * positive)
    for line, (value, whisker) in enumerate(zip(lengths, whiskers, strict=True)):
        text = signed(value, rounding=rounding, digits=3)
        text = text.removeprefix("+") if example is None else text
        if cut and line == len(shown):
            write_cut(ax, line, value, text)
        else:
            end = value + np.copysign(whisker + 0.015 * span, value)
            ax.text(end, line, text, va="center", ha="left" if value >= 0 else "right", fontsize=8)
    ax.axvline(0, color="0.3", linewidth=0.8)
    lines_of_players(ax, labels)
    label_values(ax, unit_of(attribution), note)
    titled(ax, title, caption(attribution.method, of, more) + _fidelity(attribution, example, output, output_names))
    return ax


def is_cut(lengths: np.ndarray, whiskers: np.ndarray, num_shown: int) -> bool:
    """Whether the sum of the others, the last bar, would leave the other bars too small to compare."""
    most = (np.abs(lengths) + whiskers)[:num_shown].max()
    return len(lengths) > num_shown and abs(float(lengths[-1])) > _TOO_LONG * most > 0


def write_cut(ax: Axes, line: float, length: float, text: str, *, size: float = 8) -> None:
    """Writes the length of a bar that is cut at the edge of the axes, with an arrow."""
    edge = ax.get_xlim()[1 if length > 0 else 0]
    shown = f"{text}  ▶ " if length > 0 else f" ◀  {text}"
    side = "right" if length > 0 else "left"
    ax.text(edge, line, shown, ha=side, va="center", fontsize=size, color="white", fontweight="bold", zorder=4)


def mean_and_error(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean of sizes [N, ...] over the rows and its standard error, 0 for a single row."""
    mean = sizes.mean(axis=0)
    return mean, sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes)) if len(sizes) > 1 else np.zeros_like(mean)


def _fidelity(
    attribution: Attribution, example: int | None, output: int | str | None, output_names: Sequence[str] | None
) -> str:
    if not isinstance(attribution, Surrogate) or example is None:
        return ""
    count = attribution.num_examples
    alone = attribution if count is None else attribution[check_example(example, count)]
    single, _ = one_output(alone, output, output_names)
    assert isinstance(single, Surrogate)
    fidelity, prediction, answer = (
        float(np.asarray(field)) for field in (single.r_squared, single.prediction, single.output)
    )
    return f"\nlocal R² {fidelity:.2f}, surrogate {prediction:.3g}, model {answer:.3g}"
