"""LIME for images: the players are regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xaijax import mask
from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.model_game import game
from xaijax._core.typing import ArrayOrSequence, Ids, Inputs, KeyLike, ModelLike, TargetLike
from xaijax._model import as_model
from xaijax.lime._fit import fit
from xaijax.mask._regions import few_cells

_NUM_SUPERPIXELS = 50
_PIXELS_FOR_SUPERPIXELS = 32 * 32  # 20 for each of 50: smaller regions have no outline to follow


def image(
    model: ModelLike,
    x: Inputs,
    masker: mask.Masker | ArrayOrSequence | None = None,
    *,
    key: KeyLike,
    fill: str | ArrayOrSequence | None = None,
    channel_axis: int | None = None,
    target: TargetLike = None,
    num_samples: int = 1000,
    sampling: str | None = None,
    distance: str = "cosine",
    kernel_width: float | None = None,
    ridge: float | None = None,
    num_features: int | None = None,
    feature_selection: str = "auto",
    surrogate: str = "linear",
    until: float | None = None,
    max_samples: int | None = None,
    top: int = 5,
    definitions: str = "xaijax",
    output_names: Sequence[str] | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Surrogate:
    """Fits a linear surrogate to which regions of an image are present.

    Args:
      model: any model of images.
      x: [N, H, W, C] images, [N, L, C] signals or [N, D, H, W, C] volumes.
      masker: says what the regions are and what replaces them, such as `xai.mask.superpixels(100, fill="blur")` or
        `xai.mask.grid(8)`; or [H, W] or [N, H, W] integer labels 0..M-1, such as those of scikit-image's `quickshift`.
        Default: about 50 superpixels of each image for images (and signals) of at least 32 x 32 pixels; a grid of at most
        8 x 8 cells for smaller ones, 64 for signals, 4 x 4 x 4 for volumes.
      key: a JAX random key.
      fill: what replaces an absent region, as in `xai.mask.regions`: "mean" for its mean color, "blur", "noise", a
        number, a color [C] or an image. Default "mean", as in lime; a masker brings its own.
      channel_axis: the axis of the channels, 1 for images [N, C, H, W]. Default None: the last axis, or the masker's; a
        shape such as [N, 3, H, W] is refused without it.
      target: an int, ints [N], a callable, "all", or None for the top class.
      num_samples, sampling, distance, kernel_width, ridge, num_features, feature_selection, surrogate, until,
        max_samples, top, ids, batch_size: as for `xai.lime.fit`.
      definitions: "lime" for those of the package lime for images: 1000 fair coins, the cosine distance, its kernel of
        width 0.25, ridge 1, and all regions. Default "xaijax".
      output_names: K names of the model's outputs. Default: none.

    Returns:
      As `xai.lime.fit`, with `regions` the label maps; `attribution.on_input()` lays the coefficients out over the
      image, [N, H, W].

    Raises:
      TypeError, ValueError: if the labels have gaps or another size, the fill does not fit or a masker has its own, or an
        option is out of range.
    """
    if not isinstance(masker, mask.Masker):
        x, model = check.numeric_array("x", x), as_model(model)
        channel_axis = model.channel_axis if channel_axis is None else channel_axis
        masker = _masker_of(masker, fill, x.shape, channel_axis)
    elif fill is not None or channel_axis is not None:
        name, value = ("fill", "'blur'") if fill is not None else ("channel_axis", "1")
        raise ValueError(
            f"`{name}` must be None where a masker is given, which has its own, got both: pass it to the masker, as in "
            f"xai.mask.superpixels(50, {name}={value})."
        )
    return fit(
        game(model, x, masker, target=target, output_names=output_names), key=key, num_samples=num_samples, sampling=sampling, distance=distance,
        kernel_width=kernel_width, ridge=ridge, num_features=num_features, feature_selection=feature_selection,
        surrogate=surrogate, until=until, max_samples=max_samples, top=top, definitions=definitions, ids=ids,
        batch_size=batch_size,
    )  # fmt: skip


def _masker_of(labels: Any, fill: Any, shape: tuple[int, ...], channel_axis: int | None) -> mask.Masker:
    options: dict[str, Any] = {"fill": "mean" if fill is None else fill, "channel_axis": channel_axis}
    if labels is not None:
        return mask.regions(check.labels("masker", labels), **options)
    if len(shape) in (3, 4):
        axis = check.channel_axis("x", shape, channel_axis)
        sides = [side for number, side in enumerate(shape) if number not in (0, axis)]
        if math.prod(sides) >= _PIXELS_FOR_SUPERPIXELS:
            return mask.superpixels(_NUM_SUPERPIXELS, **options)
    return few_cells(shape, **options)
