"""Groups of rows side by side: any picture of many rows, once for each label, and bars of all groups together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import all_rows, caption, check_attribution, lines_of_players, new_axes, titled
from xaijax.plot._bars import bars, is_cut, mean_and_error, write_cut
from xaijax.plot._fonts import label_style
from xaijax.plot._heatmap import heatmap
from xaijax.plot._names import counted, others_label, player_names, shown_and_others, spelt

# Okabe & Ito's colors, told apart by all kinds of color vision; yellow, pale on white, goes last.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
_MOST_GROUPS = 12  # pictures beside each other; more are no longer compared by eye
_COLUMNS = 3


def cohorts(
    draw: Callable[..., Axes],
    attribution: Attribution,
    labels: Any,
    *,
    axes: Sequence[Axes] | np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    """Draws a picture of many rows once for each group of rows, with the same order of players, colors and scale in all.

    Order, colors and limits are those of all rows: what differs between the pictures differs between the groups.

    Args:
      draw: `xai.plot.beeswarm`, `violin`, `heatmap`, `decision`, `dependence` or `bars`: any plot that takes `rows=`.
      attribution: values [N, M], or [N, M, K] of K outputs.
      labels: [N] the group of each row, numbers or words; at most 12 different ones.
      axes: one for each group, in the order of the labels. Default: those of a new figure.
      **options: further arguments of `draw`, such as names and inputs of all rows.

    Returns:
      The axes [groups], in ascending order of the labels, each with its label and number of rows as title.

    Raises:
      TypeError, ValueError: if `draw` is no such plot, labels do not fit the rows, or axes do not fit the labels.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])
    >>> given = xai.Attribution(values, values.sum(axis=1))
    >>> axes = xai.plot.cohorts(xai.plot.beeswarm, given, ["ill", "well", "ill"], names=["age", "income"])
    >>> [ax.get_title() for ax in axes]
    ['ill: 2 rows', 'well: 1 row']
    """
    accepted = inspect.signature(draw).parameters if callable(draw) else {}
    if "rows" not in accepted:
        raise TypeError(
            "draw must be a plot of many rows that takes rows=, such as xai.plot.beeswarm, violin, heatmap, decision, "
            f"dependence or bars, but it is {getattr(draw, '__name__', repr(draw))}."
        )
    taken = sorted({"ax", "rows", "title"} & set(options))
    if taken:
        raise TypeError(f"cohorts chooses {' and '.join(taken)} for each group: leave it out, or pass axes.")
    check_attribution(attribution)
    groups = groups_of(labels, attribution.num_examples or 1, most=_MOST_GROUPS)
    if "example" in accepted:
        options.setdefault("example", None)  # of bars: the mean over the rows
    if axes is None:
        axes = _new_axes(len(groups), min(options.get("top", 10), np.shape(attribution.values)[1]))
    axes = np.asarray(axes, object).reshape(-1)
    if len(axes) != len(groups):
        raise ValueError(f"axes must be {len(groups)}, one for each group, but there are {len(axes)}.")
    for ax, (label, rows) in zip(axes, groups, strict=True):
        draw(attribution, ax=ax, rows=rows, title=f"{label}: {counted(len(rows))}", **options)
    # Means over a group's rows are known only once they are drawn.
    if draw is bars:
        _share(axes)
    if draw is heatmap:
        _share([ax.child_axes[1] for ax in axes])
    return axes


def _share(axes: Any) -> None:
    limits = np.array([ax.get_xlim() for ax in axes])
    for ax in axes:
        ax.set_xlim(limits[:, 0].min(), limits[:, 1].max())


def cohort_bars(
    attribution: Attribution,
    labels: Any,
    *,
    names: Sequence[str] | None = None,
    top: int = 8,
    order: Sequence[int | str] | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the mean size |value| of each player in each group as bars side by side, with whiskers of 1.96 standard errors.

    Args:
      attribution: values [N, M], or [N, M, K] of K outputs.
      labels: [N] the group of each row, numbers or words; at most 8 different ones.
      names: M names of the players.
      top: how many players to show; the sizes of the others are summed in each row, and shown as in `xai.plot.bars`.
        Default 8.
      order: players, by number or name, from the top down. Default: by their mean size over all rows.
      output: which output, by number or by a name of output_names, where all K outputs are explained.
      output_names: K names of the outputs, which the title then tells.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method.

    Returns:
      The axes: for each group a container of bars from the top down, named in the legend.

    Raises:
      TypeError, ValueError: if names or labels do not fit the values.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> values = jnp.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])
    >>> ax = xai.plot.cohort_bars(xai.Attribution(values, values.sum(axis=1)), ["ill", "well", "ill"])
    >>> [float(bar.get_width()) for bar in ax.containers[0]]  # of the ill: player 1, then player 0
    [1.0, 1.5]
    """
    found = all_rows(attribution, output=output, output_names=output_names)
    groups = groups_of(labels, len(found.values), most=len(_COLORS))
    sizes = np.abs(found.values)
    shown, others = shown_and_others(sizes.mean(axis=0), top, order, names)
    lines = player_names(names, sizes.shape[1], num_examples=len(sizes))
    lines, sizes = [lines[player] for player in shown], np.column_stack([sizes[:, shown], sizes[:, others].sum(axis=1)])
    sizes = sizes[:, : len(shown) + (1 if len(others) else 0)]
    if len(others):
        lines.append(others_label(len(others)))

    height = 0.8 / len(groups)
    ax = new_axes(ax, (6.4, 1.2 + len(lines) * max(0.34, 0.16 * len(groups))))
    places = np.arange(len(lines))
    found_in = [mean_and_error(sizes[rows]) for _, rows in groups]
    means, whiskers = np.array([mean for mean, _ in found_in]), 1.96 * np.array([error for _, error in found_in])
    cut = is_cut(means.max(axis=0), whiskers.max(axis=0), len(shown))
    beside = [places + (number - (len(groups) - 1) / 2) * height for number in range(len(groups))]
    for number, (label, rows) in enumerate(groups):
        named = f"{label} ({counted(len(rows))})"
        ax.barh(beside[number], means[number], height=0.92 * height, color=_COLORS[number], label=named, zorder=2)
        if whiskers[number].any():
            ax.errorbar(
                means[number],
                beside[number],
                xerr=whiskers[number],
                fmt="none",
                ecolor="0.25",
                elinewidth=0.8,
                zorder=3,
            )
    ends = (means + whiskers)[:, : len(shown)] if cut else means + whiskers
    ax.set_xlim(0, 1.05 * ends.max() or 1)
    if cut:
        for number, length in enumerate(means[:, -1]):
            write_cut(ax, beside[number][-1], length, f"{length:.3g}", size=min(8, 20 * height))
    lines_of_players(ax, lines)
    ax.set_xlabel("mean |value|", fontsize=9)
    style = label_style([label for label, _ in groups])
    legend = ax.legend(fontsize=8, frameon=False, loc="lower right")
    for text in legend.get_texts():
        text.set(**style)
    titled(ax, title, caption(attribution.method, found.of))
    return ax


def groups_of(labels: Any, count: int, *, most: int) -> list[tuple[str, np.ndarray]]:
    """The rows of each label, in ascending order of the labels."""
    given = np.asarray(labels)
    if given.shape != (count,):
        raise ValueError(f"labels must be {count}, one for each row, but their shape is {list(given.shape)}.")
    if given.dtype.kind == "O":
        given = np.array([str(label) for label in given])
    distinct, places = np.unique(given, return_inverse=True)
    if len(distinct) > most:
        raise ValueError(
            f"labels must name {most} groups at most, but {len(distinct)} of them are different: join some groups, or cut a "
            "number into a few ranges first."
        )
    return [(spelt(label), np.flatnonzero(places == place)) for place, label in enumerate(distinct.tolist())]


def _new_axes(count: int, players: int) -> np.ndarray:
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    first = new_axes(None, (5.4 * columns, (1.6 + 0.34 * (players + 1)) * rows))
    figure = first.figure
    first.remove()
    return np.array([figure.add_subplot(rows, columns, place + 1) for place in range(count)], object)
