"""The borders of image regions, as lines between pixels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.typing import ColorType

from xaijax._core import check
from xaijax._core.typing import ArrayOrSequence
from xaijax._core.words import counted
from xaijax.plot._parts.axes import draws, new_axes, titled
from xaijax.plot._parts.colors import check_color
from xaijax.plot._parts.images import images_of
from xaijax.plot._parts.maps import check_unmasked, draw_image, write_notes
from xaijax.plot._parts.rows import check_example

_LINE = "#4fd0d0"  # rare in photographs, and visible on dark and bright ones


@draws
def borders(
    images: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    example: int = 0,
    color: ColorType = _LINE,
    linewidth: float = 0.9,
    gray: bool = False,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws an image with the borders of its regions, to see the players before they are explained.

    Args:
      images: [N, H, W, C] or [N, H, W], as in `xai.plot.image`.
      labels: [N, H, W] or [H, W] integers, such as from `xai.segment.slic`, or `attribution.regions`.
      example: the image to draw.
      color: a color of Matplotlib for the borders.
      linewidth: the width of the borders in points.
      gray: whether the image is drawn in gray. Default False.
      mean, std: as in `xai.plot.image`.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the number of regions.

    Returns:
      The axes, with the borders as a line collection.

    Raises:
      TypeError, ValueError: if the labels are not integers of the size of the images.

    >>> import jax, numpy as np, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (1, 4, 4, 3))
    >>> ax = xai.plot.borders(images, np.repeat([[0, 0, 1, 1]], 4, axis=0))
    >>> ax.get_title(), [line.tolist() for line in ax.collections[0].get_segments()]
    ('2 regions', [[[1.5, -0.5], [1.5, 3.5]]])
    """
    given, images = check_unmasked("labels", labels), np.asarray(check.numeric_array("images", images))
    if not np.issubdtype(given.dtype, np.integer) or given.ndim not in (2, 3):
        raise TypeError(f"`labels` must be integers [N, H, W] or [H, W], got {check.shown(given)}.")
    color, linewidth = check_color("color", color), check.positive_float("linewidth", linewidth, zero_allowed=True)
    count = len(given) if given.ndim == 3 else np.shape(images)[0] if np.ndim(images) == 4 else None
    example = check_example(example, 1 if count is None else count)
    shown = images_of(images, [example], count, mean=mean, std=std, gray=gray, alone=count in (None, 1))
    given = given[example] if given.ndim == 3 else given
    if given.shape != shown.shown.shape[1:3]:
        raise ValueError(
            f"`labels` must be of the size of the images, {list(shown.shown.shape[1:3])}, got {list(given.shape)}."
        )
    ax = new_axes(ax, (4.0, 4.0))
    draw_image(ax, shown.shown[0])
    draw_borders(ax, given, color=color, linewidth=linewidth)
    write_notes(ax, shown.note)
    titled(ax, title, counted(len(np.unique(given)), "region"))
    return ax


def draw_borders(ax: Axes, labels: np.ndarray, *, color: ColorType = _LINE, linewidth: float = 0.9) -> None:
    """Draws lines between all neighboring pixels of different labels."""
    draw_lines(ax, border_lines(labels), color, linewidth)


def draw_outline(ax: Axes, mask: np.ndarray, *, color: ColorType, linewidth: float) -> None:
    """Draws a closed line around a region, also along the edges of the image."""
    draw_lines(ax, border_lines(np.pad(mask, 1)) - 1, color, linewidth)


def draw_lines(ax: Axes, lines: np.ndarray, color: ColorType, linewidth: float) -> None:
    ax.add_collection(LineCollection(list(lines), colors=[color], linewidths=linewidth), autolim=False)


def border_lines(labels: np.ndarray) -> np.ndarray:
    """Returns the two ends (x, y) of every straight line of the borders, as long as possible, [n, 2, 2]."""
    vertical = _runs(labels[:, 1:] != labels[:, :-1])
    horizontal = _runs((labels[1:] != labels[:-1]).T)[..., ::-1]
    return np.concatenate([vertical, horizontal])


def _runs(differs: np.ndarray) -> np.ndarray:
    """Returns the ends (x, y) of runs without a gap, of [rows, columns] whether a border is right of each pixel."""
    padded = np.pad(differs.astype(np.int8), ((1, 1), (0, 0)))
    steps = np.diff(padded, axis=0).T  # by column, so that starts and ends are in the same order
    columns, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    across = columns + 0.5
    return np.stack([np.stack([across, starts - 0.5], axis=1), np.stack([across, ends - 0.5], axis=1)], axis=1)
