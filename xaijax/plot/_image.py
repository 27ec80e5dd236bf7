"""Maps over images."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes

from xaijax import _check
from xaijax._attribution import Attribution
from xaijax.plot._axes import check_attribution, check_example, new_axes


def image(
    attribution: Attribution,
    images: Any,
    *,
    example: int = 0,
    ax: Axes | None = None,
    alpha: float = 0.75,
    title: str | None = None,
) -> Axes:
    """Draws what counts in an image: the picture in grey, the values over it in colour.

    The stronger a value the less transparent its colour, so that the picture stays visible. The colours reach from the
    least to the largest value of the map (signed values: to the largest in size, both ways), as the colour bar says.

    Args:
      attribution: maps [N, h, w], which are resized linearly, or values of regions [N, M].
      images: [N, H, W, C] or [N, H, W] the images that were explained.
      example: which one to draw.
      ax: axes to draw on. Default: those of a new figure.
      alpha: the opacity of the strongest value, between 0 and 1.
      title: default, the method.

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if the attribution is none of images, or the images do not belong to it.
    """
    check_attribution(attribution)
    values = np.asarray(attribution.on_input(), np.float64)
    images = np.asarray(_check.numeric_array("images", images), np.float64)
    if values.ndim != 3:
        raise ValueError(
            f"attribution must hold maps [N, h, w] or values of regions, but its values have shape {list(values.shape)}."
        )
    if images.ndim not in (3, 4) or len(images) != len(values):
        raise ValueError(
            f"images must have shape [{len(values)}, H, W, C], one for each map, but its shape is {list(images.shape)}."
        )
    example = check_example(example, len(values))
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1, but it is {alpha}.")

    picture = images[example].mean(axis=-1) if images.ndim == 4 else images[example]
    heat = np.asarray(jax.image.resize(values[example], picture.shape, "linear"))
    signed = heat.min() < 0
    most = np.abs(heat).max()
    limits = (-most, most) if signed else (0.0, most)
    strength = np.abs(heat) / most if most > 0 else np.zeros_like(heat)

    ax = new_axes(ax, (4.2, 3.6))
    ax.imshow(picture, cmap="gray")
    drawn = ax.imshow(
        heat,
        cmap="RdBu_r" if signed else "inferno",
        vmin=limits[0],
        vmax=limits[1] if most > 0 else 1.0,
        alpha=alpha * strength,
    )
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
    bar.solids.set_alpha(1)  # pyright: ignore[reportOptionalMemberAccess]
    bar.ax.tick_params(labelsize=7)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(attribution.method if title is None else title, fontsize=10)
    return ax
