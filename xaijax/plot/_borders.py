"""The borders of superpixels, as lines between places."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from xaijax.plot._axes import check_example, new_axes, titled
from xaijax.plot._maps import draw_picture, state
from xaijax.plot._pictures import pictures_of

_LINE = "#4fd0d0"  # seldom a color of pictures, and seen on dark and bright ones


def borders(
    images: Any,
    labels: Any,
    *,
    example: int = 0,
    color: Any = _LINE,
    linewidth: float = 0.9,
    gray: bool = False,
    mean: Any = None,
    std: Any = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a picture with the borders of its regions, to see what the players are before they are explained.

    Args:
      images: [N, H, W, C] or [N, H, W], as in `xai.plot.image`.
      labels: [N, H, W] or [H, W] integers, such as from `xai.segment.slic`, or `attribution.regions`.
      example: which one to draw.
      color, linewidth: of the borders.
      gray: whether the picture is drawn in gray. Default False.
      mean, std: as in `xai.plot.image`.
      ax: axes to draw on. Default: those of a new figure.
      title: default, how many regions there are.

    Returns:
      The axes, with the borders as a line collection.

    Raises:
      TypeError, ValueError: if the labels are no integers or of another size than the images.

    >>> import jax, numpy as np, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (1, 4, 4, 3))
    >>> ax = xai.plot.borders(images, np.repeat([[0, 0, 1, 1]], 4, axis=0))
    >>> ax.get_title(), [line.tolist() for line in ax.collections[0].get_segments()]
    ('2 regions', [[[1.5, -0.5], [1.5, 3.5]]])
    """
    given = np.asarray(labels)
    if not np.issubdtype(given.dtype, np.integer) or given.ndim not in (2, 3):
        raise TypeError(f"labels must be integers [N, H, W] or [H, W], but it is {given.dtype}{list(given.shape)}.")
    count = len(given) if given.ndim == 3 else np.shape(images)[0] if np.ndim(images) == 4 else None
    example = check_example(example, 1 if count is None else count)
    pictures = pictures_of(images, [example], count, mean=mean, std=std, gray=gray, alone=count in (None, 1))
    given = given[example] if given.ndim == 3 else given
    if given.shape != pictures.shown.shape[1:3]:
        raise ValueError(
            f"labels must be as large as the images, {list(pictures.shown.shape[1:3])}, not {list(given.shape)}."
        )
    ax = new_axes(ax, (4.0, 4.0))
    draw_picture(ax, pictures.shown[0])
    draw_borders(ax, given, color=color, linewidth=linewidth)
    state(ax, pictures.note)
    regions = len(np.unique(given))
    titled(ax, title, "1 region" if regions == 1 else f"{regions} regions")
    return ax


def draw_borders(ax: Axes, labels: np.ndarray, *, color: Any = _LINE, linewidth: float = 0.9) -> None:
    """Lines wherever two neighboring places have different labels."""
    draw_lines(ax, border_lines(labels), color, linewidth)


def draw_outline(ax: Axes, mask: np.ndarray, *, color: Any, linewidth: float) -> None:
    """Lines all around a region, along the frame of the picture as well."""
    draw_lines(ax, border_lines(np.pad(mask, 1)) - 1, color, linewidth)


def draw_lines(ax: Axes, lines: np.ndarray, color: Any, linewidth: float) -> None:
    ax.add_collection(LineCollection(list(lines), colors=[color], linewidths=linewidth), autolim=False)


def border_lines(labels: np.ndarray) -> np.ndarray:
    """[n, 2, 2] the two ends (x, y) of every straight line of a border, as long as it goes."""
    upright = _runs(labels[:, 1:] != labels[:, :-1])
    level = _runs((labels[1:] != labels[:-1]).T)[..., ::-1]
    return np.concatenate([upright, level])


def _runs(differs: np.ndarray) -> np.ndarray:
    """Of [lines, columns], whether there is a border right of each column: the ends (x, y) of those without a gap."""
    padded = np.pad(differs.astype(np.int8), ((1, 1), (0, 0)))
    steps = np.diff(padded, axis=0).T  # by column, so that starts and ends come in pairs
    columns, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    across = columns + 0.5
    return np.stack([np.stack([across, starts - 0.5], axis=1), np.stack([across, ends - 0.5], axis=1)], axis=1)
