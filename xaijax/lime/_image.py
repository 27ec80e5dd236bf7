"""LIME for images: the players are regions."""

from __future__ import annotations

from typing import Any

from xaijax import mask
from xaijax._attribution import Surrogate
from xaijax._game import game
from xaijax._target import TargetLike
from xaijax.lime._fit import fit


def image(
    model: Any,
    x: Any,
    regions: Any = None,
    *,
    key: Any,
    fill: Any = "mean",
    target: TargetLike = None,
    **options: Any,
) -> Surrogate:
    """LIME for images: which regions of a picture speak for the output.

    Args:
      model: any model of images.
      x: [N, H, W, C] images.
      regions: [H, W] or [N, H, W] integer labels 0..M-1, such as scikit-image's superpixels. Default: a grid of 8 x 8
        cells.
      key: a JAX random key.
      fill: what replaces an absent region: "mean" for its own mean colour, a number, a colour [C] or an image.
      target: an int, ints [N], a callable, "all", or None for the top class.
      **options: of `xai.lime.fit`: num_samples, distance, kernel_width, ridge, ids, batch_size.

    Returns:
      As `xai.lime.fit`; `attribution.on_input()` lays the coefficients out over the image, [N, H, W].
    """
    masker = mask.grid(8, fill=fill) if regions is None else mask.regions(regions, fill=fill)
    return fit(game(model, x, masker, target=target), key=key, **options)
