"""The regions that count most, with the rest of the picture faded or filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._axes import NEGATIVE, POSITIVE, caption, check_example, new_axes, titled
from xaijax.plot._borders import draw_borders, draw_outline
from xaijax.plot._maps import draw_picture, maps_of, state
from xaijax.plot._pictures import pictures_of

_SIGNS, _RESTS = ["both", "positive", "negative"], ["fade", "fill", "keep"]
_FADED = 0.72  # how white the rest becomes: its shapes are still to be seen
_ALL_BORDERS = "#ffffff"


def regions(
    attribution: Attribution,
    images: Any,
    *,
    example: int = 0,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    top: int = 5,
    sign: str = "both",
    rest: str = "fade",
    fill: Any = "0.5",
    all_borders: bool = True,
    gray: bool = False,
    mean: Any = None,
    std: Any = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the strongest regions of a picture in a frame: red ones speak for the output, blue and hatched ones against.

    Args:
      attribution: values of regions [N, M], such as from `xai.lime.image`.
      images, output, output_names: as in `xai.plot.image`.
      example: which one to draw.
      top: how many regions, the largest in size |value|; of the sign asked for, and never those of value 0. Default 5.
      sign: "both", "positive" for those that speak for the output alone, or "negative".
      rest: what becomes of the others: "fade" to white, "fill" with a color, or "keep". Default "fade".
      fill: the color for rest="fill". Default mid-gray.
      all_borders: whether the borders of the other regions are drawn, thin and white. Default True.
      gray: whether the picture is drawn in gray. Default False.
      mean, std: as in `xai.plot.image`.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the output.

    Returns:
      The axes. Each shown region has its value written on it.

    Raises:
      TypeError, ValueError: as `xai.plot.image`; if the attribution has no regions.

    References:
      Ribeiro, Singh & Guestrin (2016), arXiv:1602.04938, figure 4.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (1, 4, 4, 3))
    >>> labels = jnp.array([[[0, 0, 1, 1]] * 4])
    >>> found = xai.Attribution(jnp.array([[2.0, -1.0]]), jnp.ones(1), regions=labels, method="LIME")
    >>> ax = xai.plot.regions(found, images, top=1)
    >>> [text.get_text() for text in ax.texts], ax.get_xlabel()
    (['+2'], '1 of 2 regions, 67 % of the sum of |value|')
    """
    maps = maps_of(attribution)
    if attribution.regions is None:
        raise ValueError(
            "attribution has no regions: explain with a masker of regions, as xai.lime.image does, or draw the map with "
            "xai.plot.image."
        )
    chosen = maps.chosen(output, output_names)
    example = check_example(example, len(chosen.values))
    top, sign, rest = (
        check.positive_int("top", top),
        check.one_of("sign", sign, _SIGNS),
        check.one_of("rest", rest, _RESTS),
    )
    pictures = pictures_of(images, [example], len(chosen.values), mean=mean, std=std, gray=gray, alone=maps.alone)
    labels = np.asarray(attribution.regions)
    labels = labels if maps.alone else labels[example]
    picture = pictures.shown[0]
    if labels.shape != picture.shape[:2]:
        raise ValueError(
            f"images must be as large as the regions, {list(labels.shape)}, not {list(picture.shape[:2])}."
        )

    places, first = np.unique(labels, return_index=True)
    values = chosen.values[example].ravel()[first]
    shown = strongest_of_sign(values, top, sign)
    mask = np.isin(labels, places[shown])
    if rest != "keep":
        color = np.ones(3) if rest == "fade" else np.array(to_rgb(fill))
        share = _FADED if rest == "fade" else 1.0
        picture = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture
        picture = np.where(mask[..., None], picture, (1 - share) * picture + share * color)

    ax = new_axes(ax, (4.2, 4.4))
    draw_picture(ax, picture)
    if all_borders:
        draw_borders(ax, labels, color=(*to_rgb(_ALL_BORDERS), 0.45), linewidth=0.5)
    for place in shown[::-1]:  # the strongest last, above the others
        _frame(ax, labels == places[place], float(values[place]))
    total = np.abs(values).sum()
    share = np.abs(values[shown]).sum() / total if total > 0 else 0.0
    of_sign = "" if sign == "both" else f" {sign}"
    said = f"{len(shown)} of {len(places)} regions{of_sign and ', the' + of_sign + ' ones'}, {share:.0%} of the sum of |value|"
    state(ax, said.replace("%", " %") if total > 0 else "all values are 0", pictures.note)
    titled(ax, title, caption(maps.method, chosen.names[example]))
    return ax


def strongest_of_sign(values: np.ndarray, top: int, sign: str) -> np.ndarray:
    """The places of the strongest values of a sign, strongest first; never of 0."""
    wanted = {"both": values != 0, "positive": values > 0, "negative": values < 0}[sign]
    order = np.argsort(-np.abs(values), kind="stable")
    return order[wanted[order]][:top]


def _frame(ax: Axes, mask: np.ndarray, value: float) -> None:
    """The outline of a region, and its value on the place in it that is nearest to its middle."""
    color = POSITIVE if value > 0 else NEGATIVE
    draw_outline(ax, mask, color=color, linewidth=2.0)
    if value < 0:
        ax.contourf(mask.astype(float), levels=[0.5, 1.5], hatches=["///"], colors="none")
        ax.collections[-1].set_edgecolor(color)
        ax.collections[-1].set_linewidth(0)
    rows, columns = np.nonzero(mask)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    ax.text(
        columns[middle], rows[middle], f"{value:+.2g}", ha="center", va="center", fontsize=7, color="white", clip_on=True,
        bbox={"facecolor": color, "edgecolor": "none", "boxstyle": "round,pad=0.15", "alpha": 0.85},
    )  # fmt: skip
