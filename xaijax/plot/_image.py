"""A map over an image."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence
from xaijax.plot._parts.axes import caption, draws, new_axes, titled
from xaijax.plot._parts.colors import color_bar, scale_of
from xaijax.plot._parts.images import check_without_images, images_of
from xaijax.plot._parts.maps import check_alpha, draw_heat, draw_image, maps_of, resized, write_notes
from xaijax.plot._parts.rows import check_example


@draws
def image(
    attribution: Attribution,
    images: ArrayOrSequence | None = None,
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    gray: bool = True,
    alpha: float = 0.75,
    percentile: float = 100.0,
    signed: bool | None = None,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws an image in gray with the explanation over it in color, or a map alone.

    The stronger a value, the less transparent its color, so that the image stays visible. The colors reach from 0 to the
    largest value of the map (of signed values: to the largest |value|, symmetric about 0), as the color bar states.

    Args:
      attribution: maps [N, h, w], which are resized linearly, or values of regions [N, M], or with K outputs; or values of
        an input's pixels [N, H, W, C], whose channels are summed; or one example, `attribution[3]`.
      images: [N, H, W, C] or [N, H, W] the explained images, of 3 channels or 1; of one example also without N. 0 is black
        and 1 white; of whole numbers up to 255, 255 is white. Other values are scaled to the range of all images, which is
        stated below. Default None: the map alone, at its own size.
      example: the image to draw.
      output: the output, by index or name, where all K are explained.
      output_names: names of the outputs. Default: the attribution's own.
      gray: whether the image is drawn in gray, so that all color belongs to the values. Default True.
      alpha: the opacity of the strongest value, between 0 and 1.
      percentile: the percentile of |value| at which the colors end, such as 99, so that a few extremes do not hide the
        rest. It is stated below the image. Default 100: the colors end at the largest.
      signed: whether the colors are symmetric about 0, which is white. Default None: where values are negative.
      mean, std: one number, or one for each channel, of images that were standardized by (x - mean) / std.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method and the output.

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if the attribution holds no maps, the images do not fit it, or values are not finite.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    >>> maps = xai.Attribution(images[:, ::2, ::2, 0] - 0.5, jnp.ones(2), method="a map")
    >>> ax = xai.plot.image(maps, images, example=1, percentile=99)
    >>> ax.get_title(), [drawn.get_array().shape for drawn in ax.images]
    ('a map', [(8, 8), (8, 8)])
    """
    maps = maps_of(attribution, output_names)
    chosen = maps.chosen(output)
    count, alpha = len(chosen.values), check_alpha(alpha)
    example = check_example(example, count)
    heat, below, note = chosen.values[example], None, ""
    check_without_images(images, mean, std, gray)
    if images is not None:
        read = images_of(images, [example], count, mean=mean, std=std, gray=gray, alone=maps.alone)
        below, note = read.shown[0], read.note
        heat = resized(heat, below.shape[:2], of_regions=maps.of_regions)
    scale = scale_of([heat], percentile, signed)

    ax = new_axes(ax, (4.2, 3.6))
    if below is not None:
        draw_image(ax, below)
    draw_heat(ax, heat, scale, None if below is None else alpha)
    color_bar(scale, ax)
    write_notes(ax, scale.note, note)
    titled(ax, title, caption(maps.method, chosen.names[example]))
    return ax
