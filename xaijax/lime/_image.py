"""LIME for images: the players are regions."""

from __future__ import annotations

from typing import Any

from xaijax import mask
from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.game import game
from xaijax._core.target import TargetLike
from xaijax.lime._fit import fit

_NUM_SUPERPIXELS = 50
_PLACES_FOR_SUPERPIXELS = 32 * 32  # 20 for each of 50: with fewer there is no outline to follow
_CELLS = 8


def image(
    model: Any,
    x: Any,
    regions: Any = None,
    *,
    key: Any,
    fill: Any = None,
    target: TargetLike = None,
    **options: Any,
) -> Surrogate:
    """LIME for images: which regions of a picture speak for the output.

    Args:
      model: any model of images.
      x: [N, H, W, C] images.
      regions: a masker that says what the regions are and what replaces them, such as
        `xai.mask.superpixels(100, fill="blur")` or `xai.mask.grid(8)`; or [H, W] or [N, H, W] integer labels 0..M-1,
        such as those of scikit-image's `quickshift`. Default: about 50 superpixels of each image's own, made within the
        same program, for images of at least 32 x 32 places; a grid of at most 8 x 8 cells for smaller ones.
      key: a JAX random key.
      fill: what replaces an absent region, as in `xai.mask.regions`: "mean" for its own mean color, "blur", "noise", a
        number, a color [C] or an image. Default "mean", as in lime; a masker brings its own.
      target: an int, ints [N], a callable, "all", or None for the top class.
      **options: of `xai.lime.fit`: num_samples, sampling, distance, kernel_width, ridge, num_features, until, ids,
        batch_size and the others. `definitions="lime"` is how the package lime explains images: 1000 fair coins, the
        cosine distance, its kernel of width 0.25, ridge 1, and all regions.

    Returns:
      As `xai.lime.fit`, with `regions` the label maps; `attribution.on_input()` lays the coefficients out over the
      image, [N, H, W].

    Raises:
      TypeError, ValueError: if the labels have gaps or another size, the fill does not fit or is given beside a masker,
        or an option is out of range.
    """
    x = check.numeric_array("x", x)
    return fit(game(model, x, _masker(regions, fill, x.shape), target=target), key=key, **options)


def _masker(regions: Any, fill: Any, shape: tuple[int, ...]) -> mask.Masker:
    if isinstance(regions, mask.Masker):
        if fill is not None:
            raise ValueError(
                "fill must be given to the masker where regions is one, as in xai.mask.superpixels(50, fill='blur'), "
                "but it was given beside it."
            )
        return regions
    fill = "mean" if fill is None else fill
    if regions is not None:
        return mask.regions(regions, fill=fill)
    height, width = shape[1:3] if len(shape) == 4 else (_CELLS, _CELLS)  # other shapes are refused by the masker
    if height * width >= _PLACES_FOR_SUPERPIXELS:
        return mask.superpixels(_NUM_SUPERPIXELS, fill=fill)
    return mask.grid((min(height, _CELLS), min(width, _CELLS)), fill=fill)
