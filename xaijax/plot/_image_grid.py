"""A batch of pictures with what counts in them, and what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._axes import check_example, titled
from xaijax.plot._colors import check_percentile, color_bar, scale_of
from xaijax.plot._fonts import label_style
from xaijax.plot._labels import checked_probabilities, label_names
from xaijax.plot._maps import check_alpha, draw_heat, draw_picture, maps_of, resized, state
from xaijax.plot._panels import panels
from xaijax.plot._pictures import pictures_of

_MOST = 100


def image_grid(
    attribution: Attribution,
    images: Any = None,
    *,
    examples: Sequence[int] | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    probabilities: Any = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    gray: bool = True,
    alpha: float = 0.75,
    percentile: float = 100.0,
    signed: bool | None = None,
    mean: Any = None,
    std: Any = None,
    bar: str = "right",
    axes: Any = None,
) -> np.ndarray:
    """Draws a batch of pictures with what counts in each, or the maps alone, all on one scale that the color bar states.

    Over each picture stands what is explained with its probability (or the model's output), and below it the label, in
    red where another class than the label is explained.

    Args:
      attribution, images, output, output_names: as in `xai.plot.image`: without images the maps alone, as they are.
      examples: which ones to draw, 100 at most. Default: all.
      labels: what the images truly are, N names, or N ints that output_names name.
      probabilities: [N] those of what is explained, or [N, K] of all classes. Default: the outputs are written.
      titles: a text over each picture that is drawn. Default: what is explained.
      columns: how many pictures in a row. Default 4.
      gray, alpha, percentile, signed, mean, std: as in `xai.plot.image`; the percentile is over all pictures.
      bar: where the color bar is, "right" or "bottom" (for one row of many). Default "right".
      axes: axes to draw on, as many as pictures, in any shape. Default: those of a new figure.

    Returns:
      The axes of the pictures, one for each example, in order.

    Raises:
      TypeError, ValueError: as `xai.plot.image`; if labels or probabilities do not fit the images.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 3))
    >>> maps = xai.Attribution(images[..., 0], jnp.ones(3), target=jnp.array([1, 0, 1]), method="red")
    >>> axes = xai.plot.image_grid(maps, images, output_names=["cat", "dog"], probabilities=[0.9, 0.8, 0.7])
    >>> [ax.get_title() for ax in axes]
    ['dog 90 %', 'cat 80 %', 'dog 70 %']
    """
    maps = maps_of(attribution)
    chosen = maps.chosen(output, output_names)
    count, names = len(chosen.values), chosen.names
    examples = list(range(count)) if examples is None else [check_example(example, count) for example in examples]
    if not 1 <= len(examples) <= _MOST:
        raise ValueError(f"examples must be 1 to {_MOST} to be seen, but there are {len(examples)}: choose some.")
    columns = min(check.positive_int("columns", columns), len(examples))
    alpha, percentile = check_alpha(alpha), check_percentile(percentile)
    below = check.one_of("bar", bar, ["right", "bottom"]) == "bottom"
    truths = label_names(labels, count, output_names)
    likely = checked_probabilities(probabilities, count, chosen.targets)
    heats, shown, note = [chosen.values[example] for example in examples], [None] * len(examples), ""
    if images is not None:
        pictures = pictures_of(images, examples, count, mean=mean, std=std, gray=gray, alone=maps.alone)
        shown, note = list(pictures.shown), pictures.note
        heats = [resized(heat, pictures.shown.shape[1:3], of_regions=maps.of_regions) for heat in heats]
    if titles is not None and (isinstance(titles, str) or len(titles) != len(examples)):
        raise ValueError(f"titles must be {len(examples)}, one for each picture drawn, but it is {titles!r}.")

    scale = scale_of(heats, percentile, signed)
    grid = _grid(axes, len(examples), columns, heats[0].shape)
    for place, (ax, example, picture, heat) in enumerate(zip(grid, examples, shown, heats, strict=True)):
        if picture is not None:
            draw_picture(ax, picture)
        draw_heat(ax, heat, scale, None if picture is None else alpha)
        if titles is not None:
            titled(ax, str(titles[place]), "")
        else:
            title = _said(names[example], chosen.outputs[example], None if likely is None else likely[example])
            ax.set_title(title, fontsize=9, **label_style([title]))
        if truths is not None:
            wrong = bool(names[example]) and truths[example] != names[example]
            state(ax, f"truly {truths[example]}")
            ax.xaxis.label.set_color("#a3260d" if wrong else "0.2")
            ax.xaxis.label.set_fontsize(8)
    what = "maps" if images is None else "pictures"
    stated = "\n".join(part for part in (scale.note or f"one scale for all {what}", note) if part)
    stated = f"{maps.method}: {stated}" if maps.method else stated
    color_bar(scale, list(grid), stated, slim=True, below=below)
    return grid


def _said(name: str, output: float, probability: float | None) -> str:
    """What is explained, and how sure the model is of it."""
    if probability is not None:
        return f"{name} {100 * probability:.0f} %".strip()
    return f"{name}: {output:.3g}" if name else f"output {output:.3g}"


def _grid(axes: Any, count: int, columns: int, size: tuple[int, ...]) -> np.ndarray:
    if axes is not None:
        return panels(axes, 1, count, size)[0]
    rows = -(-count // columns)
    grid = panels(None, rows, columns, size).ravel()
    for ax in grid[count:]:
        ax.remove()
    return grid[:count]
