"""The strongest regions of an image, with the rest faded or filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.typing import ColorType

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence
from xaijax._core.words import signed
from xaijax.plot._borders import draw_borders, draw_outline
from xaijax.plot._parts.axes import caption, draws, new_axes, titled
from xaijax.plot._parts.colors import check_color, color_by_sign
from xaijax.plot._parts.images import images_of
from xaijax.plot._parts.maps import draw_image, maps_of, write_notes
from xaijax.plot._parts.rows import check_example

_SIGNS, _RESTS = ["both", "positive", "negative"], ["fade", "fill", "keep"]
_FADED = 0.72  # the share of white in the rest, whose shapes remain visible
_ALL_BORDERS = "#ffffff"


@draws
def regions(
    attribution: Attribution,
    images: ArrayOrSequence,
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    top: int = 5,
    sign: str = "both",
    rest: str = "fade",
    fill: ColorType = "0.5",
    all_borders: bool = True,
    gray: bool = False,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the strongest regions of an image in frames: red ones speak for the output, blue and hatched ones against it.

    Args:
      attribution: values of regions [N, M], such as from `xai.lime.image`.
      images, output, output_names: as in `xai.plot.image`.
      example: the image to draw.
      top: how many regions, those with the largest |value| among the requested signs; never those of value 0. Default 5.
      sign: "both", "positive" for regions that speak for the output, or "negative".
      rest: what is done with the other regions: "fade" to white, "fill" with a color, or "keep". Default "fade".
      fill: the color for rest="fill". Default mid-gray.
      all_borders: whether the borders of the other regions are drawn, thin and white. Default True.
      gray: whether the image is drawn in gray. Default False.
      mean, std: as in `xai.plot.image`.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method and the output.

    Returns:
      The axes, with its value written on each region that is shown.

    Raises:
      TypeError, ValueError: as `xai.plot.image`; if the attribution has no regions.

    References:
      Ribeiro, Singh & Guestrin (2016), arXiv:1602.04938, figure 4.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (1, 4, 4, 3))
    >>> labels = jnp.array([[[0, 0, 1, 1]] * 4])
    >>> lime = xai.Attribution(jnp.array([[2.0, -1.0]]), jnp.ones(1), regions=labels, method="LIME")
    >>> ax = xai.plot.regions(lime, images, top=1)
    >>> [text.get_text() for text in ax.texts], ax.get_xlabel()
    (['+2'], '1 of 2 regions, 67 % of the sum of |value|')
    """
    maps = maps_of(attribution, output_names)
    if attribution.regions is None:
        raise ValueError(
            "`attribution` must have regions: explain with a masker of regions, as xai.lime.image does, or draw the map "
            "with xai.plot.image."
        )
    chosen = maps.chosen(output)
    example, top = check_example(example, len(chosen.values)), check.positive_int("top", top)
    sign, rest = check.one_of("sign", sign, _SIGNS), check.one_of("rest", rest, _RESTS)
    fill, all_borders = check_color("fill", fill), check.flag("all_borders", all_borders)
    read = images_of(images, [example], len(chosen.values), mean=mean, std=std, gray=gray, alone=maps.alone)
    labels = np.asarray(attribution.regions)
    labels = labels if maps.alone else labels[example]
    image = read.shown[0]
    if labels.shape != image.shape[:2]:
        raise ValueError(
            f"`images` must be of the size of the regions, {list(labels.shape)}, got {list(image.shape[:2])}."
        )

    distinct, first = np.unique(labels, return_index=True)
    values = chosen.values[example].ravel()[first]
    shown = _strongest_of_sign(values, top, sign)
    mask = np.isin(labels, distinct[shown])
    if rest != "keep":
        color = np.ones(3) if rest == "fade" else np.array(to_rgb(fill))
        share = _FADED if rest == "fade" else 1.0
        image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
        image = np.where(mask[..., None], image, (1 - share) * image + share * color)

    ax = new_axes(ax, (4.2, 4.4))
    draw_image(ax, image)
    if all_borders:
        draw_borders(ax, labels, color=(*to_rgb(_ALL_BORDERS), 0.45), linewidth=0.5)
    for region in shown[::-1]:  # the strongest last, above the others
        _frame(ax, labels == distinct[region], float(values[region]))
    total = np.abs(values).sum()
    share = np.abs(values[shown]).sum() / total if total > 0 else 0.0
    of_sign = "" if sign == "both" else f", the {sign} ones"
    note = f"{len(shown)} of {len(distinct)} regions{of_sign}, {100 * share:.0f} % of the sum of |value|"
    write_notes(ax, note if total > 0 else "all values are 0", read.note)
    titled(ax, title, caption(maps.method, chosen.names[example]))
    return ax


def _strongest_of_sign(values: np.ndarray, top: int, sign: str) -> np.ndarray:
    """Returns the indices of the strongest values of a sign, the strongest first; never those of 0."""
    wanted = {"both": values != 0, "positive": values > 0, "negative": values < 0}[sign]
    order = np.argsort(-np.abs(values), kind="stable")
    return order[wanted[order]][:top]


def _frame(ax: Axes, mask: np.ndarray, value: float) -> None:
    """Draws the outline of a region, and writes its value at the pixel closest to its center."""
    color = color_by_sign(value)
    draw_outline(ax, mask, color=color, linewidth=2.0)
    if value < 0:
        ax.contourf(mask.astype(float), levels=[0.5, 1.5], hatches=["///"], colors="none")
        ax.collections[-1].set_edgecolor(color)
        ax.collections[-1].set_linewidth(0)
    rows, columns = np.nonzero(mask)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    ax.text(
        columns[middle], rows[middle], signed(value, digits=2), ha="center", va="center", fontsize=7, color="white", clip_on=True,
        bbox={"facecolor": color, "edgecolor": "none", "boxstyle": "round,pad=0.15", "alpha": 0.85},
    )  # fmt: skip
