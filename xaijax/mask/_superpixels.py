"""Images: the players are superpixels, made on the device within the compiled explanation."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from xaijax._core.typing import Array, Int, Shaped
from xaijax.mask._fill import read_fill
from xaijax.mask._regions import Painted
from xaijax.segment._slic import Settings, read_settings, segments


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Superpixels(Painted):
    """settings: those of SLIC, which cuts each image."""

    settings: Settings

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        super().check(x)
        self.settings.check(x.shape)

    def num_players(self, shape: tuple[int, ...]) -> int:
        return self.settings.num_seeds(*shape[:2])

    def prepare(self, x: Shaped[Array, "N H W C"]) -> Int[Array, "N H W"]:
        return segments(x, self.settings)


def superpixels(
    num_segments: int = 50,
    *,
    compactness: float = 10.0,
    num_iterations: int = 10,
    sigma: float = 0.0,
    color_space: str | None = None,
    fill: Any = "mean",
) -> Superpixels:
    """Makes the superpixels of each image its players; they are found by SLIC, where the model runs.

    Why: superpixels follow what is in the image, where the cells of a grid cut through it. No labels have to be made
    before and handed over: images go in, explanations come out, of one compiled program.

    Args:
      num_segments: about how many superpixels. Default 50: coarse enough for a person, and for a thousand evaluations.
      compactness, num_iterations, sigma, color_space: as in `xai.segment.slic`.
      fill: what replaces an absent superpixel: as in `xai.mask.regions`.

    Returns:
      A masker for images [N, H, W, C] of any size. It has as many players for each image as SLIC has seeds, about
      num_segments; an image of fewer superpixels has players that are nothing, whose value is 0.

    Raises:
      TypeError, ValueError: if an option is out of range; with the images, if they have fewer places than segments or
        other channels than the color space.
    """
    settings = read_settings(num_segments, compactness, num_iterations, sigma, color_space=color_space)
    return Superpixels(read_fill(fill), settings)
