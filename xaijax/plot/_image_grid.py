"""A batch of images with their maps and outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence
from xaijax.plot._parts.axes import draws, panels, titled
from xaijax.plot._parts.colors import check_percentile, color_bar, scale_of
from xaijax.plot._parts.images import check_without_images, images_of
from xaijax.plot._parts.maps import (
    check_alpha,
    checked_probabilities,
    draw_heat,
    draw_image,
    label_names,
    maps_of,
    resized,
    write_notes,
)
from xaijax.plot._parts.rows import check_examples

_MOST = 100


@draws
def image_grid(
    attribution: Attribution,
    images: ArrayOrSequence | None = None,
    *,
    examples: Sequence[int] | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    labels: ArrayOrSequence | None = None,
    probabilities: ArrayOrSequence | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    gray: bool = True,
    alpha: float = 0.75,
    percentile: float = 100.0,
    signed: bool | None = None,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    bar: str = "right",
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws a batch of images with their maps, or the maps alone, all on one scale that the color bar states.

    The title of each image is the explained output with its probability, or with the output where no probabilities are
    given. Its label is below, in red where another class is explained.

    Args:
      attribution, images, output, output_names: as in `xai.plot.image`; without images, the maps alone.
      examples: the images to draw, at most 100. Default: all.
      labels: the true labels of the images: N names, or N ints that output_names name.
      probabilities: [N] the probability of the explained output, or [N, K] of all classes. Default: outputs are written.
      titles: a title for each image that is drawn. Default: the explained output.
      columns: the number of images in a row. Default 4.
      gray, alpha, percentile, signed, mean, std: as in `xai.plot.image`; the percentile is over all images.
      bar: where the color bar is drawn, "right" or "bottom" (for one row of many). Default "right".
      axes: axes to draw on, as many as images, in any shape. Default: those of a new figure.

    Returns:
      The axes of the images, one for each example, in order.

    Raises:
      TypeError, ValueError: as `xai.plot.image`; if labels or probabilities do not fit the images.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 3))
    >>> maps = xai.Attribution(images[..., 0], jnp.ones(3), target=jnp.array([1, 0, 1]), method="red")
    >>> axes = xai.plot.image_grid(maps, images, output_names=["cat", "dog"], probabilities=[0.9, 0.8, 0.7])
    >>> [ax.get_title() for ax in axes]
    ['dog 90 %', 'cat 80 %', 'dog 70 %']
    """
    maps = maps_of(attribution, output_names)
    chosen = maps.chosen(output)
    count, names = len(chosen.values), chosen.names
    indices = check_examples(examples, count)
    if len(indices) > _MOST:
        raise ValueError(f"`examples` must be at most {_MOST} to be seen, got {len(indices)}: choose some.")
    columns = min(check.positive_int("columns", columns), len(indices))
    alpha, percentile = check_alpha(alpha), check_percentile(percentile)
    below = check.one_of("bar", bar, ["right", "bottom"]) == "bottom"
    true_names = label_names(labels, count, maps.output_names)
    likely = checked_probabilities(probabilities, count, chosen.targets)
    heats, shown, note = [chosen.values[example] for example in indices], [None] * len(indices), ""
    check_without_images(images, mean, std, gray)
    if images is not None:
        read = images_of(images, indices, count, mean=mean, std=std, gray=gray, alone=maps.alone)
        shown, note = list(read.shown), read.note
        heats = [resized(heat, read.shown.shape[1:3], of_regions=maps.of_regions) for heat in heats]
    if titles is not None and len(check.texts("titles", titles)) != len(indices):
        raise ValueError(f"`titles` must be {len(indices)}, one for each image drawn, got {check.shown(titles)}.")

    scale = scale_of(heats, percentile, signed)
    grid = _grid(axes, len(indices), columns, heats[0].shape)
    for number, (ax, example, image, heat) in enumerate(zip(grid, indices, shown, heats, strict=True)):
        if image is not None:
            draw_image(ax, image)
        draw_heat(ax, heat, scale, None if image is None else alpha)
        if titles is not None:
            titled(ax, str(titles[number]), "")
        else:
            probability = None if likely is None else likely[example]
            titled(ax, None, _answer(names[example], chosen.outputs[example], probability), size=9)
        if true_names is not None:
            wrong = bool(names[example]) and true_names[example] != names[example]
            write_notes(ax, f"label: {true_names[example]}", color="#a3260d" if wrong else "0.2", size=8)
    stated = "\n".join(
        part for part in (scale.note or f"one scale for all {'maps' if images is None else 'images'}", note) if part
    )
    color_bar(scale, list(grid), f"{maps.method}: {stated}" if maps.method else stated, slim=True, below=below)
    return grid


def _answer(name: str, output: float, probability: float | None) -> str:
    """Returns the name of the explained output with its probability, or with the output."""
    if probability is not None:
        return f"{name} {100 * probability:.0f} %".strip()
    return f"{name}: {output:.3g}" if name else f"output {output:.3g}"


def _grid(axes: Sequence[Axes] | np.ndarray | None, count: int, columns: int, size: tuple[int, ...]) -> np.ndarray:
    if axes is not None:
        return panels(axes, 1, count, size)[0]
    rows = -(-count // columns)
    grid = panels(None, rows, columns, size).ravel()
    for ax in grid[count:]:
        ax.remove()
    return grid[:count]
