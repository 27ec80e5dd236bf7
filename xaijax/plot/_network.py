"""Interactions: players on a circle, joined by the pairs that interact."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import NamesLike
from xaijax._core.words import counted
from xaijax.plot._interactions import singles_and_pairs
from xaijax.plot._parts.axes import caption, draws, new_axes, titled
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE, color_by_sign
from xaijax.plot._parts.fonts import label_style

_LARGEST_NODE, _SMALLEST_NODE = 700.0, 12.0  # areas in square points, proportional to |value|
_WIDEST_EDGE = 9.0  # points, proportional to |pair|
_SIDE = 0.5  # height on the circle, beyond which names are above or below their discs
_GAP, _LINE = 4.0, 18  # points between a disc and its name; letters in a line of a name


@draws
def network(
    attribution: Attribution,
    *,
    example: int | None = 0,
    names: NamesLike = None,
    top: int = 10,
    num_edges: int = 20,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws players as discs on a circle and pairs as lines: red where they increase the output, blue where they decrease it.

    The area of a disc is proportional to |value|, the width of a line to |pair|. The legend states the largest of both. The
    strongest player is at the top, the others follow clockwise.

    Args:
      attribution: `xai.Interactions`, values [N, M] and pairs [N, M, M], or with K outputs last; or of one example or game.
      example: the row to draw; None for the mean sizes over all rows, which have no sign: all are red.
      names: M names of the players. Default: the attribution's own.
      top: how many players to show, those with the largest sum of sizes of their value and pairs. Default 10.
      num_edges: how many pairs of these players to show, the strongest. Default 20, as many as can be told apart.
      output: the output, by index or name, where all K are explained; or the class whose rows are averaged.
      output_names, ax: as in `xai.plot.bars`.
      title: Default: the method, and how many players and pairs are left out.

    Returns:
      The axes, with lines, a collection of discs, and their names.

    Raises:
      TypeError, ValueError: if the attribution has no pairs of one output, or names do not fit its players.

    References:
      Inglis, Parnell & Hurley (2022), Visualizing variable importance and variable interaction effects in machine learning
      models, Journal of Computational and Graphical Statistics 31.

    >>> import xaijax as xai
    >>> game = xai.Game(lambda z: 1.0 * z[:, 0] * z[:, 1] + z[:, 2], num_players=3)
    >>> ax = xai.plot.network(xai.shap.interactions(game, index="SII"), names=["a", "b", "c"])
    >>> len(ax.lines), [text.get_text() for text in ax.texts]
    (1, ['a', 'b', 'c'])
    """
    shown_pairs = singles_and_pairs(attribution, example, names, output, output_names)
    values, pairs, labels = shown_pairs.values, shown_pairs.pairs, shown_pairs.labels
    num_edges = check.positive_int("num_edges", num_edges, least=0)
    strength = np.abs(values) + np.abs(pairs).sum(axis=1)
    shown = np.argsort(-strength, kind="stable")[: check.positive_int("top", top)]
    values, pairs, labels = values[shown], pairs[np.ix_(shown, shown)], [labels[player] for player in shown]
    first, second = np.triu_indices(len(shown), 1)
    sizes = np.abs(pairs[first, second])
    edges = np.argsort(-sizes, kind="stable")[:num_edges]
    edges = edges[sizes[edges] > 0]

    ax = new_axes(ax, (5.6, 4.8))
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(shown)) / len(shown)
    across, up = np.cos(angles), np.sin(angles)
    largest_pair, largest_value = sizes.max(initial=0.0) or 1.0, np.abs(values).max() or 1.0
    for edge in edges[::-1]:  # the strongest last, on top
        pair = pairs[first[edge], second[edge]]
        ends = [first[edge], second[edge]]
        width = _WIDEST_EDGE * abs(pair) / largest_pair
        ax.plot(
            across[ends],
            up[ends],
            color=color_by_sign(float(pair)),
            linewidth=width,
            alpha=0.75,
            solid_capstyle="butt",
            zorder=1,
        )
    areas = _LARGEST_NODE * np.abs(values) / largest_value
    colors = [color_by_sign(value) if value else "0.7" for value in values]
    ax.scatter(across, up, s=np.maximum(areas, _SMALLEST_NODE), c=colors, edgecolors="white", linewidths=1.2, zorder=2)
    _write_legend(ax, largest_value, largest_pair if len(edges) else None, signed=example is not None)
    ax.set_axis_off()
    players_left, pairs_left = len(strength) - len(shown), int((sizes > 0).sum()) - len(edges)
    left = [(players_left, "weaker player"), (pairs_left, "weaker pair")]
    left_out = " and ".join(counted(count, thing) for count, thing in left if count)
    default = caption(attribution.method, shown_pairs.of, shown_pairs.averaged) + (
        f"\n{left_out} left out" if left_out else ""
    )
    titled(ax, title, "\n".join(part for part in (default, shown_pairs.note) if part))
    _write_names(ax, angles, labels, np.maximum(areas, _SMALLEST_NODE))
    return ax


def _write_names(ax: Axes, angles: np.ndarray, labels: list[str], areas: np.ndarray) -> None:
    """Writes names outside the circle, and makes the circle as large as the names leave room for."""
    style: dict[str, Any] = {"fontsize": 8, "textcoords": "offset points", "annotation_clip": False} | label_style(
        labels
    )
    written = []
    for angle, label, area in zip(angles, labels, areas, strict=True):
        across, up = np.cos(angle), np.sin(angle)
        away = np.sqrt(area / np.pi) + _GAP
        ha = "center" if abs(across) < 0.2 else "left" if across > 0 else "right"
        va = "center" if abs(up) < _SIDE else "bottom" if up > 0 else "top"
        written.append(
            ax.annotate(textwrap.fill(label, _LINE), (across, up), (away * across, away * up), ha=ha, va=va, **style)
        )
    for name in written:
        name.set_in_layout(False)  # the limits below make room for them within the axes
    figure = ax.figure
    figure.canvas.draw()  # the size of the axes and of the names is known now
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    points = 72 / figure.dpi
    box = ax.get_window_extent(renderer)
    width, height = box.width * points, box.height * points
    radius = min(width, height) / 2
    for angle, area, name in zip(angles, areas, written, strict=True):
        across, up, extent = abs(np.cos(angle)), abs(np.sin(angle)), name.get_window_extent(renderer)
        away = np.sqrt(area / np.pi) + _GAP
        wide = extent.width * points * (0.5 if across < 0.2 else 1) + away * across + 1
        high = extent.height * points * (0.5 if up < _SIDE else 1) + away * up + 1
        radius = min(radius, (width / 2 - wide) / max(across, 1e-9), (height / 2 - high) / max(up, 1e-9))
    radius = max(radius, min(width, height) / 8)  # in axes that have no room for the names
    ax.set_xlim(-width / 2 / radius, width / 2 / radius)
    ax.set_ylim(-height / 2 / radius, height / 2 / radius)
    ax.set_aspect("equal", adjustable="box")


def _write_legend(ax: Axes, value: float, pair: float | None, *, signed: bool) -> None:
    dot = Line2D(
        [], [], marker="o", linestyle="none", color="0.6", markersize=9, label=f"single player, up to {value:.3g}"
    )
    handles = [dot]
    if pair is not None:
        handles.append(Line2D([], [], color="0.6", linewidth=4, label=f"pair, up to {pair:.3g}"))
    handles += [
        Line2D([], [], marker="s", linestyle="none", color=color, markersize=7, label=label)
        for color, label in ((POSITIVE, "increases the output"), (NEGATIVE, "decreases it"))
        if signed
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, fontsize=7, frameon=False)
