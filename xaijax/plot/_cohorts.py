"""Groups of rows side by side: any plot of many rows once for each label, and bars of all groups."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.classes import name_of_output
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import Z, counted, spelled
from xaijax.plot._bars import bars, is_cut, mean_and_error, write_cut
from xaijax.plot._heatmap import heatmap
from xaijax.plot._parts.axes import (
    caption,
    draw_legend,
    draws,
    given_axes,
    label_values,
    lines_of_players,
    new_axes,
    titled,
)
from xaijax.plot._parts.colors import SERIES
from xaijax.plot._parts.maps import check_unmasked
from xaijax.plot._parts.players import others_label, shown_and_others
from xaijax.plot._parts.rows import UNUSED, check_attribution, rows_of, targets_of

_MOST_GROUPS = 12  # panels; more cannot be compared by eye
_COLUMNS = 3


@draws
def cohorts(
    draw: Callable[..., Axes],
    attribution: Attribution,
    labels: ArrayOrSequence | None = None,
    *,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws a plot of many rows once for each group of rows, with the same order of players, colors and scale in all.

    Order, colors and limits are those of all rows: differences between the panels are differences between the groups.

    Args:
      draw: `xai.plot.beeswarm`, `violin`, `heatmap`, `decision`, `dependence` or `bars`, or any other plot that takes
        `rows=`; with options, `functools.partial(xai.plot.beeswarm, top=5)`.
      attribution: values [N, M], or [N, M, K] of K outputs.
      labels: [N] the group of each row, numbers or words; at most 12 different ones. Default: the explained classes.
      axes: one for each group, in the order of the labels. Default: those of a new figure.

    Returns:
      The axes [groups], in ascending order of the labels, each with its label and number of rows as title.

    Raises:
      TypeError, ValueError: if `draw` is no such plot, labels do not fit the rows, or axes do not fit the labels.

    >>> import functools, jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])
    >>> given = xai.Attribution(values, values.sum(axis=1), names=("age", "income"))
    >>> axes = xai.plot.cohorts(functools.partial(xai.plot.beeswarm, top=1), given, ["ill", "well", "ill"])
    >>> [ax.get_title() for ax in axes]
    ['ill: 2 rows', 'well: 1 row']
    """
    accepted: Any = {}
    with contextlib.suppress(TypeError, ValueError):  # of what is no function, and of builtin classes
        accepted = inspect.signature(draw).parameters
    if "rows" not in accepted:
        raise TypeError(
            "`draw` must be a plot of many rows that takes rows=, such as xai.plot.beeswarm, violin, heatmap, decision, "
            f"dependence or bars, got {check.shown(draw)}."
        )
    given = getattr(draw, "keywords", {})
    taken = sorted({"ax", "rows", "title"} & set(given))
    if taken:
        raise TypeError(f"`draw` must leave {' and '.join(taken)} to cohorts, which chooses them for each group.")
    check_attribution(attribution)
    groups = groups_of(labels, attribution, given.get("output_names"), most=_MOST_GROUPS)
    options: dict[str, Any] = {"example": None} if "example" in accepted else {}  # of bars: the mean over the rows
    if axes is None:
        axes = _new_axes(len(groups), min(given.get("top", 10), attribution.num_players))
    row = given_axes(axes, 1, len(groups))[0]
    for ax, (label, rows) in zip(row, groups, strict=True):
        draw(attribution, ax=ax, rows=rows, title=f"{label}: {counted(len(rows))}", **options)
    # Means over a group's rows are known only once they are drawn.
    plot = getattr(draw, "func", draw)
    if plot is bars:
        _share_limits(row)
    if plot is heatmap:
        _share_limits([ax.child_axes[1] for ax in row])
    return row


def _share_limits(axes: Any) -> None:
    limits = np.array([ax.get_xlim() for ax in axes])
    for ax in axes:
        ax.set_xlim(limits[:, 0].min(), limits[:, 1].max())


@draws
def cohort_bars(
    attribution: Attribution,
    labels: ArrayOrSequence | None = None,
    *,
    names: NamesLike = None,
    top: int = 8,
    order: Sequence[int | str] | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the mean |value| of each player in each group as bars side by side, with whiskers of 1.96 standard errors.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs.
      labels: [N] the group of each row, numbers or words; at most 8 different ones. Default: the explained classes.
      names: M names of the players. Default: the attribution's own.
      top: how many players to show; the sizes of the others are summed in each row, and drawn as in `xai.plot.bars`.
        Default 8.
      order: players, by index or name, from the top down. Default: by mean |value| over all rows.
      output: the output, by index or name, where all K are explained.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method.

    Returns:
      The axes, with a container of bars for each group, from the top down, named in the legend.

    Raises:
      TypeError, ValueError: if names or labels do not fit the values.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])
    >>> ax = xai.plot.cohort_bars(xai.Attribution(values, values.sum(axis=1)), ["ill", "well", "ill"])
    >>> [float(bar.get_width()) for bar in ax.containers[0]]  # of the ill: player 1, then player 0
    [1.0, 1.5]
    """
    check_attribution(attribution)
    groups = groups_of(labels, attribution, output_names, most=len(SERIES))
    table = rows_of(
        attribution, names=names, inputs=UNUSED, output=output, output_names=output_names, noted=labels is not None
    )
    groups = [(label, np.flatnonzero(np.isin(table.numbers, rows))) for label, rows in groups]
    groups = [(label, rows) for label, rows in groups if len(rows)]
    sizes = np.abs(table.values)
    shown, others = shown_and_others(sizes.mean(axis=0), top, order, table.names)
    players = [table.labels[player] for player in shown] + ([others_label(len(others))] if len(others) else [])
    sizes = np.column_stack([sizes[:, shown], sizes[:, others].sum(axis=1)])[:, : len(players)]

    height = 0.8 / len(groups)
    ax = new_axes(ax, (6.4, 1.2 + len(players) * max(0.34, 0.16 * len(groups))))
    lines = np.arange(len(players))
    measured = [mean_and_error(sizes[rows]) for _, rows in groups]
    means, whiskers = np.array([mean for mean, _ in measured]), Z * np.array([error for _, error in measured])
    cut = is_cut(means.max(axis=0), whiskers.max(axis=0), len(shown))
    heights = [lines + (number - (len(groups) - 1) / 2) * height for number in range(len(groups))]
    for number, (label, rows) in enumerate(groups):
        named = f"{label} ({counted(len(rows))})"
        ax.barh(heights[number], means[number], height=0.92 * height, color=SERIES[number], label=named, zorder=2)
        if whiskers[number].any():
            style: Any = {"fmt": "none", "ecolor": "0.25", "elinewidth": 0.8, "zorder": 3}
            ax.errorbar(means[number], heights[number], xerr=whiskers[number], **style)
    ends = (means + whiskers)[:, : len(shown)] if cut else means + whiskers
    ax.set_xlim(0, 1.05 * ends.max() or 1)
    if cut:
        for number, length in enumerate(means[:, -1]):
            write_cut(ax, heights[number][-1], length, f"{length:.3g}", size=min(8, 20 * height))
    lines_of_players(ax, players)
    label_values(ax, "mean |value|", table.note)
    draw_legend(ax, loc="lower right")
    titled(ax, title, caption(attribution.method, table.of))
    return ax


def groups_of(
    labels: Any, attribution: Attribution, output_names: Sequence[str] | None, *, most: int
) -> list[tuple[str, np.ndarray]]:
    """Returns the rows of each label, in ascending order of the labels."""
    count, classes = attribution.num_examples or 1, None
    if labels is None:
        classes = None if attribution.all_outputs else targets_of(attribution)
        if classes is None:
            raise ValueError("`labels` must be given, since the rows do not explain a class each.")
        labels = classes
    given = check_unmasked("labels", labels)
    if given.shape != (count,):
        raise ValueError(f"`labels` must be {count}, one for each row, got shape {list(given.shape)}.")
    if any(isinstance(label, dict | list | tuple | set) for label in given.tolist()):
        raise TypeError(f"`labels` must be numbers or words, got {check.shown(labels)}.")
    if given.dtype.kind == "O":
        given = np.array([str(label) for label in given])
    distinct, indices = np.unique(given, return_inverse=True)
    if len(distinct) > most:
        raise ValueError(
            f"`labels` must be at most {most} different ones, got {len(distinct)}: join some groups, or cut a number into a "
            "few ranges first."
        )
    names = attribution.output_names if output_names is None else output_names
    named = [spelled(label) if classes is None else name_of_output(label, names) for label in distinct.tolist()]
    return [(name, np.flatnonzero(indices == index)) for index, name in enumerate(named)]


def _new_axes(count: int, players: int) -> np.ndarray:
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    first = new_axes(None, (5.4 * columns, (1.6 + 0.34 * (players + 1)) * rows))
    figure = first.figure
    first.remove()
    return np.array([figure.add_subplot(rows, columns, number + 1) for number in range(count)], object)
