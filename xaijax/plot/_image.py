"""Maps over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import caption, check_example, new_axes, titled
from xaijax.plot._colors import color_bar, scale_of
from xaijax.plot._maps import check_alpha, draw_heat, draw_picture, maps_of, resized, state
from xaijax.plot._pictures import pictures_of


def image(
    attribution: Attribution,
    images: Any = None,
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    gray: bool = True,
    alpha: float = 0.75,
    percentile: float = 100.0,
    signed: bool | None = None,
    mean: Any = None,
    std: Any = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws what counts in an image: the picture in gray, the values over it in color; or the map alone.

    The stronger a value the less transparent its color, so that the picture stays visible. The colors reach from 0 to
    the largest value of the map (signed values: to the largest in size, both ways), as the color bar says.

    Args:
      attribution: maps [N, h, w], which are resized linearly, or values of regions [N, M]; of all outputs with K behind;
        or values of an input's channels [N, H, W, C], which are summed. Of one example alone, `attribution[3]`, without N.
      images: [N, H, W, C] or [N, H, W] the images that were explained, of 3 channels or 1; of one example also without
        N. 0 is black and 1 white; of integers and other whole numbers up to 255, 255 is. Other ranges are shown from the
        least value of all images to the largest, and the picture says so. Default None: the map alone, as it is.
      example: which one to draw.
      output: which output, by number or name, where all are explained.
      output_names: K names of the outputs, for the title.
      gray: whether the picture is drawn in gray, so that only the values have colors. Default True.
      alpha: the opacity of the strongest value, between 0 and 1.
      percentile: of the sizes |value|, at which the colors end, so that a few extremes do not hide the others: 99, say.
        It is printed below the picture. Default 100: they end at the largest.
      signed: whether the colors go both ways from 0, so that 0 is white. Default None: where values are negative.
      mean, std: numbers or one for each channel, of images that were standardized, (x - mean) / std, before the model.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the output.

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if the attribution is none of images, the images do not belong to it, or values of either
        are not finite.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    >>> maps = xai.Attribution(images[:, ::2, ::2, 0] - 0.5, jnp.ones(2), method="a map")
    >>> ax = xai.plot.image(maps, images, example=1, percentile=99)
    >>> ax.get_title(), [drawn.get_array().shape for drawn in ax.images]
    ('a map', [(8, 8), (8, 8)])
    """
    maps = maps_of(attribution)
    chosen = maps.chosen(output, output_names)
    count, alpha = len(chosen.values), check_alpha(alpha)
    example = check_example(example, count)
    heat, picture, note = chosen.values[example], None, ""
    if images is not None:
        pictures = pictures_of(images, [example], count, mean=mean, std=std, gray=gray, alone=maps.alone)
        picture, note = pictures.shown[0], pictures.note
        heat = resized(heat, picture.shape[:2], of_regions=maps.of_regions)
    scale = scale_of([heat], percentile, signed)

    ax = new_axes(ax, (4.2, 3.6))
    if picture is not None:
        draw_picture(ax, picture)
    draw_heat(ax, heat, scale, None if picture is None else alpha)
    color_bar(scale, ax)
    state(ax, scale.note, note)
    titled(ax, title, caption(maps.method, chosen.names[example]))
    return ax
